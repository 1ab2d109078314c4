"""The attention explorer: image, model, map, layer, head, and the query position, each chosen by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lib.errors import WorkbookValueError
from lib.evaluation.test_images import TestImages
from lib.explain.views import packing
from lib.explain.views.view import View, plain
from lib.explain.views.view_images import ViewImages, view_images
from lib.mapped import EVERY, Every
from lib.report.figures.style import figure, overlay, picture, picture_grid

DIMENSIONS = {3: "[N, h, w]", 4: "[N, heads, h, w]", 6: "[N, heads, rows, columns, h, w]"}
COARSEST = 28  # positions, the longer side of a map that is made coarser
FEWEST = 4  # rows and columns of query positions, at least
MOST_STILLS = 6  # maps in the static picture
CAPTION = "Where the network looks: choose the image, the map, the layer and the query position."

# One array is one layer; a sequence is layers 1, 2, …; a mapping names its layers.
Layers = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]


def explore(
    images: TestImages | np.ndarray,
    maps: Mapping[str, Mapping[str, Layers]],
    names: Sequence[str] | None = None,
    caption: str = CAPTION,
    phantom: bool | None = None,
) -> View:
    """A view of attention that a person plays with: layers by slider, the query position by click or arrow keys.

    ::

        explore(pixels, {"DCAL": {"rollout": [after_1, after_2, after_3], "attention of a patch": attention}})

    Args:
        images: `TestImages`, which know the other things themselves; or what the networks saw, uint8 [N, H, W, 3] of any
            size: the field of view is the maps'.
        maps: by model, then by kind, then by layer: [N, h, w]; [N, heads, h, w]; or [N, heads, rows, columns, h, w],
            what the position (row, column) pays to each of h × w positions. Of several heads their mean is offered too.
            Each map is coloured from its least to its greatest value, which stand at its scale.
        names: of the images; their true and predicted class, say.
        caption: one sentence; the alternative text too.
        phantom: the images are drawn by the workbook, and the view says so.

    At most 24 images are kept. Above 500 kB, maps are shown as means of cells, and then some are left out: query
    positions, single heads, images, layers in turn. The view tells so.

    Raises:
        WorkbookValueError: arrays that do not fit each other, or too many maps of a single image.
    """
    images = view_images(images, names=names, phantom=phantom)
    layers = [layer for model, kinds in maps.items() for layer in _layers_of(model, kinds, len(images.names))]
    return explorer(images, layers, caption)


def explorer(images: ViewImages, layers: Sequence[Layer], caption: str) -> View:
    """As `explore`, of layers whose maps are read when it is known which of them the view holds."""
    if not layers:
        raise WorkbookValueError("There are no maps to look at: give at least one model with one kind of map.")
    layers, count, left_out = fitted(layers, len(images.names))
    values = [layer.values(count) for layer in layers]
    packed = packing.Packed()
    tree: dict[str, dict[str, list]] = {}
    for layer, maps in zip(layers, values, strict=True):
        tree.setdefault(layer.model, {}).setdefault(layer.kind, []).append(layer.described() | packed.add(maps))
    models = [
        {"name": model, "kinds": [{"name": kind, "layers": described} for kind, described in kinds.items()]}
        for model, kinds in tree.items()
    ]
    data = {
        "images": packing.pictures(images.pixels[:count], images.names[:count]),
        "colours": packing.colour_stops(),
        "maps": packed.count,
        "models": models,
    }
    first = [(layer, maps) for layer, maps in zip(layers, values, strict=True) if layer.is_beside(layers[0])]
    return View("save explorer", data, _still(images, first), caption, packed.bytes(), left_out, images.phantom)


@dataclass(frozen=True)
class Layer:
    """Maps of one layer, and how to read those that a view holds."""

    model: str
    kind: str
    name: str
    heads: int
    queries: tuple[int, int] | None  # rows and columns of query positions; None where no position is a query
    size: tuple[int, int]  # rows and columns of a map
    # (query positions, images) → [images, heads, rows, columns, h, w]; without query positions, one row and column
    read: Callable[[Every, int], np.ndarray]
    single_heads: bool = True  # beside their mean
    longest: int | None = None  # side of a map in the view
    every: Every = EVERY

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a map in the view."""
        return self.size if self.longest is None else packing.grid_within(self.size, self.longest)

    @property
    def kept(self) -> tuple[range, range]:
        """The rows and columns of query positions whose attention is kept."""
        rows, columns = (self.every.of(side) for side in self.queries or (1, 1))
        return rows, columns

    @property
    def labels(self) -> list[str]:
        """What there is to choose from: the mean of several heads, and each of them."""
        if self.heads == 1:
            return [""]
        return ["mean of all", *(str(n) for n in range(1, self.heads + 1) if self.single_heads)]

    def is_beside(self, other: Layer) -> bool:
        """Whether both are layers of the same kind of map."""
        return (self.model, self.kind) == (other.model, other.kind)

    def bytes(self, images: int) -> int:
        """Bytes that the maps of so many images take in the view, of all labels and query positions kept: one a value."""
        rows, columns = self.kept
        return images * len(self.labels) * len(rows) * len(columns) * math.prod(self.grid)

    def values(self, images: int) -> np.ndarray:
        """The maps of the first `images` that the view holds, [images, labels, rows, columns, *grid]"""
        heads = self.read(self.every, images)
        if self.heads > 1:
            mean = heads.mean(axis=1, keepdims=True)
            heads = np.concatenate([mean, heads], axis=1) if self.single_heads else mean
        return heads if self.longest is None else packing.pooled(heads, self.longest)

    def described(self) -> dict[str, Any]:
        """What the script has to know, beside the place of the maps."""
        rows, columns = self.kept
        queries = {"rows": [*rows], "columns": [*columns], "of": [*self.queries]} if self.queries else None
        return {"name": self.name, "heads": self.labels, "queries": queries}


