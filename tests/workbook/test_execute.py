import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.engines import NotebookExecutionManager

from lib.disk.file_claims import FileClaimLost
from lib.paths import ROOT
from lib.workbook.execute import _is_whole, execute, stop
from lib.workbook.kernel_process import _save_before_code_only
from lib.workbook.notebook_source import imports_lib
from lib.workbook.warm import start

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
    began = time.monotonic()
    result = execute(path, tmp_path / "out" / "07_ok.ipynb", tmp_path / "page.html", given)
    assert (result.status, result.error, result.cell) == ("ok", None, None)
    assert 0 < result.duration <= time.monotonic() - began
    first, second = printed(tmp_path / "out" / "07_ok.ipynb").splitlines()
    assert json.loads(first) == [sys.executable, str(ROOT), "1"]
    assert json.loads(second) == list(given.values())
    assert os.listdir(tmp_path / "out") == ["07_ok.ipynb"]
    assert "elsewhere" not in (tmp_path / "page.html").read_text()
    streamed = capfd.readouterr().out.splitlines()
    assert streamed == [f"07 | {first}", f"07 | {second}"]


def test_a_notebook_is_written_when_code_begins_and_at_the_end(monkeypatch):
    written = []
    monkeypatch.setattr(
        "papermill.engines.write_ipynb", lambda nb, path: written.append([len(c.get("outputs", ())) for c in nb.cells])
    )
    cells = [new_code_cell("1"), new_markdown_cell("words"), new_code_cell("2")]
    manager = NotebookExecutionManager(
        new_notebook(cells=cells, metadata={"papermill": {}}), "out.ipynb", progress_bar=False
    )
    manager.notebook_start()
    _save_before_code_only(manager)
    for index, cell in enumerate(manager.nb.cells):
        manager.cell_start(cell, index)
        if cell.cell_type == "code":
            cell.outputs.append("an output")
        manager.cell_complete(cell, cell_index=index)
    manager.notebook_complete()
    assert written == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_a_killed_kernel_is_told_as_such(notebook, tmp_path):
    kill = "import os, signal\ntaken = bytearray(os.urandom(1)) * (400 << 20)\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    path = notebook(tmp_path / "01_die.ipynb", kill, "print('after')")
    result = execute(path, tmp_path / "out.ipynb", tmp_path / "out.html", {"x": 1})
    assert result.status == "died"
    taken = re.fullmatch(
        r"the kernel died \(killed by signal 9, often out of memory; it had taken up to (\S+) GiB of memory\)",
        result.error,
    )
    assert 0.4 < float(taken[1]) < 2  # 0.4 of them taken on purpose
    assert result.cell == 3  # parameters, injected parameters, and this one


@pytest.mark.parametrize("on_interrupt", [signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "behind &"])
def test_a_timeout_keeps_what_was_printed(notebook, tmp_path, monkeypatch, on_interrupt):
    path = notebook(tmp_path / "01_slow.ipynb", "import time\nprint('begun', flush=True)\ntime.sleep(600)")
    log = Log(lambda line: None)
    clock = SimpleNamespace(monotonic=lambda: 100.0 if log.lines else 0.0)
    monkeypatch.setattr("lib.workbook.execute.time", clock)
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        result = execute(path, tmp_path / "out.ipynb", tmp_path / "out.html", {"x": 1}, timeout=99, log=log)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.status, result.cell, result.duration) == ("timeout", 3, 100.0)
    assert "begun" in printed(tmp_path / "out.ipynb")


