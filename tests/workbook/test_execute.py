import json
import os
import subprocess
import sys
import time

import nbformat
import psutil

from lib.paths import ROOT
from lib.workbook.execute import _keep, execute, stop

NASTY = '007 "quoted" \\n \n é 🙂'


def printed(path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_a_notebook_runs_in_this_environment_with_its_parameters(notebook, tmp_path, monkeypatch, capfd):
    """Even where a kernel of the same name is registered for another interpreter."""
    elsewhere = tmp_path / "jupyter" / "kernels" / "python3"
    elsewhere.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "elsewhere", "language": "python"}
    (elsewhere / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.chdir(tmp_path)
    path = notebook(
        tmp_path / "07_ok.ipynb",
        "import json, os, sys, lib; print(json.dumps([sys.executable, os.getcwd(), os.environ['WORKBOOK_HEADLESS']]))",
        "print(json.dumps([x, name, rate, flag, nothing]))",
        parameters='x: int = 3\nname: str = ""\nrate: float = 0.5\nflag: bool = False\nnothing: str | None = "a"',
    )
    given = {"x": 7, "name": NASTY, "rate": 1.0, "flag": True, "nothing": None}
    result = execute(path, tmp_path / "out" / "07_ok.ipynb", given)
    assert (result.status, result.error, result.cell) == ("ok", None, None)
    assert 0.5 < result.duration < 60
    first, second = printed(tmp_path / "out" / "07_ok.ipynb").splitlines()
    assert json.loads(first) == [sys.executable, str(ROOT), "1"]
    assert json.loads(second) == list(given.values())
    assert os.listdir(tmp_path / "out") == ["07_ok.ipynb"]
    streamed = capfd.readouterr().out.splitlines()
    assert streamed == [f"07 | {first}", f"07 | {second}"]


def test_a_killed_kernel_is_told_as_such(notebook, tmp_path):
    kill = "import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    path = notebook(tmp_path / "01_die.ipynb", kill, "print('after')")
    result = execute(path, tmp_path / "out.ipynb", {"x": 1})
    assert result.status == "died"
    assert result.error == "the kernel died (killed by signal 9, often out of memory)"
    assert result.cell == 3  # parameters, injected parameters, and this one


def test_a_timeout_keeps_what_was_printed(notebook, tmp_path):
    path = notebook(tmp_path / "01_slow.ipynb", "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    result = execute(path, tmp_path / "out.ipynb", {"x": 1}, timeout=5)
    assert (result.status, result.cell) == ("timeout", 3)
    assert result.duration < 30
    assert "begun" in printed(tmp_path / "out.ipynb")


def test_a_notebook_that_cannot_be_run_is_told_in_one_line(notebook, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.workbook.execute.write_kernel_spec", lambda path: _broken_kernel(path))
    path = notebook(tmp_path / "01_a.ipynb", "1")
    result = execute(path, tmp_path / "out.ipynb", {"x": 1})
    assert result.status == "failed"
    assert result.error
    assert "\n" not in result.error
    assert (tmp_path / "out.ipynb").exists()


def _broken_kernel(path):
    path.mkdir(parents=True)
    spec = {"argv": ["/nonexistent/python"], "display_name": "broken", "language": "python"}
    (path / "kernel.json").write_text(json.dumps(spec))


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_what_does_not_stop_is_killed_with_all_it_started():
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    child = psutil.Process(int(process.stdout.readline()))
    began = time.monotonic()
    stop(process, patience=0.5)
    assert process.returncode == -9
    assert 0.5 <= time.monotonic() - began < 5
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    process.stdout.close()


def test_an_output_that_was_cut_off_gives_way_to_the_bare_notebook(notebook, tmp_path):
    path = notebook(tmp_path / "01_a.ipynb", "1 + 1")
    running = tmp_path / ".01_a.running.ipynb"
    running.write_text('{"cells": [')
    kept = _keep(running, path, tmp_path / "out.ipynb")
    assert kept == nbformat.read(tmp_path / "out.ipynb", as_version=4) == nbformat.read(path, as_version=4)
