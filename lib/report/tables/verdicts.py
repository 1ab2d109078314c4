"""Sentences on comparisons: what an interval says, and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping

from lib.evaluation.attention_measures import NAMES as ATTENTION_MEASURES
from lib.report.tables.cells import p_text, signed
from lib.report.tables.run_tables import paired_differences, value_with_interval
from lib.statistics.estimates import Comparison
from lib.statistics.metric_names import METRICS, RETRIEVAL_METRICS
from lib.training.store import Run

NAMES = METRICS | RETRIEVAL_METRICS | ATTENTION_MEASURES  # of what can be compared


def comparison_text(found: Comparison) -> str:
    """'+0.3 points of accuracy (95 % interval −1.2 to +1.8; p = 0.610; 3 seeds a side)'"""
    span = f"95 % interval {signed(100 * found.low)} to {signed(100 * found.high)}"
    p = "no p" if found.p is None else f"p {p_text(found.p)}" if found.p < 0.001 else f"p = {p_text(found.p)}"
    seeds = f"{found.seeds} seed{'s' * (found.seeds > 1)} a side"
    return f"{signed(100 * found.difference)} points of {NAMES[found.metric]} ({span}; {p}; {seeds})"


def verdict(found: Comparison, first: str, second: str, words: tuple[str, str] = ("ahead of", "behind")) -> str:
    """One honest sentence on two methods over their seeds; `words` tell what more and what less of the metric is."""
    if found.p is None:
        return f"One seed a side supports no claim about {first} against {second}: {comparison_text(found)}."
    if found.low > 0:
        return f"{first} is {words[0]} {second}: {comparison_text(found)}."
    if found.high < 0:
        return f"{first} is {words[1]} {second}: {comparison_text(found)}."
    return f"No difference between {first} and {second} is shown: {comparison_text(found)}, an interval that includes zero."


def ablation_text(found: Comparison) -> str:
    """'−31.2 points of accuracy (95 % interval −35.0 to −27.4 over 2 seeds and test images)'"""
    over = "test images only" if found.p is None else f"{found.seeds} seeds and test images"
    span = f"95 % interval {signed(100 * found.low)} to {signed(100 * found.high)} over {over}"
    return f"{signed(100 * found.difference)} points of {METRICS[found.metric]} ({span})"


def ablation_verdict(found: Comparison, what: str) -> str:
    """One honest sentence on trained networks without `what`."""
    if found.high < 0:
        return f"Without {what} these networks lose: {ablation_text(found)}."
    if found.low > 0:
        return f"Without {what} these networks are better: {ablation_text(found)}."
    return (
        f"That these networks lose anything without {what} is not shown: {ablation_text(found)}, which includes zero."
    )


def verdict_of_runs(runs: Mapping[str, Run], metric: str = "balanced_accuracy") -> str:
    """One honest sentence on one run, or two of one seed each: what the interval says, and what it cannot say."""
    if len(runs) == 1:
        ((name, run),) = runs.items()
        return f"{name}: {METRICS[metric]} {value_with_interval(run, metric)}. One run alone supports no claim: compare it with others, over several seeds (`run_all.py sweep`)."
    (first, a), (second, b) = runs.items()
    difference, low, high = paired_differences(a, b)[metric]
    span = f"{100 * difference:+.1f} points of {METRICS[metric]} (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    limit = "The interval covers the choice of test lesions only: one seed of each cannot say whether another training would repeat it."
    if low > 0:
        return f"On these test images {first} is ahead of {second} by {span}. {limit}"
    if high < 0:
        return f"On these test images {first} is behind {second}: {span}. {limit}"
    return f"No difference between {first} and {second} is shown: {span}, which includes zero. {limit}"
