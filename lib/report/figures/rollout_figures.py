"""Figures on what DCAL looks at (notebook 04): rollout by layer, heads, GLCA's tokens, networks side by side, measures.

On every image the dashed frame is the object's box and the circles are its visible parts, where the set tells them.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.evaluation.attention_measures import NAMES, coverage, entropy, share_in_box, shares
from lib.evaluation.attention_study import AttentionMaps, AttentionMeasures, estimate_attention
from lib.evaluation.test_images import TestImages
from lib.report.figures.forest import Interval, forest, forest_figure, with_intervals
from lib.report.figures.style import GREY, darkened, figure, legend_above, overlay, panels, picture, picture_grid
from lib.statistics.estimates import Estimate

WIDE, NARROWEST = 1.4, 5.5  # inches: an image in a figure, and a figure
REFERENCE_MAPS = {"even": ":", "centre": "--"}


def rollout_layers(images: TestImages, maps: AttentionMaps) -> Figure:
    """A row an image: the rollout of the class token through the first 1, 2, … layers."""
    titles = [[_peak(f"after layer {n}", heat) for heat in layer] for n, layer in enumerate(maps.rollouts, 1)]
    return _table(images, list(maps.rollouts), titles)


def single_heads(images: TestImages, maps: AttentionMaps) -> Figure:
    """What the class token attends to in each head (column) of each layer (row), on the first image."""
    first = maps.heads[:, 0]  # [L, H, h, w]
    depth, heads = first.shape[:2]
    with figure(*_size(images, heads, depth), images.is_phantom) as fig:
        for layer, row in enumerate(picture_grid(fig, depth, heads)):
            for head, ax in enumerate(row):
                heat = first[layer, head]
                _map_on(ax, images, 0, heat, _peak(f"layer {layer + 1}, head {head + 1}", heat))
    return fig


def selected_tokens(images: TestImages, maps: AttentionMaps) -> Figure:
    """A row an image: the rollout, the patches that GLCA selects by it, and what GLCA's class token attends to."""
    with figure(*_size(images, 4, len(images)), images.is_phantom) as fig:
        for i, row in enumerate(picture_grid(fig, len(images), 4)):
            selected = maps.selected[i] > 0
            picture(row[0], images.sharp[i], _class_of(images, i))
            _map_on(row[1], images, i, maps.rollout[i], _peak("rollout", maps.rollout[i]))
            title = f"selected: {selected.sum()} of {selected.size}"
            picture(row[2], darkened(images.sharp[i], selected), title)
            _mark(row[2], images, i)
            _map_on(row[3], images, i, maps.glca[i], _peak("GLCA", maps.glca[i]))
    return fig


def side_by_side(images: TestImages, rollouts: Mapping[str, np.ndarray]) -> Figure:
    """A row an image: the rollout [N, h, w] of each network; titles give its entropy, its coverage of the box and its share in it."""
    titles = []
    for name, maps in rollouts.items():
        of_box = zip(coverage(maps, images.truth.boxes), share_in_box(maps, images.truth.boxes), strict=True)
        inside = [f"\ncoverage {c:.2f}\nin the box {s:.2f}" if np.isfinite(s) else "" for c, s in of_box]
        titles.append([f"{name}\nentropy {e:.2f}{text}" for e, text in zip(entropy(maps), inside, strict=True)])
    return _table(images, list(rollouts.values()), titles)


