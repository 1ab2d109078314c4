"""Masks by their own two values, however they are stored; even and damaged ones are told before a training."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import ImageSet, load_dataset, load_pixels
from lib.data.masks import decode_mask, read_mask
from lib.errors import WorkbookFileError

OBJECT = np.zeros((45, 60), bool)
OBJECT[10:35, 15:45] = True


def palette(colours):
    image = Image.fromarray(OBJECT.astype(np.uint8), "P")
    image.putpalette([*colours, *[0] * (768 - len(colours))])
    return image


def opacity(colour):
    return Image.fromarray(np.dstack([np.full((*OBJECT.shape, 3), colour, np.uint8), OBJECT * np.uint8(255)]))


def coloured(inside, outside):
    return Image.fromarray(np.where(OBJECT[..., None], inside, outside).astype(np.uint8))


STORED = {
    "0 and 255": Image.fromarray(OBJECT * np.uint8(255)),
    "0 and 1": Image.fromarray(OBJECT.astype(np.uint8)),
    "1 and 2": Image.fromarray(OBJECT.astype(np.uint8) + 1),
    "254 and 255": Image.fromarray(OBJECT.astype(np.uint8) + 254),
    "one bit": Image.fromarray(OBJECT),
    "16 bits": Image.fromarray(OBJECT * np.uint16(65535)),
    "16 bits, 0 and 1": Image.fromarray(OBJECT.astype(np.uint16)),
    "32 bits": Image.fromarray(OBJECT.astype(np.int32)),
    "palette, black and dark red": palette([0, 0, 0, 128, 0, 0]),
    "palette, black and nearly black": palette([0, 0, 0, 1, 1, 1]),
    "palette without colours": palette([0, 0, 0, 0, 0, 0]),
    "opacity, white": opacity(255),
    "opacity, black": opacity(0),
    "white on black, opaque": coloured([255, 255, 255], 0).convert("RGBA"),
    "blue of 1": coloured([0, 0, 1], 0),
    "red": coloured([255, 0, 0], 0),
}


@pytest.mark.parametrize("how", STORED)
def test_the_greater_of_two_values_is_the_object(how, tmp_path):
    path = tmp_path / ("mask.tif" if how == "32 bits" else "mask.png")
    STORED[how].save(path)
    assert np.array_equal(read_mask(path), OBJECT)


@pytest.mark.parametrize("values", [OBJECT.astype(np.float32), np.where(OBJECT, 0.25, -3).astype(np.float32)])
def test_floating_point_masks(values, tmp_path):
    Image.fromarray(values).save(tmp_path / "mask.tif")
    assert np.array_equal(read_mask(tmp_path / "mask.tif"), OBJECT)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif", "bmp", "tif", "png"])
def test_formats_and_sizes_agree_on_the_share_of_the_object(suffix, tmp_path):
    picture = tmp_path / "picture.png"
    Image.new("RGB", (60, 45)).save(picture)
    for scale in (1, 2):
        Image.fromarray(np.kron(OBJECT, np.ones((scale, scale))).astype(np.uint8) * 255).save(tmp_path / f"m.{suffix}")
        seen = decode_mask(tmp_path / f"m.{suffix}", picture, (45, 60)) > 127
        assert seen.mean() == pytest.approx(OBJECT.mean(), abs=0.002)


@pytest.mark.parametrize(("value", "full"), [(0, False), (1, True), (255, True)])
def test_one_value_is_everything_or_nothing(value, full, tmp_path):
    Image.new("L", (6, 5), value).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == full).all()


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 38, 220), (1, 2, 3), (0, 1, 255)])
def test_a_map_of_labels_is_no_mask(values, tmp_path):
    labels = np.array(values, np.uint8)[np.arange(2700).reshape(45, 60) % 3]
    Image.fromarray(labels).save(tmp_path / "labels.png")
    with pytest.raises(
        WorkbookFileError, match=rf"labels\.png: the mask has 3 values, among them {values[0]}, {values[1]}"
    ):
        read_mask(tmp_path / "labels.png")


def ringed(inside, ring):
    """A small object [45, 60] with a ring of void round it."""
    labels = np.zeros((45, 60), np.uint8)
    labels[10:24, 10:24], labels[12:22, 12:22] = ring, inside
    return labels


def instances(side, number):
    labels = np.zeros((45, 60), np.uint8)
    for k in range(number):
        row, column = divmod(k, 60 // side)
        labels[row * side : (row + 1) * side - 1, column * side : (column + 1) * side - 1] = k + 1
    return labels


@pytest.mark.parametrize("labels", [ringed(15, 255), ringed(1, 255), ringed(128, 255), instances(10, 24)])
def test_labels_that_cover_little_or_are_many_are_no_mask_either(labels, tmp_path):
    Image.fromarray(labels).save(tmp_path / "labels.png")
    with pytest.raises(WorkbookFileError, match=r"labels\.png: the mask has \d+ values"):
        read_mask(tmp_path / "labels.png")


def test_a_soft_mask_is_cut_half_way(tmp_path):
    far = np.hypot(*np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 45)))
    soft = np.uint8(255 / (1 + np.exp(12 * (far - 0.6))))
    Image.fromarray(soft).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), soft > (float(soft.min()) + soft.max()) / 2)


def test_a_blurred_edge_is_cut_half_way(tmp_path):
    blurred = Image.fromarray(OBJECT * np.uint8(255)).resize((600, 450), Image.Resampling.BICUBIC).resize((60, 45))
    blurred.save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), OBJECT)


def made_set(folder, masks):
    rows = []
    for name, mask in masks.items():
        Image.new("RGB", (6, 5)).save(folder / f"{name}.png")
        path = folder / f"{name}_mask.png"
        if isinstance(mask, bytes):
            path.write_bytes(mask)
        elif mask is not None:
            Image.fromarray(np.array(mask, np.uint8)).save(path)
        rows.append((name, str(folder / f"{name}.png"), 0, str(path) if path.exists() else ""))
    return ImageSet("made", ("one",), pd.DataFrame(rows, columns=["image_id", "path", "label", "mask"]))


def test_even_masks_are_told_before_training_and_again_in_another_process(tmp_path, caplog, monkeypatch):
    images = made_set(tmp_path, {"a": [[0, 0], [0, 0]], "b": [[1, 1], [1, 1]], "c": [[0, 1], [1, 1]], "d": None})
    for _ in range(2):
        monkeypatch.setattr("lib.errors._warned", set())
        caplog.clear()
        load_pixels(images, 4, tmp_path / "cache")
        assert "made: masks that are empty: 1, among them that of a" in caplog.text
        assert "made: masks that are all object: 1, among them that of b" in caplog.text
        monkeypatch.setattr("lib.data.mask_check.read_mask", lambda path: pytest.fail(f"{path} was read again"))


def test_a_damaged_mask_is_an_error_before_training_and_can_be_skipped(tmp_path):
    images = made_set(tmp_path, {"a": [[0, 1], [1, 1]], "b": b"\x89PNG\r\n\x1a\n"})
    with pytest.raises(WorkbookFileError, match=r"b_mask\.png: corrupt or truncated image.*--skip-unreadable"):
        load_pixels(images, 4, tmp_path / "cache")
    kept, pixels = load_pixels(images, 4, tmp_path / "cache", skip_unreadable=True)
    assert (len(kept.rows), len(pixels), kept.rows["mask"].tolist()[1]) == (2, 2, "")


def test_a_mask_that_was_mended_is_looked_at_again(tmp_path):
    images = made_set(tmp_path, {"a": b"broken"})
    with pytest.raises(WorkbookFileError, match="a_mask"):
        load_pixels(images, 4, tmp_path / "cache")
    Image.fromarray(OBJECT).save(tmp_path / "a_mask.png")
    load_pixels(images, 4, tmp_path / "cache")
    for notes in (tmp_path / "cache").glob("made-masks-*.json"):
        notes.write_text("[")
    load_pixels(images, 4, tmp_path / "cache")


def test_class_folders_bring_their_masks(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(2):
            Image.new("RGB", (6, 5)).save(tmp_path / name / f"{k}.jpg")
    Image.fromarray(OBJECT).save(tmp_path / "cat" / "0_mask.png")
    rows = load_dataset("imagefolder", tmp_path).rows
    assert rows["mask"].tolist() == [str(tmp_path / "cat" / "0_mask.png"), "", "", ""]
