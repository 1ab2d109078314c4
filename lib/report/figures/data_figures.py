"""Figures on a data set (notebook 01)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from lib.data import ImageSet
from lib.report.figures.style import BLUE, ORANGE, RED, figure, grid_of, picture

SHOWN = 320  # pixels, the longer side of an image in a figure


def class_balance(images: ImageSet) -> Figure:
    """Images and lesions of each class on a logarithmic axis, with the numbers."""
    lesions = (
        images.rows.drop_duplicates("group")["label"].value_counts().reindex(range(len(images.classes)), fill_value=0)
    )
    order = np.argsort(-images.counts.to_numpy())
    with figure(8.5, 3.6, images.is_phantom) as fig:
        ax = fig.subplots()
        x = np.arange(len(order))
        for shift, counts, label in ((-0.2, images.counts.to_numpy(), "images"), (0.2, lesions.to_numpy(), "lesions")):
            bars = ax.bar(x + shift, counts[order], width=0.38, label=label)
            ax.bar_label(bars, fontsize=8)
        ax.set_xticks(x, np.array(images.classes)[order])
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.set(
            ylabel="count (log scale)",
            xlabel="class",
            title=f"Class balance of {images.name}: {len(images.rows):,} images",
        )
        ax.legend()
    return fig


def examples(images: ImageSet, columns: int = 5, seed: int = 0) -> Figure:
    """A few images of each class (the first twenty), each of another lesion, with the outline of its mask if any."""
    rows = min(len(images.classes), 20)
    with figure(1.75 * columns, 1.5 * rows, images.is_phantom) as fig:
        axes = grid_of(fig, rows, columns)
        for label, row in enumerate(axes):
            own = images.rows[images.rows["label"] == label].drop_duplicates("group")
            chosen = own.sample(n=min(columns, len(own)), random_state=seed)
            for ax in row:
                ax.set_axis_off()
            for ax, each in zip(row, chosen.itertuples(), strict=False):
                _with_outline(ax, each)
            row[0].text(
                -0.08,
                0.5,
                images.classes[label],
                transform=row[0].transAxes,
                ha="right",
                va="center",
                fontweight="bold",
            )
    return fig


def repeated_views(images: ImageSet, lesions: int = 4, seed: int = 0) -> Figure | None:
    """All views of a few lesions, a row each; None where no lesion has several."""
    sizes = images.rows.groupby("group").size()
    several = sizes[sizes > 1]
    if several.empty:
        return None
    chosen = several.sample(n=min(lesions, len(several)), random_state=seed).sort_values(ascending=False)
    columns = max(3, min(6, chosen.max()))
    with figure(1.75 * columns, 1.55 * len(chosen), images.is_phantom) as fig:
        for row, name in zip(grid_of(fig, len(chosen), columns), chosen.index, strict=True):
            views = list(images.rows[images.rows["group"] == name].itertuples())
            for ax in row:
                ax.set_axis_off()
            for ax, each in zip(row, views, strict=False):
                _with_outline(ax, each)
                ax.set_title(each.image_id, fontsize=7, fontweight="normal", loc="center")
            label = f"{name}\n{images.classes[views[0].label]}"
            row[0].text(-0.06, 0.5, label, transform=row[0].transAxes, ha="right", va="center", fontsize=8)
    return fig


def leak_bars(leaks: pd.DataFrame, images: ImageSet) -> Figure:
    """Mean share of leaked test images over the seeds, overall and a class, with the range over the seeds."""
    columns = ["all", *images.classes]
    mean = 100 * leaks[columns].mean()
    spread = 100 * np.stack(
        [leaks[columns].mean() - leaks[columns].min(), leaks[columns].max() - leaks[columns].mean()]
    )
    with figure(8.5, 3.6, images.is_phantom) as fig:
        ax = fig.subplots()
        colours = [RED, *[ORANGE] * len(images.classes)]
        bars = ax.bar(columns, mean, yerr=spread, capsize=3, color=colours)
        ax.bar_label(bars, [f"{m:.0f} %" for m in mean], label_type="center", fontsize=9)
        ax.set(ylim=(0, 110), ylabel="leaked test images (%)", xlabel="class")
        ax.set_title("Test images whose lesion is in training too, under an image-level split")
    return fig


def view_histogram(views: pd.Series, images: ImageSet) -> Figure:
    """How many lesions have how many images."""
    with figure(5.5, 3.0, images.is_phantom) as fig:
        ax = fig.subplots()
        bars = ax.bar(views.index.astype(str), views, color=BLUE)
        ax.bar_label(bars, fontsize=8)
        ax.set(xlabel="images of one lesion", ylabel="lesions", title="Lesions by number of views")
    return fig


def _with_outline(ax: object, row: object) -> None:
    with Image.open(row.path) as image:
        image.thumbnail((SHOWN, SHOWN))  # a figure of thirty photographs should not hold thirty photographs
        shown = image.convert("RGB")
    picture(ax, np.asarray(shown))
    if row.mask:
        with Image.open(row.mask) as mask:
            inside = np.asarray(mask.convert("L").resize(shown.size)) > 127
        if 0 < inside.mean() < 1:
            ax.contour(inside, levels=[0.5], colors="white", linewidths=1.0)
