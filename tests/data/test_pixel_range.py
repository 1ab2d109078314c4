"""Pixels of more than eight bits are seen by the range of their values, or refused; none is black that is not."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lib.data import decode
from lib.data import decoding as decoding_file
from lib.data.pixel_range import STRIP
from lib.errors import WorkbookFileError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def saved(path, values):
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("values", "white"),
    [
        (RAMP.astype(np.float32), 1),
        ((RAMP * 255).astype(np.float32), 255),
        ((RAMP * 1000).astype(np.float32), 1023),
        ((RAMP * 2.5).astype(np.float32), 2.5),  # on no scale: by its own range
        ((RAMP * 1e6).astype(np.float32), 1e6),
        ((RAMP * 255).astype(np.uint16), 255),
        ((RAMP * 4095).astype(np.uint16), 4095),
        ((RAMP * 40000).astype(np.uint16), 65535),
        ((RAMP * 200).astype(np.int32), 255),
        ((RAMP * 65535).astype(np.int32), 65535),
        ((RAMP * 2**30).astype(np.int32), 2**30),
    ],
)
def test_white_is_the_end_of_the_scale_that_holds_the_values_or_of_their_range(values, white, tmp_path):
    seen = decode(saved(tmp_path / "x.tif", values), 8)
    expected = np.clip(values.astype(float) * 255 / white, 0, 255)
    np.testing.assert_allclose(seen[..., 1], expected, atol=1.01)
    assert seen.max() > 150


@pytest.mark.parametrize("values", [RAMP - 0.5, RAMP * 4000 - 1000])
def test_negative_values_are_seen_by_their_own_range(values, tmp_path):
    kind = np.float32 if values.max() < 1 else np.int32
    seen = decode(saved(tmp_path / "x.tif", values.astype(kind)), 8)[..., 0]
    np.testing.assert_allclose(seen, 255 * RAMP, atol=1.01)


@pytest.mark.parametrize(
    ("value", "kind", "seen"), [(200, np.uint16, 200), (200, np.int32, 200), (0.5, np.float32, 128)]
)
def test_an_even_picture_is_seen_on_its_scale(value, kind, seen, tmp_path):
    assert set(decode(saved(tmp_path / "x.tif", np.full((8, 8), value, kind)), 8).ravel()) == {seen}


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(hole, tmp_path):
    values = RAMP.astype(np.float32)
    values[3, 4] = hole
    with pytest.raises(WorkbookFileError, match=r"x\.tif: its pixels are not all finite numbers; save it"):
        decode(saved(tmp_path / "x.tif", values), 8)


def test_one_value_that_is_on_no_scale_is_refused(tmp_path):
    with pytest.raises(WorkbookFileError, match=r"x\.tif: all its pixels are 1e\+06, on no scale"):
        decode(saved(tmp_path / "x.tif", np.full((8, 8), 1e6, np.float32)), 8)


@pytest.mark.parametrize(("scale", "is_seen"), [(65535, True), (4095, False), (255, False)])
def test_colours_of_16_bits_are_seen_or_refused(scale, is_seen, tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(png_of_16_bits((RAMP * scale).astype(">u2")))
    if is_seen:
        np.testing.assert_allclose(decode(path, 8)[..., 2], 255 * RAMP, atol=1.01)
    else:
        with pytest.raises(
            WorkbookFileError, match=r"deep\.png: its colours of 16 bits .* save it with 8 bits a colour"
        ):
            decode(path, 8)


def png_of_16_bits(grey):
    rows = b"".join(b"\0" + np.repeat(row[:, None], 3, 1).tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", *grey.shape[::-1], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "F", "I;16"])
def test_a_large_image_is_read_strip_by_strip_and_looks_the_same(mode, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (230, 170, 4), dtype=np.uint8)
    image = Image.fromarray(pixels[..., 0].astype({"F": np.float32, "I;16": np.uint16}.get(mode, np.uint8)))
    if mode in {"RGB", "RGBA", "P"}:
        image = Image.fromarray(pixels).convert(mode)
    image.save(tmp_path / "x.tif")
    whole = decode(tmp_path / "x.tif", (9, 13), banner=20)
    monkeypatch.setattr(decoding_file, "LARGE", 100)
    monkeypatch.setattr("lib.data.pixel_range.STRIP", 1000)
    assert STRIP == 2**22
    np.testing.assert_allclose(decode(tmp_path / "x.tif", (9, 13), banner=20).astype(int), whole, atol=1)


def test_an_image_beyond_the_limit_says_so(tmp_path, monkeypatch):
    Image.new("L", (30, 30)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    with pytest.raises(WorkbookFileError, match=r"x\.png: too large an image .*900 pixels.*; save it smaller"):
        decode(tmp_path / "x.png", 8)
