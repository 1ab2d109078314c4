"""Sentences on comparisons: what an interval says, and what it cannot say."""

from collections.abc import Mapping

from lib.evaluation.attention_measures import NAMES as ATTENTION_MEASURES
from lib.report.tables.cells import p_statement, points_with_ends, seeds_text
from lib.report.tables.run_tables import value_with_interval
from lib.retrieval.ranking import RETRIEVAL_METRICS
from lib.statistics.estimates import Comparison, Estimate, compare
from lib.statistics.metric_names import METRICS
from lib.training.store import Run

NAMES = METRICS | RETRIEVAL_METRICS | ATTENTION_MEASURES  # of what can be compared
ONE_RUN = "One run alone supports no claim: compare it with others, over several seeds (`run_all.py sweep`)."
ONCE = "Another training may say otherwise."
IMAGES_ONLY = (
    "The interval covers the choice of test images only: one seed of each cannot say whether another training would "
    "repeat it."
)


def estimate_text(estimate: Estimate) -> str:
    """'0.71 [0.66, 0.76]', for the list of a key figure"""
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def comparison_text(comparison: Comparison) -> str:
    """'+0.3 points of accuracy (95 % interval −1.2 to +1.8; p = 0.610; 3 seeds a side)', or of one seed a side
    '+0.3 points of accuracy (95 % interval −1.2 to +1.8 over test images, one training each)'"""
    if comparison.p is None:
        return _with_span(comparison, " over test images, one training each")
    return _with_span(comparison, f"; {p_statement(comparison.p)}; {seeds_text(comparison.seeds)} a side")


def ablation_text(comparison: Comparison) -> str:
    """'−31.2 points of accuracy (95 % interval −35.0 to −27.4 over 2 seeds and test images)'"""
    seeds = "test images only" if comparison.p is None else f"{comparison.seeds} seeds and test images"
    return _with_span(comparison, f" over {seeds}")


def verdict(comparison: Comparison, first: str, second: str, words: tuple[str, str] = ("ahead of", "behind")) -> str:
    """One honest sentence on two methods over their seeds; `words` tell what more and what less of the metric is."""
    text, (more, less) = comparison_text(comparison), words
    once, others = (" on these test images", f" {ONCE}") if comparison.p is None else ("", "")
    return _by_interval(
        comparison,
        f"{first} is {more} {second}{once}: {text}.{others}",
        f"{first} is {less} {second}{once}: {text}.{others}",
        f"No difference between {first} and {second} is shown: {text}, an interval that includes zero.",
    )


def ablation_verdict(comparison: Comparison, what: str) -> str:
    """One honest sentence on trained networks without `what`."""
    text = ablation_text(comparison)
    return _by_interval(
        comparison,
        f"Without {what} these networks are better: {text}.",
        f"Without {what} these networks lose: {text}.",
        f"That these networks lose anything without {what} is not shown: {text}, which includes zero.",
    )


def verdict_of_runs(runs: Mapping[str, Run]) -> str:
    """One honest sentence on the balanced accuracy of one run, or two of one seed each: what the interval says, and
    what it cannot say."""
    if len(runs) == 1:
        ((name, run),) = runs.items()
        return f"{name}: balanced accuracy {value_with_interval(run, 'balanced_accuracy')}. {ONE_RUN}"
    (first, a), (second, b) = runs.items()
    comparison = compare([a], [b], "balanced_accuracy")
    text = _with_span(comparison)
    sentence = _by_interval(
        comparison,
        f"On these test images {first} is ahead of {second} by {text}.",
        f"On these test images {first} is behind {second}: {text}.",
        f"No difference between {first} and {second} is shown: {text}, which includes zero.",
    )
    return f"{sentence} {IMAGES_ONLY}"


def _with_span(comparison: Comparison, more: str = "") -> str:
    """The difference and its interval; `more` stands in the brackets as well."""
    difference, low, high = points_with_ends(comparison)
    return f"{difference} points of {NAMES[comparison.metric]} (95 % interval {low} to {high}{more})"


def _by_interval(comparison: Comparison, above: str, below: str, includes_zero: str) -> str:
    """Which of the sentences the interval allows."""
    return above if comparison.low > 0 else below if comparison.high < 0 else includes_zero
