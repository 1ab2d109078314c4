"""Several models or methods side by side on one image, with what they answer and where the object is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lib.errors import WorkbookValueError, unknown
from lib.evaluation.test_images import TestImages
from lib.explain.views import packing
from lib.explain.views.view import View, plain
from lib.explain.views.view_images import ViewImages, view_images
from lib.mapped import is_even
from lib.report.figures.style import figure, overlay, picture, picture_grid

DIMENSIONS = {3: "[N, h, w]"}
OUTLINE = 112  # positions, the longer side of a mask in a view
BARS = 5  # classes with the greatest probability
COLUMNS = 6  # of the static picture
EVEN = "Even everywhere: it tells no place."
CAPTION = "The same image under several maps: choose the image, and how much of it shines through."


def compare_maps(
    images: TestImages | np.ndarray,
    maps: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray] | None = None,
    classes: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
    masks: np.ndarray | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    names: Sequence[str] | None = None,
    caption: str = CAPTION,
    phantom: bool | None = None,
) -> View:
    """A view of several maps of the same image, a panel a map; the image is chosen by its thumbnail. At most 24 images.

    Above 500 kB, maps are shown as means of cells, the largest ones first, and the view tells so.

    Args:
        images: `TestImages`, of which the classes, labels, masks and names follow; or what the networks saw, uint8
            [N, H, W, 3], of which they may be given.
        maps: by model or method, [N, h, w]; each is coloured from its least to its greatest value.
        probabilities: by model, [N, K]: shown as bars, in the panel of the same name or else in one of their own.
        classes, labels, masks, names, phantom: see `ViewImages`. The true class is marked among the bars, the object
            drawn as an outline.
        texts: by panel, a line of text an image, such as its scores.
        caption: one sentence; the alternative text too.

    Raises:
        WorkbookValueError: arrays that do not fit each other.
    """
    probabilities, texts = probabilities or {}, texts or {}
    images = view_images(images, probabilities, names, classes=classes, labels=labels, masks=masks, phantom=phantom)
    n = len(images.names)
    maps = {str(name): packing.checked_map(str(name), values, n, DIMENSIONS) for name, values in maps.items()}
    if not maps:
        raise WorkbookValueError("There are no maps to compare: give at least one, by name.")
    _check_texts(n, texts, {**maps, **probabilities})
    count, grids = min(n, packing.MOST_IMAGES), [values.shape[1:] for values in maps.values()]
    longest = packing.longest_that_fits(
        max(map(max, grids)), lambda side: count * sum(math.prod(packing.grid_within(grid, side)) for grid in grids)
    )
    packed = packing.Packed()
    panels: dict[str, dict[str, Any]] = {
        name: {"place": packed.add(packing.pooled(values[:count], longest))} for name, values in maps.items()
    }
    for name, p in probabilities.items():
        panels.setdefault(name, {})["bars"] = _ranked(p, images.labels)[:count]
    for name, values in maps.items():
        even = is_even(values[:count].min((1, 2)), values[:count].max((1, 2)))
        if even.any():
            panels[name]["texts"] = np.where(even, EVEN, "").tolist()
    for name, lines in texts.items():
        told = panels[name].get("texts", [""] * count)
        panels[name]["texts"] = [f"{line} {own}".strip() for line, own in zip(lines[:count], told, strict=True)]
    data = _described(images, count) | {
        "panels": [{"name": name, **panel} for name, panel in panels.items()],
        "maps": packed.count,
    }
    left_out = [*packing.coarser_maps(grids, longest), *packing.left_out_images(count, n)]
    return View("save comparison", data, _still(images, maps), caption, packed.bytes(), left_out, images.phantom)


def _described(images: ViewImages, count: int) -> dict[str, Any]:
    """What the script has to know of the first `count` images."""
    labels, masks = images.labels, images.masks
    return {
        "images": packing.pictures(images.pixels[:count], images.names[:count]),
        "classes": [str(name) for name in images.classes],
        "labels": None if labels is None else [int(label) for label in labels[:count]],
        "outlines": None if masks is None else [outline(mask) for mask in masks[:count]],
        "colours": packing.colour_stops(),
    }


def outline(mask: np.ndarray) -> list[list[float]]:
    """The border of `mask` [H, W] as straight pieces [x, y, x, y], as shares of its sides; fine detail is smoothed."""
    step = max(1, -(-max(mask.shape) // OUTLINE))
    top, left = (min(step // 2, side - 1) for side in mask.shape)
    inside = np.pad(mask[top::step, left::step], 1)
    height, width = (side - 2 for side in inside.shape)
    pieces = []
    for y, x in np.argwhere(inside[1:, :] != inside[:-1, :]):  # horizontal, below row y − 1 of the mask
        pieces.append([(x - 1) / width, y / height, x / width, y / height])
    for y, x in np.argwhere(inside[:, 1:] != inside[:, :-1]):
        pieces.append([x / width, (y - 1) / height, x / width, y / height])
    return [[round(float(at), 4) for at in piece] for piece in pieces]


def _ranked(p: np.ndarray, labels: Sequence[int] | None) -> list[list[list[float]]]:
    """[class, probability] of the likeliest classes of each image, the true one always among them."""
    p = np.asarray(p)
    best = np.argsort(-p, axis=1, kind="stable")[:, :BARS].tolist()
    for i, label in enumerate(() if labels is None else labels):
        if label not in best[i]:
            best[i][-1] = int(label)
    return [[[k, round(float(row[k]), 4)] for k in kinds] for row, kinds in zip(p, best, strict=True)]


def _check_texts(n: int, texts: Mapping[str, Sequence[str]], panels: Mapping[str, object]) -> None:
    for name, lines in texts.items():
        if name not in panels:
            raise unknown("panel", name, panels)
        if len(lines) != n:
            raise WorkbookValueError(f"{name!r} has {len(lines)} lines of text for {n} images: give one each.")


def _still(images: ViewImages, maps: Mapping[str, np.ndarray]) -> Figure:
    """The first image, and over it each map."""
    image = images.pixels[0]
    rows, columns = -(-(1 + len(maps)) // COLUMNS), min(1 + len(maps), COLUMNS)
    with figure(1.75 * columns, (1.75 * image.shape[0] / image.shape[1] + 0.4) * rows, images.phantom) as fig:
        axes = picture_grid(fig, rows, columns).ravel()
        picture(axes[0], image, plain(images.names[0]))
        for ax, (panel, heat) in zip(axes[1:], maps.items(), strict=False):
            overlay(ax, image, heat[0], plain(panel))
    return fig
