"""Targets of `benchmarks.fuzz` that are files: tables, masks, images, shards, runs' folders, executed notebooks' records."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from hypothesis import strategies as st
from PIL import Image

from benchmarks import odd_values
from lib.data import ImageSet, load_dataset, split_rows
from lib.data.sets.ham10000 import CLASSES
from lib.data.shards import ShardStream, load_shards, write_shards
from lib.disk.manifest import MANIFEST
from lib.explain import browse_runs
from lib.predict import find_images
from lib.report.pages.execution_records import Entry
from lib.report.pages.index_page import write_index
from lib.training import Run, RunConfig, RunStore, fit

Target = tuple[st.SearchStrategy, Callable[[Any], object]]
IMAGES = 21
RECORD = Entry("ok", 1.0, "2026-01-01T00:00:00", {"profile": "smoke"})


def metadata(folder: Path) -> Target:
    """HAM10000's table: cells, columns, separators, encodings."""
    for number in range(IMAGES):
        Image.new("RGB", (4, 4)).save(folder / f"ISIC_{number}.jpg")
    names = [*CLASSES, "", "nan", "NA", '"', "''", "\r", "\ufeff", "\x00", "a,b", "=1+1", "\x1a", "\u2028", "ISIC_1"]
    cells = st.sampled_from(names) | st.text(max_size=6)
    heads = ["lesion_id,image_id,dx"] * 4 + [
        "image_id,dx",
        "lesion_id,image_id,dx,dx",
        "a",
        "",
        "lesion_id,image_id,dx,",
    ]

    @st.composite
    def tables(draw: st.DrawFn) -> bytes:
        rows = [[f"H{i}", f"ISIC_{i}", CLASSES[i % 7]] for i in range(draw(st.integers(0, IMAGES)))]
        for _ in range(draw(st.integers(0, 3)) if rows else 0):
            rows[draw(st.integers(0, len(rows) - 1))] = draw(st.lists(cells, max_size=5))
        separator, end = draw(st.sampled_from(",,,;\t|")), draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
        lines = [draw(st.sampled_from(heads)).replace(",", separator), *(separator.join(row) for row in rows)]
        encoding = draw(st.sampled_from(["utf-8"] * 5 + ["utf-8-sig", "utf-16"]))
        return end.join(lines).encode(encoding, "replace")

    def try_it(content: bytes) -> None:
        table = folder / "HAM10000_metadata.csv"
        table.write_bytes(content)
        find_images(table)
        images = load_dataset("HAM10000", folder)
        images.fingerprint()
        split_rows(images, "lesion", 0.1, 0.2, 0)

    return tables() | odd_values.damaged([_table().encode()]), try_it


def _table() -> str:
    rows = "".join(f"H{i},ISIC_{i},{CLASSES[i % 7]}\n" for i in range(IMAGES))
    return f"lesion_id,image_id,dx\n{rows}"


def _one_image(folder: Path) -> tuple[ImageSet, Any]:
    """A set of one image with a mask, and its row."""
    import pandas as pd

    rows = pd.DataFrame(
        {"image_id": ["a"], "path": [f"{folder}/a.png"], "label": [0], "mask": [f"{folder}/a_mask.png"]}
    )
    Image.new("RGB", (16, 12), "red").save(folder / "a.png")
    images = ImageSet("one", ("a", "b"), rows)
    return images, next(images.rows.itertuples())


def masks(folder: Path) -> Target:
    """Masks of any mode, in any state."""
    images, row = _one_image(folder)
    files = [file for mode in ("1", "L", "P", "RGBA", "RGB", "I", "F", "LA") for file in odd_values.pictures(mode)]

    def try_it(content: bytes) -> None:
        Path(row.mask).write_bytes(content)
        mask = images.decode_mask(row, (6, 8))
        assert (mask.shape, mask.dtype) == ((6, 8), np.uint8)

    return st.sampled_from(files) | odd_values.damaged(files) | odd_values.damaged(files) | st.binary(
        max_size=99
    ), try_it


def pictures(folder: Path) -> Target:
    """Images of any mode, in any state."""
    images, row = _one_image(folder)
    files = [file for mode in ("RGB", "L", "P", "RGBA", "CMYK", "I", "F") for file in odd_values.pictures(mode)]

    def try_it(content: bytes) -> None:
        Path(row.path).write_bytes(content)
        images.picture_size(row)
        picture = images.decode(row, (6, 8))
        assert (picture.shape, picture.dtype) == ((6, 8, 3), np.uint8)

    return odd_values.damaged(files) | odd_values.damaged(files) | st.binary(max_size=99), try_it


