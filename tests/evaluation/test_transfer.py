"""transfer: what was trained on is not tested on, whatever it is called."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from lib.data import load_dataset, split_rows
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError
from lib.evaluation.transfer import Transfer, match_classes, transfer
from lib.training import RunStore
from lib.training.metrics import measure
from tests.helpers import unsealed


@pytest.fixture
def run(finished, tmp_path):
    """The finished run in a store of its own, so that tests do not see each other's transfers."""
    copy = tmp_path / "store" / "runs" / finished.path.name
    shutil.copytree(finished.path, copy, ignore=shutil.ignore_patterns("transfer"))
    return RunStore(copy.parent).find(copy)


def parts_of(run):
    images = load_dataset("HAM10000", run.config.data_root)
    return images.rows.assign(split=split_rows(images))


def unseen(run):
    return parts_of(run).query("split == 'test'")


def change_own(run, **changes):
    """Rewrite the run's record, as if its data had been elsewhere or other ones."""
    unsealed(run.path)
    for name in ("config.json", "provenance.json"):
        values = json.loads((run.path / name).read_text())
        (run.path / name).write_text(json.dumps(values | {k: v for k, v in changes.items() if k in values}))
    return RunStore(run.path.parent).find(run.path)


def isic(root, rows):
    """ISIC-2018's layout: rows (image_id, path, lesion) are its test set, all MEL; one unrelated training image."""
    root.mkdir()
    for part, own in (("Training", [("T0", rows[0][1], "TL")]), ("Test", rows)):
        for image, path, _ in own:
            shutil.copy(path, root / f"{image}.jpg")
        table = pd.DataFrame({"image": [image for image, _, _ in own]})
        for name in ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"):
            table[name] = float(name == "MEL")
        table.to_csv(root / f"ISIC2018_Task3_{part}_GroundTruth.csv", index=False)
    lesions = pd.DataFrame({"image": [r[0] for r in rows], "lesion_id": [r[2] for r in rows]})
    lesions.to_csv(root / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)
    return str(root)


def test_nothing_shared_nothing_dropped(run, tmp_path):
    new = [(f"X{i}", path, f"XL{i}") for i, path in enumerate(unseen(run)["path"])]
    found = transfer(run, "isic-2018-task-3", isic(tmp_path / "isic", new))
    assert found.dropped == {"image_id": 0, "content": 0, "group": 0}
    assert found.missing is None
    assert found.predictions["image_id"].tolist() == [image for image, _, _ in new]
    assert (found.predictions["label"] == "mel").all()
    assert (found.images, found.metrics["split"]) == (len(new), "official")
    assert (found.config, found.classes, len(found.log)) == (run.config, run.classes, len(run.log))
    assert found.provenance == run.provenance
    assert found.model().state_dict().keys() == run.model().state_dict().keys()
    own = run.predictions.set_index("image_id").loc[unseen(run)["image_id"], [f"prob_{c}" for c in run.classes]]
    assert np.allclose(found.probabilities, own, atol=1e-5)  # the same pixels, whatever they are called


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("reason", ["image_id", "content", "group"])
def test_an_image_that_was_seen_is_dropped(reason, part, run, tmp_path):
    seen, (first, second) = parts_of(run).query("split == @part").iloc[0], unseen(run)["path"][:2]
    known = {
        "image_id": (seen["image_id"], first, "XL"),
        "content": ("X0", seen["path"], "XL"),
        "group": ("X0", first, seen["group"]),
    }
    found = transfer(run, "isic-2018-task-3", isic(tmp_path / "isic", [known[reason], ("X1", second, "XL1")]))
    assert found.dropped == {"image_id": 0, "content": 0, "group": 0, reason: 1}
    assert found.predictions["image_id"].tolist() == ["X1"]
    assert found.images == 2


def test_an_image_with_several_reasons_is_counted_once(run, tmp_path):
    seen = parts_of(run).query("split == 'train'").iloc[:2]
    rows = [
        (seen["image_id"].iloc[0], seen["path"].iloc[0], seen["group"].iloc[0]),
        ("X0", seen["path"].iloc[1], seen["group"].iloc[1]),
        ("X1", unseen(run)["path"].iloc[0], "XL"),
    ]
    found = transfer(run, "isic-2018-task-3", isic(tmp_path / "isic", rows))
    assert found.dropped == {"image_id": 1, "content": 1, "group": 0}


def test_metrics_are_those_of_a_run_when_every_class_is_there(run, shared_ham):
    found = transfer(run, "HAM10000", str(shared_ham))  # on its own test part: nothing of it was seen
    assert found.dropped == {"image_id": 0, "content": 0, "group": 0}
    assert found.metrics["test"] == pytest.approx(run.metrics["test"], abs=1e-5)
    for name, ends in run.metrics["intervals"].items():
        assert found.metrics["intervals"][name] == pytest.approx(ends, abs=1e-5)
    assert found.metrics["test"] == pytest.approx(measure(found.probabilities, found.labels, found.classes), abs=1e-5)
    assert found.metrics["split"] == "lesion"


