"""Networks of which the test does not show that they have learned anything: at chance, as a constant answer is."""

from __future__ import annotations

from collections.abc import Iterable

from lib.errors import WorkbookError
from lib.report.statistics import estimate
from lib.report.study import Answers


def at_chance(answers: Answers) -> int | None:
    """K, the number of classes, where the interval of balanced accuracy reaches down to 1/K; else None.

    1/K is what the same answer to every image gets. None as well where there is no result.
    """
    if answers.missing:
        return None
    try:
        low = estimate(answers.tests, "balanced_accuracy").low
        classes = answers.tests[0].predictions["label"].nunique()
    except WorkbookError:
        return None
    return classes if low <= 1 / classes else None


def told_at_chance(answers: Iterable[Answers]) -> str | None:
    """'on phantom-clinic (1/7 = 14.3 %) original, weighted_add'; None where no network is at chance."""
    by_dataset: dict[str, list[Answers]] = {}
    for each in answers:
        by_dataset.setdefault(each.dataset, []).append(each)
    told = []
    for dataset, there in by_dataset.items():
        names = {_name(each): each for each in there if not each.missing}
        found = {name: classes for name, each in names.items() if (classes := at_chance(each))}
        if found:
            who = f"all {len(names)}" if len(found) == len(names) > 1 else ", ".join(found)
            chances = " or ".join(f"1/{k} = {100 / k:.1f} %" for k in sorted(set(found.values())))
            told.append(f"on {dataset} ({chances}) {who}")
    return "; ".join(told) or None


def _name(answers: Answers) -> str:
    """A row's label, with what its table does not say in it."""
    label, config = answers.row.label, answers.row.config
    parts = [f"{value}-level split" if axis == "split" else value for axis, value in label.items()]
    bare = ["without attention"] if config.attention == "none" and "attention" not in label else []
    return " ".join([", ".join(parts), *bare])
