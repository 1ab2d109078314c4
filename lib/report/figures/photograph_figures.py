"""Figures on a brought network and its photographs (notebook 10): answers, viewpoints, maps that move, and what GAttANet adds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.photographs import Photographs
from lib.report.figures.style import BLUE, DARK, GREY, figure, marker, picture, wrapped
from lib.report.tables.cells import minus

COLUMNS = 4
LIKELIEST = 5  # classes of a photograph


def answers(photographs: Photographs, classes: Sequence[str], probabilities: np.ndarray) -> Figure:
    """Each photograph as the network is shown it, and below it its likeliest classes by probability, [N, K]."""
    rows, columns = -(-len(photographs) // COLUMNS), min(COLUMNS, len(photographs))
    ratios = [1.6, 1] * rows
    with figure(2.7 * max(columns, 2), 3.6 * rows) as fig:
        axes = fig.subplots(2 * rows, columns, squeeze=False, height_ratios=ratios)
        for ax in axes.ravel():
            ax.set_axis_off()
        for i, (image, row) in enumerate(zip(photographs.shown, probabilities, strict=True)):
            above, below = axes[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
            picture(above, image, wrapped(photographs.names[i], 26))
            _bars(below, classes, row)
    return fig


def _bars(ax: Axes, classes: Sequence[str], row: np.ndarray) -> None:
    best = np.argsort(-row, kind="stable")[:LIKELIEST]
    ax.set_axis_on()
    ax.barh(range(len(best)), row[best], color=BLUE, height=0.72, alpha=0.35)
    for place, k in enumerate(best):
        ax.text(0.02, place, f"{wrapped(classes[k], 24)}  {row[k]:.2f}", va="center", fontsize=8, color="black")
    ax.set(xlim=(0, 1), ylim=(len(best) - 0.4, -0.6), xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def by_viewpoint(seen: pd.DataFrame) -> Figure:
    """The probability of each photograph's usual answer from every viewpoint (`answers_from`); hollow: another class is answered."""
    names = list(dict.fromkeys(seen["photograph"]))
    with figure(8.5, 0.36 * len(names) + 1.3) as fig:
        ax = fig.subplots()
        for n, (viewpoint, rows) in enumerate(seen.groupby("viewpoint", sort=False)):
            places = [names.index(name) for name in rows["photograph"]]
            colour = f"C{n}"
            faces = [colour if same else "none" for same in rows["same"]]
            ax.scatter(rows["probability"], places, s=44, marker=marker(n), c=faces, edgecolors=colour, label=viewpoint)
        ax.set_yticks(range(len(names)), [wrapped(name, 30) for name in names], fontsize=9)
        ax.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5), xlabel="probability of the usual answer")
        ax.grid(axis="x")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return fig


def steady_maps(moved: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Every rank correlation of `moved_maps`, a row a method; the bar is their mean."""
    with figure(8.5, 0.34 * len(methods) + 1.2) as fig:
        ax = fig.subplots()
        for n, (viewpoint, rows) in enumerate(moved.groupby("viewpoint", sort=False)):
            places = [methods.index(method) for method in rows["method"]]
            ax.scatter(rows["correlation"], places, s=22, marker=marker(n), color=f"C{n}", alpha=0.7, label=viewpoint)
        means = moved.groupby("method")["correlation"].mean().reindex(methods)
        ax.scatter(means, range(len(methods)), marker="|", s=260, color=DARK, linewidths=2)
        ax.axvline(0, color=GREY, linewidth=1)
        ax.set_yticks(range(len(methods)), methods, fontsize=9)
        ax.set(ylim=(len(methods) - 0.5, -0.5), xlabel="rank correlation with the map of the usual view")
        ax.grid(axis="x")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return fig


def by_alpha(alphas: Sequence[float], probabilities: np.ndarray, names: Sequence[str]) -> Figure:
    """The probability [A, N] of each photograph's usual answer when the second pass is given a strength α by hand."""
    with figure(8.5, 3.6) as fig:
        ax = fig.subplots()
        for n, name in enumerate(names):
            ax.plot(alphas, probabilities[:, n], marker(n) + ("-" if n < 7 else "--"), label=wrapped(name, 30))
        ax.axvline(0, color=GREY, linewidth=1)
        ax.set_xscale("symlog", linthresh=min(abs(alpha) for alpha in alphas if alpha))
        ends = (min(alphas), 0, max(alphas))
        ax.set_xticks(ends, [minus(f"{alpha:g}") for alpha in ends])
        ax.set(ylim=(-0.02, 1.02), xlabel="α of every layer", ylabel="probability of the usual answer")
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
    return fig
