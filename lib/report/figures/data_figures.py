"""Figures on a data set (notebook 01)."""

import textwrap
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.data import ImageSet, in_full
from lib.data.imageset import ImageRow
from lib.report.figures.style import BLUE, ORANGE, RED, class_legend, figure, picture, picture_grid

SHOWN = 320  # pixels, the longer side of an image in a figure


def class_balance(images: ImageSet) -> Figure:
    """Images and lesions of each class on a logarithmic axis, with the numbers."""
    lesions = replace(images, rows=images.rows.drop_duplicates("group"))
    counts = pd.DataFrame({"images": images.counts, "lesions": lesions.counts}).rename_axis("class")
    table = counts.sort_values("images", ascending=False, kind="stable").reset_index().melt("class", var_name="of")
    with figure(8.5, 3.6, images.is_phantom) as fig:
        ax = fig.subplots()
        sns.barplot(table, x="class", y="value", hue="of", errorbar=None, saturation=1, ax=ax)
        for bars in ax.containers:
            ax.bar_label(bars, fontsize=8)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:,.0f}")
        ax.set(xlabel="class", ylabel="count (log scale)")
        ax.set_title(f"Class balance of {images.name}: {len(images.rows):,} images")
        ax.legend()
        class_legend(fig, in_full(images.name, images.classes))
    return fig


def examples(images: ImageSet, columns: int = 5) -> Figure:
    """A few images of each class (the first twenty), each of another lesion, with the outline of its mask if any."""
    lines = {}
    for label, name in enumerate(images.classes[:20]):
        name = textwrap.fill(next(iter(in_full(images.name, [name])), name), 20)
        own = images.rows[images.rows["label"] == label].drop_duplicates("group")
        lines[name] = own.sample(n=min(columns, len(own)), random_state=0)
    return _picture_lines(images, lines, columns)


def repeated_views(images: ImageSet) -> Figure | None:
    """All views of up to four lesions, a row each; None where no lesion has several."""
    sizes = images.rows.groupby("group").size()
    several = sizes[sizes > 1]
    if several.empty:
        return None
    chosen = several.sample(n=min(4, len(several)), random_state=0).sort_values(ascending=False)
    views = {group: images.rows[images.rows["group"] == group] for group in chosen.index}
    lines = {f"{group}\n{images.classes[rows['label'].iloc[0]]}": rows for group, rows in views.items()}
    return _picture_lines(images, lines, max(3, min(6, chosen.max())), named=True)


def _picture_lines(images: ImageSet, lines: Mapping[str, pd.DataFrame], columns: int, named: bool = False) -> Figure:
    """Images of a table a line, with the outlines of their masks; `named` gives each its id."""
    longest = max(len(line) for name in lines for line in name.splitlines())
    with figure(1.6 * columns + 0.08 * longest, 1.3 * len(lines), images.is_phantom) as fig:
        for axes, (name, rows) in zip(picture_grid(fig, len(lines), columns), lines.items(), strict=True):
            for ax, row in zip(axes, rows.itertuples(), strict=False):
                _with_outline(ax, images, row)
                ax.set_title(row.image_id if named else "", fontsize=7, fontweight="normal", loc="center")
            axes[0].text(-0.06, 0.5, name, transform=axes[0].transAxes, ha="right", va="center", fontsize=9)
    return fig


def leak_bars(leaks: pd.DataFrame, images: ImageSet) -> Figure:
    """Mean share of leaked test images over the seeds, overall and a class, with the range over the seeds."""
    shares = 100 * leaks[["all", *images.classes]]
    with figure(8.5, 3.6, images.is_phantom) as fig:
        ax = fig.subplots()
        colours = [RED, *[ORANGE] * len(images.classes)]
        look = {"capsize": 0.2, "err_kws": {"linewidth": 1.2}, "palette": colours, "saturation": 1}
        sns.barplot(shares, errorbar=("pi", 100), ax=ax, **look)
        for place, mean in enumerate(shares.mean()):
            ax.annotate(f"{mean:.0f} %", (place, 0), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=9)
        ax.set(ylim=(0, 110), ylabel="leaked test images (%)", xlabel="class")
        ax.set_title("Test images whose lesion is in training too, under an image-level split")
        class_legend(fig, in_full(images.name, images.classes))
    return fig


def view_histogram(views: pd.Series, images: ImageSet) -> Figure:
    """How many lesions have how many images."""
    with figure(5.5, 3.0, images.is_phantom) as fig:
        ax = fig.subplots()
        bars = ax.bar(views.index.astype(str), views, color=BLUE)
        ax.bar_label(bars, fontsize=8)
        ax.set(xlabel="images of one lesion", ylabel="lesions", title="Lesions by number of views")
    return fig


def _with_outline(ax: Axes, images: ImageSet, row: ImageRow) -> None:
    shown = images.thumbnail(row, SHOWN)  # a figure of thirty photographs should not hold thirty photographs
    picture(ax, shown)
    inside = images.decode_mask(row, shown.shape[:2]) > 127
    if 0 < inside.mean() < 1:
        ax.contour(inside, levels=[0.5], colors="white", linewidths=1.0)
