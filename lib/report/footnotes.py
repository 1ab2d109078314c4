"""What has to be said below a table: what the numbers are, how they were tested, and what they cannot show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lib.report.cells import Missing
from lib.report.comparison import METRICS
from lib.report.statistics import Comparison
from lib.report.study import Answers, Row, any_phantom, trained_by_different_code

LEVELS = (
    "Test metrics in %: mean ± standard deviation over seeds, below it the 95 % interval of the method over seeds and "
    "test images (lesions are resampled as a whole). Balanced accuracy is the mean recall over classes."
)
ONE_SEED = "With one seed no claim about a method can be made: intervals cover the test images only, and there is no p."
PHANTOM = (
    "The images are phantoms, drawn by the workbook: the table demonstrates the protocol and says nothing about skin."
)
CODE = "Some of these runs were trained by different versions of the training code; train them again before comparing them."
PARTIAL = "Some rows have fewer seeds than the protocol asks for; their numbers will change."


def notes_on(rows: Sequence[Row]) -> list[str]:
    """What holds for every table of runs: seeds, code, phantoms."""
    done = {len(row.finished) for row in rows if row.finished}
    found = [
        (1 in done, ONE_SEED),
        (any(row.finished and not row.complete for row in rows), PARTIAL),
        (trained_by_different_code(rows), CODE),
        (any_phantom(rows), PHANTOM),
    ]
    return [note for holds, note in found if holds]


def notes_on_tests(families: Sequence[Sequence[Comparison | Missing]]) -> list[str]:
    """Which tests gave the p-values, how many were corrected together, and what the effect sizes are."""
    made = [[c for c in family if isinstance(c, Comparison) and c.p is not None] for family in families]
    every = [c for family in made for c in family]
    if not every:
        return []
    tests = "; ".join(dict.fromkeys(f"{METRICS.get(c.metric, c.metric)}: {c.test}" for c in every))
    effects = "; ".join(dict.fromkeys(f"{METRICS.get(c.metric, c.metric)}: {c.effect_name}" for c in every))
    most = max(len(family) for family in made)
    corrected = f"corrected by Holm over the {most} tests" if most > 1 else "nothing to correct with a single test"
    return [
        f"p: {corrected} of one metric on one test set; below it the p without correction ({tests}).",
        f"Effect sizes: {effects}.",
    ]


def notes_on_dropped(answers: Iterable[Answers]) -> list[str]:
    """How many test images were left out because they had been seen in training, for each pair of data sets."""
    told = {}
    for each in answers:
        if each.tests and each.dataset != each.row.config.dataset:
            told[f"{each.row.config.dataset} → {each.dataset}"] = _dropped(each)
    return [f"Test images left out because they were seen in training: {_listed(told)}."] if told else []


def _dropped(answers: Answers) -> str:
    total, counts = answers.tests[0].images, answers.dropped
    if not any(counts.values()):
        return f"none of {total:,}"
    reasons = ", ".join(f"{number} by {reason}" for reason, number in counts.items() if number)
    return f"{sum(counts.values()):,} of {total:,} ({reasons})"


def _listed(told: dict[str, str]) -> str:
    return "; ".join(f"{pair}: {number}" for pair, number in told.items())
