"""Images of any mode become uint8 RGB, upright; masks, boxes and sizes agree with them; broken files are named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image

from lib.data import DATASETS, Dataset, ImageSet, decode, load_dataset, load_pixels, masks_in_view, relative_boxes
from lib.data.survey import image_sizes
from lib.errors import WorkbookFileError

STORED = {  # orientation → how a camera that notes it has stored the upright picture
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
BOX, WIDTH, HEIGHT = (10, 30, 20, 20), 40, 60  # x, y, width and height of a white square on black, as it is seen


def upright_picture() -> np.ndarray:
    x, y, width, height = BOX
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[y : y + height, x : x + width] = 255
    return picture


def save_turned(path: Path, upright: np.ndarray, orientation: int) -> str:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation](upright))).save(path, exif=exif, compression="tiff_lzw")
    return str(path)


def image_set(path: str, mask: str = "", box: str = "", banner: int = 0) -> ImageSet:
    row = {"image_id": "a", "path": path, "label": 0, "group": "a", "mask": mask, "part": "", "box": box}
    return ImageSet("turned", ("one",), pd.DataFrame([row]), banner=banner)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_picture_mask_box_and_size_agree_in_every_orientation(orientation, suffix, tmp_path):
    path = save_turned(tmp_path / f"picture.{suffix}", upright_picture(), orientation)
    mask = save_turned(tmp_path / f"mask.{suffix}", upright_picture()[..., 0], orientation)
    images = image_set(path, mask, "10 30 20 20")
    row = images.rows.iloc[0]
    seen = images.decode(row, (HEIGHT, WIDTH))[..., 1] > 127
    assert np.array_equal(seen, upright_picture()[..., 1] > 127)
    assert np.array_equal(masks_in_view(images, (HEIGHT, WIDTH), "none")[0], seen)
    assert images.picture_size(row) == (WIDTH, HEIGHT)
    assert image_sizes(images)[["width", "height"]].to_numpy().tolist() == [[WIDTH, HEIGHT]]
    np.testing.assert_allclose(relative_boxes(images)[0], [0.25, 0.5, 0.5, 1 / 3])
    small = images.thumbnail(row, 30)
    assert small.shape == (30, 20, 3)
    assert small[18:22, 8:12].min() > 240


@pytest.mark.parametrize("orientation", STORED)
def test_a_banner_is_cut_off_the_upright_picture_its_mask_and_its_box(orientation, tmp_path):
    path = save_turned(tmp_path / "picture.png", upright_picture(), orientation)
    mask = save_turned(tmp_path / "mask.png", upright_picture()[::2, ::2, 0], orientation)  # at half the resolution
    images = image_set(path, mask, "10 30 20 20", banner=20)
    row = images.rows.iloc[0]
    seen = images.decode(row, (40, WIDTH))[..., 1] > 127
    assert np.array_equal(seen, upright_picture()[:40, :, 1] > 127)
    assert np.array_equal(masks_in_view(images, (40, WIDTH), "none")[0], seen)
    assert images.picture_size(row) == (WIDTH, 40)
    assert relative_boxes(images)[0].tolist() == [0.25, 0.75, 0.5, 0.25]  # cut at the banner
    assert images.thumbnail(row, 20).shape == (20, 20, 3)


def test_a_mask_that_lies_on_its_side_is_refused(tmp_path):
    path = save_turned(tmp_path / "picture.jpg", upright_picture(), 6)
    mask = tmp_path / "mask.png"
    Image.fromarray(STORED[6](upright_picture()[..., 0])).save(mask)  # as the picture is stored, but without its tag
    with pytest.raises(WorkbookFileError, match=r"mask\.png: the mask is 60×40 .* at 40×60; save the mask turned"):
        masks_in_view(image_set(path, str(mask)), (60, 40), "none")


def test_the_banner_is_told_with_the_data_set_and_reaches_every_picture(ham_root, tmp_path, monkeypatch):
    whole = load_dataset("HAM10000", ham_root)  # 40×30 pixels
    monkeypatch.setitem(DATASETS, "cut", Dataset(DATASETS["HAM10000"].load, "none", 20, banner=10))
    images = load_dataset("cut", ham_root)
    _, pixels = load_pixels(images, (20, 40), tmp_path)
    row = images.rows.iloc[3]
    assert np.array_equal(pixels[3], whole.decode(row, (30, 40))[:20])
    assert np.array_equal(images.decode(row, (20, 40)), pixels[3])
    expected = masks_in_view(whole, (30, 40), "none")[:, :20]
    assert expected.any()
    assert np.array_equal(masks_in_view(images, (20, 40), "none"), expected)
    assert DATASETS["FGVCAircraft"].banner == 20
    assert replace(images, banner=0).picture_size(row) == (40, 30)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "CMYK", "1"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new("RGB", (30, 20), (200, 200, 200)).convert(mode).save(path)
    pixels = decode(path, 16)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    assert np.abs(pixels.astype(int).mean() - 200) < 60


def test_transparency_is_shown_on_white_and_16_bit_grey_keeps_its_scale(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert decode(tmp_path / "clear.png", 8).min() == 255
    Image.fromarray(np.full((8, 8), 128 * 256, np.uint16)).save(tmp_path / "deep.png")
    assert set(decode(tmp_path / "deep.png", 8).ravel()) == {128}


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_broken_image_is_named(damage, tmp_path):
    path = tmp_path / "bad.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"not an image", "empty": b""}[damage])
    with pytest.raises(WorkbookFileError, match=r"bad\.jpg: corrupt or truncated"):
        decode(path, 16)
