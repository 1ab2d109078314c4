"""Figures on what DCAL looks at (notebook 04): rollout by layer, heads, GLCA's tokens, networks side by side, measures.

On every image the dashed frame is the object's box and the circles are its visible parts, where the set tells them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.data import centre_view, decode, stored_size
from lib.evaluation.attention_measures import NAMES, coverage, entropy, share_in_box, shares
from lib.evaluation.attention_study import AttentionMeasures, Subjects, estimate_attention
from lib.report.figures.style import GREY, bars_with_intervals, figure, grid_of, overlay, picture

SHOWN = 200  # pixels, the height of an image in a figure
WIDE, NARROWEST = 1.4, 5.5  # inches: an image in a figure, and a figure
REFERENCE_MAPS = {"even": ":", "centre": "--"}
Maps = Mapping[str, np.ndarray]


def rollout_layers(subjects: Subjects, maps: Maps, chosen: Sequence[int]) -> Figure:
    """A row an image: the rollout of the class token through the first 1, 2, … layers."""
    layers = [name for name in maps if name.startswith("rollout_layer_")]
    titles = [[_peak(f"after layer {name.rsplit('_', 1)[1]}", maps[name][i]) for i in chosen] for name in layers]
    return _table(subjects, chosen, [maps[name] for name in layers], titles)


def single_heads(subjects: Subjects, maps: Maps, one: int) -> Figure:
    """What the class token attends to in each head (column) of each layer (row), on one image."""
    names = [name for name in maps if "_head_" in name]
    layers = list(dict.fromkeys(name.split("_head_")[0] for name in names))
    view = view_of(subjects, one)
    with figure(*_size(view, len(names) // len(layers), len(layers)), subjects.images.is_phantom) as fig:
        for layer, row in zip(layers, grid_of(fig, len(layers), len(names) // len(layers)), strict=True):
            for ax, name in zip(row, [n for n in names if n.startswith(f"{layer}_")], strict=True):
                title = _peak(name.replace("_", " ").replace(" head", ", head"), maps[name][one])
                _looked_at(ax, view, subjects, one, maps[name][one], title)
    return fig


def selected_tokens(subjects: Subjects, maps: Maps, chosen: Sequence[int]) -> Figure:
    """A row an image: the rollout, the patches that GLCA selects by it, and what GLCA's class token attends to."""
    with figure(*_size(view_of(subjects, chosen[0]), 4, len(chosen)), subjects.images.is_phantom) as fig:
        for i, row in zip(chosen, grid_of(fig, len(chosen), 4), strict=True):
            view, found = view_of(subjects, i), maps["glca_selected"][i] > 0
            picture(row[0], view, _kind(subjects, i))
            _looked_at(row[1], view, subjects, i, maps["rollout"][i], _peak("rollout", maps["rollout"][i]))
            _patches(row[2], view, found)
            _mark(row[2], subjects, i, view.shape)
            row[2].set_title(f"selected: {found.sum()} of {found.size}", fontsize=9, fontweight="normal", loc="center")
            _looked_at(row[3], view, subjects, i, maps["glca_attention"][i], _peak("GLCA", maps["glca_attention"][i]))
    return fig


def side_by_side(subjects: Subjects, rollouts: Maps, chosen: Sequence[int]) -> Figure:
    """A row an image: the rollout of each network; titles give its entropy, its coverage of the box and its share in it."""
    boxes = subjects.truth.boxes[list(chosen)]
    titles = []
    for name, each in rollouts.items():
        of = each[list(chosen)]
        told = [f"{name}\nentropy {e:.2f}" for e in entropy(of)]
        both_of_box = zip(coverage(of, boxes), share_in_box(of, boxes), strict=True)
        inside = [f"\ncoverage {c:.2f}\nin the box {s:.2f}" if np.isfinite(s) else "" for c, s in both_of_box]
        titles.append(["".join(both) for both in zip(told, inside, strict=True)])
    return _table(subjects, chosen, list(rollouts.values()), titles)


