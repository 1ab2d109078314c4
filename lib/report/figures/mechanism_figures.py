"""What *The mechanism in ten lines* has computed on one image, as pictures of that very computation."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from lib.evaluation.test_images import TestImages
from lib.report.figures.style import figure, mark_query, picture, picture_grid

MOST = 5  # panels a row


def computed_maps(
    image: TestImages, maps: Mapping[str, Tensor | np.ndarray], query: tuple[int, int] | None = None
) -> Figure:
    """The first of `image`, then each map [h, w], position by position, with its least and its greatest value.

    A map with values of both signs is shown in blue (below 0) and red, 0 in white. `query`, a row and a column of the
    maps, is marked ×.
    """
    columns = min(MOST, 1 + len(maps))
    rows = -(-(1 + len(maps)) // columns)
    with figure(2.0 * columns, 2.35 * rows, image.is_phantom) as fig:
        axes = picture_grid(fig, rows, columns).ravel()
        picture(axes[0], image.sharp[0], f"the image\n{image.names()[0]}")
        for ax, (name, values) in zip(axes[1:], maps.items(), strict=False):
            values = np.asarray(values, dtype=float)
            greatest = np.abs(values).max()
            signed = values.min() < 0 < values.max()
            look = {"cmap": "RdBu_r", "vmin": -greatest, "vmax": greatest} if signed else {"cmap": "inferno"}
            picture(ax, values, f"{name}\n{values.min():.3g} … {values.max():.3g}".replace("-", "−"), **look)
            if query is not None:
                mark_query(ax, values.shape, values.shape, query)
        if query is not None:
            mark_query(axes[0], image.sharp.shape[1:3], next(iter(maps.values())).shape, query)
    return fig
