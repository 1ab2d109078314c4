"""Live views without a kernel: in an exported page, offline, they show what was looked at and offer nothing else."""

import base64

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lib.evaluation.test_images import select_images
from lib.explain import compare_networks, explore_networks
from lib.report.pages.notebook_page import export_html
from lib.training import RunStore, prepare
from tests.helpers import unpacked

# The red of a map's positions, each in its middle.
MIDDLES = """(canvas, [rows, columns]) => {
    const {width, height} = canvas, {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
    const middle = (n, side, of) => Math.floor((n + .5) * side / of);
    return [...Array(rows * columns).keys()].map(i =>
        data[4 * (middle(Math.floor(i / columns), height, rows) * width + middle(i % columns, width, columns))]);
}"""
METHODS = ("gradient-x-input", "noise", "centre")


def output(view):
    data, metadata = view._repr_mimebundle_()
    data["image/png"] = base64.b64encode(data["image/png"]).decode()  # as the kernel sends it
    return new_output("display_data", data=data, metadata=metadata)


@pytest.fixture(scope="module")
def views(finished, attentive, tiny):
    images = select_images(tiny, prepare(tiny, RunStore(finished.path.parent)), 6, "classes in turn")
    networks = {"toy": finished, "<b>again</b>": finished}
    explorer = explore_networks(networks, images, "toy")
    comparison = compare_networks(networks, images, [("toy", METHODS[0]), ("<b>again</b>", METHODS[1])])
    attention = explore_networks({"toy": attentive}, images)
    opened = {"explorer": explorer, "comparison": comparison, "attention": attention}
    for view in opened.values():
        view.visit([*view.first, *view.tour])
    return {name: view.view(bridged=True) for name, view in opened.items()}


