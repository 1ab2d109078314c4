"""Figures on re-identification runs and their images (notebook 08): who is in a gallery, curves, attention on matches."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.data import ImageSet
from lib.data.imageset import DISTRACTOR, JUNK
from lib.evaluation.test_images import TestImages
from lib.report.figures.retrieval_figures import SHOWN
from lib.report.figures.run_figures import curves
from lib.report.figures.style import BLUE, GREY, ORANGE, darkened, figure, legend_above, overlay, picture, picture_grid
from lib.training.store import Run

SEARCH = {
    "Loss of the training": ("loss", ("train_loss",)),
    "Validation: mAP": ("mAP (fraction)", ("val_map",)),
    "Validation: CMC-1": ("fraction of the queries", ("val_cmc_1",)),
}
TALL = 1.35  # inches, an image in a figure


def gallery_members(images: ImageSet, identity: int, columns: int = 10) -> Figure:
    """The queries of one identity, their right answers, what does not count for the first query, and the wrong answers."""
    rows = images.rows
    own = rows[rows["identity"] == identity]
    queries, answers = own[own["part"] == "query"], own[own["part"] == "gallery"]
    gallery = rows[rows["part"] == "gallery"]
    camera = queries["camera"].iloc[0]
    lines = {
        f"queries of identity {identity}": queries,
        f"right for the query of c{camera}": answers[answers["camera"] != camera],
        f"not counted for it: seen by c{camera}, too": answers[answers["camera"] == camera],
        "not counted for anybody: junk": gallery[gallery["identity"] == JUNK],
        "wrong for everybody: distractors": gallery[gallery["identity"] == DISTRACTOR],
        "wrong: other identities": gallery[(gallery["identity"] > 0) & (gallery["identity"] != identity)],
    }
    lines = {name: table for name, table in lines.items() if len(table)}
    width, height = images.picture_size(rows.iloc[0])
    with figure(TALL * width / height * columns + 0.4, (TALL + 0.42) * len(lines), images.is_phantom) as fig:
        for axes, (name, table) in zip(picture_grid(fig, len(lines), columns), lines.items(), strict=True):
            shown = table.sample(min(columns, len(table)), random_state=0).sort_values("camera")
            for ax, row in zip(axes, shown.itertuples(), strict=False):
                picture(ax, images.thumbnail(row, SHOWN), f"c{row.camera}")
            heading = f"{name} ({len(table)})"
            label = axes[0].text(0, 1.22, heading, transform=axes[0].transAxes, fontsize=10, fontweight="bold")
            label.set_in_layout(False)  # it reaches over its neighbours
        fig.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.25 / fig.get_figheight()))  # room for the first label
    return fig


def search_curves(runs: Mapping[str, Run]) -> Figure:
    """Training loss, and mAP and CMC-1 of the validation search over the epochs; the best epoch is dotted."""
    return curves(runs, SEARCH)


def maps_on_matches(images: TestImages, titles: Sequence[str], maps: Mapping[str, np.ndarray], a_line: int) -> Figure:
    """Queries and what a search has found for them, each with the maps of where networks look, `a_line` images to a line.

    Args:
        images: line by line.
        titles: what each image is, such as "query" or "first wrong".
        maps: by name, [N, h, w] each, with h × w patches; 0 and 1 alone are a selection, everything else a heat map.
    """
    per_image, lines = 1 + len(maps), len(images) // a_line
    height, width = images.config.size
    with figure(TALL * width / height * per_image * a_line + 0.3, (TALL + 0.4) * lines + 0.4, images.is_phantom) as fig:
        axes = picture_grid(fig, lines, per_image * a_line).reshape(-1, per_image)
        for i, (row, title, camera) in enumerate(zip(axes, titles, images.images.rows["camera"], strict=True)):
            picture(row[0], images.sharp[i], f"{title}\nc{camera}")
            for ax, (name, heats) in zip(row[1:], maps.items(), strict=True):
                title, is_selection = name.replace(": ", ":\n"), set(np.unique(heats[i])) <= {0, 1}
                if is_selection:
                    picture(ax, darkened(images.sharp[i], heats[i] == 1), title)
                else:
                    overlay(ax, images.sharp[i], heats[i], title)
    return fig


def triplets_and_precision(
    pictures: np.ndarray, distances: np.ndarray, people: np.ndarray, right: np.ndarray, phantom: bool = False
) -> Figure:
    """What is computed by hand: what the triplet loss looks at in a batch, and one query's average precision.

    Args:
        pictures: uint8 [B, H, W, 3], the batch.
        distances: [B, B] between its images.
        people: [B], who is on them.
        right: bool [G], which answers to the query are right, best first.
    """
    with figure(9.5, 4.4, phantom) as fig:
        left, curve = fig.subplots(1, 2, width_ratios=(1, 1.1))
        _hardest(left, pictures, distances, people[:, None] == people)
        _precision(curve, right)
        legend_above(fig, left, curve)
    return fig


def _hardest(ax: Axes, pictures: np.ndarray, distances: np.ndarray, same: np.ndarray) -> None:
    """Distances, dark where far, with the farthest image of the same person and the nearest of another in each row."""
    rows = np.arange(len(same))
    ax.imshow(distances, cmap="Greys")
    farthest, nearest = np.where(same, distances, -1).argmax(1), np.where(same, np.inf, distances).argmin(1)
    for marker, at, label, colour in (("o", farthest, "farthest same", BLUE), ("X", nearest, "nearest other", ORANGE)):
        ax.scatter(at, rows, marker=marker, color=colour, edgecolors="white", s=55, label=label)
    half = 0.45 * min(1, pictures.shape[2] / pictures.shape[1])
    for row, each in enumerate(pictures):
        ax.imshow(each, extent=(-1.1 - half, -1.1 + half, row + 0.45, row - 0.45))
    ax.set(xlim=(-1.6, len(rows) - 0.5), ylim=(len(rows) - 0.5, -0.5), xticks=[], yticks=[])
    ax.set(title="A batch: distances", xlabel="image of the batch", ylabel="image of the batch")
    ax.grid(False)


def _precision(ax: Axes, right: np.ndarray) -> None:
    """The share of right answers down to each rank; its mean at the right ones is AP."""
    ranks, at = 1 + np.arange(len(right)), np.flatnonzero(right)
    precision = np.cumsum(right) / ranks
    ap = precision[at].mean()
    ax.plot(ranks, precision, color=GREY, linewidth=1)
    ax.scatter(ranks[at], precision[at], color=BLUE, marker="s", zorder=3, label="right answer")
    ax.axhline(ap, color=BLUE, linestyle="--", label=f"their mean, AP = {ap:.2f}")
    ax.set(xlim=(0.5, ranks[at[-1]] + 1.5), ylim=(0, 1.05), xlabel="rank", ylabel="precision down to the rank")
    ax.set_title("A search: one query")