def array_layer(model: str, kind: str, name: str, values: np.ndarray, images: int) -> Layer:
    """A layer whose maps of so many images are `values`, of any of `DIMENSIONS`.

    Raises:
        WorkbookValueError: they are of another shape, or not finite.
    """
    title = " ".join(part for part in (model, kind, name) if part)
    values = packing.checked_map(title, values, images, DIMENSIONS)
    heads, queries = values.shape[1] if values.ndim > 3 else 1, values.shape[2:4] if values.ndim == 6 else None
    values = values.reshape(len(values), heads, *(queries or (1, 1)), *values.shape[-2:])

    def read(every: Every, count: int) -> np.ndarray:
        rows, columns = (every.of(side) for side in values.shape[2:4])
        return values[:count, :, rows.start :: rows.step, columns.start :: columns.step]

    return Layer(model, kind, name, heads, queries, values.shape[-2:], read)


def _layers_of(model: str, kinds: Mapping[str, Layers], images: int) -> Iterable[Layer]:
    for kind, layers in kinds.items():
        if isinstance(layers, np.ndarray):
            layers = {"": layers}
        elif not isinstance(layers, Mapping):
            layers = {f"layer {n}": values for n, values in enumerate(layers, 1)}
        for name, values in layers.items():
            yield array_layer(str(model), str(kind), str(name), values, images)


def fitted(layers: Sequence[Layer], images: int) -> tuple[list[Layer], int, list[str]]:
    """Layers and number of images that fit into a view, and what was left out for it, in words."""
    count, left_out, sizes = min(images, packing.MOST_IMAGES), {}, [layer.size for layer in layers]
    longest = packing.longest_that_fits(
        max(map(max, sizes)),
        lambda side: sum(replace(layer, longest=side).bytes(count) for layer in layers),
        COARSEST,
    )
    layers = [replace(layer, longest=longest) for layer in layers]

    def too_large() -> bool:
        return sum(layer.bytes(count) for layer in layers) > packing.MOST_BYTES

    widest = max((max(layer.queries) for layer in layers if layer.queries), default=1)
    for step in range(2, widest // FEWEST + 1):
        if too_large():
            layers = [replace(layer, every=Every(step)) if layer.queries else layer for layer in layers]
            left_out["queries"] = f"Of the query positions, one row and one column in {step} are kept."
        if step == 2 and too_large() and any(layer.queries and layer.heads > 1 for layer in layers):
            layers = [replace(layer, single_heads=False) if layer.queries else layer for layer in layers]
            left_out["heads"] = "Left out: single heads of what a position attends to; their mean is kept."
    while too_large() and count > 1:
        count -= 1
    while too_large() and len(fewer := _every_second(layers)) < len(layers):
        layers = fewer
        left_out["layers"] = "Left out: some of the layers."
    if too_large():
        size = sum(layer.bytes(count) for layer in layers)
        raise WorkbookValueError(
            f"The maps of a single image take {size / 1000:.0f} kB, and a view holds {packing.MOST_BYTES / 1000:.0f} kB: "
            "give fewer models or kinds of map."
        )
    return (
        layers,
        count,
        [*packing.coarser_maps(sizes, longest), *left_out.values(), *packing.left_out_images(count, images)],
    )


def _every_second(layers: Sequence[Layer]) -> list[Layer]:
    """Every second layer of each kind, the last one among them."""
    kinds: dict[tuple[str, str], list[Layer]] = {}
    for layer in layers:
        kinds.setdefault((layer.model, layer.kind), []).append(layer)
    return [layer for kind in kinds.values() for layer in kind[::-1][::2][::-1]]


def _still(images: ViewImages, maps: Sequence[tuple[Layer, np.ndarray]]) -> Figure:
    """The first image, and over it some of the `maps` of one kind, evenly through the depth."""
    image = images.pixels[0]
    chosen = [maps[round(i)] for i in np.linspace(0, len(maps) - 1, min(len(maps), MOST_STILLS))]
    with figure(1.75 * (1 + len(chosen)), 1.9 * image.shape[0] / image.shape[1] + 0.5, images.phantom) as fig:
        axes = picture_grid(fig, 1, 1 + len(chosen))[0]
        picture(axes[0], image, plain(images.names[0]))
        for ax, (layer, values) in zip(axes[1:], chosen, strict=True):
            row, column = (side // 2 for side in values.shape[2:4])
            overlay(ax, image, values[0, 0, row, column], plain(f"{layer.kind}\n{layer.name}".strip()))
    return fig
