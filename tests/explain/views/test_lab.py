"""A person opens notebook 04 in JupyterLab, runs it, drags the layer slider, clicks a patch: the picture follows."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from urllib.error import URLError

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from lib.paths import NOTEBOOKS, OUTPUTS, ROOT

TOKEN = "of-this-test"
PATIENCE = 240_000  # ms, for a machine that is busy; the picture itself has one second
SETTINGS = {  # no pop-up in the way; cells out of sight are there, too
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
}

SMALL = {"profile": "smoke", "switches": False, "measured": 20}  # of notebook 04, in seconds

# "Run all" is silently lost before the kernel is connected and idle.
READY = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.context?.sessionContext, kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle');
}"""
ACTIVE = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
CANVAS = "document.querySelector('.attention-view .stage canvas').toDataURL()"


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab of its own, whose folder holds the notebook."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, values in SETTINGS.items():
        settings = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(values))
    notebook = load_notebook_node(str(NOTEBOOKS / "04_dcal_rollout.ipynb"))
    small = parameterize_notebook(notebook, {**SMALL, "output_dir": str(tmp_path / "outputs")}, kernel_name="python3")
    nbformat.write(small, folder / "look.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    private = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    private |= {f"JUPYTER_{name.upper()}_DIR": name for name in ("config", "data", "runtime")}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(tmp_path / at) for name, at in private.items()}}
    options = [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    options += ["--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"]
    with (tmp_path / "lab.log").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, tmp_path / "lab.log")
        yield f"http://127.0.0.1:{port}/lab/tree/look.ipynb?token={TOKEN}"
    finally:
        server.terminate()  # and with it its kernels
        server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen, log) -> None:
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except URLError:
            try:
                server.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"JupyterLab did not start: {log.read_text()[-2000:]}")


def changes(page, action) -> None:
    """`action` changes the picture within a second."""
    before = page.evaluate(CANVAS)
    action()
    page.wait_for_function(f"before => {CANVAS} !== before", arg=before, timeout=1000)


def drag(page, slider, to: float) -> None:
    """Press the mouse on the middle of a slider, pull it to a share of its width, and let go."""
    slider.hover()  # waits until nothing moves any more
    box = slider.bounding_box()
    page.mouse.down()
    page.mouse.move(box["x"] + to * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()


def test_in_jupyterlab_the_picture_follows_the_slider_and_the_click(browser, lab):
    page, errors = browser.new_page(viewport={"width": 1280, "height": 900}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(lab)
    page.wait_for_function(READY, timeout=PATIENCE)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".attention-view .live:not([hidden])", state="attached", timeout=PATIENCE)
    view, told = page.locator(".attention-view"), page.locator(".attention-view .stage .text")
    assert told.text_content().endswith("SA · rollout of the class token · layer 3")

    layer = view.get_by_label("layer", exact=True)
    changes(page, lambda: drag(page, layer, 0.0))
    assert "layer 1" in told.text_content()
    cell = page.evaluate(ACTIVE)
    changes(page, lambda: layer.press("ArrowUp"))
    assert "layer 2" in told.text_content()
    assert page.evaluate(ACTIVE) == cell  # Lab has not moved on to another one
    changes(page, lambda: view.get_by_label("map", exact=True).select_option("attention of a patch"))
    changes(page, lambda: view.locator(".stage canvas").first.click(position={"x": 20, "y": 20}))
    assert "row 1, column 1" in told.text_content()
    changes(page, lambda: page.keyboard.press("ArrowDown"))
    assert "row 2, column 1" in told.text_content()
    assert errors == []
    (OUTPUTS / "screenshots").mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUTS / "screenshots" / "explorer_in_lab.png")
    page.close()