def by_layer(
    layers: Mapping[str, Sequence[AttentionMeasures]],
    names: Sequence[str],
    floors: Mapping[str, AttentionMeasures],
    phantom: bool = False,
) -> Figure:
    """Measures of the rollout through the first 1, 2, … layers, with 95 % intervals; a line a network, floors grey."""
    rows, columns = -(-len(names) // 2), min(len(names), 2)
    with figure(5 * columns, 2.9 * rows + 0.4, phantom) as fig:
        axes = _grid_for(fig, names, rows, columns)
        for ax, measure in zip(axes, names, strict=True):
            for i, (name, each) in enumerate(layers.items()):
                found = [estimate_attention(side, measure) for side in each]
                at = np.arange(1, len(each) + 1) + 0.04 * (i - (len(layers) - 1) / 2)
                spans = np.clip([[e.mean - e.low for e in found], [e.high - e.mean for e in found]], 0, None)
                ax.errorbar(at, [e.mean for e in found], spans, marker="os^D"[i % 4], capsize=3, label=name)
            _floor_lines(ax.axhline, measure, floors)
            ax.set(xlabel="layers rolled out", ylabel=NAMES.get(measure, measure), title=measure.capitalize())
            ax.xaxis.get_major_locator().set_params(integer=True)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=8)
    return fig


def measure_bars(
    looks: Mapping[str, AttentionMeasures], floors: Mapping[str, AttentionMeasures], phantom: bool = False
) -> Figure:
    """Each measure of each network's rollout with its 95 % interval; lines are maps that know nothing of the image."""
    names = [name for name in NAMES if name in next(iter(looks.values())).values]
    rows, columns = -(-len(names) // 3), min(len(names), 3)
    with figure(2.5 * columns + 0.6, (0.35 * len(looks) + 1.1) * rows + 0.5, phantom) as fig:
        axes = _grid_for(fig, names, rows, columns, sharey=True)
        for ax, measure in zip(axes, names, strict=True):
            found = [estimate_attention(each, measure) for each in looks.values()]
            series = {"": ([e.mean for e in found], [(e.low, e.high) for e in found])}
            bars_with_intervals(ax, list(looks), series)
            _floor_lines(ax.axvline, measure, floors)
            ax.set(xlabel=NAMES[measure], title=measure.capitalize())
            ax.margins(x=0.25, y=0.3)
            ax.locator_params(axis="x", nbins=4)
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles[-len(floors) :], labels[-len(floors) :], loc="outside upper center", ncols=2, fontsize=8)
    return fig


def part_shares(looks: Mapping[str, AttentionMeasures], parts: Sequence[str], phantom: bool = False) -> Figure:
    """The share of the rollout at each part alone, with 95 % intervals."""
    series = {}
    for name, each in looks.items():
        found = [estimate_attention(each, f"at the {part}") for part in parts]
        series[name] = ([100 * e.mean for e in found], [(100 * e.low, 100 * e.high) for e in found])
    with figure(8.5, 0.14 * len(series) * len(parts) + 1.4, phantom) as fig:
        ax = fig.subplots()
        bars_with_intervals(ax, list(parts), series)
        ax.set(xlabel="share of the rollout at the part (%)", title="Which parts are looked at, 95 % intervals")
        ax.margins(x=0.1)
        fig.legend(loc="outside upper center", ncols=len(series), fontsize=8)
    return fig


def view_of(subjects: Subjects, one: int) -> np.ndarray:
    """Image `one` as networks are shown it, but sharp: uint8 [SHOWN, ·, 3]."""
    height, width = centre_view(torch.from_numpy(subjects.pixels[:1]).permute(0, 3, 1, 2), subjects.augmentation).shape[
        2:
    ]
    size = [stored_size(round(side * SHOWN / height), subjects.augmentation) for side in (height, width)]
    whole = decode(subjects.images.rows["path"].iloc[one], size, subjects.images.banner)
    return (
        centre_view(torch.from_numpy(whole.copy()).permute(2, 0, 1)[None], subjects.augmentation)[0]
        .permute(1, 2, 0)
        .numpy()
    )


