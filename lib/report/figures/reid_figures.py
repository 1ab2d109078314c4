"""Figures on re-identification runs and their images (notebook 08): who is in a gallery, curves, attention on matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.data import ImageSet
from lib.data.imageset import DISTRACTOR, JUNK
from lib.evaluation.test_images import TestImages
from lib.report.figures.retrieval_figures import height_and_width_of, thumbnail
from lib.report.figures.style import figure, grid_of, overlay, picture
from lib.training.store import Run

TALL = 1.35  # inches, an image in a figure


def gallery_members(images: ImageSet, identity: int, columns: int = 10, seed: int = 0) -> Figure:
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
    height, width = height_and_width_of(rows["path"].iloc[0])
    with figure(TALL * width / height * columns + 0.4, (TALL + 0.42) * len(lines), images.is_phantom) as fig:
        for axes, (name, table) in zip(grid_of(fig, len(lines), columns), lines.items(), strict=True):
            shown = table.sample(min(columns, len(table)), random_state=seed).sort_values("camera")
            for ax in axes:
                ax.set_axis_off()
            for ax, row in zip(axes, shown.itertuples(), strict=False):
                picture(ax, thumbnail(row.path), f"c{row.camera}")
            heading = f"{name} ({len(table)})"
            label = axes[0].text(0, 1.22, heading, transform=axes[0].transAxes, fontsize=10, fontweight="bold")
            label.set_in_layout(False)  # it reaches over its neighbours
        fig.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.25 / fig.get_figheight()))  # room for the first label
    return fig


def search_curves(runs: Mapping[str, Run]) -> Figure:
    """Training loss, and mAP and CMC-1 of the validation search over the epochs; the best epoch is dotted."""
    phantom = any(run.provenance["is_phantom"] for run in runs.values())
    panels = {
        "train_loss": ("Loss of the training", "loss"),
        "val_map": ("Validation: mAP", "mAP (fraction)"),
        "val_cmc_1": ("Validation: CMC-1", "fraction of the queries"),
    }
    with figure(10, 3.4, phantom) as fig:
        for ax, (column, (title, unit)) in zip(fig.subplots(1, 3), panels.items(), strict=True):
            for i, (name, run) in enumerate(runs.items()):
                ax.plot(run.log["epoch"], run.log[column], "os^Dv"[i % 5] + "-", markersize=4, label=name)
                ax.axvline(run.metrics["best_epoch"], color=f"C{i}", linestyle=":", linewidth=1)
            ax.set(title=title, xlabel="epoch", ylabel=unit)
            ax.xaxis.get_major_locator().set_params(integer=True)
            if column != "train_loss":
                ax.set_ylim(0, 1)
        fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return fig


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
        axes = grid_of(fig, lines, per_image * a_line).reshape(-1, per_image)
        for i, (row, title, camera) in enumerate(zip(axes, titles, images.images.rows["camera"], strict=True)):
            picture(row[0], images.sharp[i], f"{title}\nc{camera}")
            for ax, (name, heats) in zip(row[1:], maps.items(), strict=True):
                _map_on(ax, images.sharp[i], heats[i], name.replace(": ", ":\n"))
    return fig


def _map_on(ax: Axes, image: np.ndarray, heat: np.ndarray, name: str) -> None:
    if not set(np.unique(heat)) <= {0, 1}:
        overlay(ax, image, heat, name)
        return
    picture(ax, image, name)
    height, width = image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(np.zeros_like(heat), cmap="gray", alpha=0.8 * (1 - heat), interpolation="nearest", extent=extent)
