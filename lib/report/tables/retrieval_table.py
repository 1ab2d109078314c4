"""Retrieval scores of several models in a table, as they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from lib.report.tables.cells import signed
from lib.retrieval.ranking import METRICS
from lib.statistics.metric_names import RETRIEVAL_METRICS
from lib.statistics.retrieval_estimates import SeedScores, compare_retrieval, estimate_retrieval


def score_text(scores: SeedScores, metric: str = "map") -> str:
    """'0.502 [0.432, 0.577]', the mean over seeds and its 95 % interval; with several seeds '0.502 ± 0.010 […]'."""
    found = estimate_retrieval(scores, metric)
    spread = f" ± {found.sd:.3f}" if found.seeds > 1 else ""
    return f"{found.mean:.3f}{spread} [{found.low:.3f}, {found.high:.3f}]"


def scores_table(scores: Mapping[str, SeedScores], reference: str, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """A row a model: its metrics with 95 % intervals over identities and seeds, and its mAP less that of `reference`."""
    table = pd.DataFrame(
        {RETRIEVAL_METRICS[metric]: [score_text(each, metric) for each in scores.values()] for metric in metrics},
        index=pd.Index(scores, name="model"),
    )
    differences = ["" if name == reference else _points(each, scores[reference]) for name, each in scores.items()]
    table.insert(1, f"mAP less {reference}'s (points)", differences)
    return table


def _points(scores: SeedScores, reference: SeedScores) -> str:
    found = compare_retrieval(scores, reference)
    difference, low, high = (signed(100 * value) for value in (found.difference, found.low, found.high))
    return f"{difference} [{low}, {high}]"
