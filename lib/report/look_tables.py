"""What networks look at, as a table: each measure of each network, its floors, and the difference to the reference."""

from __future__ import annotations

from collections.abc import Mapping

from lib.report.attention_measures import NAMES
from lib.report.cells import Absent, Cell, Percent, Points, PValue, Text
from lib.report.looks import Looked, compare_looks, estimate_look
from lib.report.methods import ONE_SEED
from lib.report.statistics import Comparison, holm
from lib.report.tables import Heading, Table

NOTES = (
    "In %: mean ± standard deviation over seeds, below it the 95 % interval over seeds and test images.",
    "Differences are paired by test image. p: corrected by Holm over the rows of the table; below it without correction.",
)


def looks_table(name: str, caption: str, looks: Mapping[str, Looked], floors: Mapping[str, Looked]) -> Table:
    """A row a measure and network, the first of which is the reference, and a row a measure and floor."""
    reference, *others = looks
    measured = [measure for measure in NAMES if measure in looks[reference].values]
    found = {(m, each): compare_looks(looks[each], looks[reference], m) for m in measured for each in others}
    corrected = dict(zip(found, holm([c.p for c in found.values()]), strict=True))
    rows: list[dict[Heading, Cell]] = []
    for measure in measured:
        for each, side in {**looks, **{f"{floor} map": side for floor, side in floors.items()}}.items():
            row = {("", "measure"): Text(NAMES[measure]), ("", "network"): Text(each)}
            row[("", "value (%)")] = Percent(estimate_look(side, measure))
            rows.append(row | _against(reference, found.get((measure, each)), corrected.get((measure, each))))
    return Table(name, caption, rows, [*NOTES, *[ONE_SEED] * any(c.p is None for c in found.values())], labels=2)


def _against(reference: str, found: Comparison | None, corrected: float | None) -> dict[Heading, Cell]:
    difference, p = ("", f"minus {reference} (points)"), ("", "p (Holm)")
    if found is None:
        return {difference: Absent(), p: Absent()}
    return {difference: Points(found), p: PValue(found.p, corrected)}
