"""Names of files and classes come back as they went, or are refused before anything is trained."""

import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import load_dataset
from lib.data.shards import load_shards
from lib.disk.sealed_folder import SealedFolder
from lib.errors import WorkbookValueError
from lib.files import write_text
from lib.inputs import NOTES, state, states, wrote
from lib.predict import predict
from lib.training import Run, fit, profile_config
from lib.training.testing import csv_text

BYTES = os.fsdecode(b"gr\xfcn")  # as Latin-1 has it


def class_folders(root, *names, image="0"):
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / name / f"{image}.png")
    return str(root)


@pytest.mark.parametrize(("name", "holds"), [("a\rb", "a carriage return"), ("a\nb", "a line break")])
def test_a_class_whose_name_would_tear_a_table_apart_is_refused(tmp_path, name, holds):
    with pytest.raises(WorkbookValueError, match=rf"class name '.*' of imagefolder holds {holds}.*rename it"):
        load_dataset("imagefolder", class_folders(tmp_path, name, "other"))


def test_a_run_on_names_of_any_bytes_comes_back_as_it_went(tmp_path, caplog):
    caplog.set_level("DEBUG")
    names = (BYTES, "b", "c")
    for number in range(12):
        root = class_folders(tmp_path / "data", *names, image=f"{BYTES}\r{number}")
    settings = {"backbone": "toynet", "attention": "none", "max_epoch": 1, "batch_size": 8}
    run = fit(profile_config("smoke", dataset="imagefolder", data_root=root, **settings), tmp_path / "runs")
    again = Run(run.path)
    assert set(again.classes) == set(names) == set(again.predictions["label"])
    assert set(again.predictions["image_id"]) <= set(load_dataset("imagefolder", root).rows["image_id"])
    assert again.probabilities.shape == (len(again.predictions), 3)
    assert again.sound
    assert "gr\\udcfcn" in caplog.text
    caplog.text.encode("utf-8")  # no line of the log is too much for a terminal


def test_other_signs_are_none_of_our_business(tmp_path):
    names = ("grün", BYTES, "\u202eleft", 'a "b", c', "a\tb", "🙂")
    assert set(load_dataset("imagefolder", class_folders(tmp_path, *names)).classes) == set(names)


def test_the_classes_of_shards_are_looked_at_too(tmp_path):
    pytest.importorskip("webdataset")
    for part in ("train", "val"):
        (tmp_path / f"{part}-0.tar").write_bytes(bytes(1024))
    (tmp_path / "sizes.json").write_text('{"train-0.tar": 1, "val-0.tar": 1}')
    (tmp_path / "classes.json").write_text('["a\\rb", "c"]')
    with pytest.raises(WorkbookValueError, match=r"'a\\rb' of the set .* holds a carriage return"):
        load_shards(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"gr\xfcn\nrot\n")
    assert load_shards(tmp_path).classes == (BYTES, "rot")


@pytest.mark.parametrize("name", [BYTES, "a\rb", "a\r\nb", 'a,"b"\r', "NA", " a "])
def test_a_table_of_ours_gives_every_name_back(tmp_path, name):
    table = pd.DataFrame({"image_id": [name, "b"], f"prob_{name}": [0.25, 0.5]})
    write_text(tmp_path / "a.csv", csv_text(table))
    again = SealedFolder(tmp_path).read_table("a.csv", "image_id", dtype={"image_id": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)


def test_what_a_notebook_reads_is_noted_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv(NOTES, str(tmp_path / "notes"))
    path = tmp_path / f"{BYTES}\r\u2028\n.csv"
    path.touch()
    wrote(path)
    with open(tmp_path / "notes", "a") as notes:
        notes.write('["cut off by a ki')
    assert states(tmp_path / "notes") == {str(path): state(path)}


def test_images_to_predict_may_be_called_anything(finished, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in (BYTES, "a\rb", "c"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(images / f"{name}.png")
    predict(finished, images, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv", encoding_errors="surrogateescape")
    assert set(table["image_id"]) == {BYTES, "a\rb", "c"}
