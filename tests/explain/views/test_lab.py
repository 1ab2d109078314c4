"""What a person sees in JupyterLab: pictures that follow the mouse, bars that fill."""

import io
import os
import shutil
from pathlib import Path

import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from PIL import Image

from lib.paths import NOTEBOOKS, OUTPUTS
from tests.lab import PATIENCE

SMALL = {"profile": "smoke", "switches": False, "measured": 20}  # of notebook 04, in seconds
SCREENSHOTS = OUTPUTS / "screenshots"  # to be looked at; git does not know them
ACTIVE = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
CANVAS = "document.querySelector('.attention-view .stage canvas').toDataURL()"


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


def test_in_jupyterlab_the_picture_follows_the_slider_and_the_click(lab, tmp_path):
    notebook = load_notebook_node(str(NOTEBOOKS / "04_dcal_rollout.ipynb"))
    small = parameterize_notebook(notebook, {**SMALL, "output_dir": str(tmp_path / "outputs")}, kernel_name="python3")
    with lab.open(small) as desk:
        page = desk.page
        place = next(i for i, cell in enumerate(small.cells) if "explorer_of(" in cell.source)
        page.evaluate(f"{ACTIVE} = {place + 1}")
        desk.command("notebook:run-all-above")  # what follows trains for the claims
        page.wait_for_selector(".attention-view .live:not([hidden])", state="attached", timeout=PATIENCE)
        view, told = page.locator(".attention-view").first, page.locator(".attention-view .stage .text")
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
        assert desk.errors == []
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "explorer_in_lab.png")


