"""The views in an exported page, opened in Chromium with the network cut off."""

import ast
import base64
import io
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from lib.explain import View, browse_runs, compare_maps, compare_networks, explore, explore_networks
from lib.explain.views.packing import colour_stops
from lib.explain.views.run_browser import SCRIPT
from lib.paths import OUTPUTS
from lib.report.pages.notebook_page import export_html
from lib.training import Run
from lib.training.training_data import load_images

EVIL = ['<script>alert(1)</script> "quoted"', "<img src=x onerror=alert(2)>", "Übergröße & $5 → $6 \\u003c"]
SCREENSHOTS = OUTPUTS / "screenshots"  # to be looked at; git does not know them
RNG = np.random.default_rng(0)
GATE = RNG.random((3, 4, 8))
ASKED = RNG.random((3, 2, 5, 4, 5, 4))  # [N, heads, rows, columns, h, w]
CANVAS = "[...document.querySelectorAll('{}')].map(canvas => canvas.toDataURL()).join()"


def drawn() -> np.ndarray:
    """Three pictures of 48×64 pixels, uint8."""
    y, x = np.mgrid[:48, :64]
    ground = np.stack([120 + 60 * np.sin(x / 7), 90 + y, 60 + x], -1)
    blob = ((y - 22) ** 2 + (x - 30) ** 2 < 150)[..., None] * np.array([90, -60, -40])
    return np.stack([np.clip(ground + blob * (i + 1) / 2, 0, 255) for i in range(3)]).astype(np.uint8)


LIVE = {"live_explorer": explore_networks, "live_comparison": compare_networks}


def opened_once(view) -> View:
    """A live view as it is saved when a person has opened it, and asked nothing."""
    view.visit(view.first)
    return view.view()


def views(finished, again) -> dict:
    images, y, x = drawn(), *np.mgrid[:48, :64]
    masks = np.stack([(y - 22) ** 2 + (x - 30) ** 2 < 150] * 3)
    maps = {
        "DCAL": {"rollout": [GATE, GATE**2, GATE**3], "attention of a patch": [ASKED, ASKED**2]},
        EVIL[0]: {"gate": GATE},
    }
    p = {"first": RNG.dirichlet(np.ones(3), 3), EVIL[1]: RNG.dirichlet(np.ones(3), 3)}
    panels = {"first": GATE, EVIL[1]: GATE[:, ::-1], "third": 1 - GATE}
    texts = {"third": [f"deletion 0.1{i}" for i in range(3)]}
    return {
        "explorer": explore(images, maps, EVIL, phantom=True),
        "comparison": compare_maps(
            images, panels, p, EVIL, [0, 1, 2], masks, texts, EVIL, caption=f"Compared: {EVIL[0]}."
        ),
        "run_browser": browse_runs([finished, again]),
        **{name: opened_once(make(finished, load_images(finished.config))) for name, make in LIVE.items()},
    }


def output(view):
    data, metadata = view._repr_mimebundle_()
    data["image/png"] = base64.b64encode(data["image/png"]).decode()  # as the kernel sends it
    return new_output("display_data", data=data, metadata=metadata)


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    """The views by name."""
    again = tmp_path_factory.mktemp("runs") / "again"
    shutil.copytree(finished.path, again, ignore=shutil.ignore_patterns("*.safetensors"))
    return views(finished, Run(again))


@pytest.fixture(scope="module")
def pages(made, tmp_path_factory):
    """Pages of notebooks with one view each, and one with all of them."""
    folder, outputs = tmp_path_factory.mktemp("views"), {name: [output(view)] for name, view in made.items()}
    outputs["all"] = [each for one in outputs.values() for each in one]
    for name, shown in outputs.items():
        cells = [new_markdown_cell(f"# {name}"), new_code_cell("view", outputs=shown, execution_count=1)]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
        export_html(folder / f"{name}.ipynb", folder / f"{name}.html")
    return folder


