"""Figures on GAttANet (notebook 07): what agrees with the global query, what a further pass changes, how far queries agree."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.evaluation.test_images import TestImages
from lib.report.figures.style import BLUE, BOX, GREY, ORANGE, RED, figure, legend_above, picture, picture_grid, wrapped
from lib.report.tables.cells import signed

MOST_NAMES = 20  # classes whose names still fit on an axis


def passes_figure(changes: Mapping[str, Sequence[pd.DataFrame]], trained: int, phantom: bool) -> Figure:
    """`pass_changes` of each seed (thin) and their mean (thick), a colour a way of running: the accuracy, the answers
    that changed, the probability that moved."""
    panels = {"accuracy": "Accuracy", "changed": "Answers unlike pass 1's", "moved": "Probability moved"}
    with figure(10, 3.5, phantom) as fig:
        axes = fig.subplots(1, len(panels))
        for ax, (column, title) in zip(axes, panels.items(), strict=True):
            for colour, (name, seeds) in zip((BLUE, ORANGE), changes.items(), strict=False):
                for seed in seeds:
                    ax.plot(seed.index, 100 * seed[column], color=colour, alpha=0.4, linewidth=1)
                mean = sum(100 * seed[column] for seed in seeds) / len(seeds)
                ax.plot(mean.index, mean, "o-", color=colour, linewidth=2, label=name)
            ax.axvline(trained, color=GREY, linestyle=":", label="as trained")
            ax.set(title=title, xlabel="passes run")
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylabel("share of the test images (%)")
        axes[2].set_ylabel("mean since pass 1 (%)")
        legend_above(fig, axes[0])
    return fig


def modulation(alphas: np.ndarray, gains: Mapping[str, np.ndarray], phantom: bool) -> Figure:
    """Left: α of each layer, a dot a seed. Right: by how much the layer's outputs change, over images and positions.

    Args:
        alphas: [seeds, L] in the order of `gains`.
        gains: by layer the factors 1 + α · gatta, any shape.
    """
    names = [name.removeprefix("net.") for name in gains]
    with figure(10, 0.42 * len(names) + 1.7, phantom) as fig:
        left, right = fig.subplots(1, 2, sharey=True)
        learned, look = pd.DataFrame(alphas, columns=names), {"color": BLUE, "size": 7, "alpha": 0.8}
        sns.stripplot(learned, orient="h", jitter=False, ax=left, **look)
        left.set(xlabel="α (0 at the start)", ylabel="layer", title="The learned gain, one dot a seed")
        left.xaxis.set_major_locator(MaxNLocator(5))
        changes = {name: 100 * (values.ravel() - 1) for name, values in zip(names, gains.values(), strict=True)}
        sns.boxplot(changes, orient="h", whis=(5, 95), ax=right, **BOX)
        right.set(xlabel="change of the layer's outputs (%)", title="α · agreement in the last pass")
        for ax in (left, right):
            ax.axvline(0, color=RED, linewidth=1)
            ax.grid(axis="x")
            ax.grid(visible=False, axis="y")
    return fig


def agreement_maps(images: TestImages, gains: Mapping[str, np.ndarray], titles: Sequence[str]) -> Figure:
    """An image a row: what each pass does to every position of each convolutional layer, red more, blue less.

    `gains` are 1 + α · gatta by layer, [N, P−1, h, w]; layers of units are left out. Colours of a panel reach as far up
    as down; its title gives its range.
    """
    shown = [
        (name.removeprefix("net."), later + 2, 100 * (values[:, later] - 1))
        for name, values in gains.items()
        if values.ndim == 4
        for later in range(values.shape[1])
    ]
    with figure(1.6 * (1 + len(shown)), 1.9 * len(images), images.is_phantom) as fig:
        for i, row in enumerate(picture_grid(fig, len(images), 1 + len(shown))):
            picture(row[0], images.sharp[i], wrapped(titles[i], 18))
            for ax, (name, number, change) in zip(row[1:], shown, strict=True):
                low, high = change[i].min(), change[i].max()
                reach = max(-low, high, 1e-9)
                digits = 0 if reach >= 10 else 2
                title = f"{name}, pass {number}\n{signed(low, digits)} … {signed(high, digits)} %"
                picture(ax, change[i], title, cmap="RdBu_r", vmin=-reach, vmax=reach)
    return fig


def query_agreement(
    between_classes: np.ndarray, between_passes: np.ndarray, classes: Sequence[str], phantom: bool
) -> Figure:
    """Mean cosines of global queries: of images of two classes after the first and the last pass, and of two passes.

    Args:
        between_classes: [P, K, K]; the diagonal is of two images of one class.
        between_passes: [P, P].
    """
    passes = len(between_passes)
    ends = {"Classes, pass 1": between_classes[0], f"Classes, pass {passes}": between_classes[-1]}
    look = {"cmap": "viridis", "vmin": min(np.nanmin([*ends.values()]), between_passes.min()), "vmax": 1}
    look |= {"square": True, "cbar": False}
    names = classes if len(classes) <= MOST_NAMES else "auto"
    with figure(11, 4.2, phantom) as fig:
        axes = fig.subplots(1, 3)
        for ax, (title, values) in zip(axes, ends.items(), strict=False):
            sns.heatmap(values, xticklabels=names, yticklabels=names, ax=ax, **look)
            ax.set(title=title, xlabel="class of one image", ylabel="class of the other")
            ax.tick_params(axis="x", rotation=45 if max(map(len, classes)) > 2 else 0)
        numbers = range(1, passes + 1)
        sns.heatmap(between_passes, annot=True, fmt=".3f", xticklabels=numbers, yticklabels=numbers, ax=axes[2], **look)
        axes[2].set(title="Passes, same image", xlabel="pass", ylabel="pass")
        for ax in axes:
            ax.tick_params(axis="y", rotation=0)
        bar = {"label": "cosine of two queries", "shrink": 0.7, "location": "bottom", "aspect": 50}
        fig.colorbar(axes[0].collections[0], ax=axes, **bar)
    return fig
