"""Damage to a run's files is seen, named, and mended where it can be; nothing in a run's folder is run."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch

from lib import check
from lib.disk.manifest import MANIFEST, read_manifest
from lib.errors import WorkbookError, WorkbookFileError
from lib.predict import predict
from lib.threads import Threads
from lib.training import Run, RunStore, fit, fitting
from lib.training.recorder import FollowLoad, Recorder
from lib.training.trainer import _resume_from
from tests.helpers import unsealed


@pytest.fixture
def copied(finished, tmp_path) -> Run:
    """A copy of the finished run in a store of its own."""
    return Run(shutil.copytree(finished.path, tmp_path / "runs" / finished.path.name))


def flip(path: Path) -> None:
    """One bit of a file is another, and its size and time are what they were."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


READ = {
    "config.json": lambda run: run.config,
    "training_log.csv": lambda run: run.log,
    "best.safetensors": lambda run: run.model(),
    "predictions.csv": lambda run: run.probabilities,
    "metrics.json": lambda run: run.metrics,
    "provenance.json": lambda run: run.classes,
}


def test_a_manifest_tells_of_all_that_is_relied_upon(finished):
    assert read_manifest(finished.path).keys() == {*READ, "basis.json"}
    assert finished.sound
    assert finished.damage(trusting=False) == {}


@pytest.mark.parametrize("damage", [flip, cut, empty, os.unlink])
@pytest.mark.parametrize("name", READ)
def test_damage_to_any_file_is_seen_and_the_file_named(copied, name, damage, caplog):
    assert copied.sound
    damage(copied.path / name)
    assert [*copied.damage()] == [name]
    with pytest.raises(WorkbookFileError, match=re.escape(name)):
        READ[name](Run(copied.path))
    if (name, damage) not in {("best.safetensors", os.unlink), ("metrics.json", os.unlink)}:  # left out, or unfinished
        assert not copied.sound
        assert f"{copied.path / name} is damaged" in caplog.text
        with pytest.raises(WorkbookFileError, match=re.escape(name)):
            copied.refuse_damaged()


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_a_damaged_manifest_is_damage(copied, damage):
    damage(copied.path / MANIFEST)
    assert not copied.sound


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        json.dumps({"../" * 9 + "dev/zero": {"bytes": 0}}),
        json.dumps({"x" * 5000: {}}),
        json.dumps({"\0": {}}),
    ],
)
def test_a_manifest_that_leads_elsewhere_or_nowhere_is_damage(copied, content):
    (copied.path / MANIFEST).write_text(content)
    assert [*copied.damage(trusting=False)] == [MANIFEST]
    with pytest.raises(WorkbookFileError, match=r"manifest\.json is damaged"):
        copied.file("metrics.json")


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_damage_and_is_not_waited_for(copied, put):
    path = copied.path / "predictions.csv"
    path.unlink()
    put(path)
    assert copied.damage(trusting=False) == {"predictions.csv": "it is no file"}
    with pytest.raises(WorkbookFileError, match=r"predictions\.csv"):
        _ = copied.predictions


def test_json_nested_beyond_the_stack_is_damage(copied):
    (unsealed(copied.path) / "config.json").write_text("[" * 100_000)
    assert [*copied.damage()] == ["config.json"]


def test_an_edited_config_is_seen_under_its_old_hash_in_a_run_without_a_manifest_too(copied):
    edited = json.loads((copied.path / "config.json").read_text()) | {"lr": 0.5}
    (unsealed(copied.path) / "config.json").write_text(json.dumps(edited))
    assert "it was edited" in copied.damage()["config.json"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("metrics.json", "[]"), ("provenance.json", ""), ("training_log.csv", ""), ("config.json", "{}}")],
)
def test_a_run_of_an_earlier_build_that_cannot_be_read_is_named(copied, name, content):
    (unsealed(copied.path) / name).write_text(content)
    assert [*copied.damage()] == [name]


def test_predictions_of_other_classes_are_named_in_a_run_without_a_manifest_too(copied):
    facts = json.loads((copied.path / "provenance.json").read_text())
    (unsealed(copied.path) / "provenance.json").write_text(
        json.dumps(facts | {"classes": ["other", *facts["classes"]]})
    )
    with pytest.raises(WorkbookFileError, match=r"predictions\.csv is damaged: it has no column prob_other"):
        _ = Run(copied.path).predictions


def test_flipped_weights_are_trained_again_and_the_old_ones_kept(copied, finished, tiny, caplog):
    flip(copied.path / "best.safetensors")
    again = fit(tiny, copied.path.parent)
    assert "is damaged (best.safetensors: its content is not what was written): it is trained again" in caplog.text
    assert (again.path / "best.safetensors").read_bytes() == (finished.path / "best.safetensors").read_bytes()
    assert (copied.path.parent / "superseded" / f"{copied.path.name}-1" / "best.safetensors").exists()
    assert again.sound


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_a_damaged_test_is_done_again_and_nothing_is_trained(copied, finished, tiny, monkeypatch, caplog, name):
    monkeypatch.setattr("lib.training.trainer.train", lambda *_: pytest.fail("trained again"))
    cut(copied.path / name)
    again = fit(tiny, copied.path.parent)
    assert f"{name} is damaged" in caplog.text
    assert (again.path / name).read_bytes() == (finished.path / name).read_bytes()
    assert again.sound


