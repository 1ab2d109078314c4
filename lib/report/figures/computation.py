"""A picture of a computation, step by step from left to right: images, maps on them, and matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from lib.evaluation.test_images import TestImages
from lib.report.figures.style import darkened, figure, overlay, picture, picture_grid, wrapped

SIDE, LETTERS = 1.75, 21  # inches of a panel, and letters of a line of its title


@dataclass(frozen=True)
class Panel:
    """One step: `values` as a map on an image or, without one, as a matrix with its rows from top to bottom."""

    title: str
    values: np.ndarray | None = None  # [h, w], or bool: what is bright; None shows the image alone
    image: int | None = None
    query: tuple[int, int] | None = None  # the row and column of the map whose values these are, marked ×


def computation(images: TestImages, panels: Sequence[Panel]) -> Figure:
    """The `panels` in a row; a map's colours go from its least to its greatest value, a matrix's by its root, up to its
    greatest value off the diagonal. A map with values of both signs stands alone: red above 0, blue below."""
    height, width = images.sharp.shape[1:3]
    lines = max(len(wrapped(panel.title, LETTERS).splitlines()) for panel in panels)
    with figure(SIDE * len(panels), SIDE * height / width + 0.17 * lines + 0.4, images.is_phantom) as fig:
        for ax, panel in zip(picture_grid(fig, 1, len(panels))[0], panels, strict=True):
            ax.set_anchor("N")  # about the middle, a title of two lines would reach beyond the figure's edge
            _draw(ax, images, panel)
    return fig


def _draw(ax: Axes, images: TestImages, panel: Panel) -> None:
    title, values = wrapped(panel.title, LETTERS), panel.values
    if panel.image is None:
        beside = values[~np.eye(*values.shape, dtype=bool)]  # a diagonal would outshine all else
        norm = PowerNorm(0.5, 0, beside.max(initial=0) or 1, clip=True)
        picture(ax, values, title, cmap="inferno", norm=norm, interpolation="nearest", aspect="auto")
        return
    image = images.sharp[panel.image]
    if values is None:
        picture(ax, image, title)
    elif values.dtype == bool:
        picture(ax, darkened(image, values), title)
    elif values.min() < 0 < values.max():
        reach = np.abs(values).max()
        extent = (-0.5, image.shape[1] - 0.5, image.shape[0] - 0.5, -0.5)
        picture(ax, values, title, cmap="RdBu_r", vmin=-reach, vmax=reach, extent=extent)
    else:
        overlay(ax, image, values, title)
    if panel.query is not None:
        y, x = ((at + 0.5) * side / n for at, side, n in zip(panel.query, image.shape, values.shape, strict=False))
        ax.plot(x, y, "x", color="white", markersize=9, markeredgewidth=2)
