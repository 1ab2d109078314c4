"""Figures on LESA (notebook 06): where its layers stand, ω and both terms over depth, maps, a term taken away.

`terms` is what `lib.lesa.term_statistics` gives for each network, one a seed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor, nn

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


def losses(comparisons: Mapping[str, Sequence[Comparison]], metrics: Mapping[str, str], phantom: bool) -> Figure:
    """What trained networks change by when a term is taken away: points with 95 % intervals, a colour a term."""
    intervals = {
        f"without the {term} term": [Interval.of(comparison, colour=COLOURS[term]) for comparison in of_term]
        for term, of_term in comparisons.items()
    }
    labels = {"xlabel": "change (percentage points)", "title": "A term taken away after training"}
    return forest_figure(list(metrics.values()), intervals, phantom, reference=0, **labels)
