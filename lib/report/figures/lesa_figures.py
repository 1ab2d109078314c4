"""Figures on LESA (notebook 06): where its layers stand, ω and both terms over depth, maps, a term taken away.

`terms` is what `lib.lesa.term_statistics` gives for each network, one a seed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from lib.data.phantoms.scenes import SHAPES, Scene
from lib.evaluation.detector_study import Found
from lib.evaluation.test_images import TestImages
from lib.report.figures.forest import Interval, forest_figure
from lib.report.figures.style import BLUE, BOX, GREY, ORANGE, RED, figure, overlay_range, picture, picture_grid, wrapped
from lib.statistics.estimates import Comparison

Terms = Sequence[Mapping[str, Mapping[str, Tensor]]]  # seed → block → name → values
LENGTHS = {
    "local": ("local term |u|", "o-", BLUE),
    "context_term": ("context term as added |ω ⊙ b|", "s-", ORANGE),
    "ungated": ("context term before the gate |b|", "s:", GREY),
}
SHAPE_COLOURS = dict(zip(SHAPES, (BLUE, ORANGE, RED), strict=True))
COLOURS = {"local": BLUE, "context": ORANGE}  # by term
SOURCES = {"channels": BLUE, "images": ORANGE, "positions": RED}
KINDS = {"Conv2d": "3×3 convolution", "SelfAttention": "self-attention", "LESA": "LESA"}


def architecture(networks: Mapping[str, nn.Module]) -> pd.DataFrame:
    """What stands in the middle of every bottleneck, and its parameters; a row a block, a column a network."""
    columns = {
        name: {block: _middle(layers) for block, layers in network.net.named_modules() if hasattr(layers, "conv3")}
        for name, network in networks.items()
    }
    return pd.DataFrame(columns).rename_axis("block")


def _middle(bottleneck: nn.Module) -> str:
    parameters = sum(p.numel() for layer in (bottleneck.conv2, bottleneck.bn2) for p in layer.parameters())
    return f"{KINDS[type(bottleneck.conv2).__name__]} ({parameters:,})"


def depth(terms: Terms, phantom: bool) -> Figure:
    """Left: ω of every channel, block by block. Right: how long both terms are. A line a seed, means over images."""
    blocks = list(terms[0])
    places = np.arange(len(blocks))
    with figure(10, 3.8, phantom) as fig:
        left, right = fig.subplots(1, 2)
        gates = {block: np.concatenate([seed[block]["gate"].mean(0).numpy() for seed in terms]) for block in blocks}
        sns.boxplot(gates, whis=(5, 95), ax=left, **BOX)
        for seed in terms:
            left.plot(places, _means(seed, "gate"), "o-", color=BLUE, alpha=0.7)
            for name, (_, style, colour) in LENGTHS.items():
                right.plot(places, _means(seed, name), style, color=colour, alpha=0.7)
        left.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        left.set(ylim=(0, 1), ylabel="gate ω (1 lets all context in)", title="The gate over depth")
        right.set(ylabel="length over channels", title="Both terms over depth")
        right.set_ylim(bottom=0)
        for ax in (left, right):
            ax.set_xticks(places, blocks, rotation=30 if len(blocks) > 5 else 0)
            ax.set_xlabel("block")
        right.legend(right.lines[: len(LENGTHS)], [label for label, _, _ in LENGTHS.values()], fontsize=8)
    return fig


def _means(seed: Mapping[str, Mapping[str, Tensor]], name: str) -> list[float]:
    return [float(block[name].mean()) for block in seed.values()]


def gate_sources(shares: Sequence[Mapping[str, Mapping[str, float]]], phantom: bool) -> Figure:
    """What ω follows: `lib.lesa.gate_variance` by seed and block, as stacked bars, a bar a seed."""
    blocks = list(shares[0])
    width = 0.8 / len(shares)
    with figure(8, 3.4, phantom) as fig:
        ax = fig.subplots()
        for number, seed in enumerate(shares):
            places = np.arange(len(blocks)) + (number - (len(shares) - 1) / 2) * width
            bottom = np.zeros(len(blocks))
            for source, colour in SOURCES.items():
                heights = np.array([100 * seed[block][source] for block in blocks])
                name = None if number else f"between {source}"
                ax.bar(places, heights, 0.92 * width, bottom, color=colour, label=name)
                bottom += heights
        ax.set_xticks(range(len(blocks)), blocks, rotation=30 if len(blocks) > 5 else 0)
        ax.set(ylim=(0, 100), xlabel="block, one bar a seed", ylabel="share of ω's variance (%)")
        ax.set_title("What the gate follows")
        fig.legend(loc="outside right center", fontsize=8)
    return fig


def gate_maps(images: TestImages, gates: Mapping[str, np.ndarray], titles: Sequence[str]) -> Figure:
    """An image a row, a block a column: ω, mean over channels, bright where context is let in.

    `gates` are [N, h, w] by block. A panel's colours go from its least to its greatest value, told in its title.
    """
    with figure(max(1.7 * (1 + len(gates)), 5), 1.95 * len(images), images.is_phantom) as fig:
        for i, row in enumerate(picture_grid(fig, len(images), 1 + len(gates))):
            picture(row[0], images.sharp[i], wrapped(titles[i], 18))
            for ax, (block, heats) in zip(row[1:], gates.items(), strict=True):
                overlay_range(ax, images.sharp[i], heats[i], block)
    return fig


def detections(scenes: Sequence[Scene], found: Mapping[str, Sequence[Found]], gates: np.ndarray) -> Figure:
    """A scene a row: its own boxes and outlines, as many of what each detector is surest of, and LESA's gate."""
    with figure(1.9 * (2 + len(found)), 2.1 * len(scenes), phantom=True) as fig:
        for i, row in enumerate(picture_grid(fig, len(scenes), 2 + len(found))):
            scene = scenes[i]
            picture(row[0], scene.image, "as drawn" if i == 0 else "")
            for label, box, mask in zip(scene.labels, scene.boxes, scene.masks, strict=True):
                _object(row[0], label, box, mask, SHAPES[label])
            for ax, (name, answers) in zip(row[1:], found.items(), strict=False):
                picture(ax, scene.image, name if i == 0 else "")
                _found(ax, answers[i], len(scene.labels))
            overlay_range(row[-1], scene.image, gates[i], "gate ω of LESA" if i == 0 else "")
    return fig


