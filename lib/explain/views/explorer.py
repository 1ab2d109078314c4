"""The attention explorer: image, model, map, layer, head, and the position that asks, each chosen by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lib.errors import WorkbookValueError
from lib.explain.views.packing import (
    MOST_BYTES,
    MOST_IMAGES,
    Packed,
    checked_images,
    checked_map,
    checked_names,
    coarser_maps,
    colour_stops,
    grid_within,
    left_out_images,
    longest_that_fits,
    pictures,
    pooled,
)
from lib.explain.views.view import View, plain
from lib.report.figures.style import figure, grid_of, overlay, picture

DIMENSIONS = {3: "[N, h, w]", 4: "[N, heads, h, w]", 6: "[N, heads, rows, columns, h, w]"}
COARSEST = 28  # positions, the longer side of a map that is made coarser
FEWEST = 4  # rows and columns of positions that ask, at least
MOST_STILLS = 6  # maps in the static picture
CAPTION = "Where the network looks: choose the image, the map, the layer and the position that asks."

# One array is one layer; a sequence is layers 1, 2, …; a mapping names its layers.
Layers = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]


def explore(
    images: np.ndarray,
    maps: Mapping[str, Mapping[str, Layers]],
    names: Sequence[str] | None = None,
    caption: str = CAPTION,
    phantom: bool = False,
) -> View:
    """A view of attention that a person plays with: layers by slider, the position that asks by click or arrow keys.

    ::

        explore(pixels, {"DCAL": {"rollout": [after_1, after_2, after_3], "attention of a patch": attention}})

    Args:
        images: what the networks saw, uint8 [N, H, W, 3]; any size, the field of view is the maps'.
        maps: by model, then by kind, then by layer: [N, h, w]; [N, heads, h, w]; or [N, heads, rows, columns, h, w],
            what the position (row, column) pays to each of h × w positions. Of several heads their mean is offered too.
            Each map is coloured from its least to its greatest value, which stand at its scale.
        names: of the images; their true and predicted class, say.
        caption: one sentence; the alternative text too.
        phantom: the images are drawn by the workbook, and the view says so.

    At most 24 images are kept. Above 500 kB, maps are shown as means of cells, and then some are left out: positions that
    ask, single heads, images, layers in turn. The view tells so.

    Raises:
        WorkbookValueError: arrays that do not fit each other, or too many maps of a single image.
    """
    images = checked_images(images)
    names = checked_names(names, images)
    layers = [layer for model, kinds in maps.items() for layer in _layers_of(model, kinds, images)]
    if not layers:
        raise WorkbookValueError("There are no maps to look at: give at least one model with one kind of map.")
    layers, count, left_out = fitted(layers, len(images))
    packed = Packed.empty()
    tree: dict[str, dict[str, list]] = {}
    for layer in layers:
        tree.setdefault(layer.model, {}).setdefault(layer.kind, []).append(layer.described(packed, count))
    models = [
        {"name": model, "kinds": [{"name": kind, "layers": found} for kind, found in kinds.items()]}
        for model, kinds in tree.items()
    ]
    data = {
        "images": pictures(images[:count], names[:count]),
        "colours": colour_stops(),
        "maps": packed.count,
        "models": models,
    }
    still = _still(images[0], names[0], layers, phantom)
    return View("explorer", data, still, caption, packed.bytes(), left_out, phantom)


@dataclass(frozen=True)
class Layer:
    """Maps of one layer, [N, heads, rows, columns, h, w]; without positions that ask, rows and columns are 1."""

    model: str
    kind: str
    name: str
    maps: np.ndarray
    heads: tuple[str, ...]
    asked: bool  # by a position
    step: int = 1  # every so many rows and columns of positions that ask are kept

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a map."""
        return self.maps.shape[4:]

    @property
    def kept(self) -> tuple[range, range]:
        """The rows and columns whose attention is kept: the middle of each `step`."""
        rows, columns = (range(min(self.step // 2, side - 1), side, self.step) for side in self.maps.shape[2:4])
        return rows, columns

    def bytes(self, images: int) -> int:
        rows, columns = self.kept
        return images * len(self.heads) * len(rows) * len(columns) * math.prod(self.grid)

    def described(self, packed: Packed, images: int) -> dict[str, Any]:
        """Put the maps of the first `images` into `packed`; returns what the script has to know."""
        rows, columns = self.kept
        place = packed.add(self.maps[:images, : len(self.heads)][:, :, list(rows)][:, :, :, list(columns)])
        queries = {"rows": [*rows], "columns": [*columns], "of": [*self.maps.shape[2:4]]} if self.asked else None
        return {"name": self.name, "heads": list(self.heads), "queries": queries, **place}


def _layers_of(model: str, kinds: Mapping[str, Layers], images: np.ndarray) -> list[Layer]:
    found = []
    for kind, layers in kinds.items():
        if isinstance(layers, np.ndarray):
            layers = {"": layers}
        elif not isinstance(layers, Mapping):
            layers = {f"layer {n}": each for n, each in enumerate(layers, 1)}
        for name, values in layers.items():
            values = checked_map(
                " ".join(str(part) for part in (model, kind, name) if part != ""), values, images, DIMENSIONS
            )
            asked, heads = values.ndim == 6, values.shape[1] if values.ndim > 3 else 1
            values = values.reshape(len(values), heads, *(values.shape[2:4] if asked else (1, 1)), *values.shape[-2:])
            labels: tuple[str, ...] = ("",)
            if heads > 1:
                values = np.concatenate([values.mean(axis=1, keepdims=True), values], axis=1)
                labels = ("mean of all", *(str(n) for n in range(1, heads + 1)))
            found.append(Layer(str(model), str(kind), str(name), values, labels, asked))
    return found


def fitted(layers: list[Layer], images: int) -> tuple[list[Layer], int, list[str]]:
    """Layers and number of images that fit into a view, and what was left out for it, in words."""
    count, left_out, grids = min(images, MOST_IMAGES), {}, [layer.grid for layer in layers]
    maps = [layer.bytes(count) // math.prod(layer.grid) for layer in layers]  # of each layer
    longest = longest_that_fits(
        max(map(max, grids)),
        lambda side: sum(n * math.prod(grid_within(grid, side)) for n, grid in zip(maps, grids, strict=True)),
        COARSEST,
    )
    layers = [replace(layer, maps=pooled(layer.maps, longest)) for layer in layers]

    def too_large() -> bool:
        return sum(layer.bytes(count) for layer in layers) > MOST_BYTES

    widest = max((max(layer.maps.shape[2:4]) for layer in layers if layer.asked), default=1)
    for step in range(2, widest // FEWEST + 1):
        if too_large():
            layers = [replace(layer, step=step) if layer.asked else layer for layer in layers]
            left_out["asks"] = f"Of the positions that ask, one row and one column in {step} are kept."
        if step == 2 and too_large() and any(layer.asked and len(layer.heads) > 1 for layer in layers):
            layers = [replace(layer, heads=layer.heads[:1]) if layer.asked else layer for layer in layers]
            left_out["heads"] = "Left out: single heads of what a position attends to; their mean is kept."
    while too_large() and count > 1:
        count -= 1
    while too_large() and len(fewer := _every_second(layers)) < len(layers):
        layers = fewer
        left_out["layers"] = "Left out: some of the layers."
    if too_large():
        size = sum(layer.bytes(count) for layer in layers)
        raise WorkbookValueError(
            f"The maps of a single image take {size / 1000:.0f} kB, and a view holds {MOST_BYTES / 1000:.0f} kB: "
            "give fewer models or kinds of map."
        )
    return layers, count, [*coarser_maps(grids, longest), *left_out.values(), *left_out_images(count, images)]


def _every_second(layers: list[Layer]) -> list[Layer]:
    """Every second layer of each kind, the last one among them."""
    kinds: dict[tuple[str, str], list[Layer]] = {}
    for layer in layers:
        kinds.setdefault((layer.model, layer.kind), []).append(layer)
    return [layer for kind in kinds.values() for layer in kind[::-1][::2][::-1]]


def _still(image: np.ndarray, name: str, layers: Sequence[Layer], phantom: bool) -> Figure:
    """The first image, and over it some maps of the first kind, evenly through the depth."""
    first = [layer for layer in layers if (layer.model, layer.kind) == (layers[0].model, layers[0].kind)]
    chosen = [first[round(i)] for i in np.linspace(0, len(first) - 1, min(len(first), MOST_STILLS))]
    with figure(1.75 * (1 + len(chosen)), 1.9 * image.shape[0] / image.shape[1] + 0.5, phantom) as fig:
        axes = grid_of(fig, 1, 1 + len(chosen))[0]
        picture(axes[0], image, plain(name))
        for ax, layer in zip(axes[1:], chosen, strict=True):
            row, column = (side // 2 for side in layer.maps.shape[2:4])
            overlay(ax, image, layer.maps[0, 0, row, column], plain(f"{layer.kind}\n{layer.name}".strip()))
    return fig
