"""Notebooks whose data, study and folders have names that are markup: nothing of it runs in their pages, in Chromium.

The code of the four notebooks that write most tables is executed here, in this process, without a kernel, on a few images,
and no figure is drawn; the markers are harmless. What the other notebooks show goes the same ways, which
`tests/report/pages/test_untrusted.py` and the tests of the views try with such names.
"""

import ast
import base64
import itertools
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from nbformat.v4 import new_code_cell, new_output
from PIL import Image

from lib.claims.trial import Trial
from lib.paths import NOTEBOOKS
from lib.report.pages.notebook_page import export_html

MARK = "document.documentElement.dataset.marked=1"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
EVIL = f"<img src=x onerror={MARK}> $x<b>$ [a](javascript:{MARK}) `{{`"  # without the slash that no file has
STUDY = f"""
title: {json.dumps(EVIL)}
notebook: 02
seeds: [0]
common: {{profile: smoke, backbone: toynet, image_size: 32, max_epoch: 1}}
tables:
  backbones: {{attention: none}}
  fusion: {{fusion_strategy: original}}
sweeps:
  {json.dumps(EVIL)}: {{lr: [1e-2]}}
"""


def page_of(number: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **parameters: object) -> Path:
    """The page of a notebook whose code cells have been executed with `parameters`."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    notebook, names, outputs = nbformat.read(path, as_version=4), {}, []
    formatted = DisplayFormatter().format

    def display(*objects, metadata=None, raw=False, display_id=None):
        for what in objects:
            if hasattr(what, "_ipython_display_"):
                what._ipython_display_()
                continue
            data, of_data = (what, metadata) if raw else formatted(what)
            data = {kind: base64.b64encode(x).decode() if isinstance(x, bytes) else x for kind, x in data.items()}
            outputs.append(new_output("display_data", data=data, metadata=of_data or {}))

    for where in ("IPython.display", "lib.opening"):
        monkeypatch.setattr(f"{where}.display", display)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        outputs = cell.outputs = []
        tree = ast.parse(cell.source)
        last = [tree.body.pop()] if isinstance(tree.body[-1], ast.Expr) else []
        exec(compile(tree, path.name, "exec"), names)
        for expression in last:
            value = eval(compile(ast.Expression(expression.value), path.name, "eval"), names)
            if value is not None:
                display(value)
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters
    given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(0, new_code_cell(given, metadata={"tags": ["injected-parameters"]}))
    nbformat.write(notebook, folder / path.name)
    export_html(folder / path.name, folder / f"{path.stem}.html")
    return folder / f"{path.stem}.html"


def write_image(path: Path, colour: int, size: tuple[int, int] = (32, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(colour).integers(0, 99, (*size[::-1], 3))
    noise[..., colour % 3] += 100
    Image.fromarray(noise.astype(np.uint8)).save(path)


def write_classes(root: Path) -> Path:
    """Three class folders."""
    for label, name in enumerate((EVIL, f"{EVIL} again", "c")):
        for number in range(16):
            write_image(root / name / f"{EVIL} {number}.png", label)
    return root


def write_people(root: Path) -> Path:
    """Market-1501's layout: four people to learn, and four to find."""
    for part, people in (
        ("bounding_box_train", range(1, 9)),
        ("query", range(20, 24)),
        ("bounding_box_test", range(20, 24)),
    ):
        for person, camera, number in itertools.product(people, (1, 2), (1, 2)):
            write_image(root / part / f"{person:04d}_c{camera}s1_{number:06d}_01.jpg", person, (32, 64))
    return root


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The four pages, by the notebooks' numbers."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "study.yaml").write_text(STUDY)
    study = {"protocol": str(folder / "study.yaml"), "output_dir": str(folder / EVIL)}
    classes = {"dataset": "imagefolder", "data_root": str(write_classes(folder / "classes"))}
    broken = write_classes(folder / "broken") / "c" / f"{EVIL} 3.png"
    broken.write_bytes(b"")
    people = {"reid_dataset": "Market-1501", "reid_root": str(write_people(folder / EVIL / "people"))}
    sizes = {"profile": "smoke", "image_size": 64, "image_width": 32, "output_dir": study["output_dir"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.report.figures.style.png_of", lambda figure: PIXEL)
        patch.setattr("lib.claims.trials", lambda claims, *_, **__: [Trial(claim, missing=EVIL) for claim in claims])
        return {
            "09": page_of("09", folder, patch, **study, **classes, train_seeds=1),
            "03": page_of("03", folder, patch, **study, **classes, train_seeds=0),
            "08": page_of("08", folder, patch, **people, **sizes),
            "00": page_of("00", folder, patch, profile="smoke", **classes | {"data_root": str(broken.parents[1])}),
        }


@pytest.mark.parametrize("number", ["00", "03", "08", "09"])
def test_no_name_is_markup(number, pages, browser):
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"file://{pages[number]}")
    assert page.get_by_text("<img src=x").count() > 0
    assert page.evaluate("document.documentElement.dataset.marked") is None
    assert page.locator("img:not([src^='data:']), iframe, object, form, base, x, b:has(b)").count() == 0
    assert set(page.evaluate("[...document.links].map(link => link.protocol)")) <= {"file:", "https:"}
    assert complaints == []
    page.close()