@pytest.fixture
def opened(browser, pages):
    """Open a page offline; afterwards it must have asked for nothing and complained of nothing."""
    contexts, asked, complaints = [], [], []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def open_page(name: str, width: int = 1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a script of the data's ran: {dialog.message}"))
        page.goto(f"file://{pages}/{name}.html")
        if options.get("java_script_enabled", True):
            count = page.locator(".attention-view").count()
            page.wait_for_function(f"document.querySelectorAll('.live:not([hidden])').length === {count}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("data:", "file://"))] == []
    assert complaints == []


def changes(page, selector: str, action) -> None:
    """`action` changes what the canvases show, within a second."""
    seen = CANVAS.format(selector)
    before = page.evaluate(seen)
    action()
    page.wait_for_function(f"before => ({seen}) !== before", arg=before, timeout=1000)


def pick(page, label: str, value: str | int):
    control = page.get_by_label(label, exact=True)
    control.fill(str(value)) if isinstance(value, int) else control.select_option(value)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "light"), (1280, "dark")])
def test_all_views_live_on_one_page_that_stays_small(opened, pages, width, scheme):
    page = opened("all", width, color_scheme=scheme)
    assert (pages / "all.html").stat().st_size < 3_000_000
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".still:visible").count() == 0
    for name in EVIL:
        assert page.get_by_text(name).count() > 0 or page.get_by_title(name).count() > 0
    page.screenshot(path=SCREENSHOTS / f"views_{width}_{scheme}.png", full_page=True)


def test_a_picture_stands_where_scripts_are_off(opened):
    page = opened("all", java_script_enabled=False)
    assert page.locator(".still:visible").count() == 5
    assert page.locator(".live:visible").count() == 0
    assert all(len(image.get_attribute("alt")) > 30 for image in page.locator(".still").all())


def test_a_print_has_the_views_without_what_cannot_be_moved(opened):
    page = opened("all")
    page.emulate_media(media="print")
    assert page.locator(".stage canvas:visible").count() > 0
    assert page.locator(".controls:visible, .choices:visible").count() == 0
    page.screenshot(path=SCREENSHOTS / "views_print.png", full_page=True)


def test_every_control_of_the_explorer_changes_the_picture(opened):
    page = opened("explorer")
    canvas = ".stage canvas"
    for label, value in (("layer", 0), ("opacity", 3), ("colours", "viridis"), ("map", "attention of a patch")):
        changes(page, canvas, lambda label=label, value=value: pick(page, label, value))
    changes(page, canvas, lambda: pick(page, "head", "2"))
    changes(page, canvas, lambda: page.locator(canvas).first.click(position={"x": 20, "y": 20}))
    assert "row 1, column 1" in page.locator(".stage .text").text_content()
    changes(page, canvas, lambda: page.keyboard.press("ArrowDown"))
    assert "row 2, column 1" in page.locator(".stage .text").text_content()
    page.keyboard.press("ArrowLeft")  # at the border
    assert "row 2, column 1" in page.locator(".stage .text").text_content()
    changes(page, canvas, lambda: page.get_by_role("button", name=EVIL[2]).click())
    assert page.locator(".stage .text").text_content().startswith(EVIL[2])
    changes(page, canvas, lambda: pick(page, "model", EVIL[0]))
    assert page.get_by_label("layer", exact=True).is_hidden()  # a gate has one layer


def test_every_control_can_be_reached_and_worked_by_keyboard_and_has_a_name(opened):
    page = opened("explorer")
    pick(page, "map", "attention of a patch")
    page.get_by_role("button", name=EVIL[0]).focus()
    reached = []
    for _ in range(9):
        reached.append(
            page.evaluate(
                "document.activeElement.tagName + ' ' + (document.activeElement.labels?.[0]?.textContent ?? '')"
            )
        )
        page.keyboard.press("Tab")
    assert reached[:4] == ["BUTTON "] * 3 + ["CANVAS "]
    assert reached[4:] == ["SELECT model", "SELECT map", "INPUT layer", "SELECT head", "INPUT opacity"]
    changes(page, ".stage canvas", lambda: page.get_by_label("layer", exact=True).press("ArrowLeft"))
    assert page.get_by_label("layer", exact=True).get_attribute("aria-valuetext") == "layer 1"
    assert "Arrow keys move" in page.get_by_role("application").get_attribute("aria-label")


