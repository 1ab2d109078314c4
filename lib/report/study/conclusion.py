"""What a study ends in: its few numbers, and a verdict on its criteria."""

from collections.abc import Mapping, Sequence

from lib.claims.claim import UNDECIDED, tally
from lib.report.study.chance import at_chance
from lib.report.study.comparisons import comparisons
from lib.report.study.criteria import Criterion
from lib.report.study.study import Missing, Study
from lib.report.tables.cells import points_text


def study_figures(study: Study, criteria: Sequence[Criterion]) -> dict[str, str | Mapping[str, str]]:
    """Runs, what a leaky split is worth, networks at chance, and the verdict of each criterion."""
    done, planned = study.progress
    leak = comparisons(study, "leak").of("balanced_accuracy")
    inflation = {
        f"inflation by a leaky split, {pair.row.config.backbone}": "missing"
        if isinstance(pair.result, Missing)
        else f"{points_text(pair.result)} points of balanced accuracy"
        for pair in leak[:1]
    }
    return {
        "runs finished": f"{done} of {planned}",
        **inflation,
        "configurations at chance in balanced accuracy": _at_chance(study),
        "the six criteria": {criterion.name: criterion.verdict for criterion in criteria},
    }


def study_verdict(study: Study, criteria: Sequence[Criterion]) -> list[str]:
    """Sentences: which criteria are shown, refuted and undecided, why the latter are, and how much is at chance."""
    names = {criterion.name.partition(" ")[2].lower(): criterion.verdict for criterion in criteria}
    reasons = [f"{c.name.partition(' ')[2]}: {c.why}." for c in criteria if c.verdict == UNDECIDED]
    chance = _at_chance(study)
    caution = [f"At chance in balanced accuracy, and so no evidence on any method, are {chance} configurations."]
    return [tally(names, "criterion", "criteria"), *reasons, *caution * (not chance.startswith("0 "))]


def _at_chance(study: Study) -> str:
    """'1 of 13'"""
    rows = {row.config: row for row in study.every_row() if row.finished}.values()
    chance = sum(at_chance(study.answers(row, row.config.dataset)) is not None for row in rows)
    return f"{chance} of {len(rows)}"