class Gate:
    """Holds up a cell, which waits at `wait`, an expression, until somebody opens here: once for each opening."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self._pipe = os.open(path, os.O_RDWR)  # both ends: what is in it stays, and nobody waits for the other one
        self.wait = f"open({str(path)!r}, 'rb', buffering=0).read(1)"

    def open(self) -> None:
        os.write(self._pipe, b"!")

    def break_down(self) -> None:
        """Nobody waits here any more: after a test that failed the kernel is free for the others."""
        self._path.unlink()
        os.close(self._pipe)


@pytest.fixture
def gate(tmp_path):
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.break_down()


def test_a_bar_fills_and_leaves_a_line(desk, gate):
    outputs = desk.start(f"""
        from lib import progress
        progress.NotebookBar.pause = progress.LONG = 0
        with progress.Progress(4_000_000, "downloading images.zip", "bytes") as bar:
            bar.advance(1_000_000, "a mirror")
            {gate.wait}
            bar.advance(3_000_000)
    """)
    bar = outputs.locator(".widget-hprogress")
    bar.wait_for()
    outputs.get_by_text("1.0/4.0 MB (25 %)").wait_for()
    assert "downloading images.zip:" in outputs.text_content()
    assert "left, a mirror" in outputs.text_content()
    desk.page.screenshot(path=SCREENSHOTS / "bar_in_lab.png")
    gate.open()
    outputs.get_by_text("downloading images.zip: 4.0/4.0 MB (100 %), done after").wait_for()
    assert bar.count() == 0


def test_a_short_work_leaves_nothing_and_an_interrupted_one_says_so(desk):
    outputs = desk.run("""
        progress.LONG = 1
        with progress.Progress(3, "drawing") as bar:
            bar.advance(3)
    """)
    assert outputs.text_content().strip() == ""
    outputs = desk.run("""
        progress.LONG = 0
        try:
            with progress.Progress(0, "drawing") as bar:
                bar.advance(3)
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    """)
    assert outputs.text_content().strip() == "drawing: 3 images, stopped after 0 s"


def test_the_curves_of_a_training_grow_epoch_by_epoch_and_stay(desk, gate):
    """Two trainings of a cell share a picture, which shows more after every epoch that is told."""
    outputs = desk.start(f"""
        from lib.progress import watcher
        from lib.report.figures import live_curves
        live_curves.SHARE = 1e9  # of the time: every epoch is drawn
        rows = [dict(epoch=n, train_loss=2 / n, val_loss=3 / n) for n in range(1, 4)]
        for name in ("with attention", "without"):
            tell = watcher("training", name, True)
            tell(rows[:1], None)
            {gate.wait}
            tell(rows[:2], None)
            {gate.wait}
            tell(rows, 3)
        {gate.wait}
        from pathlib import Path
        from types import SimpleNamespace as Finished
        import pandas as pd
        from lib.report.figures.run_figures import curves
        told = dict(log=pd.DataFrame(rows), metrics={{"best_epoch": 3}}, provenance={{"is_phantom": True}})
        _ = curves({{name: Finished(path=Path(name), **told) for name in ("with attention", "without")}})
    """)
    picture, seen = outputs.locator(".jp-RenderedImage img"), []
    for _ in range(4):
        seen.append(new_source(picture, seen))
        gate.open()
    new_source(picture, seen)
    assert picture.count() == 1
    assert picture.get_attribute("width") == "1100"  # known, the page does not jump
    desk.page.screenshot(path=SCREENSHOTS / "live_curves_in_lab.png")
    gate.open()
    picture.wait_for(state="detached", timeout=PATIENCE)  # the finished figure comes in its place


def new_source(picture, seen: list[str]) -> str:
    """The source of a picture, as soon as it is none of those that were seen."""
    picture.wait_for(timeout=PATIENCE)
    other = "seen => !seen.includes([...document.querySelectorAll('.jp-RenderedImage img')].at(-1).src)"
    picture.page.wait_for_function(other, arg=seen, timeout=PATIENCE)
    return picture.get_attribute("src")


def test_the_run_browser_follows_the_store_while_a_cell_runs_and_opens_a_run(desk, finished, gate, tmp_path):
    page, log = desk.page, tmp_path / "going on" / "training_log.csv"
    shutil.copytree(finished.path, log.parent)
    for name in ("metrics.json", "manifest.json"):
        (log.parent / name).unlink()
    header, first, second = log.read_text().splitlines()
    log.write_text(f"{header}\n{first}\n")
    outputs = desk.run(f"""
        from lib import RunStore
        from lib.explain import browse_runs
        browse_runs(RunStore({str(tmp_path)!r}))
    """)
    view = outputs.locator(".attention-view").first
    view.get_by_text("1 run", exact=True).wait_for()
    curve = view.locator(".chart polyline").last
    assert len(curve.get_attribute("points").split()) == 1
    view.get_by_label("filter").fill("state=unfinished")
    desk.start(gate.wait)  # stands for a sweep in this very kernel
    view.get_by_label("filter").focus()
    log.write_text(f"{header}\n{first}\n{second}\n")
    shutil.copytree(finished.path, tmp_path / "new")
    view.get_by_text("1 of 2 runs").wait_for()
    assert len(curve.get_attribute("points").split()) == 2
    assert view.get_by_label("filter").input_value() == "state=unfinished"
    assert page.evaluate("document.activeElement.type") == "search"  # it keeps the focus
    gate.open()
    view.get_by_label("filter").fill("")
    view.get_by_role("button", name="look inside").click()
    explorer = outputs.locator(".attention-view").nth(1)
    explorer.locator(".live:not([hidden]) .bars dt").first.wait_for(timeout=PATIENCE)
    assert explorer.get_by_label("network").count() == 1
    page.screenshot(path=SCREENSHOTS / "run_browser_in_lab.png")
    assert desk.errors == []


ASK_OFTEN = """async view => {
    const control = name => [...view.querySelectorAll('label')].find(({textContent}) => textContent === name).htmlFor;
    const layer = document.getElementById(control('of class'));
    for (let n = 0; n < 200; n++) {
        layer.selectedIndex = 2 + n % 7;
        layer.dispatchEvent(new Event('change'));
        await new Promise(done => setTimeout(done, 2));
    }
    while (view.classList.contains('busy')) await new Promise(done => setTimeout(done, 10));
}"""


# A choice of a list that takes no focus.
CHOOSE = """(list, name) => {
    list.value = name;
    list.dispatchEvent(new Event('change'));
}"""
# A file let go over a view.
DROP = """(view, [name, bytes]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([Uint8Array.from(bytes)], name, {type: 'image/png'}));
    view.dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer}));
}"""


@pytest.fixture(scope="module")
def live(desk, finished, tiny):
    """What a cell displays: the live explorer of a store, in the empty notebook."""
    outputs = desk.run(f"""
        from lib.explain import compare_networks, explore_networks
        from lib.training import Run, RunStore, prepare
        run = Run({str(finished.path)!r})
        images = prepare(run.config, RunStore(run.path.parent)).images
        explore_networks(RunStore(run.path.parent), images, run.path.name)
    """)
    view = outputs.locator(".attention-view")
    view.locator(".choices button").nth(23).wait_for(timeout=PATIENCE)
    return view


def shows(view, *parts: str) -> None:
    told = view.locator(".stage .text")
    for part in parts:
        told = told.filter(has_text=part)
    told.wait_for(timeout=PATIENCE)


def test_the_live_explorer_answers_whatever_is_asked_and_survives_what_goes_wrong(desk, live, finished):
    page, status, own = desk.page, live.locator(".status"), live.locator("input[type=file]")
    method, target = (live.get_by_label(name, exact=True) for name in ("map", "of class"))
    target.select_option(finished.classes[3])
    shows(live, f"of {finished.classes[3]}")
    live.evaluate(ASK_OFTEN)  # many moves, one last answer
    shows(live, f"of {finished.classes[(199 % 7)]}")
    target.select_option("its answer")

    live.get_by_label("answered", exact=True).select_option("wrong")
    table = finished.predictions
    wrong = (table["label"] != table["prediction"]).sum()
    live.locator(".pages output").filter(has_text=f"{wrong} images").wait_for(timeout=PATIENCE)

    own.set_input_files([{"name": "<i>no</i>.png", "mimeType": "image/png", "buffer": b"no image"}])
    status.filter(has_text="<i>no</i>.png: corrupt or truncated image").wait_for(timeout=PATIENCE)
    live.evaluate(DROP, ["mine.png", [*png()]])
    shows(live, "mine.png (yours)")
    target.select_option("the true class")
    status.filter(has_text="Nobody has said what 'mine.png (yours)' is").wait_for(timeout=PATIENCE)
    target.select_option("its answer")

    running = desk.start("import time; time.sleep(600)")  # a cell that runs does not hold the view up
    method.select_option("centre")
    shows(live, "centre")
    desk.command("notebook:interrupt-kernel")
    running.get_by_text("KeyboardInterrupt").first.wait_for(timeout=PATIENCE)
    method.select_option("noise")
    shows(live, "noise")
    assert status.text_content() == ""
    live.get_by_label("zoom", exact=True).fill("2")
    live.locator("xpath=self::*[not(contains(@class, 'busy'))]").wait_for()
    assert status.text_content() == ""
    page.screenshot(path=SCREENSHOTS / "live_explorer_in_lab.png")
    assert desk.errors == []


def test_the_counterfactual_brush_changes_the_image_for_all_panels(desk, live):
    desk.wait_for_kernel()
    outputs = desk.run('compare_networks(run, images, [(run.path.name, "gradient-x-input"), (run.path.name, "noise")])')
    view = outputs.locator(".attention-view")
    view.locator(".choices button").nth(23).wait_for(timeout=PATIENCE)
    view.get_by_label("paint out", exact=True).check()
    view.locator(".panel canvas").first.focus()
    desk.page.keyboard.press("Enter")  # at the cross
    for panel in range(2):
        told = view.locator(".panel .text").nth(panel)
        told.filter(has_text=" before, ").wait_for(timeout=PATIENCE)
    view.get_by_role("button", name="insertion curve").click()
    live.get_by_label("map", exact=True).evaluate(CHOOSE, "random")  # two views ask one network at once
    shows(live, "random")
    view.locator(".chart .text").filter(has_text="2: noise").wait_for(timeout=PATIENCE)
    desk.page.screenshot(path=SCREENSHOTS / "live_comparison_in_lab.png")
    view.get_by_role("button", name="start over").click()
    view.locator(".panel .text").first.filter(has_not_text=" before, ").wait_for(timeout=PATIENCE)
    assert desk.errors == []


def test_what_was_looked_at_is_saved_and_a_kernel_that_has_gone_is_told_in_one_line(desk, live):
    before, method = live.get_attribute("data-payload"), live.get_by_label("map", exact=True)
    method.focus()
    method.select_option("gradient-x-input")
    shows(live, "gradient-x-input")
    desk.page.mouse.move(5, 5)  # the person has left
    method.blur()
    live.and_(desk.page.locator(f"[data-payload]:not([data-payload='{before}'])")).wait_for(timeout=PATIENCE)
    shows(live, "gradient-x-input")  # drawn anew, it opens as it was left
    live.locator(".choices button").nth(20).wait_for(timeout=PATIENCE)
    kernel = "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
    desk.page.evaluate(f"{kernel}.restart()")
    desk.wait_for_kernel()
    live.locator(".choices button").nth(20).click()
    gone = live.locator(".status").filter(has_text="The kernel that answered has gone: run this cell again.")
    gone.wait_for(timeout=PATIENCE)
    shows(live, "gradient-x-input")  # what it has it shows
    assert desk.errors == []


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(file, "PNG")
    return file.getvalue()
