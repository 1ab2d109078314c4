"""What networks look at, as a table: each measure of networks and of reference maps, and differences to one network."""

from collections.abc import Mapping

from lib.evaluation.attention_measures import NAMES
from lib.evaluation.attention_study import AttentionMeasures, compare_attention, estimate_attention
from lib.report.tables.cells import Cell
from lib.report.tables.method_table import difference_columns, note_on_one_seed
from lib.report.tables.table import Table

NOTES = (
    "In %: mean ± standard deviation over seeds, below it the 95 % interval over seeds and test images.",
    "Differences are paired by test image. p: corrected by Holm over the rows of the table; below it without correction.",
)


def measures_table(
    name: str,
    caption: str,
    networks: Mapping[str, AttentionMeasures],
    reference_maps: Mapping[str, AttentionMeasures],
) -> Table:
    """A row a measure and network, compared with the first one, and a row a measure and reference map."""
    first, *others = networks
    sides = {**networks, **{f"{reference} map": side for reference, side in reference_maps.items()}}
    measures = [measure for measure in NAMES if measure in networks[first].values]
    comparisons = {
        (measure, other): compare_attention(networks[other], networks[first], measure)
        for measure in measures
        for other in others
    }
    keys = [(measure, side) for measure in measures for side in sides]
    differences = difference_columns(keys, comparisons, f"minus {first} (points)")
    rows = [
        {
            ("", "measure"): Cell.words(NAMES[measure]),
            ("", "network"): Cell.words(side),
            ("", "value (%)"): Cell.percent(estimate_attention(sides[side], measure)),
            **differences[measure, side],
        }
        for measure, side in keys
    ]
    return Table(name, caption, rows, [*NOTES, *note_on_one_seed(comparisons.values())], labels=2)