def by_layer(
    layers: Mapping[str, Sequence[AttentionMeasures]],
    names: Sequence[str],
    reference: Mapping[str, AttentionMeasures],
    phantom: bool = False,
) -> Figure:
    """Measures of the rollout through the first 1, 2, … layers, with 95 % intervals; a line a network, in grey the
    reference maps."""
    rows, columns = -(-len(names) // 2), min(len(names), 2)
    with figure(5 * columns, 2.9 * rows + 0.4, phantom) as fig:
        axes = panels(fig, len(names), columns)
        for ax, measure in zip(axes, names, strict=True):
            for i, (name, sides) in enumerate(layers.items()):
                at = np.arange(1, len(sides) + 1) + 0.04 * (i - (len(layers) - 1) / 2)
                intervals = [Interval.of(estimate_attention(side, measure), 1) for side in sides]
                with_intervals(ax, at, intervals, i, name, "-")
            _reference_lines(ax.axhline, measure, reference)
            ax.set(xlabel="layers rolled out", ylabel=NAMES.get(measure, measure), title=measure.capitalize())
            ax.xaxis.get_major_locator().set_params(integer=True)
        legend_above(fig, axes[0])
    return fig


def measure_bars(
    networks: Mapping[str, AttentionMeasures], reference: Mapping[str, AttentionMeasures], phantom: bool = False
) -> Figure:
    """Each measure of each network's rollout with its 95 % interval; lines are the reference maps."""
    names = [name for name in NAMES if name in next(iter(networks.values())).values]
    rows, columns = -(-len(names) // 3), min(len(names), 3)
    with figure(2.5 * columns + 0.6, (0.35 * len(networks) + 1.1) * rows + 0.5, phantom) as fig:
        axes = panels(fig, len(names), columns, sharey=True)
        for ax, measure in zip(axes, names, strict=True):
            estimates = [estimate_attention(side, measure) for side in networks.values()]
            forest(ax, list(networks), {"": _noted(estimates, 1)})
            _reference_lines(ax.axvline, measure, reference)
            ax.set(xlabel=NAMES[measure], title=measure.capitalize())
            ax.margins(x=0.25)
            ax.locator_params(axis="x", nbins=4)
        legend_above(fig, axes[0])
    return fig


def part_shares(sides: Mapping[str, AttentionMeasures], parts: Sequence[str], phantom: bool = False) -> Figure:
    """The share of the rollout at each part alone, with 95 % intervals."""
    estimates = {name: [estimate_attention(side, f"at the {part}") for part in parts] for name, side in sides.items()}
    labels = {"xlabel": "share of the rollout at the part (%)", "title": "Which parts are looked at, 95 % intervals"}
    return forest_figure(parts, {name: _noted(of_side, 100) for name, of_side in estimates.items()}, phantom, **labels)


def _noted(estimates: Sequence[Estimate], unit: float) -> list[Interval | None]:
    return [Interval.of(estimate, unit, note=f"{unit * estimate.mean:.2f}") for estimate in estimates]


def _table(images: TestImages, columns: Sequence[np.ndarray], titles: Sequence[Sequence[str]]) -> Figure:
    """A row an image: itself, then each of `columns` [N, h, w] over it, under the column's title for the row."""
    lines = max(title.count("\n") + 1 for column in titles for title in column)
    with figure(*_size(images, 1 + len(columns), len(images), lines), images.is_phantom) as fig:
        for i, row in enumerate(picture_grid(fig, len(images), 1 + len(columns))):
            picture(row[0], images.sharp[i], _class_of(images, i))
            _mark(row[0], images, i)
            for ax, maps, column in zip(row[1:], columns, titles, strict=True):
                _map_on(ax, images, i, maps[i], column[i])
    return fig


def _size(images: TestImages, columns: int, rows: int, lines: int = 2) -> tuple[float, float]:
    """Width and height in inches of a grid of images under titles of `lines`, wide enough for the note at its foot."""
    height, width = images.config.size
    wide = max(WIDE * columns + 0.2, NARROWEST)
    return wide, ((wide - 0.2) / columns * height / width + 0.16 * lines + 0.1) * rows + 0.3


def _class_of(images: TestImages, i: int) -> str:
    return images.names()[i].replace("_", " ")


def _peak(title: str, heat: np.ndarray) -> str:
    """The title of a map, with how much more than an even share its greatest patch has. A head may leave nothing to the
    patches: the class token then attends to itself alone."""
    if not heat.any():
        return f"{title}\nnothing on patches"
    return f"{title}\nup to {shares(heat[None]).max() * heat.size:.3g} × even"


def _map_on(ax: Axes, images: TestImages, i: int, heat: np.ndarray, title: str) -> None:
    """A map over image `i`, with what is known of the image."""
    overlay(ax, images.sharp[i], heat, title)
    _mark(ax, images, i)


def _mark(ax: Axes, images: TestImages, i: int) -> None:
    """The box and the visible parts of image `i`."""
    height, width = images.sharp.shape[1:3]
    left, top, right, bottom = images.truth.boxes[i] * [width, height, width, height] - 0.5
    if np.isfinite(left):
        frame = {"fill": False, "ec": "white", "ls": (0, (3, 3)), "lw": 1}
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, **frame))
    x, y = (images.truth.places[i] * [width, height] - 0.5).T
    ax.scatter(x, y, s=22, facecolors="none", edgecolors="white", linewidths=1)


def _reference_lines(line: Callable[..., object], measure: str, reference: Mapping[str, AttentionMeasures]) -> None:
    for name, style in REFERENCE_MAPS.items():
        if measure in reference[name].values:
            mean = estimate_attention(reference[name], measure).mean
            line(mean, color=GREY, linestyle=style, linewidth=1.2, label=f"{name} map")