@pytest.fixture(scope="module")
def page(browser, views, tmp_path_factory):
    """All in one page, as a notebook that was run in JupyterLab is exported: beside each its bridge, which nobody draws."""
    folder = tmp_path_factory.mktemp("live")
    bridge = new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/html": ""})
    outputs = [each for view in views.values() for each in (output(view), bridge)]
    nbformat.write(new_notebook(cells=[new_code_cell("views", outputs=outputs)]), folder / "live.ipynb")
    export_html(folder / "live.ipynb", folder / "live.html")
    assert (folder / "live.html").stat().st_size < 1_000_000
    context, told = browser.new_context(viewport={"width": 390, "height": 800}, offline=True), []
    page = context.new_page()
    page.on("request", lambda request: request.url.startswith(("data:", "file:")) or told.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(f"file://{folder}/live.html")
    page.wait_for_function("document.querySelectorAll('.live:not([hidden])').length === 3")
    yield page
    assert told == []
    context.close()


@pytest.fixture
def explorer(page):
    return page.locator(".attention-view").first


@pytest.fixture
def comparison(page):
    return page.locator(".attention-view").nth(1)


def settles(page, locator, text: str) -> None:
    locator.filter(has_text=text).wait_for(timeout=5000)


def test_a_phone_shows_them_whole(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_explorer_offers_the_maps_of_the_page_and_draws_them(page, explorer, views):
    data, _, levels = unpacked(views["explorer"])
    held = [each for each in data["answers"] if each["wish"]["what"] == "map"]
    offered = explorer.get_by_label("map", exact=True).locator("option").all_text_contents()
    first = data["now"]["image"]
    assert set(offered) == {each["wish"]["method"] for each in held if each["wish"]["image"] == first}
    assert explorer.get_by_label("network", exact=True).is_hidden()  # there is no other at hand
    assert explorer.get_by_label("find", exact=True).is_hidden()
    assert explorer.locator(".choices button").count() == 4
    explorer.get_by_label("map", exact=True).select_option("centre")
    settles(page, explorer.locator(".stage .text"), "centre")
    explorer.get_by_label("colours", exact=True).select_option("gray")
    explorer.get_by_label("opacity", exact=True).fill("20")
    (of_centre,) = [e for e in held if (e["wish"]["image"], e["wish"]["method"]) == (first, "centre")]
    rows, columns = of_centre["answer"]["grid"]
    expected = levels[of_centre["at"] : of_centre["at"] + of_centre["size"]].reshape(rows, columns)
    seen = explorer.locator(".stage canvas").first.evaluate(MIDDLES, [rows, columns])
    np.testing.assert_allclose(np.reshape(seen, (rows, columns)), expected, atol=2)


def test_another_image_has_its_own_maps_and_truth(page, explorer):
    button = explorer.locator(".choices button").nth(1)
    button.click()
    settles(page, explorer.locator(".stage .text"), button.get_attribute("title"))
    assert button.get_attribute("aria-pressed") == "true"
    assert explorer.locator("dt.true").count() == 1
    assert explorer.locator(".status").text_content() == ""


def test_any_query_position_can_be_clicked_and_walked_to(page, views):
    view = page.locator(".attention-view").last
    data, _, levels = unpacked(views["attention"])
    (held,) = [
        each for each in data["answers"]
        if each["wish"]["what"] == "positions" and each["wish"]["image"] == data["now"]["image"]
    ]  # fmt: skip
    view.get_by_label("map", exact=True).select_option(held["wish"]["method"])
    canvas, told = view.locator(".stage canvas").first, view.locator(".stage .text")
    canvas.click(position={"x": 3, "y": 3})
    settles(page, told, "query at row 1, column 1")
    canvas.press("ArrowRight")
    settles(page, told, "query at row 1, column 2")
    view.get_by_label("opacity", exact=True).fill("20")
    view.get_by_label("colours", exact=True).select_option("gray")
    rows, columns = held["answer"]["grid"]
    expected = levels[held["at"] :][rows * columns : 2 * rows * columns].reshape(rows, columns)
    seen = canvas.evaluate(MIDDLES, [rows, columns])
    np.testing.assert_allclose(np.reshape(seen, (rows, columns))[2:], expected[2:], atol=2)  # the frame is above
    assert view.locator(".status").text_content() == ""


def test_what_is_enlarged_can_be_moved_with_the_keys(page, explorer):
    pixels = "canvas => canvas.toDataURL()"
    canvas, zoom = explorer.locator(".stage canvas").first, explorer.get_by_label("zoom", exact=True)
    seen = [canvas.evaluate(pixels)]
    zoom.fill("2")
    seen.append(canvas.evaluate(pixels))
    canvas.press("ArrowDown")
    seen.append(canvas.evaluate(pixels))
    canvas.click(position={"x": 3, "y": 3})
    seen.append(canvas.evaluate(pixels))
    assert len({*seen}) == 4
    assert canvas.get_attribute("aria-label").endswith("Arrow keys move what is enlarged.")
    zoom.fill("0")
    assert canvas.evaluate(pixels) == seen[0]


def test_what_is_pointed_at_in_one_panel_is_in_all(page, comparison):
    told = comparison.locator(".panel .text")
    before = told.all_text_contents()[:2]
    comparison.locator(".panel canvas").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowDown")
    after = told.all_text_contents()[:2]
    assert all(text.endswith("at the cross.") for text in after)
    assert [a != b for a, b in zip(after, before, strict=True)] == [True, True]


def test_the_difference_is_one_map_minus_the_other(page, comparison, views):
    comparison.get_by_label("difference", exact=True).check()
    text = comparison.locator(".panel").last.locator(".text").text_content()
    data, _, levels = unpacked(views["comparison"])
    of = {
        each["wish"]["method"]: levels[each["at"] : each["at"] + each["size"]].astype(int)
        for each in data["answers"]
        if each["wish"]["what"] == "map" and each["wish"]["image"] == data["now"]["image"]
    }
    mean = np.abs(of[METHODS[0]] - of[METHODS[1]]).mean() / 255
    assert text == f"Red: more in 1; blue: more in 2. Mean difference {mean:.3g} of 1."
    comparison.get_by_label("minus", exact=True).select_option("panel 1")
    assert comparison.locator(".panel").last.locator(".text").text_content().endswith("Mean difference 0 of 1.")


def test_what_only_a_kernel_can_do_is_said_in_one_line(page, comparison):
    assert comparison.get_by_label("paint out", exact=True).is_hidden()
    curve, curves = comparison.get_by_role("button", name="deletion curve"), comparison.locator(".chart polyline")
    curve.click()  # the tour has those of the first image
    assert curves.count() == 2
    assert comparison.locator(".status").text_content() == ""
    comparison.locator(".choices button").nth(1).click()
    curves.first.wait_for(state="hidden")
    curve.click()
    line = "That is not in this page: it can be computed where a kernel runs."
    assert comparison.locator(".status").text_content() == line
