"""Figures on explanations (notebook 05): methods side by side, their leaderboard, agreement, and what is left of them when the
network forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.evaluation.test_images import TestImages
from lib.report.figures.style import BLUE, GREY, ORANGE, figure, grid_of, overlay, picture, wrapped
from lib.report.tables.cells import minus
from lib.statistics.estimates import estimate_of
from lib.statistics.resampling import mean_samples

COLUMNS = 6
CELL = 1.55  # inches, an image with its title
NARROWEST = 5.4  # inches, so that the note on phantoms has room
MOST_CLASSES = 12  # rows of a figure


def methods_side_by_side(images: TestImages, maps: Mapping[str, np.ndarray]) -> Figure:
    """The first image under every method's map [N, H, W]; the object's outline is drawn where it is known."""
    image, rows = images.shown[0], -(-(len(maps) + 1) // COLUMNS)
    with figure(CELL * COLUMNS, (CELL + 0.2) * rows + 0.2, images.is_phantom) as fig:
        axes = grid_of(fig, rows, COLUMNS).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, name in zip(axes, ("image", *maps), strict=False):
            picture(ax, image, name) if name == "image" else overlay(ax, image, maps[name][0], name)
            _outline(ax, images, 0)
    return fig


def by_target(images: TestImages, names: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> Figure:
    """Columns are images; below each what speaks for the answer, and what for the true class. Maps are [N, H, W]."""
    titles = [wrapped(name, 20) for name in names]
    lines = max(title.count("\n") for title in titles)
    with figure(max(CELL * len(images), NARROWEST), 3 * CELL + 0.6 + 0.14 * lines, images.is_phantom) as fig:
        axes = grid_of(fig, 3, len(images))
        for i, image in enumerate(images.shown):
            picture(axes[0, i], image, titles[i])
            overlay(axes[1, i], image, predicted[i], "for the answer" if i == 0 else "")
            overlay(axes[2, i], image, true[i], "for the true class" if i == 0 else "")
            for ax in axes[:, i]:
                _outline(ax, images, i)
    return fig


def leaderboard_gains(table: pd.DataFrame, phantom: bool) -> Figure:
    """Each method's gain over the best reference map, with 95 % intervals, a panel a score (`lib.explain.leaderboard`)."""
    known = table[table["beats"].notna()]
    scores = list(dict.fromkeys(known["score"]))
    methods = list(dict.fromkeys(known["method"]))
    columns = min(len(scores), 4)
    rows = -(-len(scores) // columns)
    with figure(10.5, (0.24 * len(methods) + 0.9) * rows + 0.5, phantom) as fig:
        axes = fig.subplots(rows, columns, sharey=True, squeeze=False)
        for ax, score in zip(axes.flat, scores, strict=False):
            _gains(ax, known[known["score"] == score].set_index("method").loc[methods], score)
        for ax in axes.flat[len(scores) :]:
            ax.set_axis_off()
        fig.supylabel("method", fontsize=9)
    return fig


def agreement_matrix(table: pd.DataFrame, phantom: bool) -> Figure:
    """Rank correlation between the maps of every two methods (`lib.explain.agreement`)."""
    count = len(table)
    with figure(0.52 * count + 2.6, 0.42 * count + 1.9, phantom) as fig:
        ax = fig.subplots()
        drawn = ax.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set_xticks(range(count), table.columns, rotation=45, ha="right", fontsize=8)
        ax.set_yticks(range(count), table.index, fontsize=8)
        for y, x in np.argwhere(table.notna().to_numpy()):
            value = round(table.to_numpy()[y, x], 1)
            ax.text(x, y, minus(f"{value + 0.0:.1f}"), ha="center", va="center", fontsize=7,
                    color="white" if abs(value) > 0.6 else "black")  # fmt: skip
        ax.grid(visible=False)
        fig.colorbar(drawn, ax=ax, label="mean rank correlation")
    return fig


def forgetting(similarity: Mapping[str, np.ndarray], lowest: Sequence[str], phantom: bool) -> Figure:
    """Likeness of the maps [stages, N] to the trained network's, while it forgets from the top down, a line a method."""
    with figure(9.5, 4.2, phantom) as fig:
        ax = fig.subplots()
        stages = np.arange(len(lowest) + 1)
        for i, (name, values) in enumerate(similarity.items()):
            means = [1.0, *known_mean(values)]
            ax.plot(stages, means, marker="os^Dv"[i % 5], label=name, linewidth=1.5, linestyle="-" if i < 7 else "--")
        ax.axhline(0, color=GREY, linewidth=1)
        ax.set_xticks(stages, ["trained", *(f"from {name}" for name in lowest)], rotation=20, ha="right", fontsize=8)
        ax.set(xlabel="drawn anew, from the last layer down to", ylabel="rank correlation with the trained network's")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return fig


def known_mean(similarity: np.ndarray) -> np.ndarray:
    """Means [stages] of [stages, N] over the images that have a value, which an even map has not; NaN where none has."""
    known = np.isfinite(similarity)
    counts = known.sum(axis=1)
    return np.where(counts, np.where(known, similarity, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def inside_by_class(
    values: Mapping[str, np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    area: np.ndarray,
    phantom: bool,
) -> Figure:
    """Share of each map that lies on the object, class by class with 95 % intervals, beside the object's own share of
    the image, which a map that knows nothing has. `values` [N] by method, NaN without a mask; a method a colour. Of more
    than 12 classes those with the most images are shown."""
    known = np.isfinite(area)
    counts = np.bincount(labels[known], minlength=len(classes))
    most = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    shown = sorted(most[counts[most] > 0].tolist())
    with figure(9.5, 0.2 * len(shown) * (len(values) + 1) + 1.6, phantom) as fig:
        ax = fig.subplots()
        offsets = np.linspace(0.3, -0.3, len(values) + 1)
        for offset, (name, shares) in zip(offsets, {"area of the object": area, **values}.items(), strict=True):
            places = np.arange(len(shown))[::-1] + offset
            of_class = {k: known & (labels == k) for k in shown}
            estimates = [_mean_of(shares[images], groups[images]) for images in of_class.values()]
            middle, low, high = 100 * np.transpose(estimates)
            colour = {"color": GREY} if name == "area of the object" else {}
            ax.errorbar(middle, places, xerr=[middle - low, high - middle], fmt="o", capsize=2, label=name, **colour)
        ax.set_yticks(np.arange(len(shown))[::-1], [wrapped(f"{classes[k]} ({counts[k]})", 30) for k in shown])
        if len(shown) < (whole := (counts > 0).sum()):
            ax.set_title(f"the {len(shown)} of {whole} classes with the most images; {whole - len(shown)} are left out")
        ax.set(xlabel="share on the object (%)", ylabel="class (images)")
        ax.grid(axis="x")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return fig


def _mean_of(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval over groups; no interval of one group."""
    if len(np.unique(groups)) < 2:
        return (values.mean(),) * 3
    estimate = estimate_of(mean_samples(values[None], groups))
    return estimate.mean, estimate.low, estimate.high


def _gains(ax: Axes, rows: pd.DataFrame, score: str) -> None:
    places = np.arange(len(rows))[::-1]
    ax.axvline(0, color=GREY, linewidth=1)
    for place, row in zip(places, rows.itertuples(), strict=True):
        colour = BLUE if row.beats else ORANGE
        ax.plot([row.gain_low, row.gain_high], [place] * 2, color=colour, linewidth=2)
        ax.plot(row.gain, place, "o", color=colour, markerfacecolor=colour if row.beats else "white")
    ax.set_yticks(places, rows.index, fontsize=8)
    ax.set_title(score, fontsize=9.5)
    ax.set_xlabel(f"gain over {rows['reference'].iloc[0]}", fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.xaxis.get_major_locator().set_params(nbins=4)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")


def _outline(ax: Axes, images: TestImages, i: int) -> None:
    if images.masks is not None and images.masks[i].any() and not images.masks[i].all():
        ax.contour(images.masks[i], levels=[0.5], colors="white", linewidths=0.9)
