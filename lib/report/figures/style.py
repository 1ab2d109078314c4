"""The look of every figure, in one place: style, colours, captions, the note that phantoms are drawn."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from cycler import cycler
from PIL import Image

from lib.mapped import is_even

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, RED, DARK = "#2f6db3", "#d9822b", "#8a9199", "#b8433f", "#59606a"
MARKERS = "osD^vPX*"
BOX = {"fill": False, "color": DARK, "linewidth": 1, "width": 0.5, "showfliers": False}  # seaborn's
EVEN = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 2}  # behind what is told of a map
NOTHING = "no finished run yet"
PHANTOM_NOTE = "Phantom images, drawn by the workbook: a demonstration, not a result about real images."
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "axes.edgecolor": DARK,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, "#4b9a6b", "#8a63b0", RED, "#5f7d8c", "#b59b2b"]),
    "legend.frameon": False,
    "figure.dpi": 110,
    "text.parse_math": False,
    "figure.facecolor": "white",
}


@contextmanager
def figure(width: float, height: float, phantom: bool = False) -> Iterator[Figure]:
    """A new figure of width × height inches in the workbook's style; on phantoms it says so at its foot."""
    from matplotlib import rc_context  # slow to import
    from matplotlib.figure import Figure

    from lib.report.figures.fonts import make_legible

    with rc_context(STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        yield fig
        if phantom:
            _say_at_the_foot(fig, PHANTOM_NOTE)
        make_legible(fig)


def show(fig: Figure, caption: str, thumbnail: bool = False) -> None:
    """Display a figure with its one-sentence caption, which is its alt text too; a thumbnail goes on the index."""
    from IPython.display import Markdown, display

    bundle = {"image/png": png_of(fig), "text/plain": caption}
    display(bundle, metadata={"image/png": {"alt": caption}, "thumbnail": thumbnail}, raw=True)
    display(Markdown(f"*{literal(caption)}*"))


def literal(text: str) -> str:
    """`text` as Markdown that shows just that: names of classes may hold tags, stars and dollars."""
    return re.sub(r"([\\`*_{}\[\]<>$&#|~])", r"\\\1", text)


def png_of(fig: Figure) -> bytes:
    """The figure as a PNG of 256 colours, dithered, so that no map shows steps which the numbers do not have."""
    from matplotlib import rc_context  # slow to import

    with rc_context(STYLE):
        drawn, buffer = io.BytesIO(), io.BytesIO()
        fig.savefig(drawn, format="png", dpi=110, pil_kwargs={"compress_level": 1})  # it is read again at once
    with Image.open(drawn) as image:
        coloured = image.convert("RGB")
        palette = coloured.quantize(256, method=Image.Quantize.FASTOCTREE)  # PIL dithers with a given palette only
        coloured.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def marker(number: int) -> str:
    """The marker of group `number`, beside its colour: for print, and for eyes that see few."""
    return MARKERS[number % len(MARKERS)]


def picture(ax: Axes, image: np.ndarray, title: str = "", **kwargs: object) -> None:
    """An image without axes, its title above it."""
    ax.imshow(image, **kwargs)
    ax.set_title(title, fontsize=9, fontweight="normal", loc="center")
    ax.set_axis_off()


def wrapped(text: str, width: int) -> str:
    """Each line of `text` wrapped at `width` letters; of one that is longer than two of them the middle is left out."""
    lines = []
    for line in text.splitlines():
        if len(line) > 2 * width:
            line = f"{line[: width - 1]}…{line[-width:]}"
        lines += textwrap.wrap(line, width)
    return "\n".join(lines)


def picture_grid(fig: Figure, rows: int, columns: int) -> np.ndarray:
    """Axes [rows, columns] for pictures, always two-dimensional; those that stay empty show nothing."""
    axes = fig.subplots(rows, columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    return axes


def panels(fig: Figure, count: int, columns: int, sharey: bool = False) -> list[Axes]:
    """`count` axes, `columns` to a row."""
    rows = -(-count // columns)
    axes = fig.subplots(rows, min(columns, count), squeeze=False, sharey=sharey).ravel()
    for spare in axes[count:]:
        spare.set_axis_off()
    return list(axes[:count])


def overlay(ax: Axes, image: np.ndarray, heat: np.ndarray, title: str = "") -> None:
    """A map [h, w] over an image [H, W, 3], smoothly enlarged; colours go from its least to its greatest value. One that is the
    same everywhere leaves the image as it is, and is told."""
    picture(ax, image, title)
    height, width = image.shape[:2]
    if is_even(heat.min(), heat.max()):
        ax.text(0.5, 0.5, "even", transform=ax.transAxes, ha="center", va="center", fontsize=9, bbox=EVEN)
        return
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow(heat, cmap="inferno", alpha=0.55, interpolation="bilinear", extent=extent)


def darkened(image: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """The image [H, W, 3], dark where `selected` [h, w] is false."""
    rows, columns = (np.arange(side) * n // side for side, n in zip(image.shape[:2], selected.shape, strict=True))
    return (image * np.where(selected[rows][:, columns, None], 1.0, 0.25)).astype(np.uint8)


def overlay_range(ax: Axes, image: np.ndarray, heat: np.ndarray, name: str) -> None:
    """`overlay` under a title that tells the least and the greatest value, for maps of different scales."""
    overlay(ax, image, heat, f"{name}\n{heat.min():.3g} … {heat.max():.3g}")


def mark_query(ax: Axes, size: tuple[int, int], grid: tuple[int, int], query: tuple[int, int]) -> None:
    """A cross on the query of a map of `grid` positions over an image of `size` pixels."""
    (height, width), (rows, columns), (row, column) = size, grid, query
    x, y = (column + 0.5) * width / columns - 0.5, (row + 0.5) * height / rows - 0.5
    ax.plot(x, y, "x", color="cyan", markersize=7, markeredgewidth=2)


def nothing(ax: Axes, why: str = NOTHING) -> None:
    """Say in an empty panel that there is nothing to draw."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color=GREY, style="italic")


def class_legend(fig: Figure, names: Sequence[str]) -> None:
    """What abbreviations of classes mean, at the foot of a figure, which grows by as much; nothing where there are none."""
    if names:
        lines = textwrap.wrap("; ".join(names), int(16 * fig.get_figwidth()))
        fig.set_figheight(fig.get_figheight() + 0.16 * len(lines))
        _say_at_the_foot(fig, "\n".join(lines))


def _say_at_the_foot(fig: Figure, words: str) -> None:
    """Classes first, then that the images are drawn, whoever comes first."""
    said = fig.get_supxlabel()
    parts = (words, said) if said == PHANTOM_NOTE else (said, words)
    fig.supxlabel("\n".join(filter(None, parts)), fontsize=8, color=GREY, style="italic", ha="center", wrap=True)


def legend_above(fig: Figure, *panels: Axes, columns: int = 6) -> None:
    """What the artists of `panels` mean, each name once, off the data; nothing where none has a name."""
    named = {name: handle for ax in panels for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    if named:
        columns = min(columns, len(named))
        fig.legend(named.values(), named.keys(), loc="outside upper center", ncols=columns, fontsize=8)
