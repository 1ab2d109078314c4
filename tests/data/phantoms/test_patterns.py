"""phantom-patterns: what starting weights are trained on, and that no tested set has any of it."""

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.data import DATASETS, load_dataset, split_rows
from lib.data.phantoms import lesion_drawing
from lib.data.phantoms.others.pattern_drawing import SHAPES, TEXTURES
from lib.data.phantoms.others.patterns import KINDS, draw_patterns, pattern
from lib.errors import WorkbookValueError

FEW = 96


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_dataset("phantom-patterns", tmp_path_factory.mktemp("data"), limit=FEW)


def test_the_real_sets_loader_reads_it(images):
    assert images.is_phantom
    assert DATASETS["phantom-patterns"].built_in
    assert images.classes == tuple(KINDS)
    assert set(images.counts) == {FEW // len(KINDS)}
    assert set(split_rows(images, "official")) == {"train", "val", "test"}


def test_a_picture_follows_from_its_kind_and_number_alone(images):
    drawn = pattern("rings_star", 1)
    assert np.array_equal(drawn.picture, pattern("rings_star", 1).picture)
    assert not np.array_equal(drawn.picture, pattern("rings_star", 1, seed=0).picture)
    file = images.rows["path"][images.rows["image_id"].str.contains("rings_star")].iloc[1]
    saved = np.asarray(Image.open(file), dtype=float)
    assert np.abs(saved - drawn.picture).mean() < 12  # but for what JPEG loses of the grain
    x, y, width, height = drawn.box
    assert min(x, y) >= 0
    assert x + width <= 160
    assert y + height <= 120


def test_too_few_are_refused(tmp_path):
    with pytest.raises(WorkbookValueError, match="95 images are too few for 4 of each of 24 kinds; ask for 96"):
        draw_patterns(tmp_path / "set", FEW - 1)


def spectrum(texture, turn=0.0):
    """Of a texture, turned, without its mean and of unit variance: complex [128, 128]."""
    y, x = np.mgrid[0:51.2:0.4, 0:51.2:0.4]
    values = texture(np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x)
    return np.fft.fft2((values - values.mean()) / values.std())


def likeness(first, second):
    """The largest correlation of two textures, however turned and shifted."""
    turned = (spectrum(second, turn) for turn in np.arange(0, np.pi, np.pi / 24))
    return max(np.fft.ifft2(spectrum(first) * other.conj()).real.max() / 128**2 for other in turned)


def test_no_texture_is_a_lesions():
    lesions = lesion_drawing.TEXTURES
    assert likeness(lesions["dots"], lesions["dots"]) > 0.99
    assert not {*TEXTURES} & {*lesions}
    for name, (texture, _) in TEXTURES.items():
        assert max(likeness(texture, other) for other in lesions.values()) < 0.75, name


def test_no_shape_is_a_lesions():
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)

    def closest(first, second):
        """The largest share of two outlines' areas that they have in common, however turned."""
        shifted = (np.roll(second, turn) for turn in range(0, 360, 3))
        return max(np.sum(np.minimum(first, other) ** 2) / np.sum(np.maximum(first, other) ** 2) for other in shifted)

    assert not {*SHAPES} & {*lesion_drawing.SHAPES}
    for name, shape in SHAPES.items():
        outline = shape(angle, np.random.default_rng(0))
        assert np.mean(outline**2) == pytest.approx(1, abs=0.02)  # the disc's area: size tells nothing
        for other, lesions in lesion_drawing.SHAPES.items():
            drawn = [lesions(angle, np.random.default_rng(seed)) for seed in range(5)]
            assert max(closest(outline, lesion) for lesion in drawn) < 0.92, (name, other)


def test_colours_alone_tell_nothing():
    kinds = ["rings_star", "weave_kite", "arrows_heart"]
    drawn = [(kind, pattern(kind, number).picture) for kind in kinds for number in range(30)]
    colours = [[*picture.mean((0, 1)), *picture.std((0, 1))] for _, picture in drawn]
    probe = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(probe, colours, [kind for kind, _ in drawn], cv=5).mean() < 0.5