def shards(folder: Path) -> Target:
    """Tar shards, and what lies beside them."""
    for label in "ab":
        (folder / "images" / label).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (8, 8), (200 * (label == "a"), number, 90)).save(
                folder / "images" / label / f"{number}.png"
            )
    images = load_dataset("imagefolder", folder / "images")
    parts = split_rows(images, "lesion", 0.2, 0.2, 0)
    write_shards(images, parts, folder / "shards", seed=None)
    whole = {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}
    whole["sizes.json"] = json.dumps({name: 1 for name in whole if name.endswith(".tar")}).encode()
    cases = [st.tuples(st.just(name), odd_values.damaged([content])) for name, content in whole.items()]
    cases.append(st.tuples(st.just("sizes.json"), odd_values.edited_json(json.loads(whole.pop("sizes.json")))))

    def try_it(case: tuple[str, bytes]) -> None:
        shutil.rmtree(folder / "shards")
        (folder / "shards").mkdir()
        for name, content in (whole | {case[0]: case[1]}).items():
            (folder / "shards" / name).write_bytes(content)
        found = load_shards(folder / "shards")
        for part in found.parts.values():
            list(ShardStream(part, len(found.classes), 8, batch_size=1, training=False))

    return st.one_of(*cases), try_it


def run_folders(folder: Path) -> Target:
    """A finished run of which a file is damaged or edited, with a manifest or, as of an earlier build, without."""
    settings = {"backbone": "toynet", "attention": "none", "image_size": 32, "limit_images": 60, "sampler": "none"}
    config = RunConfig(dataset="digits", data_root=str(folder / "digits"), max_epoch=1, device="cpu", **settings)
    run = fit(config, folder / "made" / "runs")
    whole = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    named = [name for name in whole if name.endswith((".json", ".csv", ".safetensors"))]
    cases = [st.tuples(st.just(name), odd_values.damaged([whole[name]]), st.booleans()) for name in named]
    for name in named:
        if name.endswith(".json"):
            edited = odd_values.edited_json(json.loads(whole[name]))
            cases.append(st.tuples(st.just(name), edited, st.booleans()))
    copy = folder / "runs" / run.path.name
    copy.mkdir(parents=True)

    def try_it(case: tuple[str, bytes, bool]) -> None:
        name, content, sealed = case
        for other, before in whole.items():
            (copy / other).write_bytes(before)
        (copy / name).write_bytes(content)
        if not sealed:
            (copy / MANIFEST).unlink()
        browse_runs(RunStore(folder / "runs"))
        damaged = Run(copy)
        damaged.damage()
        _ = (
            damaged.basis,
            damaged.config.hash,
            damaged.log,
            damaged.metrics["test"],
            damaged.labels,
            damaged.probabilities,
        )
        damaged.model()

    return st.one_of(*cases), try_it


def records(folder: Path) -> Target:
    """Executed notebooks, their records and studies, of which the report's first page is made."""
    cells = [nbformat.v4.new_markdown_cell("# A title\n\nA question?"), nbformat.v4.new_code_cell("1 + 1")]
    notebook = nbformat.writes(nbformat.v4.new_notebook(cells=cells)).encode()
    study = {"title": "A study", "runs": 3, "ok": 2}
    whole = {"notebooks/01_a.ipynb": notebook, "notebooks/01_a.json": json.dumps(asdict(RECORD)).encode()}
    whole["studies/x.json"] = json.dumps(study).encode()
    cases = [st.tuples(st.just(name), odd_values.damaged([content])) for name, content in whole.items()]
    for name, content in whole.items():
        cases.append(st.tuples(st.just(name), odd_values.edited_json(json.loads(content))))

    def try_it(case: tuple[str, bytes]) -> None:
        for name, content in (whole | {case[0]: case[1]}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        write_index(folder)

    return st.one_of(*cases), try_it


TARGETS: dict[str, Callable[[Path], Target]] = {
    "metadata": metadata,
    "masks": masks,
    "pictures": pictures,
    "shards": shards,
    "run_folders": run_folders,
    "records": records,
}