def test_a_notebook_that_cannot_be_run_is_told_in_one_line(notebook, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.workbook.execute.write_kernel_spec", lambda path: _broken_kernel(path))
    path = notebook(tmp_path / "01_a.ipynb", "1")
    result = execute(path, tmp_path / "out.ipynb", tmp_path / "out.html", {"x": 1})
    assert result.status == "failed"
    assert result.error
    assert "\n" not in result.error
    assert (tmp_path / "out.ipynb").exists()


def _broken_kernel(path):
    path.mkdir(parents=True)
    spec = {"argv": ["/nonexistent/python"], "display_name": "broken", "language": "python"}
    (path / "kernel.json").write_text(json.dumps(spec))


def test_what_does_not_stop_is_killed_with_all_it_started():
    reading, writing = os.pipe()
    process = start("tests.workbook.stubborn", None, os.environ, ROOT, writing, sys.__stderr__.fileno())
    os.close(writing)
    with open(reading) as printed_by_it:
        child = psutil.Process(int(printed_by_it.readline()))
        stop(process, patience=0.5)
    assert process.exitcode == -9  # left alone it would have ended with 0
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_an_output_that_was_cut_off_is_not_kept(notebook, tmp_path):
    output = notebook(tmp_path / "01_a.ipynb", "1 + 1")
    assert _is_whole(output)
    output.write_text('{"cells": [')
    assert not _is_whole(output)


def test_a_page_that_cannot_be_written_is_told(notebook, tmp_path):
    (tmp_path / "page.html").mkdir()
    result = execute(notebook(tmp_path / "01_a.ipynb", "1"), tmp_path / "out.ipynb", tmp_path / "page.html", {"x": 1})
    assert result.status == "failed"
    assert result.error.startswith("its page could not be written: Cannot write")
    assert (tmp_path / "out.ipynb").exists()


def test_what_the_notebook_read_is_in_the_result(notebook, tmp_path):
    (tmp_path / "table.csv").write_text("a")
    source = f"from lib.inputs import note\nnote({str(tmp_path / 'table.csv')!r})\nnote({str(tmp_path / 'none')!r})"
    path = notebook(tmp_path / "01_a.ipynb", source)
    inputs = execute(path, tmp_path / "out.ipynb", tmp_path / "out.html", {"x": 1}).inputs
    assert inputs[str(tmp_path / "none")] == "absent"
    assert inputs[str(tmp_path / "table.csv")].startswith("1 bytes")


def test_a_run_can_be_cancelled_from_another_thread(notebook, tmp_path):
    path = notebook(tmp_path / "01_slow.ipynb", "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    cancelled, log = threading.Event(), Log(lambda line: cancelled.set())
    result = execute(path, tmp_path / "o.ipynb", tmp_path / "o.html", {"x": 1}, log=log, cancelled=cancelled)
    assert result.status == "interrupted"
    assert log.lines == ["begun"]


def test_a_check_that_fails_stops_the_run_and_nothing_is_kept(notebook, tmp_path):
    path = notebook(tmp_path / "01_slow.ipynb", "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    log = Log(lambda line: None)

    def check():
        if log.lines:
            raise FileClaimLost("gone")

    with pytest.raises(FileClaimLost):
        execute(path, tmp_path / "o" / "o.ipynb", tmp_path / "o" / "o.html", {"x": 1}, log=log, check=check)
    assert not psutil.pid_exists(int(log.lines[0]))
    assert not (tmp_path / "o").exists()


class Log:
    """A log that tells when something is written to it."""

    def __init__(self, tell) -> None:
        self.lines, self.tell = [], tell

    def write(self, text: str) -> None:
        if text.strip():
            self.lines.append(text.strip())
            self.tell(text)

    def flush(self) -> None: ...


ALONE = """
import sys
from pathlib import Path
from lib.workbook.execute import execute
execute(*map(Path, sys.argv[1:4]), {"x": 1}, environment=dict(word.split("=") for word in sys.argv[4:]))
"""


def test_nothing_goes_on_when_its_parent_is_killed(notebook, tmp_path):
    path = notebook(
        tmp_path / "01_slow.ipynb", "import sys, time\nprint('torch' in sys.modules, flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", ALONE, str(path), str(tmp_path / "o.ipynb"), str(tmp_path / "o.html")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "01 | False\n"  # what imports nothing of the workbook does not wait for PyTorch
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # papermill and the kernel
    process.kill()
    process.wait()
    assert not psutil.wait_procs(family, timeout=120)[1]


TOO_SOON = """
import os, sys
from pathlib import Path
from lib.workbook import execute

def start_and_die(*args):
    print(begin(*args).pid, flush=True)
    os._exit(1)

begin, execute.start = execute.start, start_and_die
execute.execute(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), {"x": 1})
"""


def test_nothing_begins_when_its_parent_is_killed_before_it_could_look(notebook, tmp_path):
    path = notebook(tmp_path / "01_slow.ipynb", f"open({str(tmp_path / 'begun')!r}, 'w')\nimport time\ntime.sleep(600)")
    command = [sys.executable, "-c", TOO_SOON, str(path), str(tmp_path / "o.ipynb"), str(tmp_path / "o.html")]
    printed_pid = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    try:
        orphan = psutil.Process(int(printed_pid))
    except psutil.NoSuchProcess:
        orphan = None  # so soon has it ended
    try:
        assert orphan is None or not psutil.wait_procs([orphan], timeout=60)[1]
        assert not (tmp_path / "begun").exists()
    finally:
        for process in [*orphan.children(recursive=True), orphan] if orphan and orphan.is_running() else []:
            process.kill()


def test_notebooks_of_the_workbook_begin_with_the_large_packages_imported(notebook, tmp_path):
    """And none of the workbook's networks: they are imported as they are on the disk. Nothing that a fork must not have."""
    loaded = "import sys; print('torch' in sys.modules, 'lib.training' in sys.modules)"
    threads = "import torch, lib; print(torch.get_num_threads(), torch.cuda.is_initialized())"
    path = notebook(tmp_path / "01_a.ipynb", loaded, threads)
    command = [sys.executable, "-c", ALONE, path, tmp_path / "o.ipynb", tmp_path / "o.html", "OMP_NUM_THREADS=3"]
    subprocess.run(command, cwd=ROOT, check=True)
    assert printed(tmp_path / "o.ipynb").splitlines() == ["True False", "3 False"]


def test_a_notebook_of_the_workbook_imports_something_of_it(notebook, tmp_path):
    for source, asked in (("import library", False), ("import os, lib.data", True), ("from lib import fit", True)):
        assert imports_lib(notebook(tmp_path / "01_a.ipynb", source)) is asked
