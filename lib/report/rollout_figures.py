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
from lib.report.attention_measures import NAMES, entropy, share_in_box, shares
from lib.report.figures import GREY, bars_with_intervals, figure, grid_of, overlay, picture
from lib.report.looks import Looked, Subjects, estimate_look

SHOWN = 200  # pixels, the height of an image in a figure
WIDE = 1.55  # inches, an image in a figure
FLOORS = {"even": ":", "centre": "--"}
Maps = Mapping[str, np.ndarray]


def rollout_layers(subjects: Subjects, maps: Maps, chosen: Sequence[int]) -> Figure:
    """A row an image: the rollout of the class token through the first 1, 2, … layers."""
    layers = [name for name in maps if name.startswith("rollout_layer_")]
    titles = [f"after layer {name.rsplit('_', 1)[1]}" for name in layers]
    return _table(subjects, chosen, [maps[name] for name in layers], titles)


def single_heads(subjects: Subjects, maps: Maps, one: int) -> Figure:
    """What the class token attends to in each head (column) of each layer (row), on one image."""
    names = [name for name in maps if "_head_" in name]
    layers = list(dict.fromkeys(name.split("_head_")[0] for name in names))
    view = view_of(subjects, one)
    with figure(*_size(view, len(names) // len(layers), len(layers)), subjects.images.is_phantom) as fig:
        for layer, row in zip(layers, grid_of(fig, len(layers), len(names) // len(layers)), strict=True):
            for ax, name in zip(row, [n for n in names if n.startswith(f"{layer}_")], strict=True):
                _looked_at(ax, view, subjects, one, maps[name][one], name.replace("_", " ").replace(" head", ", head"))
    return fig


def selected_tokens(subjects: Subjects, maps: Maps, chosen: Sequence[int]) -> Figure:
    """A row an image: the rollout, the patches that GLCA selects by it, and what GLCA's class token attends to."""
    with figure(*_size(view_of(subjects, chosen[0]), 4, len(chosen)), subjects.images.is_phantom) as fig:
        for i, row in zip(chosen, grid_of(fig, len(chosen), 4), strict=True):
            view, found = view_of(subjects, i), maps["glca_selected"][i] > 0
            picture(row[0], view, _kind(subjects, i))
            _looked_at(row[1], view, subjects, i, maps["rollout"][i], "rollout")
            _patches(row[2], view, found)
            _mark(row[2], subjects, i, view.shape)
            row[2].set_title(f"selected: {found.sum()} of {found.size}", fontsize=9, fontweight="normal", loc="center")
            _looked_at(row[3], view, subjects, i, maps["glca_attention"][i], "GLCA")
    return fig


def side_by_side(subjects: Subjects, rollouts: Maps, chosen: Sequence[int]) -> Figure:
    """A row an image: the rollout of each network; titles give its entropy and its share in the box."""
    boxes = subjects.truth.boxes[list(chosen)]
    titles = []
    for name, each in rollouts.items():
        of = each[list(chosen)]
        told = [f"{name}: entropy {e:.2f}" for e in entropy(of)]
        inside = [f", box {s:.2f}" if np.isfinite(s) else "" for s in share_in_box(of, boxes)]
        titles.append(["".join(both) for both in zip(told, inside, strict=True)])
    return _table(subjects, chosen, list(rollouts.values()), titles, WIDE + 0.5)


def by_layer(
    layers: Mapping[str, Sequence[Looked]], names: Sequence[str], floors: Mapping[str, Looked], phantom: bool = False
) -> Figure:
    """Measures of the rollout through the first 1, 2, … layers, with 95 % intervals; a line a network, floors grey."""
    with figure(3.1 * len(names) + 0.6, 3.6, phantom) as fig:
        axes = fig.subplots(1, len(names), squeeze=False)[0]
        for ax, measure in zip(axes, names, strict=True):
            for i, (name, each) in enumerate(layers.items()):
                found = [estimate_look(side, measure) for side in each]
                at = np.arange(1, len(each) + 1) + 0.04 * (i - (len(layers) - 1) / 2)
                spans = np.clip([[e.mean - e.low for e in found], [e.high - e.mean for e in found]], 0, None)
                ax.errorbar(at, [e.mean for e in found], spans, marker="os^D"[i % 4], capsize=3, label=name)
            _floor_lines(ax.axhline, measure, floors)
            ax.set(xlabel="layers rolled out", ylabel=NAMES.get(measure, measure), title=measure.capitalize())
            ax.xaxis.get_major_locator().set_params(integer=True)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    return fig


def measure_bars(looks: Mapping[str, Looked], floors: Mapping[str, Looked], phantom: bool = False) -> Figure:
    """Each measure of each network's rollout with its 95 % interval; lines are maps that know nothing of the image."""
    names = [name for name in NAMES if name in next(iter(looks.values())).values]
    with figure(3.1 * len(names), 0.45 * len(looks) + 1.6, phantom) as fig:
        axes = fig.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for ax, measure in zip(axes, names, strict=True):
            found = [estimate_look(each, measure) for each in looks.values()]
            series = {"": ([e.mean for e in found], [(e.low, e.high) for e in found])}
            bars_with_intervals(ax, list(looks), series)
            _floor_lines(ax.axvline, measure, floors)
            ax.set(xlabel=NAMES[measure], title=measure.capitalize())
            ax.margins(x=0.25, y=0.3)
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles[-len(floors) :], labels[-len(floors) :], loc="outside lower center", ncols=2, fontsize=8)
    return fig


def part_shares(looks: Mapping[str, Looked], parts: Sequence[str], phantom: bool = False) -> Figure:
    """The share of the rollout at each part alone, with 95 % intervals."""
    series = {}
    for name, each in looks.items():
        found = [estimate_look(each, f"at the {part}") for part in parts]
        series[name] = ([e.mean for e in found], [(e.low, e.high) for e in found])
    with figure(7.5, 0.22 * len(series) * len(parts) + 1.5, phantom) as fig:
        ax = fig.subplots()
        bars_with_intervals(ax, list(parts), series)
        ax.set(xlabel="share of the rollout at the part", title="Which parts are looked at, 95 % intervals")
        ax.margins(x=0.1)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(series), fontsize=8)
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
    subjects: Subjects, chosen: Sequence[int], columns: Sequence[np.ndarray], titles: Sequence, wide: float = WIDE
) -> Figure:
    """A row an image: itself, then each of `columns` [N, h, w] over it; a column has a title, or one for each row."""
    with figure(
        *_size(view_of(subjects, chosen[0]), 1 + len(columns), len(chosen), wide), subjects.images.is_phantom
    ) as fig:
        for n, (i, row) in enumerate(zip(chosen, grid_of(fig, len(chosen), 1 + len(columns)), strict=True)):
            view = view_of(subjects, i)
            picture(row[0], view, _kind(subjects, i))
            _mark(row[0], subjects, i, view.shape)
            for ax, maps, title in zip(row[1:], columns, titles, strict=True):
                _looked_at(ax, view, subjects, i, maps[i], title if isinstance(title, str) else title[n])
    return fig


def _size(view: np.ndarray, columns: int, rows: int, wide: float = WIDE) -> tuple[float, float]:
    return wide * columns + 0.2, (WIDE * view.shape[0] / view.shape[1] + 0.42) * rows + 0.3


def _kind(subjects: Subjects, one: int) -> str:
    return subjects.images.classes[subjects.images.rows["label"].iloc[one]].replace("_", " ")


def _looked_at(ax: Axes, view: np.ndarray, subjects: Subjects, one: int, heat: np.ndarray, title: str) -> None:
    """A map over an image; the title tells how much more than an even share its greatest patch has."""
    overlay(ax, view, heat, f"{title}\nup to {shares(heat[None]).max() * heat.size:.1f} × even")
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


def _floor_lines(line: object, measure: str, floors: Mapping[str, Looked]) -> None:
    for name, style in FLOORS.items():
        if measure in floors[name].values:
            line(
                estimate_look(floors[name], measure).mean,
                color=GREY,
                linestyle=style,
                linewidth=1.2,
                label=f"{name} map",
            )