def test_the_colours_are_the_maps(opened):
    """At full opacity in grey, the middle of each patch is the map's level there: no index is off by one."""
    page = opened("explorer")
    pick(page, "colours", "gray")
    pick(page, "opacity", 20)

    def seen(height: int, width: int) -> np.ndarray:
        script = """([height, width]) => {
            const canvas = document.querySelector('.stage canvas'), levels = [];
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
            copy.drawImage(canvas, 0, 0);
            const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
            const middle = (n, side, of) => Math.floor((n + 0.5) * side / of);
            for (let r = 0; r < height; r++) for (let c = 0; c < width; c++)
                levels.push(data[4 * (middle(r, canvas.height, height) * canvas.width + middle(c, canvas.width, width))]);
            return levels;
        }"""
        return np.array(page.evaluate(script, [height, width])).reshape(height, width)

    def level(values: np.ndarray) -> np.ndarray:
        return 255 * (values - values.min()) / (values.max() - values.min())

    pick(page, "layer", 1)
    page.get_by_role("button", name=EVIL[1]).click()
    np.testing.assert_allclose(seen(4, 8), level((GATE**2)[1]), atol=2)
    pick(page, "map", "attention of a patch")
    pick(page, "head", "2")
    page.locator(".stage canvas").first.click(position={"x": 350, "y": 40})  # of 400 × 300: row 0, column 3
    np.testing.assert_allclose(seen(5, 4), level((ASKED**2)[1, 1, 0, 3]), atol=2)
    assert colour_stops()["gray"][-3:] == [255, 255, 255]


def test_the_comparison_changes_all_panels_with_the_image(opened):
    page = opened("comparison")
    text = page.locator(".panel:has-text('third') .text")
    assert text.text_content() == "deletion 0.10"
    changes(page, ".panel canvas", lambda: page.get_by_role("button", name=EVIL[2]).click())
    assert text.text_content() == "deletion 0.12"
    assert f"true class: {EVIL[2]}" in page.locator(".live > .text").text_content()
    assert page.locator("dt.true").all_text_contents() == [EVIL[2]] * 2
    changes(page, ".panel canvas", lambda: page.get_by_label("outline of the object").uncheck())
    changes(page, ".panel canvas", lambda: pick(page, "opacity", 0))


def test_the_run_browser_sorts_and_shows_what_is_chosen(opened):
    page = opened("run_browser")
    lines = page.locator(".chart polyline")
    assert lines.count() == 4  # two runs, training and validation
    assert page.locator(".confusions table").count() == 2
    page.locator("input[type=checkbox]").first.uncheck()
    assert lines.count() == 2
    assert page.locator(".confusions table").count() == 1
    pick(page, "curve", "learning rate")
    assert lines.count() == 1
    page.get_by_role("button", name="accuracy", exact=True).click()
    assert page.locator("th[aria-sort=descending]").text_content() == "accuracy"


def test_sorting_orders_numbers_by_size_and_keeps_what_is_missing_last(browser):
    page = browser.new_page()
    runs = [
        {"key": name, "name": name, "state": "", "settings": {}, "metrics": {"loss": value}, "intervals": {}, "log": {}}
        for name, value in (("b", 10.0), ("c", None), ("a10", 9.0), ("a9", 100.0))
    ]
    view = View(f"live {SCRIPT}", {"runs": runs, "settings": [], "metrics": ["loss"]}, Figure(), "Runs.")
    page.set_content(view.html)
    page.wait_for_selector(".live:not([hidden])")

    def names() -> list[str]:
        return page.locator("tbody td:last-child").all_text_contents()

    page.get_by_role("button", name="loss").click()
    assert names() == ["a9", "b", "a10", "c"]
    page.get_by_role("button", name="loss").click()
    assert names() == ["a10", "b", "a9", "c"]
    page.get_by_role("button", name="run").click()
    assert names() == ["a9", "a10", "b", "c"]
    page.close()


