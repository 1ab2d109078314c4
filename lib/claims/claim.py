"""A claim, and the words that a comparison earns it: shown, refuted or undecided; without one it is not tried."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lib.retrieval.ranking import RETRIEVAL_METRICS
from lib.statistics.estimates import Comparison
from lib.statistics.metric_names import METRICS

SHOWN, REFUTED, UNDECIDED = "shown", "refuted", "undecided"
NOT_TRIED = "not tried"
ALPHA = 0.05  # of the p-values as Holm corrects them

# What a real data set can be tried for, and the recipes (of PROFILES) that it is tried with, by the report's profile.
KINDS = {
    "classification": {"smoke": "smoke", "quick": "quick", "full": "full", "paper": "paper"},
    "fine-grained": {"smoke": "fgvc-smoke", "quick": "fgvc-quick", "full": "fgvc", "paper": "fgvc"},
    "re-identification": {"smoke": "reid-smoke", "quick": "reid-quick", "full": "reid", "paper": "reid"},
}


@dataclass(frozen=True)
class Claim:
    """What a paper says of its mechanism, as a difference that can be measured: the networks with it − those without.

    `measure` is a metric of classification or retrieval, or a function of the runs of each arm, one a seed and in the
    order of the seeds, that returns a `Comparison`. A claim with one arm (`second` is None) compares two things of the
    same networks, and has such a function of one list of runs.
    """

    name: str
    sentence: str  # what is claimed, as a statement that can be false
    source: str  # the paper, with its arXiv number
    notebook: str  # the stem of the one that looks closer, as 02_glsa_training
    recipe: str  # of PROFILES: the task on which it is tried, and how networks are trained for it
    first: Mapping[str, Any]  # settings of the networks with the mechanism
    second: Mapping[str, Any] | None  # and without it
    measure: str | Callable[..., Comparison]
    size: float  # the smallest difference that matters, a fraction as the measure is
    reason: str  # why that size
    expects: Literal["gain", "none"] = "gain"  # "none": no difference that matters
    kinds: Collection[str] = ()  # of KINDS: the real data sets on which it can be tried
    needs: str = ""  # what a data set must have for it where no real one is known to, as "classes that …"
    # Networks of one seed that start from the same weights of a ViT and see the same batches differ less from each other
    # than those of two seeds: on phantom-needles by a standard deviation of 1.1 points, where theirs are 2.3 and 2.7.
    seed_by_seed: bool = False
    names: tuple[str, str] = ("with", "without")  # of what is subtracted from what
    unit: str = ""  # of a function's measure: "points of …"

    @property
    def points_of(self) -> str:
        """'points of accuracy'"""
        names = METRICS | RETRIEVAL_METRICS
        return self.unit or f"points of {names[self.measure]}"


def tally(verdicts: Mapping[str, str], one: str, many: str = "") -> str:
    """One sentence on the verdicts by name: 'Of 3 claims 1 is shown (a), 2 are refuted (b, c) and 0 are undecided.'

    What was not tried is told where there is some. `one` is the word for what is judged, `many` its plural where that has
    more than an s.
    """
    parts = []
    for word in (SHOWN, REFUTED, UNDECIDED, *[NOT_TRIED] * (NOT_TRIED in verdicts.values())):
        names = [name for name, verdict in verdicts.items() if verdict == word]
        parts.append(
            f"{len(names)} {'is' if len(names) == 1 else 'are'} {word}" + f" ({', '.join(names)})" * bool(names)
        )
    what = one if len(verdicts) == 1 else many or f"{one}s"
    return f"Of {len(verdicts)} {what} {', '.join(parts[:-1])} and {parts[-1]}."


def verdict(claim: Claim, comparison: Comparison, corrected: float | None) -> str:
    """Shown, refuted or undecided.

    A gain is refuted where the whole interval lies below the size that matters, or the loss is significant; shown where
    it is significant. The absence of a difference is shown where the whole interval lies within ± the size, refuted where
    it lies outside. Everything else is undecided, and so is what has one seed a side.

    Args:
        corrected: the p-value after Holm's correction over all claims.
    """
    low, high, size = comparison.low, comparison.high, claim.size
    if corrected is None or not low <= high:  # NaN: no interval
        return UNDECIDED
    if claim.expects == "none":
        inside, outside = -size < low and high < size, low > size or high < -size
        return SHOWN if inside else REFUTED if outside else UNDECIDED
    if high < size:
        return REFUTED
    if corrected < ALPHA:
        return SHOWN if comparison.difference > 0 else REFUTED
    return UNDECIDED
