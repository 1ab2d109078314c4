"""What has to be said below a table: what the numbers are, how they were tested, and what they cannot show."""

from collections.abc import Iterable, Sequence

from lib.report.study.chance import chance_text
from lib.report.study.comparisons import Family
from lib.report.study.study import Answers, Row, any_phantom, trained_by_different_code
from lib.report.tables.method_table import ONE_SEED

LEVELS = (
    "Test metrics in %: mean ± standard deviation over seeds, below it the 95 % interval of the method over seeds and "
    "test images (lesions are resampled as a whole). Balanced accuracy is the mean recall over classes."
)
PHANTOM = (
    "The images are phantoms, drawn by the workbook: the table demonstrates the protocol and says nothing about skin."
)
CODE = "Some of these runs were trained by different versions of the training code; train them again before comparing them."
AT_CHANCE = "At chance, since the interval of balanced accuracy reaches what one answer to every image gets"
UNLEARNED = "It is not shown that these networks have learned anything, and differences between them say nothing."
NETWORKS = (
    "McNemar: p of the exact test on lesions, whether these very networks differ on these images; below it Cohen's g. Not "
    "corrected, and no claim about a method: it ignores the variance over seeds, and where seeds differ by 5 to 10 points "
    "it finds two equal methods different in 41 to 58 % of all studies."
)
PARTIAL = "Some rows have fewer seeds than the protocol asks for; their numbers will change."


def notes_on(rows: Sequence[Row]) -> list[str]:
    """What holds for every table of runs: seeds, code, phantoms."""
    done = {len(row.finished) for row in rows if row.finished}
    notes = [
        (1 in done, ONE_SEED),
        (any(row.finished and not row.complete for row in rows), PARTIAL),
        (trained_by_different_code(rows), CODE),
        (any_phantom(rows), PHANTOM),
    ]
    return [note for holds, note in notes if holds]


def notes_at_chance(answers: Iterable[Answers]) -> list[str]:
    """Which networks may be no better than one constant answer."""
    networks = chance_text(answers)
    return [f"{AT_CHANCE}: {networks}. {UNLEARNED}"] if networks else []


def notes_on_tests(family: Family, also: str = "", networks: bool = False) -> list[str]:
    """Which test gave the p-values, what was corrected together, and what the effect sizes are.

    Args:
        family: all comparisons of the table.
        also: where the rest of them is shown.
        networks: whether McNemar's p is shown as well.
    """
    notes = []
    if family.made:
        test, effect = family.made[0].test, family.made[0].effect_name
        notes = [
            f"p: {test}, as the interval (p is below 0.05 where that excludes 0), then {_corrected(family, also)}; below "
            "it the p without correction.",
            f"Effect size: {effect}.",
        ]
    if networks and any(getattr(pair.result, "networks", None) for pair in family.every):
        notes.append(NETWORKS)
    return notes


def _corrected(family: Family, also: str) -> str:
    made, (rows, metrics, datasets) = len(family.made), family.extent
    if made == 1:
        return "nothing to correct with a single test"
    counts = ((rows, "row"), (metrics, "metric"), (datasets, "test set"))
    extent = " × ".join(f"{n} {what}{'s' * (n > 1)}" for n, what in counts)
    share = "" if made == rows * metrics * datasets else ", as far as they could be made"
    return f"corrected by Holm over all {made} tests of the table{also} ({extent}{share})"


def notes_on_dropped(answers: Iterable[Answers]) -> list[str]:
    """How many test images were left out because they had been seen in training, for each pair of data sets."""
    dropped = {}
    for tested in answers:
        own = tested.row.config.dataset
        if tested.tests and tested.dataset != own:
            dropped[f"{own} → {tested.dataset}"] = _dropped(tested)
    listed = "; ".join(f"{pair}: {number}" for pair, number in dropped.items())
    return [f"Test images left out because they were seen in training: {listed}."] if listed else []


def _dropped(answers: Answers) -> str:
    total, counts = answers.tests[0].images, answers.dropped
    if not any(counts.values()):
        return f"none of {total:,}"
    reasons = ", ".join(f"{number} by {reason}" for reason, number in counts.items() if number)
    return f"{sum(counts.values()):,} of {total:,} ({reasons})"
