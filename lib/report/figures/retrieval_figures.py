"""Figures on re-identification (notebook 08): ranked galleries, CMC curves, scores with intervals, query by query.

Right is a full blue frame with ✓, wrong a dashed orange one with ✗: told apart without colours, too.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.data import ImageSet
from lib.report.figures.forest import Interval, forest_figure
from lib.report.figures.style import BLUE, GREY, ORANGE, figure, marker, picture, picture_grid
from lib.retrieval.ranking import RETRIEVAL_METRICS, Ranking
from lib.statistics.retrieval_estimates import SeedScores, estimate_retrieval

SHOWN = 160  # pixels, the longer side of an image in a figure
WIDE = 0.85  # inches, an image in a ranked gallery
LINES = ["-", "--", "-.", ":"]


def ranked_galleries(
    images: ImageSet, queries: pd.DataFrame, gallery: pd.DataFrame, answers: Mapping[str, Sequence[Ranking]]
) -> Figure:
    """Each query and the first gallery images that count for it, best first; a row a model.

    Args:
        queries, gallery: rows of `images`, in the order of the embeddings.
        answers: of each model, for the same queries in one order, so that models stand below each other query by query.
    """
    models, count = list(answers), len(next(iter(answers.values())))
    columns = 1 + max(len(ranking.gallery) for rankings in answers.values() for ranking in rankings)
    width, height = images.picture_size(queries.iloc[0])
    size = (WIDE * columns + 0.3, (WIDE * height / width + 0.25) * count * len(models) + 0.6)
    with figure(*size, images.is_phantom) as fig:
        lines = iter(picture_grid(fig, count * len(models), columns))
        for i in range(count):
            for number, (model, axes) in enumerate(zip(models, lines, strict=False)):
                ranking = answers[model][i]
                if number == 0:
                    query = queries.iloc[ranking.query]
                    _framed(axes[0], images, query, f"query c{query['camera']}", "black", "-", 1.2)
                if len(models) > 1:
                    axes[1].text(-0.1, 0.5, model, transform=axes[1].transAxes, rotation=90, ha="right", va="center")
                for rank, (ax, place) in enumerate(zip(axes[1:], ranking.gallery, strict=False)):
                    row, right = gallery.iloc[place], ranking.right[rank]
                    look = (BLUE, "-", 2.8) if right else (ORANGE, (0, (2, 1)), 2.8)
                    _framed(ax, images, row, f"{rank + 1} {'✓' if right else '✗'} c{row['camera']}", *look)
        title = "First answers of the gallery: ✓ the query's identity (full frame), ✗ another (dashed); c: camera"
        fig.suptitle(title, fontsize=10, x=0.01, ha="left")
    return fig


def cmc_curves(scores: Mapping[str, SeedScores], ranks: int = 20, phantom: bool = False) -> Figure:
    """The share of queries whose first right answer stands at a rank or before, with 95 % intervals, a line a model."""
    with figure(6.2, 4.0, phantom) as fig:
        ax, at = fig.subplots(), np.arange(1, ranks + 1)
        lowest = 1.0
        for i, (name, seeds) in enumerate(scores.items()):
            band = [estimate_retrieval(seeds, f"cmc_{k}") for k in at]  # each interval is for its rank alone
            look = {"marker": marker(i), "markersize": 4, "label": f"{name} (n = {band[0].seeds})"}
            ax.plot(at, [e.mean for e in band], LINES[i % 4], **look)
            ax.fill_between(at, [e.low for e in band], [e.high for e in band], color=f"C{i}", alpha=0.15, linewidth=0)
            lowest = min(lowest, band[0].low)
        ax.set(xlim=(0.5, ranks + 0.5), ylim=(max(0.0, np.floor(20 * lowest - 1) / 20), 1.01))
        ax.set_xticks([1, *range(5, ranks + 1, 5)])
        ax.set(xlabel="rank k", ylabel="CMC-k (fraction of the queries)", title="A right answer at rank k or before")
        ax.legend(loc="lower right", title="model (n: seeds)", title_fontsize=9)
    return fig


def score_bars(scores: Mapping[str, SeedScores], phantom: bool = False) -> Figure:
    """mAP, mINP and CMC of each model with 95 % intervals over identities and seeds."""
    estimates = {name: [estimate_retrieval(seeds, m) for m in RETRIEVAL_METRICS] for name, seeds in scores.items()}
    return forest_figure(
        list(RETRIEVAL_METRICS.values()),
        {name: [Interval.of(e, 1, note=f"{e.mean:.2f}") for e in of_model] for name, of_model in estimates.items()},
        phantom,
        xlim=(-0.02, 1.12),
        xlabel="score (fraction; 1 is perfect)",
        title="Retrieval, 95 % intervals",
    )


def query_by_query(scores: Mapping[str, SeedScores], phantom: bool = False) -> Figure:
    """Average precision of every query under the second model against the first, each the mean over its seeds.

    `scores` has two models, ranked on the same queries.
    """
    first, second = scores
    sides = [np.mean([seed.per_query("map") for seed in seeds], axis=0) for seeds in scores.values()]
    change = sides[1] - sides[0]
    with figure(5.5, 4.6, phantom) as fig:
        ax = fig.subplots()
        ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
        for queries, colour, marker, label in (
            (change > 0, BLUE, "^", f"{second} is better"),
            (change < 0, ORANGE, "v", f"{first} is better"),
            (change == 0, GREY, ".", "equal"),
        ):
            x, y = (side[queries] for side in sides)
            ax.scatter(x, y, s=12, c=colour, marker=marker, alpha=0.5, linewidths=0, label=f"{label} ({queries.sum()})")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title="Average precision, query by query")
        ax.set(xlabel=f"average precision, {first}", ylabel=f"average precision, {second}")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1, markerscale=1.8, title="queries")
    return fig


def _framed(ax: Axes, images: ImageSet, row: pd.Series, title: str, colour: str, style: object, width: float) -> None:
    """An image in a frame, its title in the frame's colour."""
    picture(ax, images.thumbnail(row, SHOWN), title)
    ax.title.set_color(colour)
    look = {"fill": False, "clip_on": False, "ec": colour, "ls": style, "lw": width}
    ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, **look))
