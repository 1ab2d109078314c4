"""Figures on explanations (notebook 05): methods side by side, their leaderboard, agreement, and what is left of them when the
network forgets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.data import in_full
from lib.evaluation.test_images import TestImages
from lib.report.figures.forest import Interval, forest, forest_figure
from lib.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    class_legend,
    figure,
    marker,
    overlay,
    panels,
    picture,
    picture_grid,
    wrapped,
)
from lib.report.tables.cells import minus
from lib.statistics.estimates import estimate_of
from lib.statistics.resampling import mean_samples

COLUMNS = 6
CELL = 1.55  # inches, an image with its title
NARROWEST = 5.4  # inches, so that the note on phantoms has room
AREA = "area of the object"
MOST_CLASSES = 12  # rows of a figure
ALIKE = 0.05  # mean difference of maps from 0 to 1 that the eye does not see


def methods_side_by_side(images: TestImages, maps: Mapping[str, np.ndarray]) -> Figure:
    """The first image under every method's map [N, H, W]; the object's outline is drawn where it is known."""
    image, rows = images.shown[0], -(-(len(maps) + 1) // COLUMNS)
    with figure(CELL * COLUMNS, (CELL + 0.2) * rows + 0.2, images.is_phantom) as fig:
        axes = picture_grid(fig, rows, COLUMNS).ravel()
        for ax, name in zip(axes, ("image", *maps), strict=False):
            picture(ax, image, name) if name == "image" else overlay(ax, image, maps[name][0], name)
            _outline(ax, images, 0)
    return fig


def by_target(images: TestImages, names: Sequence[str], predicted: np.ndarray, true: np.ndarray) -> Figure:
    """Columns are images; below each what speaks for the answer, and what for the true class. Maps are [N, H, W]."""
    titles = [wrapped(name, 20) for name in names]
    lines = max(title.count("\n") for title in titles)
    with figure(max(CELL * len(images), NARROWEST), 3 * CELL + 0.6 + 0.14 * lines, images.is_phantom) as fig:
        axes = picture_grid(fig, 3, len(images))
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
    rows = -(-len(scores) // 4)
    with figure(10.5, (0.24 * len(methods) + 0.9) * rows + 0.5, phantom) as fig:
        for ax, score in zip(panels(fig, len(scores), 4, sharey=True), scores, strict=True):
            gains = known[known["score"] == score].set_index("method").loc[methods]
            forest(ax, methods, {"": [_gain(row) for row in gains.itertuples()]}, reference=0)
            ax.set_title(score, fontsize=9.5)
            ax.set_xlabel(f"gain over {gains['reference'].iloc[0]}", fontsize=8)
            ax.tick_params(labelsize=8)
            ax.xaxis.get_major_locator().set_params(nbins=4)
        fig.supylabel("method", fontsize=9)
    return fig


def _gain(row: Any) -> Interval:
    colour = BLUE if row.beats else ORANGE
    return Interval(row.gain, row.gain_low, row.gain_high, filled=bool(row.beats), colour=colour)


def worth_a_look(methods: Sequence[str], maps: Mapping[str, np.ndarray] | None = None, most: int = 5) -> list[str]:
    """Of many methods those to compare by eye: Grad-CAM, the network's own maps, integrated gradients, then the others; of
    methods whose `maps` [N, H, W] are alike only the first."""
    own = [name for name in methods if not name.endswith(("cam", "cam++", "gradient-x-input", "integrated-gradients"))]
    first = dict.fromkeys(["grad-cam", *own[:3], "integrated-gradients", *methods])
    names = [name for name in first if name in methods]
    return (names if maps is None else _unlike(names, maps))[:most]


def _unlike(names: Sequence[str], maps: Mapping[str, np.ndarray]) -> list[str]:
    kept: list[str] = []
    for name in names:
        if all(np.abs(maps[name] - maps[other]).mean() > ALIKE for other in kept):
            kept.append(name)
    return kept


def agreement_matrix(table: pd.DataFrame, phantom: bool) -> Figure:
    """Rank correlation between the maps of every two methods (`lib.explain.agreement`)."""
    count = len(table)
    texts = table.map(lambda value: minus(f"{value:z.1f}"))
    with figure(0.52 * count + 2.6, 0.42 * count + 1.9, phantom) as fig:
        ax = fig.subplots()
        bar, small = {"label": "mean rank correlation"}, {"fontsize": 7}
        sns.heatmap(table, cmap="RdBu_r", vmin=-1, vmax=1, annot=texts, fmt="", annot_kws=small, cbar_kws=bar, ax=ax)
        ax.set_xticks(ax.get_xticks(), table.columns, rotation=45, ha="right", fontsize=8)
        ax.set_yticks(ax.get_yticks(), table.index, rotation=0, fontsize=8)
        ax.set(xlabel="", ylabel="")
    return fig


def rank_matrix(by_score: pd.DataFrame, phantom: bool) -> Figure:
    """Mean rank of each method by each score (`lib.explain.rank_methods`), 1 the best; the best methods above."""
    methods, scores = by_score.shape
    with figure(0.62 * scores + 3.2, 0.27 * methods + 1.9, phantom) as fig:
        ax = fig.subplots()
        scale = {"cmap": "viridis_r", "vmin": 1, "vmax": methods, "cbar_kws": {"label": "mean rank"}}
        sns.heatmap(by_score, annot=True, fmt=".1f", annot_kws={"fontsize": 7}, ax=ax, **scale)
        ax.set_xticks(ax.get_xticks(), by_score.columns, rotation=45, ha="right", fontsize=8)
        ax.set_yticks(ax.get_yticks(), by_score.index, rotation=0, fontsize=8)
        ax.set(xlabel="score", ylabel="method, by its mean rank")
    return fig


def forgetting(similarity: Mapping[str, np.ndarray], lowest: Sequence[str], phantom: bool) -> Figure:
    """Likeness of the maps [stages, N] to the trained network's, while it forgets from the top down, a line a method."""
    with figure(9.5, 4.2, phantom) as fig:
        ax = fig.subplots()
        for i, (name, values) in enumerate(similarity.items()):
            ax.plot([1.0, *known_mean(values)], marker(i) + ("-" if i < 7 else "--"), label=name)
        ax.axhline(0, color=GREY, linewidth=1)
        stages = ["trained", *(f"from {name}" for name in lowest)]
        ax.set_xticks(range(len(stages)), stages, rotation=20, ha="right", fontsize=8)
        ax.set(xlabel="drawn anew, from the last layer down to", ylabel="rank correlation with the trained network's")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return fig


