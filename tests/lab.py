"""JupyterLab as a person has it: a server of its own, a headless Chromium in front, cells that are run one after the other."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import nbformat
import pytest
from nbformat.v4 import new_notebook

from lib.paths import ROOT

TOKEN = "of-these-tests"
PATIENCE = 240_000  # ms, for a machine that is busy; what is to be quick has a limit of its own
SETTINGS = {  # no pop-up in the way; cells out of sight are there, too
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
PRIVATE = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython"}
PRIVATE |= {f"JUPYTER_{name.upper()}_DIR": name for name in ("config", "data", "runtime")}

# Whatever is run before the kernel is connected and idle is silently lost.
READY = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.context?.sessionContext, kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle');
}"""
ADD = """source => {
    const notebook = window.jupyterapp.shell.currentWidget.content, cells = notebook.model.sharedModel;
    cells.insertCell(cells.cells.length, {cell_type: 'code', source, metadata: {}});
    notebook.activeCellIndex = cells.cells.length - 1;
    return notebook.activeCellIndex;
}"""
RUN = """place => {
    window.ran ??= {};
    const told = answer => { window.ran[place] = Boolean(answer); };
    window.jupyterapp.commands.execute('notebook:run-cell').then(told, () => told(false));
}"""


class Desk:
    """A notebook that is open in JupyterLab, with a kernel; `errors` are those of the page's scripts."""

    def __init__(self, page, address: str) -> None:
        self.page, self.errors = page, []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address)
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        self.page.wait_for_function(READY, timeout=PATIENCE)

    def command(self, name: str) -> None:
        """Let Lab do something, as its menus do: 'notebook:run-all-cells', 'notebook:interrupt-kernel', 'docmanager:save'."""
        self.page.evaluate(f"window.jupyterapp.commands.execute('{name}')")

    def start(self, source: str):
        """Put a cell below the others and start it; returns its outputs, a locator, while it runs."""
        return self._start(source)[0]

    def run(self, source: str):
        """As `start`, and wait until the cell has run."""
        outputs, place = self._start(source)
        self.page.wait_for_function("place => place in window.ran", arg=place, timeout=PATIENCE)
        assert self.page.evaluate(f"window.ran[{place}]"), outputs.text_content()
        return outputs

    def _start(self, source: str) -> tuple:
        place = self.page.evaluate(ADD, textwrap.dedent(source))
        self.page.evaluate(RUN, place)
        return self.page.locator(".jp-Notebook .jp-Cell").nth(place).locator(".jp-OutputArea").first, place


class Lab:
    """A server whose folder is `folder`, and the browser that looks at it."""

    def __init__(self, address: str, folder: Path, browser) -> None:
        self.address, self.folder, self.browser = address, folder, browser

    @contextlib.contextmanager
    def open(
        self, notebook: nbformat.NotebookNode | None = None, name: str = "look", width: int = 1280
    ) -> Iterator[Desk]:
        """A notebook, by default an empty one, in a window of its own."""
        if notebook is None:
            notebook = new_notebook(
                metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
            )
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        page = self.browser.new_page(viewport={"width": width, "height": 900})
        try:
            yield Desk(page, f"{self.address}/lab/tree/{name}.ipynb?token={TOKEN}&reset")
        finally:
            page.close()


@contextlib.contextmanager
def serve(root: Path, browser) -> Iterator[Lab]:
    """A JupyterLab that keeps everything below `root`; with it end its kernels."""
    folder = root / "notebooks"
    folder.mkdir()
    for name, values in SETTINGS.items():
        settings = root / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(root / at) for name, at in PRIVATE.items()}}
    options = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    options += ["--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"]
    with (root / "lab.log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, root / "lab.log")
        yield Lab(f"http://127.0.0.1:{port}", folder, browser)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except URLError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=0.2)
                pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")
