"""What networks look at, as a table: each measure of each network, its floors, and the difference to the reference."""

from __future__ import annotations

from collections.abc import Mapping

from lib.evaluation.attention_measures import NAMES
from lib.evaluation.attention_study import AttentionMeasures, compare_attention, estimate_attention
from lib.report.tables.cells import Absent, Cell, Percent, Points, PValue, Text
from lib.report.tables.method_table import ONE_SEED
from lib.report.tables.table import Heading, Table
from lib.statistics.estimates import Comparison, holm

NOTES = (
    "In %: mean ± standard deviation over seeds, below it the 95 % interval over seeds and test images.",
    "Differences are paired by test image. p: corrected by Holm over the rows of the table; below it without correction.",
)


def attention_table(
    name: str, caption: str, looks: Mapping[str, AttentionMeasures], floors: Mapping[str, AttentionMeasures]
) -> Table:
    """A row a measure and network, the first of which is the reference, and a row a measure and floor."""
    reference, *others = looks
    measured = [measure for measure in NAMES if measure in looks[reference].values]
    found = {(m, each): compare_attention(looks[each], looks[reference], m) for m in measured for each in others}
    corrected = dict(zip(found, holm([c.p for c in found.values()]), strict=True))
    rows: list[dict[Heading, Cell]] = []
    for measure in measured:
        for each, side in {**looks, **{f"{floor} map": side for floor, side in floors.items()}}.items():
            row = {("", "measure"): Text(NAMES[measure]), ("", "network"): Text(each)}
            row[("", "value (%)")] = Percent(estimate_attention(side, measure))
            rows.append(row | _against(reference, found.get((measure, each)), corrected.get((measure, each))))
    return Table(name, caption, rows, [*NOTES, *[ONE_SEED] * any(c.p is None for c in found.values())], labels=2)


def _against(reference: str, found: Comparison | None, corrected: float | None) -> dict[Heading, Cell]:
    difference, p = ("", f"minus {reference} (points)"), ("", "p (Holm)")
    if found is None:
        return {difference: Absent(), p: Absent()}
    return {difference: Points(found), p: PValue(found.p, corrected)}
