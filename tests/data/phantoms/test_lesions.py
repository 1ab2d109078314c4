"""phantom-lesions: HAM10000's layout and imbalance, classes that only texture × shape tells, whole or absent."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
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

from lib.data import DATASETS, datasets, load_dataset
from lib.data.phantoms import lesions
from lib.data.phantoms.camera import photograph
from lib.data.phantoms.lesion_drawing import BLOOD, HEIGHT, SHAPES, TEXTURES, WIDTH, coloured
from lib.data.phantoms.lesions import (
    CLINIC,
    HAM_IMAGES,
    LESIONS,
    PHANTOM_CLASSES,
    draw_phantoms,
    least_images,
)
from lib.data.sets.ham10000 import load_ham10000
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError

IMAGES = 700
LESION_COUNT = 530  # of these images
FIRST_THREE = [[216.46, 154.64, 149.03], [189.16, 134.78, 136.68], [198.66, 152.59, 140.58]]  # mean R, G, B


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return draw_phantoms(tmp_path_factory.mktemp("data") / "phantom-lesions", LESIONS, IMAGES, seed=0)


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
    counts = lesions._class_counts(images)
    assert sum(counts.values()) == images
    for count in counts.values():
        views = lesions._views(count)
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
    again = draw_phantoms(tmp_path / "again", LESIONS, IMAGES, seed=0)
    assert files_of(again) == files_of(root)


def test_another_seed_draws_another_lesion(monkeypatch):
    monkeypatch.setattr(lesions, "_lesions", lambda images, seed: [("nv", 500_000, 1)])
    one, same, other = (next(lesions._draw_all(LESIONS, IMAGES, seed))[1] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_more_images_add_lesions_and_change_none():
    few, many = ({index: dx for dx, index, _ in lesions._lesions(images, seed=0)} for images in (IMAGES, 2 * IMAGES))
    assert few.items() < many.items()


# --- what must not change: runs and drawn folders of former versions of the workbook ---


def test_phantom_lesions_are_drawn_as_ever(root, table):
    """Recorded before there was a second clinic. Means, because the last bit may differ between processors."""
    assert json.loads((root / "phantom.json").read_text()) == {
        "name": "phantom-lesions",
        "version": 1,
        "images": IMAGES,
        "seed": 0,
    }
    assert table["image_id"].tolist() == [f"ISIC_{9_000_000 + i}" for i in range(IMAGES)]
    assert table["lesion_id"].iloc[[0, -1]].tolist() == ["HAM_9000000", f"HAM_{9_000_000 + LESION_COUNT - 1}"]
    first = [picture.mean((0, 1)) for _, picture, _ in islice(lesions._draw_all(LESIONS, 600, 0), 3)]
    assert np.abs(np.subtract(first, FIRST_THREE)).max() < 0.05


# --- the second clinic ---


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Path:
    return draw_phantoms(tmp_path_factory.mktemp("data") / "phantom-clinic", CLINIC, IMAGES)


def pictures_of(root: Path) -> np.ndarray:
    rows = load_ham10000(root).rows
    return np.stack([np.asarray(Image.open(path)) for path in rows["path"]])


def test_the_clinics_share_no_id_no_lesion_and_no_image(root, clinic, monkeypatch):
    here, there = load_ham10000(root).rows, load_ham10000(clinic).rows
    assert not set(here["image_id"]) & set(there["image_id"])
    assert not set(here["group"]) & set(there["group"])
    drawn = {}
    for set_of in (LESIONS, replace(CLINIC, camera=LESIONS.camera)):  # the camera apart, the lesions are others too
        monkeypatch.setattr(lesions, "_person", lambda rng: ())
        drawn[set_of.name] = {m.tobytes() for _, _, m in lesions._draw_all(set_of, least_images(), set_of.seed)}
    assert not drawn["phantom-lesions"] & drawn["phantom-clinic"]
    files = [{Path(path).read_bytes() for path in rows["path"]} for rows in (here, there)]
    assert [len(each) for each in files] == [IMAGES, IMAGES]
    assert not files[0] & files[1]


def test_the_clinics_have_the_same_classes_imbalance_and_views(clinic, table):
    images = load_ham10000(clinic)
    assert images.counts.to_dict() == table["dx"].value_counts().reindex(images.classes).to_dict()
    views = [
        rows.groupby(key).size().value_counts().to_dict()
        for rows, key in ((images.rows, "group"), (table, "lesion_id"))
    ]
    assert views[0] == views[1]
    assert all(Path(mask).is_file() for mask in images.rows["mask"])
    assert json.loads((clinic / "phantom.json").read_text())["name"] == "phantom-clinic"


def test_the_cameras_are_told_apart_but_shift_every_class_alike(clinic, pictures, table):
    seen = pictures_of(clinic)
    colour = {name: each.mean((1, 2)) for name, each in (("here", pictures), ("there", seen))}
    warmth = {name: each[:, 0] - each[:, 2] for name, each in colour.items()}  # red less blue
    assert np.mean(warmth["there"].max() > warmth["here"]) < 0.35
    assert np.median(warmth["here"]) - np.median(warmth["there"]) > 30
    assert seen.std((1, 2)).mean() < 0.8 * pictures.std((1, 2)).mean()  # flatter
    dx = load_ham10000(clinic).rows["dx"].to_numpy()
    for name in PHANTOM_CLASSES:
        shift = colour["there"][dx == name].mean(0) - colour["here"][table["dx"] == name].mean(0)
        assert shift[0] < -20
        assert shift[2] > 5


def test_the_camera_moves_nothing_and_draws_from_its_generator():
    picture = np.full((60, 80, 3), 200, np.uint8)
    picture[20:40, 30:50] = 60
    first, same, other = (photograph(picture, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    grey = first.mean(2)
    dark = grey < (grey[25:35, 35:45].mean() + grey[:10].mean()) / 2
    assert np.abs(dark[18:42, 28:52].sum() - 400) < 60
    assert grey[25:35, 5:15].mean() > grey[25:35, 65:75].mean()  # the lamp stands to the left
    assert grey[30, 10:15].mean() > grey[:3, :3].mean()  # darker corners


def test_both_clinics_load_by_name_as_phantoms(root, clinic, monkeypatch):
    drawn = {"phantom-lesions": root, "phantom-clinic": clinic}
    monkeypatch.setattr(datasets, "draw_phantoms", lambda root, clinic, images: drawn[clinic.name])
    for name in drawn:
        images = load_dataset(name)
        assert (images.name, images.is_phantom, DATASETS[name].built_in) == (name, True, True)
        assert len(images.rows) == IMAGES


# --- whole or absent ---


def test_a_finished_set_is_not_drawn_again(root, monkeypatch):
    monkeypatch.setattr(lesions, "_write", lambda *_: pytest.fail("drawn again"))
    assert draw_phantoms(root, LESIONS, IMAGES, seed=0) == root


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    saved = []

    def save_until_full(self, path, **options):
        saved.append(path)
        if len(saved) > 20:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save_until_full)
    with pytest.raises(WorkbookError, match="No space left on device"):
        draw_phantoms(tmp_path / "set", LESIONS, IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_end_with_one_whole_set(root, tmp_path, monkeypatch):
    both_have_begun = Barrier(2, timeout=30)

    def copy_the_set(draft, *_):
        both_have_begun.wait()
        shutil.copytree(root, draft, dirs_exist_ok=True)

    monkeypatch.setattr(lesions, "_write", copy_the_set)
    with ThreadPoolExecutor(2) as pool:
        drawn = list(pool.map(lambda _: draw_phantoms(tmp_path / "set", LESIONS, IMAGES), range(2)))
    assert drawn == [tmp_path / "set"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert files_of(tmp_path / "set") == files_of(root)


@pytest.mark.parametrize("content", ["notes.txt", "phantom.json"])
def test_a_foreign_folder_is_left_alone(tmp_path, content):
    (tmp_path / content).write_text("mine")
    with pytest.raises(WorkbookFileError, match="choose another") as error:
        draw_phantoms(tmp_path, LESIONS, IMAGES)
    assert str(tmp_path) in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [content]


def test_a_set_of_another_seed_is_not_overwritten(root):
    with pytest.raises(WorkbookFileError, match="'seed': 0"):
        draw_phantoms(root, LESIONS, IMAGES, seed=1)


def test_an_empty_folder_is_drawn_into(tmp_path, root, monkeypatch):
    monkeypatch.setattr(lesions, "_write", lambda draft, *_: shutil.copytree(root, draft, dirs_exist_ok=True))
    assert (draw_phantoms(tmp_path, LESIONS, IMAGES) / "phantom.json").exists()


def test_no_larger_set_has_too_few_lesions():
    for images in range(least_images(), 2000):
        assert len(lesions._views(lesions._class_counts(images)["df"])) >= 6


def test_too_few_images_names_the_minimum(tmp_path):
    with pytest.raises(WorkbookValueError, match=str(least_images())):
        draw_phantoms(tmp_path / "set", LESIONS, least_images() - 1)
    with pytest.raises(WorkbookValueError, match="negative"):
        draw_phantoms(tmp_path / "set", LESIONS, IMAGES, seed=-1)
    assert list(tmp_path.iterdir()) == []


def test_colours_plane_by_plane_are_those_of_single_pixels():
    layer = np.random.default_rng(0).random((HEIGHT, WIDTH), dtype=np.float32)
    found = coloured(layer, BLOOD)
    assert found.dtype == np.float32
    assert np.array_equal(found, layer[..., None] * BLOOD)