def known_mean(similarity: np.ndarray) -> np.ndarray:
    """Means [stages] of [stages, N] over the images that have a value, which an even map has not; NaN where none has."""
    return pd.DataFrame(similarity).mean(axis=1).to_numpy()


def inside_by_class(images: TestImages, values: Mapping[str, np.ndarray]) -> Figure:
    """Share of each map that lies on the object, class by class with 95 % intervals, beside the object's own share of
    the image, which a map that knows nothing has. `values` [N] by method, a method a colour. Images without a mask do not
    count; of more than 12 classes those with the most images are shown."""
    labels, groups, area = images.labels, images.groups, images.masks.mean((1, 2))
    known = area > 0
    counts = np.bincount(labels[known], minlength=len(images.classes))
    most = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    shown = sorted(most[counts[most] > 0].tolist())
    left_out = int((counts > 0).sum()) - len(shown)
    title = f"the {len(shown)} of {len(shown) + left_out} classes with the most images; {left_out} are left out"
    of_class = [known & (labels == k) for k in shown]
    fig = forest_figure(
        [wrapped(f"{images.classes[k]} ({counts[k]})", 30) for k in shown],
        {
            name: [Interval.of(estimate_of(mean_samples(shares[None, c], groups[c])), colour=colour) for c in of_class]
            for name, shares, colour in [(AREA, area, GREY), *((*item, None) for item in values.items())]
        },
        images.is_phantom,
        width=9.5,
        title=title if left_out else "",
        xlabel="share on the object (%)",
        ylabel="class (images)",
    )
    class_legend(fig, in_full(images.config.dataset, [images.classes[k] for k in shown]))
    return fig


def _outline(ax: Axes, images: TestImages, i: int) -> None:
    if images.masks is not None and images.masks[i].any() and not images.masks[i].all():
        ax.contour(images.masks[i], levels=[0.5], colors="white", linewidths=0.9)
