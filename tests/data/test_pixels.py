"""The cache of decoded images is whole or absent, and follows the files."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lib import files
from lib.data import decode, decoding, load_dataset, load_pixels
from lib.data.imageset import MOST_LISTED, refuse_unreadable
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError


def test_the_cache_is_made_once_and_equals_decoding(ham_root, tmp_path, monkeypatch):
    images = load_dataset("HAM10000", ham_root)
    _, pixels = load_pixels(images, 24, tmp_path / "cache")
    assert (pixels.shape, pixels.dtype) == ((84, 24, 24, 3), np.uint8)
    for i in (0, 41, 83):
        assert np.array_equal(pixels[i], decode(images.rows["path"][i], 24))
    monkeypatch.setattr(decoding, "decode", lambda *_: pytest.fail("decoded again"))
    _, again = load_pixels(images, 24, tmp_path / "cache")
    assert np.array_equal(pixels, again)


def test_a_replaced_image_is_seen(ham_root, tmp_path):
    _, before = load_pixels(load_dataset("HAM10000", ham_root), 16, tmp_path / "cache")
    Image.new("RGB", (50, 50), "red").save(ham_root / "HAM10000_images_part_1" / "ISIC_0000000.jpg")
    _, after = load_pixels(load_dataset("HAM10000", ham_root), 16, tmp_path / "cache")
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1:], after[1:])


@pytest.mark.parametrize("damage", ["pixels", "size", "notes", "an earlier build's notes"])
def test_a_damaged_cache_is_named_and_made_anew(ham_root, tmp_path, caplog, damage):
    images = load_dataset("HAM10000", ham_root)
    load_pixels(images, 16, tmp_path / "cache")
    (array,) = (tmp_path / "cache").glob("*.npy")
    content, time = array.read_bytes(), array.stat().st_mtime_ns
    written = {"pixels": content[:-1] + b"?", "size": content[:-1]}.get(damage, content)
    array.write_bytes(written)
    os.utime(array, ns=(time, time))
    if "notes" in damage:
        array.with_suffix(".json").write_text("{}" if "earlier" in damage else "")
    _, after = load_pixels(images, 16, tmp_path / "cache")
    assert f"{array} is made anew" in caplog.text
    assert after.tobytes() == decoded(images, 16)
    caplog.clear()
    load_pixels(images, 16, tmp_path / "cache")
    assert not caplog.text


def decoded(images, size) -> bytes:
    return b"".join(decode(path, size).tobytes() for path in images.rows["path"])


def test_unreadable_images_are_listed_once_or_left_out(ham_root, tmp_path, caplog):
    for name in ("part_1/ISIC_0000004", "part_2/ISIC_0000007"):
        (ham_root / f"HAM10000_images_{name}.jpg").write_bytes(b"\xff\xd8 broken")
    images = load_dataset("HAM10000", ham_root)
    with pytest.raises(
        WorkbookFileError, match=r"2 images cannot be used.*ISIC_0000004.*ISIC_0000007.*--skip-unreadable"
    ):
        load_pixels(images, 16, tmp_path / "cache")
    kept, pixels = load_pixels(images, 16, tmp_path / "cache", skip_unreadable=True)
    assert len(kept.rows) == len(pixels) == 82
    assert len(kept.unreadable) == 2
    assert np.array_equal(pixels[4], decode(kept.rows["path"][4], 16))  # rows and pixels still belong together
    assert caplog.text.count("ISIC_0000004") == 1


def test_a_million_images_that_cannot_be_used_are_no_million_lines(caplog):
    refuse_unreadable([f"{n}.jpg: no such image file" for n in range(10**6)], skip=True)
    refuse_unreadable([f"{n}.jpg: no such image file" for n in range(10**6)], skip=True)  # told once
    assert len(caplog.messages) == MOST_LISTED + 1
    assert caplog.messages[-1].startswith("left out: 999,900 more, of 1,000,000 in all")


def test_a_full_disk_leaves_nothing_half_written(ham_root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(WorkbookError, match="No space left"):
        load_pixels(load_dataset("HAM10000", ham_root), 16, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_size_may_be_a_height_and_a_width(ham_root, tmp_path):
    images = load_dataset("HAM10000", ham_root)
    _, tall = load_pixels(images, (32, 16), tmp_path / "cache")
    assert tall.shape == (84, 32, 16, 3)
    assert np.array_equal(tall[3], decode(images.rows["path"][3], (32, 16)))
    original = Image.open(images.rows["path"][3])
    assert np.array_equal(tall[3], np.asarray(original.resize((16, 32), Image.Resampling.BILINEAR, reducing_gap=3.0)))
    _, square = load_pixels(images, 24, tmp_path / "cache")
    _, pair = load_pixels(images, [24, 24], tmp_path / "cache")  # as a JSON file holds a pair
    assert pair.filename == square.filename
    names = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "cache").glob("*.npy"))
    assert names == ["HAM10000-24", "HAM10000-32x16"]


@pytest.mark.parametrize("size", [0, (16, 0), (16,), (16, 16, 3), 2.5, "16"])
def test_what_is_no_size_is_told(size, ham_root, tmp_path):
    with pytest.raises(WorkbookValueError, match=r"image's (size|height|width).* must be a whole number"):
        load_pixels(load_dataset("HAM10000", ham_root), size, tmp_path / "cache")


def test_a_banner_is_cut_off_and_counts_for_the_cache(ham_root, tmp_path):
    images = load_dataset("HAM10000", ham_root)  # 40×30 pixels
    cut = replace(images, banner=10)
    _, whole = load_pixels(images, 20, tmp_path / "cache")
    _, upper = load_pixels(cut, 20, tmp_path / "cache")
    assert not np.array_equal(whole, upper)
    original = Image.open(images.rows["path"][0]).crop((0, 0, 40, 20))
    assert np.array_equal(upper[0], np.asarray(original.resize((20, 20), Image.Resampling.BILINEAR)))
