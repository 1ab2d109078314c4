"""The one command of the workbook: its parts are there, and another package named `lib` is told from ours."""

import re
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from lib.__main__ import COMMANDS, main
from lib.errors import CommandLine, WorkbookError
from lib.paths import ROOT

OTHERS = ("lib.weights.__main__", "lib.data.shards.__main__")


@pytest.mark.parametrize("module", [*(each.module for name, each in COMMANDS.items() if name != "lab"), *OTHERS])
def test_help_says_what_each_flag_does(module, monkeypatch, capsys):
    helped, format_help = [], CommandLine.format_help
    monkeypatch.setattr(CommandLine, "format_help", lambda self: helped.append(self) or format_help(self))
    with pytest.raises(SystemExit, match="0"):
        import_module(module).main(["--help"])
    assert "usage:" in capsys.readouterr().out
    assert [action.dest for parser in helped for action in parser._actions if not (action.help or "").strip()] == []


@pytest.mark.parametrize("module", ["lib.__main__", "lib.train", "lib.workbook.commandline", "lib.weights.__main__"])
def test_each_command_tells_which_build_it_is(module, capsys, monkeypatch):
    monkeypatch.setattr("lib.version.commit", lambda: "1a2b")
    with suppress(SystemExit):
        assert import_module(module).main(["--version"]) == 0
    number = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert capsys.readouterr().out == f"global-local-attention-workbook {number} (commit 1a2b)\n"


def test_help_lists_the_commands(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name} " in shown and command.purpose in shown for name, command in COMMANDS.items())


def test_an_unknown_command_has_a_nearest_one():
    with pytest.raises(WorkbookError, match="Did you mean 'train'"):
        main(["trian"])


def test_lab_starts_where_our_lib_is_found_first(monkeypatch):
    def started(command, env, check):
        assert command[1:3] == ["-m", "jupyterlab"]
        assert env["PYTHONPATH"].split(":")[0] == str(ROOT)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", started)
    assert main(["lab", "--no-browser"]) == 3


def test_another_package_named_lib_is_told_from_ours(tmp_path):
    """As PyPI has one: lib 4.0.0 is a single file, lib/__init__.py."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("def clone(): ...")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import attention_workbook as a; a.program()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert str(tmp_path / "lib" / "__init__.py") in done.stderr
    assert "pip uninstall lib" in done.stderr


def test_a_part_of_lib_is_not_imported_into_another_package_of_that_name(tmp_path, monkeypatch):
    """As an editable install has it: PyPI's lib is found first, and our parts below it."""
    other = ModuleType("lib")
    other.__file__ = str(tmp_path / "lib" / "__init__.py")
    monkeypatch.setitem(sys.modules, "lib", other)
    part = spec_from_file_location("lib.errors", ROOT / "lib" / "errors.py")
    with pytest.raises(ImportError, match=f"hidden by .*{re.escape(str(tmp_path))}.*pip uninstall lib"):
        part.loader.exec_module(module_from_spec(part))
