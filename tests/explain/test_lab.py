"""A person opens a notebook in JupyterLab, runs it, drags the layer slider, clicks a patch: the picture follows."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from urllib.error import URLError

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lib.paths import OUTPUTS, ROOT

TOKEN = "of-this-test"
PATIENCE = 60_000  # ms, for a machine that is busy; the picture itself has one second
SETTINGS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}  # no pop-up in the way

# A small network of notebook 04's kind, on drawn images.
SOURCE = """
import numpy as np
import torch
from lib import create_dcal_model
from lib.explain import explorer_of

torch.manual_seed(0)
model = create_dcal_model(
    "deit_tiny_patch16_224", num_classes=3, img_size=32, patch_size=8, embed_dim=24, depth=4, num_heads=3, top_ratio=0.2
).eval()
for parameter in model.parameters():
    parameter.data.normal_(std=0.4)
pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
explorer_of({"DCAL": model}, pixels, names=["<b>first</b>", "second"])
"""

# "Run all" is silently lost before the kernel is connected and idle.
READY = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.context?.sessionContext, kernel = context?.session?.kernel;
    return Boolean(context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle');
}"""
CANVAS = "document.querySelector('.attention-view .stage canvas').toDataURL()"


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab of its own, whose folder holds the notebook."""
    folder, settings = tmp_path / "notebooks", tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir()
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(SETTINGS))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        new_notebook(cells=[new_code_cell(SOURCE.strip()), new_code_cell("pass")], metadata=metadata),
        folder / "look.ipynb",
    )
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
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + to * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()


def test_in_jupyterlab_the_picture_follows_the_slider_and_the_click(browser, lab):
    page, errors = browser.new_page(viewport={"width": 1280, "height": 900}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(lab)
    page.wait_for_function(READY, timeout=PATIENCE)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".attention-view .live:not([hidden])", timeout=PATIENCE)
    view, told = page.locator(".attention-view"), page.locator(".attention-view .stage .told")
    assert told.text_content() == "<b>first</b> · DCAL · rollout of the class token · layer 4"

    layer = view.get_by_label("layer", exact=True)
    changes(page, lambda: drag(page, layer, 0.3))
    changes(page, lambda: drag(page, layer, 1.0))
    changes(page, lambda: layer.press("ArrowDown"))
    assert "layer 3" in told.text_content()
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex") == 0  # Lab has not moved on
    changes(page, lambda: drag(page, layer, 0.0))
    assert "layer 1" in told.text_content()
    changes(page, lambda: view.get_by_label("map", exact=True).select_option("attention of a patch"))
    changes(page, lambda: view.locator(".stage canvas").first.click(position={"x": 20, "y": 20}))
    assert "row 1, column 1" in told.text_content()
    changes(page, lambda: page.keyboard.press("ArrowDown"))
    assert "row 2, column 1" in told.text_content()
    assert errors == []
    (OUTPUTS / "screenshots").mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUTS / "screenshots" / "explorer_in_lab.png")
    page.close()
