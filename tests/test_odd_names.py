"""Names and paths that nobody expects are read, or told in one line; none ends in a traceback."""

import os

import pandas as pd
import pytest
from PIL import Image

from lib.data import ImageSet, load_dataset
from lib.disk.file_claims import FileClaim
from lib.disk.sealed_folder import SealedFolder
from lib.errors import WorkbookError, WorkbookValueError
from lib.files import write_text
from lib.inputs import NOTES, note, state, states
from lib.training import RunConfig, RunStore, fit

NO_UTF8 = "gr\udcfcn"  # a file's name in Latin-1, as Python tells it


@pytest.mark.parametrize("root", ["\0", "~nobody_of_that_name/x", "\ud800"])
def test_what_can_be_no_path_is_told(root):
    for call in (lambda: RunConfig(dataset="HAM10000", data_root=root), lambda: load_dataset("HAM10000", root)):
        with pytest.raises(WorkbookValueError, match="can be no path"):
            call()


def test_a_path_that_is_too_long_is_not_there(tmp_path):
    with pytest.raises(WorkbookError, match="does not exist"):
        load_dataset("HAM10000", "x" * 5000)
    with pytest.raises(WorkbookError, match="No run"):
        RunStore(tmp_path).find("x" * 5000)
    assert state("x" * 5000) == state("\0") == "absent"


def test_names_that_are_no_utf8_go_through_a_set_its_notes_and_its_tables(tmp_path, monkeypatch):
    for name in ("a", NO_UTF8):
        os.mkdir(tmp_path / name)
        Image.new("RGB", (4, 4)).save(tmp_path / name / "x.png")
    images = load_dataset("imagefolder", tmp_path)
    assert images.classes == ("a", NO_UTF8)
    assert len(images.fingerprint()) == 8
    monkeypatch.setenv(NOTES, str(tmp_path / "notes"))
    note(tmp_path / NO_UTF8)
    assert str(tmp_path / NO_UTF8) in states(tmp_path / "notes")
    write_text(tmp_path / "t.csv", pd.DataFrame({"image_id": [f"{NO_UTF8}/x.png"]}).to_csv(index=False))
    assert SealedFolder(tmp_path).read_table("t.csv", "image_id")["image_id"].tolist() == [f"{NO_UTF8}/x.png"]


def test_a_store_whose_weights_could_not_be_read_back_is_refused_before_training(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.training.trainer.train", lambda *_: pytest.fail("trained"))
    with pytest.raises(WorkbookValueError, match=r"gr\\udcfcn.*has a name that is no UTF-8"):
        fit(tiny, tmp_path / NO_UTF8 / "runs")


def test_a_class_name_that_no_table_can_hold_is_refused():
    with pytest.raises(WorkbookValueError, match=r"'a\\rb' of made holds a carriage return"):
        ImageSet("made", ("a\rb", "c"), pd.DataFrame({"image_id": []}))


def test_a_claims_number_has_arabic_digits(tmp_path):
    (tmp_path / ".run.claim-²").write_text("")
    claim = FileClaim(tmp_path / "run")
    assert claim.acquire()
    claim.release()