def _table(
    subjects: Subjects, chosen: Sequence[int], columns: Sequence[np.ndarray], titles: Sequence[Sequence[str]]
) -> Figure:
    """A row an image: itself, then each of `columns` [N, h, w] over it, under the column's title for the row."""
    lines = max(title.count("\n") + 1 for each in titles for title in each)
    size = _size(view_of(subjects, chosen[0]), 1 + len(columns), len(chosen), lines)
    with figure(*size, subjects.images.is_phantom) as fig:
        for n, (i, row) in enumerate(zip(chosen, grid_of(fig, len(chosen), 1 + len(columns)), strict=True)):
            view = view_of(subjects, i)
            picture(row[0], view, _kind(subjects, i))
            _mark(row[0], subjects, i, view.shape)
            for ax, maps, title in zip(row[1:], columns, titles, strict=True):
                _looked_at(ax, view, subjects, i, maps[i], title[n])
    return fig


def _size(view: np.ndarray, columns: int, rows: int, lines: int = 2) -> tuple[float, float]:
    """Width and height in inches of a grid of images under titles of `lines`, wide enough for the note at its foot."""
    wide = max(WIDE * columns + 0.2, NARROWEST)
    return wide, ((wide - 0.2) / columns * view.shape[0] / view.shape[1] + 0.16 * lines + 0.1) * rows + 0.3


def _kind(subjects: Subjects, one: int) -> str:
    return subjects.images.classes[subjects.images.rows["label"].iloc[one]].replace("_", " ")


def _peak(title: str, heat: np.ndarray) -> str:
    """The title of a map, with how much more than an even share its greatest patch has."""
    return f"{title}\nup to {shares(heat[None]).max() * heat.size:.1f} × even"


def _looked_at(ax: Axes, view: np.ndarray, subjects: Subjects, one: int, heat: np.ndarray, title: str) -> None:
    """A map over an image, with what is known of the image."""
    overlay(ax, view, heat, title)
    _mark(ax, subjects, one, view.shape)


def _mark(ax: Axes, subjects: Subjects, one: int, shape: tuple[int, ...]) -> None:
    """The box and the visible parts, on an image of `shape` pixels."""
    height, width = shape[:2]
    left, top, right, bottom = subjects.truth.boxes[one] * [width, height, width, height] - 0.5
    if np.isfinite(left):
        frame = {"fill": False, "ec": "white", "ls": (0, (3, 3)), "lw": 1}
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, **frame))
    x, y = (subjects.truth.places[one] * [width, height] - 0.5).T
    ax.scatter(x, y, s=22, facecolors="none", edgecolors="white", linewidths=1)


def _patches(ax: Axes, view: np.ndarray, found: np.ndarray) -> None:
    """The image, darkened where `found` [h, w] is false."""
    height, width = view.shape[:2]
    rows, columns = (np.arange(side) * n // side for side, n in zip((height, width), found.shape, strict=True))
    seen = found[rows][:, columns, None]
    picture(ax, (view * np.where(seen, 1.0, 0.25)).astype(np.uint8))


def _grid_for(fig: Figure, names: Sequence[str], rows: int, columns: int, sharey: bool = False) -> list[Axes]:
    """An axes for each of `names`, row by row; those left over are not drawn."""
    axes = fig.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()
    for spare in axes[len(names) :]:
        spare.set_axis_off()
    return list(axes[: len(names)])


def _floor_lines(line: object, measure: str, floors: Mapping[str, AttentionMeasures]) -> None:
    for name, style in REFERENCE_MAPS.items():
        if measure in floors[name].values:
            line(
                estimate_attention(floors[name], measure).mean,
                color=GREY,
                linestyle=style,
                linewidth=1.2,
                label=f"{name} map",
            )