def test_lesions_that_a_leaky_split_trained_on_are_dropped(run, shared_ham):
    leaky = change_own(run, split="image")
    images = load_dataset("HAM10000", str(shared_ham))
    parts = split_rows(images, "image")
    beside = images.rows["group"].isin(images.rows["group"][parts.isin(["train", "val"])])
    found = transfer(leaky, "HAM10000", str(shared_ham))
    assert found.metrics["split"] == "image"
    assert found.dropped == {"image_id": 0, "content": 0, "group": (beside & (parts == "test")).sum()}
    assert found.dropped["group"] > 0


def test_classes_without_test_images_have_no_recall(run, tmp_path):
    rows = [(f"X{i}", path, f"XL{i}") for i, path in enumerate(unseen(run)["path"])]
    found = transfer(run, "isic-2018-task-3", isic(tmp_path / "isic", rows))
    test, ranges = found.metrics["test"], found.metrics["intervals"]
    assert set(test) == set(ranges) == set(run.metrics["test"])
    assert test["balanced_accuracy"] == test["recall_mel"] == test["accuracy"]
    assert np.isnan(test["recall_nv"])
    assert np.isnan(test["macro_auroc"])
    assert np.isnan(ranges["recall_nv"]).all()
    assert "NaN" not in (found.path / "metrics.json").read_text()


def test_when_nothing_is_left_the_result_is_empty_and_says_why(run, tmp_path):
    trained = parts_of(run).query("split == 'train'").iloc[:3]
    rows = list(trained[["image_id", "path", "group"]].itertuples(index=False, name=None))
    root = isic(tmp_path / "isic", rows)
    for found in (transfer(run, "isic-2018-task-3", root), transfer(run, "isic-2018-task-3", root)):
        assert found.missing == "all 3 test images of isic-2018-task-3 were seen in training (3 by image_id)"
        assert len(found.predictions) == 0
        assert found.probabilities.shape == (0, 7)
        assert found.metrics["test"] == {}


def test_a_second_call_predicts_nothing(run, shared_ham, monkeypatch):
    first = transfer(run, "HAM10000", str(shared_ham))
    assert {p.name for p in first.path.iterdir()} == {"predictions.csv", "metrics.json", "manifest.json"}
    for name in ("predict_rows", "load_pixels", "prepare"):
        monkeypatch.setattr(
            sys.modules[Transfer.__module__], name, lambda *_, name=name: pytest.fail(f"{name} was called")
        )
    again = transfer(run, "HAM10000", str(shared_ham))
    assert again.path == first.path
    assert again.path.parent == run.path / "transfer"
    assert again.metrics == first.metrics


def test_an_interrupted_transfer_is_done_again(run, shared_ham):
    first = transfer(run, "HAM10000", str(shared_ham))
    before = (first.path / "metrics.json").read_text()
    (first.path / "metrics.json").unlink()
    again = transfer(run, "HAM10000", str(shared_ham))
    assert (again.path / "metrics.json").read_text() == before


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_a_damaged_result_is_named_and_made_anew(run, shared_ham, name, caplog):
    first = transfer(run, "HAM10000", str(shared_ham))
    before = (first.path / name).read_text()
    (first.path / name).write_text(before.replace("1", "2"))
    with pytest.raises(
        WorkbookFileError, match=rf"{name} is damaged: .*remove {first.path} and transfer the run again"
    ):
        _ = Transfer(run, "HAM10000", first.path).read_json(name)
    transfer(run, "HAM10000", str(shared_ham))
    assert f"{name} is damaged" in caplog.text
    assert (first.path / name).read_text() == before


def test_a_result_with_drawn_images_says_so(run, shared_ham):
    found = transfer(run, "HAM10000", str(shared_ham))
    assert not found.provenance["is_phantom"]
    drawn = change_own(run, is_phantom=True)
    assert transfer(drawn, "HAM10000", str(shared_ham)).provenance["is_phantom"]


def test_other_classes_are_refused(run, tmp_path):
    with pytest.raises(WorkbookValueError, match=r"cannot be tested on digits: it tells akiec.*classes 0, 1"):
        transfer(run, "digits", str(tmp_path / "digits"))


def test_classes_match_without_case_in_any_order(run):
    images = load_dataset("HAM10000", run.config.data_root)
    shuffled = tuple(name.upper() for name in reversed(run.classes))
    assert match_classes(run, type(images)(images.name, shuffled, images.rows)).tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert match_classes(run, images).tolist() == list(range(7))
    some = type(images)(images.name, images.classes[4:1:-1], images.rows)  # whose other classes have no image
    assert match_classes(run, some).tolist() == [4, 3, 2]


def test_a_run_that_is_not_finished_is_told(run, shared_ham):
    (run.path / "metrics.json").unlink()
    with pytest.raises(WorkbookFileError, match="is not finished; finish it with fit"):
        transfer(run, "HAM10000", str(shared_ham))


def test_own_data_that_are_gone_or_changed_are_told(run, shared_ham, tmp_path):
    gone = change_own(run, data_root=str(tmp_path / "gone"))
    with pytest.raises(WorkbookFileError, match=r"its own data cannot be had: The data root .*gone.* does not exist"):
        transfer(gone, "HAM10000", str(shared_ham))
    changed = change_own(run, data_root=str(shared_ham), data_fingerprint="00000000")
    with pytest.raises(WorkbookError, match="have changed since it was trained"):
        transfer(changed, "HAM10000", str(shared_ham))
    assert not (run.path / "transfer").exists()
