"""Trainings on a disk that is really full: told in one line, wherever it strikes, and gone on with where there is room."""

import os
import re
import shutil

import pytest

from lib.errors import WorkbookError
from lib.training import RunStore, fit, fitting

SIZE = 6 << 20  # bytes of the disk; the run's weights take 640,000, its checkpoint three times as much


ROOM = {".npy": 100_000, "best.safetensors": 600_000, "last.ckpt": 1_500_000}  # where it strikes, with so much room


def test_a_training_stops_in_one_line_and_goes_on(small_disk, tiny, finished):
    disk = small_disk(SIZE)
    other = small_disk.fill(disk)
    for struck, room in ROOM.items():
        os.truncate(other, other.stat().st_size + shutil.disk_usage(disk).free - room)
        with pytest.raises(WorkbookError, match=rf"Cannot write .*{struck}: No space left on device: .*wanted") as told:
            fit(tiny, disk / "runs")
        wanted, free = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) bytes (?:wanted|free)", str(told.value)))
        assert free < wanted < SIZE
    other.unlink()
    run = fit(tiny, disk / "runs")
    for name in ("training_log.csv", "predictions.csv", "metrics.json", "best.safetensors"):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes()
    assert run.sound
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []
    assert not (disk / "runs" / "superseded").exists()


def test_a_test_stops_in_one_line_and_the_training_is_kept(small_disk, tiny, finished, monkeypatch):
    disk = small_disk(SIZE)
    evaluate = fitting.evaluate

    def evaluate_on_a_full_disk(*arguments):
        small_disk.fill(disk)
        evaluate(*arguments)

    with monkeypatch.context() as full:
        full.setattr(fitting, "evaluate", evaluate_on_a_full_disk)
        with pytest.raises(WorkbookError, match=r"Cannot write .*predictions\.csv: No space left on device"):
            fit(tiny, disk / "runs")
    assert not RunStore(disk / "runs").run(tiny).finished
    os.unlink(disk / "other")
    monkeypatch.setattr("pytorch_lightning.Trainer.fit", lambda *_, **__: pytest.fail("trained again"))
    assert (fit(tiny, disk / "runs").path / "metrics.json").read_text() == (finished.path / "metrics.json").read_text()
