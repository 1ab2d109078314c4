"""Networks of which the test does not show that they have learned anything: at chance, as a constant answer is."""

from collections.abc import Iterable, Sequence

from lib.report.study.study import Answers, Missing
from lib.statistics.estimates import estimate
from lib.statistics.resampling import Tested


def chance_reached(tests: Sequence[Tested]) -> int | None:
    """K, the number of classes, where the interval of balanced accuracy over `tests`, one a seed, reaches down to 1/K.

    None elsewhere. 1/K is what the same answer to every image gets.
    """
    classes = tests[0].predictions["label"].nunique()
    return classes if estimate(tests, "balanced_accuracy").low <= 1 / classes else None


def at_chance(answers: Answers) -> int | None:
    """`chance_reached` by the networks of a row; None as well where there is no result."""
    return None if isinstance(answers.estimate("balanced_accuracy"), Missing) else chance_reached(answers.tests)


def chance_text(answers: Iterable[Answers]) -> str | None:
    """'on phantom-clinic (1/7 = 14.3 %) original, weighted_add'; None where no network is at chance."""
    by_dataset: dict[str, dict[str, Answers]] = {}  # by name, those that have a result
    for row in answers:
        rows = by_dataset.setdefault(row.dataset, {})
        if not row.missing:
            rows[row.row.full_name] = row
    texts = []
    for dataset, rows in by_dataset.items():
        classes = {name: number for name, row in rows.items() if (number := at_chance(row))}
        if classes:
            networks = f"all {len(rows)}" if len(classes) == len(rows) > 1 else ", ".join(classes)
            chances = " or ".join(f"1/{k} = {100 / k:.1f} %" for k in sorted(set(classes.values())))
            texts.append(f"on {dataset} ({chances}) {networks}")
    return "; ".join(texts) or None