def test_a_damaged_run_whose_data_are_not_here_is_refused(copied, tiny, monkeypatch):
    def gone(*_):
        raise WorkbookFileError("no data")

    monkeypatch.setattr(fitting, "load_images", gone)
    assert fit(tiny, copied.path.parent).path == copied.path
    flip(copied.path / "predictions.csv")
    with pytest.raises(WorkbookFileError, match=r"is damaged \(predictions\.csv: its content"):
        fit(tiny, copied.path.parent)


def test_nothing_is_predicted_with_flipped_weights(copied, shared_ham, tmp_path):
    flip(copied.path / "best.safetensors")
    with pytest.raises(WorkbookFileError, match=r"best\.safetensors is damaged"):
        predict(copied, shared_ham, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def replace_one(root: Path) -> None:
    """One image has become another of the same size."""
    one, *others = sorted((root / "HAM10000_images_part_1").iterdir())
    size = one.stat().st_size
    content = next(content for other in others if len(content := other.read_bytes()) <= size)
    one.write_bytes(content + bytes(size - len(content)))


def test_images_replaced_by_others_of_the_same_size_are_found(ham_root, tiny, tmp_path, caplog):
    config, store = tiny.replace(data_root=str(ham_root), max_epoch=1), RunStore(tmp_path / "runs")
    first = fit(config, store)
    for image in ham_root.rglob("*.jpg"):
        os.utime(image)  # copied, say
    finished_at = first.provenance["finished_at"], (first.path / "metrics.json").stat().st_mtime_ns
    again = fit(config, store)
    assert (again.provenance["finished_at"], (again.path / "metrics.json").stat().st_mtime_ns) == finished_at
    replace_one(ham_root)
    fit(config, store)
    assert "was begun with other images: it is trained again" in caplog.text


class Marker:
    """What is unpickled of it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))])
def test_a_checkpoint_with_code_is_refused_and_none_of_it_is_run(write, tmp_path, finished, tiny):
    folder = tmp_path / "runs" / tiny.name
    folder.mkdir(parents=True)
    for name in ("config.json", "basis.json"):
        shutil.copy(finished.path / name, folder)
    write({"callbacks": {}, "code": Marker(tmp_path / "was run")}, folder / "last.ckpt")
    with pytest.raises(WorkbookError, match=r"last\.ckpt asks for code to be run .* and is refused.*Remove it"):
        fit(tiny, folder.parent)
    assert not (tmp_path / "was run").exists()
    assert (folder / "last.ckpt").exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint", bytes(5000), b"PK\x03\x04" + bytes(99)])
def test_a_damaged_checkpoint_starts_over_whatever_it_holds(content, tmp_path, caplog):
    (tmp_path / "last.ckpt").write_bytes(content)
    assert (
        _resume_from(tmp_path / "last.ckpt", Recorder(tmp_path, None, lambda: None), FollowLoad(Threads(fixed=True)))
        is None
    )
    assert "last.ckpt cannot be read" in caplog.text


def test_check_reads_every_byte_and_names_what_is_not_what_it_was(copied, finished, ham_root, tiny, tmp_path, capsys):
    assert check.main([str(copied.path.parent)]) == 0
    assert f"{copied.path.name}: whole" in capsys.readouterr().out
    other = Run(shutil.copytree(finished.path, copied.path.parent / "other"))
    flip(copied.path / "best.safetensors")
    (other.path / "config.json").write_text(json.dumps(tiny.replace(data_root=str(ham_root)).to_dict()))
    unsealed(other.path)
    replace_one(ham_root)
    assert check.main([str(copied.path.parent)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"{copied.path.name}: best.safetensors is damaged: its content is not what was written" in lines
    assert "other: its images are others than it has seen" in lines
    assert check.main([str(copied.path.parent), "--no-images"]) == 1
    assert "other: whole" in capsys.readouterr().out
    with pytest.raises(WorkbookFileError, match="holds no run"):
        check.main([str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("predictions.csv", r",(0\.\d)", r",p\1", "could not convert string to float"),
        ("predictions.csv", "prob_mel", "prob_mole", "prob_mel"),
        ("predictions.csv", r"\nISIC_(\d+),(\w+),\w+,", r"\nISIC_\1,\2,mole,", "'mole' is no class"),
        ("metrics.json", r'"test": \{[^{}]*\}', '"test": false', "it names no metrics"),
        ("provenance.json", r'"classes": \[', '"classes": [[],', "its classes are no names"),
        ("provenance.json", r'"is_phantom": false', '"is_phantom": "no"', "its facts are of other types"),
        ("provenance.json", r'"parameters": \d+', '"parameters": "many"', "its facts are of other types"),
        ("metrics.json", r'"accuracy": [\d.]+', '"accuracy": "good"', "some of its metrics are no numbers"),
        ("metrics.json", r'"best_epoch": \d+', '"best_epoch": []', "some of its metrics are no numbers"),
        ("metrics.json", r'("accuracy": )\[[^\]]*\]', r"\1[0.5]", "some of its metrics are no numbers"),
    ],
)
def test_what_an_earlier_build_left_is_read_with_care(copied, name, before, after, message):
    (copied.path / MANIFEST).unlink()
    path = copied.path / name
    edited, times = re.subn(before, after, path.read_text(), count=1)
    assert times == 1
    path.write_text(edited)
    with pytest.raises(WorkbookFileError, match=f"{name} is damaged: .*{message}"):
        _ = copied.metrics, copied.classes, copied.labels, copied.probabilities
