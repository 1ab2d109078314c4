"""What a run was reading goes or is cut off while it is read: named, tried once more, and never the death of the process."""

import os
from pathlib import Path

import pytest

from lib.data import ImageSet, load_dataset, load_pixels
from lib.errors import InputLost
from lib.training import classifier as module_file
from lib.training import fit


def test_a_cache_that_is_cut_off_while_it_is_trained_on_is_made_anew(tiny, finished, tmp_path, monkeypatch, caplog):
    step, cut = module_file.Classifier.training_step, []

    def cut_in_epoch_2(self, batch, number):
        if self.current_epoch == 1 and not cut:
            (cache,) = (tmp_path / "cache").glob("*.npy")
            os.truncate(cache, 1000)
            cut.append(cache)
        return step(self, batch, number)

    monkeypatch.setattr(module_file.Classifier, "training_step", cut_in_epoch_2)
    run = fit(tiny, tmp_path / "runs")
    assert f"{cut[0]} was cut off while it was read: 1,000 of" in caplog.text
    for name in ("training_log.csv", "predictions.csv", "metrics.json", "best.safetensors"):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes()


def test_pixels_of_a_file_that_was_cut_off_raise(ham_root, tmp_path):
    _, pixels = load_pixels(load_dataset("HAM10000", ham_root), 16, tmp_path)
    part, copied = pixels[10:20], pixels[[3, 5]]
    os.truncate(next(tmp_path.glob("*.npy")), 0)
    for look in (lambda: pixels[0], lambda: pixels[[1, 2]], lambda: part[0], lambda: pixels[3:]):
        with pytest.raises(InputLost, match=r"\.npy was cut off while it was read: 0 of [\d,]+ bytes are left"):
            look()
    assert copied[1].shape == (16, 16, 3)  # which is a copy


@pytest.mark.parametrize(
    "look",
    [
        ImageSet.fingerprint,
        lambda images: load_pixels(images, 16, Path(images.rows["path"][0]).parent),
        lambda images: images.decode(images.rows.iloc[0], 16),
    ],
)
def test_an_image_that_went_after_the_listing_is_named(ham_root, look):
    images = load_dataset("HAM10000", ham_root)
    gone = images.rows["path"][0]
    os.unlink(gone)
    with pytest.raises(InputLost, match=f"{gone}: no such image file"):
        look(images)