def _found(ax: Axes, found: Found, most: int) -> None:
    parts = (found[name][:most].numpy() for name in ("labels", "boxes", "masks", "scores"))  # the surest first
    for label, box, mask, score in zip(*parts, strict=True):
        _object(ax, label - 1, box, mask[0] > 0.5, f"{SHAPES[label - 1]} {score:.2f}")


def _object(ax: Axes, label: int, box: np.ndarray, mask: np.ndarray, name: str) -> None:
    """A box with its name above it, and the outline of a mask."""
    colour, (x, y, right, bottom) = SHAPE_COLOURS[SHAPES[label]], box - 0.5
    ax.add_patch(Rectangle((x, y), right - x, bottom - y, fill=False, edgecolor=colour, linewidth=1.2))
    if mask.any() and not mask.all():
        ax.contour(mask, levels=[0.5], colors=[colour], linewidths=0.7, linestyles=":")
    label_box = {"facecolor": colour, "linewidth": 0, "pad": 0.8}
    ax.text(x, max(y - 1, 5), name, fontsize=6, color="white", bbox=label_box, va="bottom")


def losses(comparisons: Mapping[str, Sequence[Comparison]], metrics: Mapping[str, str], phantom: bool) -> Figure:
    """What trained networks change by when a term is taken away: points with 95 % intervals, a colour a term."""
    intervals = {
        f"without the {term} term": [Interval.of(comparison, colour=COLOURS[term]) for comparison in of_term]
        for term, of_term in comparisons.items()
    }
    labels = {"xlabel": "change (percentage points)", "title": "A term taken away after training"}
    return forest_figure(list(metrics.values()), intervals, phantom, reference=0, **labels)