@pytest.mark.parametrize(
    ("written", "left", "told"),
    [
        ("again", 1, "1 of 2 runs"),
        ("TOYNET seed=0 accuracy>=0 state!=unfinished", 2, "2 runs"),
        ("seed=1", 0, "0 of 2 runs"),
        ("balanced_accuracy>2", 0, "0 of 2 runs"),
        ("colour=red", 2, "No column is called “colour”"),
        ("<script>", 0, "0 of 2 runs"),
    ],
)
def test_a_filter_leaves_the_runs_that_pass_it_or_says_what_is_wrong(opened, written, left, told):
    page = opened("run_browser")
    page.get_by_label("filter").fill(written)
    assert page.locator(".runs tbody tr").count() == left
    assert page.locator(".pages output").text_content().startswith(told)


SVG = "{http://www.w3.org/2000/svg}"


def saved(page, button: str) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value


def called(page, **names):
    """The figure of the call that the view on the page tells."""
    page.get_by_role("button", name="Copy Python").click()
    *before, call = ast.parse(page.locator(".saving pre").text_content()).body
    exec(compile(ast.Module(before, []), "copied", "exec"), names)  # figures before the last are displayed
    return eval(compile(ast.Expression(call.value), "copied", "eval"), names)


def test_the_explorers_picture_is_saved_and_drawn_by_its_call(opened, made, tmp_path):
    page = opened("explorer")
    page.get_by_role("button", name=EVIL[1]).click()
    pick(page, "map", "attention of a patch")
    pick(page, "head", "2")
    page.locator(".stage canvas").first.click(position={"x": 350, "y": 40})  # of 400 × 300: row 0, column 3
    saved(page, "Save SVG").save_as(tmp_path / "attention.svg")
    drawing = ElementTree.parse(tmp_path / "attention.svg").getroot()
    assert float(drawing.get("width").removesuffix("mm")) == pytest.approx(94.2, abs=0.1)  # a column and a margin
    words = " ".join(text.text for text in drawing.iter(f"{SVG}text"))
    assert "query at row 1, column 4" in words
    assert "Phantom images" in words
    canvas, _ = drawing.iter(f"{SVG}image")
    with Image.open(io.BytesIO(base64.b64decode(canvas.get("href").partition(",")[2]))) as picture:
        assert picture.size == (1200, 900)
    saved(page, "Save PNG").save_as(tmp_path / "attention.png")
    shutil.copy(tmp_path / "attention.png", SCREENSHOTS / "saved_attention.png")
    ax, bar = called(page, view=made["explorer"]).axes
    own = (ASKED**2)[1, 1, 0, 3]
    np.testing.assert_allclose(ax.images[1].get_array() / 255, (own - own.min()) / (own.max() - own.min()), atol=3e-3)
    assert [float(label.get_text()) for label in bar.get_xticklabels()] == [
        float(f"{v:.3g}") for v in (own.min(), own.max())
    ]
    assert ax.lines[0].get_xydata().tolist() == [[55.5, 4.3]]  # the query's middle, in pixels


def test_the_comparison_is_saved_and_drawn_by_its_call(opened, made, tmp_path):
    page = opened("comparison")
    page.get_by_role("button", name=EVIL[2]).click()
    pick(page, "colours", "cividis")
    saved(page, "Save PNG").save_as(SCREENSHOTS / "saved_comparison.png")
    axes = called(page, view=made["comparison"]).axes
    assert len(axes) == 3
    own = 1 - GATE[2]
    np.testing.assert_allclose(
        axes[2].images[1].get_array() / 255, (own - own.min()) / (own.max() - own.min()), atol=3e-3
    )
    assert axes[2].images[1].cmap.name == "cividis"


