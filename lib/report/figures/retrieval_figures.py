"""Figures on re-identification (notebook 08): ranked galleries, CMC curves, scores with intervals, query by query.

Right is a full blue frame with ✓, wrong a dashed orange one with ✗: told apart without colours, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from lib.report.figures.forest import Interval, forest_figure
from lib.report.figures.style import BLUE, GREY, MARKERS, ORANGE, figure, grid_of, picture
from lib.retrieval.ranking import METRICS, Ranking
from lib.statistics.metric_names import RETRIEVAL_METRICS
from lib.statistics.retrieval_estimates import SeedScores, cmc_band, estimate_retrieval

SHOWN = 160  # pixels, the longer side of an image in a figure
WIDE = 0.85  # inches, an image in a ranked gallery
LINES = ["-", "--", "-.", ":"]


def ranked_galleries(
    queries: pd.DataFrame,
    gallery: pd.DataFrame,
    answers: Mapping[str, Sequence[Ranking]],
    phantom: bool = False,
) -> Figure:
    """Each query and the first gallery images that count for it, best first; a row a model.

    Args:
        queries, gallery: rows of an `ImageSet` (`path`, `identity`, `camera`), in the order of the embeddings.
        answers: of each model, for the same queries in one order, so that models stand below each other query by query.
    """
    models, count = list(answers), len(next(iter(answers.values())))
    columns = 1 + max(len(a.gallery) for each in answers.values() for a in each)
    height, width = height_and_width_of(queries["path"].iloc[0])
    with figure(WIDE * columns + 0.3, (WIDE * height / width + 0.25) * count * len(models) + 0.6, phantom) as fig:
        axes = grid_of(fig, count * len(models), columns)
        for ax in axes.ravel():
            ax.set_axis_off()
        for i in range(count):
            for m, model in enumerate(models):
                row, answer = axes[i * len(models) + m], answers[model][i]
                if m == 0:
                    _query(row[0], queries.iloc[answer.query])
                if len(models) > 1:
                    row[1].text(-0.1, 0.5, model, transform=row[1].transAxes, rotation=90, ha="right", va="center")
                for rank, (ax, g) in enumerate(zip(row[1:], answer.gallery, strict=False), start=1):
                    _answer(ax, gallery.iloc[g], rank, bool(answer.right[rank - 1]))
        title = "First answers of the gallery: ✓ the query's identity (full frame), ✗ another (dashed); c: camera"
        fig.suptitle(title, fontsize=10, x=0.01, ha="left")
    return fig


def cmc_curves(scores: Mapping[str, SeedScores], ranks: int = 20, phantom: bool = False) -> Figure:
    """The share of queries whose first right answer stands at a rank or before, with 95 % intervals, a line a model."""
    with figure(6.2, 4.0, phantom) as fig:
        ax, at = fig.subplots(), np.arange(1, ranks + 1)
        lowest = 1.0
        for i, (name, seeds) in enumerate(scores.items()):
            band = cmc_band(seeds, ranks)
            mean, low, high = (np.array([getattr(e, part) for e in band]) for part in ("mean", "low", "high"))
            ax.plot(at, mean, LINES[i % 4], marker=MARKERS[i % 8], markersize=4, label=f"{name} (n = {band[0].seeds})")
            ax.fill_between(at, low, high, color=f"C{i % 7}", alpha=0.15, linewidth=0)
            lowest = min(lowest, low[0])
        ax.set(xlim=(0.5, ranks + 0.5), ylim=(max(0.0, np.floor(20 * lowest - 1) / 20), 1.01))
        ax.set_xticks([1, *range(5, ranks + 1, 5)])
        ax.set(xlabel="rank k", ylabel="CMC-k (fraction of the queries)", title="A right answer at rank k or before")
        ax.legend(loc="lower right", title="model (n: seeds)", title_fontsize=9)
    return fig


def score_bars(scores: Mapping[str, SeedScores], metrics: Sequence[str] = METRICS, phantom: bool = False) -> Figure:
    """mAP, mINP and CMC of each model with 95 % intervals over identities and seeds."""
    estimates = {name: [estimate_retrieval(seeds, metric) for metric in metrics] for name, seeds in scores.items()}
    return forest_figure(
        [RETRIEVAL_METRICS.get(metric, metric.replace("cmc_", "CMC-")) for metric in metrics],
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
    (first, second), sides = scores, [np.mean([s.per_query("map") for s in each], axis=0) for each in scores.values()]
    change = sides[1] - sides[0]
    with figure(5.5, 4.6, phantom) as fig:
        ax = fig.subplots()
        ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
        for part, colour, marker, label in (
            (change > 0, BLUE, "^", f"{second} is better"),
            (change < 0, ORANGE, "v", f"{first} is better"),
            (change == 0, GREY, ".", "equal"),
        ):
            x, y = (side[part] for side in sides)
            ax.scatter(x, y, s=12, c=colour, marker=marker, alpha=0.5, linewidths=0, label=f"{label} ({part.sum()})")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title="Average precision, query by query")
        ax.set(xlabel=f"average precision, {first}", ylabel=f"average precision, {second}")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1, markerscale=1.8, title="queries")
    return fig


def _query(ax: Axes, row: pd.Series) -> None:
    picture(ax, thumbnail(row["path"]), f"query c{row['camera']}")
    _frame(ax, "black", "-", 1.2)


def _answer(ax: Axes, row: pd.Series, rank: int, right: bool) -> None:
    colour = BLUE if right else ORANGE
    picture(ax, thumbnail(row["path"]), f"{rank} {'✓' if right else '✗'} c{row['camera']}")
    ax.title.set_color(colour)
    _frame(ax, colour, "-" if right else (0, (2, 1)), 2.8)


def _frame(ax: Axes, colour: str, style: object, width: float) -> None:
    ax.add_patch(
        Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, clip_on=False, ec=colour, ls=style, lw=width)
    )


def thumbnail(path: str) -> np.ndarray:
    """The image, its longer side `SHOWN` pixels or less."""
    with Image.open(path) as image:
        image.thumbnail((SHOWN, SHOWN))
        return np.asarray(image.convert("RGB"))


def height_and_width_of(path: str) -> tuple[int, int]:
    """Of the image file, in pixels."""
    with Image.open(path) as image:
        return image.height, image.width
