"""phantom-lesions: HAM10000's layout and imbalance, classes that only texture × shape tells, whole or absent."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.data import phantoms
from lib.data.ham10000 import load_ham10000
from lib.data.phantom_drawing import HEIGHT, SHAPES, TEXTURES, WIDTH
from lib.data.phantoms import HAM_IMAGES, PHANTOM_CLASSES, draw_phantom_lesions, least_images
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError

IMAGES = 700


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return draw_phantom_lesions(tmp_path_factory.mktemp("data") / "phantom-lesions", IMAGES, seed=0)


@pytest.fixture(scope="module")
def table(root) -> pd.DataFrame:
    return pd.read_csv(root / "HAM10000_metadata.csv")


@pytest.fixture(scope="module")
def pictures(root, table) -> np.ndarray:
    files = {file.stem: file for file in root.glob("HAM10000_images_part_*/*.jpg")}
    return np.stack([np.asarray(Image.open(files[i])) for i in table["image_id"]])


@pytest.fixture(scope="module")
def masks(root, table) -> np.ndarray:
    folder = root / "HAM10000_segmentations_lesion_tschandl"
    return np.stack([np.asarray(Image.open(folder / f"{i}_segmentation.png")) for i in table["image_id"]])


def files_of(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


# --- what is on disk ---


def test_layout_is_that_of_ham10000(root, table, pictures, masks):
    assert list(table.columns) == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    assert len(table) == table["image_id"].nunique() == IMAGES
    parts = [len(list((root / f"HAM10000_images_part_{part}").glob("ISIC_*.jpg"))) for part in (1, 2)]
    assert parts == [IMAGES // 2, IMAGES // 2]
    assert table["lesion_id"].str.fullmatch(r"HAM_\d{7}").all()
    assert pictures.shape == (IMAGES, HEIGHT, WIDTH, 3)
    assert masks.shape == (IMAGES, HEIGHT, WIDTH)
    assert set(np.unique(masks)) == {0, 255}


def test_the_real_sets_loader_reads_it(root):
    rows = load_ham10000(root).rows
    assert len(rows) == IMAGES
    assert rows["label"].nunique() == 7
    assert all(Path(mask).is_file() for mask in rows["mask"])


def test_class_shares_are_ham10000s(table):
    counts = table["dx"].value_counts()
    for dx, real in HAM_IMAGES.items():
        assert abs(counts[dx] - IMAGES * real / 10015) < (3 if dx == "nv" else 1)


@pytest.mark.parametrize("images", [least_images(), 600, 1003, 3000, 10015])
def test_plan_is_exact_and_has_enough_lesions(images):
    counts = phantoms._class_counts(images)
    assert sum(counts.values()) == images
    for count in counts.values():
        views = phantoms._views(count)
        assert sum(views) == count
        assert len(views) >= 6


def test_lesions_have_views_as_in_ham10000(table):
    views = table.groupby("lesion_id").size()
    assert views.max() >= 3
    assert abs(len(views) / IMAGES - 7470 / 10015) < 0.03
    assert len(table[["lesion_id", "dx", "age", "sex", "localization"]].drop_duplicates()) == len(views)


def test_views_of_a_lesion_share_its_area_but_not_its_pixels(table, pictures, masks):
    first, second = (table[table["lesion_id"].duplicated(keep=keep)].index for keep in ("last", "first"))
    area = (masks > 0).sum((1, 2))
    assert np.corrcoef(area[first], area[second])[0, 1] > 0.3
    assert all(np.abs(pictures[a].astype(int) - pictures[b]).mean() > 2 for a, b in zip(first, second, strict=True))


def test_masks_cover_the_lesion(pictures, masks):
    for picture, mask in zip(pictures, masks, strict=True):
        middle = np.s_[20:100, 30:130]  # away from ruler, ink and vignette
        lesion, green = mask[middle] > 0, picture[middle][..., 1]
        assert 0.05 < (mask > 0).mean() < 0.45
        assert green[lesion].mean() < green[~lesion].mean() - 10


# --- what tells the classes ---


def test_every_texture_and_every_shape_serves_several_classes():
    textures, shapes = zip(*PHANTOM_CLASSES.values(), strict=True)
    assert len(set(PHANTOM_CLASSES.values())) == 7
    assert all(textures.count(name) >= 2 for name in TEXTURES)
    assert all(shapes.count(name) >= 2 for name in SHAPES)


def test_colours_hardly_tell_the_class(table, pictures):
    singles = [np.stack([np.bincount(p[..., c].ravel() // 32, minlength=8) for p in pictures]) for c in range(3)]
    code = (pictures // 64).astype(int) @ [16, 4, 1]
    joint = np.stack([np.bincount(c.ravel(), minlength=64) for c in code])
    probe = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=300))
    guess = cross_val_predict(
        probe, np.hstack([*singles, joint]), table["dx"], groups=table["lesion_id"], cv=GroupKFold(3)
    )
    assert balanced_accuracy_score(table["dx"], guess) < 0.3  # chance is 0.14; to know the texture alone gives 0.43


def test_age_sex_and_place_do_not_follow_the_class(table):
    ages = table.groupby("dx")["age"].mean()
    assert ages.max() - ages.min() < 25
    assert (table.groupby("dx")["localization"].nunique() > 2).all()


# --- the seed ---


def test_same_seed_same_bytes(root, tmp_path):
    again = draw_phantom_lesions(tmp_path / "again", IMAGES, seed=0)
    assert files_of(again) == files_of(root)


def test_another_seed_draws_another_lesion(monkeypatch):
    monkeypatch.setattr(phantoms, "_lesions", lambda images, seed: [("nv", 500_000, 1)])
    one, same, other = (next(phantoms._draw_all(IMAGES, seed))[1] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_more_images_add_lesions_and_change_none():
    few, many = ({index: dx for dx, index, _ in phantoms._lesions(images, seed=0)} for images in (IMAGES, 2 * IMAGES))
    assert few.items() < many.items()


# --- whole or absent ---


def test_a_finished_set_is_not_drawn_again(root, monkeypatch):
    monkeypatch.setattr(phantoms, "_write", lambda *_: pytest.fail("drawn again"))
    assert draw_phantom_lesions(root, IMAGES, seed=0) == root


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    saved = []

    def save_until_full(self, path, **options):
        saved.append(path)
        if len(saved) > 20:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save_until_full)
    with pytest.raises(WorkbookError, match="No space left on device"):
        draw_phantom_lesions(tmp_path / "set", IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_end_with_one_whole_set(root, tmp_path, monkeypatch):
    both_have_begun = Barrier(2, timeout=30)

    def copy_the_set(draft, spec):
        both_have_begun.wait()
        shutil.copytree(root, draft, dirs_exist_ok=True)

    monkeypatch.setattr(phantoms, "_write", copy_the_set)
    with ThreadPoolExecutor(2) as pool:
        drawn = list(pool.map(lambda _: draw_phantom_lesions(tmp_path / "set", IMAGES), range(2)))
    assert drawn == [tmp_path / "set"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert files_of(tmp_path / "set") == files_of(root)


@pytest.mark.parametrize("content", ["notes.txt", "phantom.json"])
def test_a_foreign_folder_is_left_alone(tmp_path, content):
    (tmp_path / content).write_text("mine")
    with pytest.raises(WorkbookFileError, match="choose another") as error:
        draw_phantom_lesions(tmp_path, IMAGES)
    assert str(tmp_path) in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [content]


def test_a_set_of_another_seed_is_not_overwritten(root):
    with pytest.raises(WorkbookFileError, match="'seed': 0"):
        draw_phantom_lesions(root, IMAGES, seed=1)


def test_an_empty_folder_is_drawn_into(tmp_path, root, monkeypatch):
    monkeypatch.setattr(phantoms, "_write", lambda draft, spec: shutil.copytree(root, draft, dirs_exist_ok=True))
    assert (draw_phantom_lesions(tmp_path, IMAGES) / "phantom.json").exists()


def test_no_larger_set_has_too_few_lesions():
    for images in range(least_images(), 2000):
        assert len(phantoms._views(phantoms._class_counts(images)["df"])) >= 6


def test_too_few_images_names_the_minimum(tmp_path):
    with pytest.raises(WorkbookValueError, match=str(least_images())):
        draw_phantom_lesions(tmp_path / "set", least_images() - 1)
    with pytest.raises(WorkbookValueError, match="negative"):
        draw_phantom_lesions(tmp_path / "set", IMAGES, seed=-1)
    assert list(tmp_path.iterdir()) == []