@pytest.mark.parametrize("name", LIVE)
def test_what_a_live_view_shows_is_saved_and_drawn_by_its_call_without_a_kernel(opened, name):
    page = opened(name)
    page.get_by_label("colours").select_option("viridis")
    page.wait_for_function("[...document.querySelectorAll('.attention-view .text')].some(text => text.textContent)")
    saved(page, "Save PNG").save_as(SCREENSHOTS / f"saved_{name}.png")
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    ax, _ = called(page).axes
    assert ax.images[1].cmap.name == "viridis"
    assert "grad-cam" in ax.get_title(loc="center")


NAMELESS = """() => [...document.querySelectorAll('.live :is(button, input, select, canvas[role], [tabindex="0"], svg[role])')]
    .filter(node => node.checkVisibility())
    .filter(node => !(node.ariaLabel || node.labels?.[0]?.textContent || node.textContent || node.title))
    .map(node => node.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("name", ["explorer", "comparison", "run_browser", *LIVE])
def test_all_that_can_be_worked_has_a_name_and_shows_the_focus(opened, name):
    page = opened(name, reduced_motion="reduce")
    assert page.evaluate(NAMELESS) == []
    page.locator(".attention-view .live").evaluate("live => live.querySelector('button, input, select').focus()")
    for _ in range(12):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(({outlineStyle, outlineWidth}) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        inside = page.evaluate("Boolean(document.activeElement.closest('.live'))")
        assert not inside or style == ["solid", "3px"]
    moving = "[...document.querySelectorAll('.attention-view *')].filter(each => each.getAnimations().length).length"
    assert page.evaluate(moving) == 0


def test_the_chosen_curves_are_saved_as_files_at_print_size_and_as_the_call_that_draws_them(opened, finished, tmp_path):
    page = opened("run_browser")
    pick(page, "curve", "accuracy")
    saved(page, "Save SVG").save_as(tmp_path / "runs.svg")
    drawing = ElementTree.parse(tmp_path / "runs.svg").getroot()
    assert float(drawing.get("width").removesuffix("mm")) == pytest.approx(184.2, abs=0.1)  # 180 and a margin
    words = " ".join(text.text for text in drawing.iter(f"{SVG}text"))
    assert "accuracy: training dashed, validation full" in words
    assert finished.path.name in words  # in the legend, since two runs of equal settings are shown
    counts = np.bincount(finished.labels[finished.probabilities.argmax(1) == finished.labels], minlength=7)
    assert words.count("true ↓ predicted →") == 2
    cells = [[text.text for text in row.iter(f"{SVG}text")] for row in drawing.iter(f"{SVG}g")]
    rows = {row[0]: row[1:] for row in cells if len(row) == 8 and row[0] in finished.classes}
    assert [int(rows[name][k]) for k, name in enumerate(finished.classes)] == counts.tolist()
    saved(page, "Save PNG").save_as(tmp_path / "runs.png")
    with Image.open(tmp_path / "runs.png") as picture:
        assert picture.width == pytest.approx(184.2 / 25.4 * 300, abs=2)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert np.asarray(picture.convert("L")).std() > 5  # there is something on it
    (ax,) = called(page).axes
    assert ax.get_title(loc="left") == "accuracy"
    assert finished.log["val_accuracy"].tolist() in [list(line.get_ydata()) for line in ax.lines]


# As VS Code shows HTML: what was written as markup does not run, a copy of the script behind it does.
COPIED = """html => {
    const place = document.createElement('div'), copy = document.createElement('script');
    place.innerHTML = html;
    document.body.append(place);
    copy.text = place.querySelector('script').innerText;
    place.appendChild(copy).parentNode.removeChild(copy);
}"""


def test_a_view_whose_script_is_run_as_a_copy_behind_it_comes_to_life(browser, made):
    page, complaints = browser.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for view in made.values():
        page.evaluate(COPIED, view.html)
    page.wait_for_function(f"document.querySelectorAll('.live:not([hidden])').length === {len(made)}")
    assert complaints == []
    page.close()
