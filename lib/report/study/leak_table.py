"""The leak study: by how much a split that leaks inflates a result."""

from lib.report.study.comparisons import comparisons
from lib.report.study.footnotes import LEVELS, notes_at_chance, notes_on, notes_on_tests
from lib.report.study.row_cells import level, of_runs, seeds_of
from lib.report.study.study import Study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Table
from lib.statistics.metric_names import METRICS, TESTED_METRICS
from lib.training.store import Run

CAPTION = "The leak study. The same network under a split that leaks and one that does not."
SPLITS = (
    "Lesion-level: no lesion is in two parts. Image-level: images are shuffled, so that views of one lesion are on both "
    "sides. The two test parts hold different images and are compared unpaired; each is one draw of the split."
)


def leak_table(study: Study) -> Table:
    """The same network under both splits: by how much views of known lesions inflate a result."""
    family = comparisons(study, "leak")
    pairs = family.of("accuracy")
    rows = [(family.of(metric)[i], metric) for i in range(len(pairs)) for metric in TESTED_METRICS]
    cells = [
        {
            ("", "backbone"): Cell.words(pair.row.config.backbone),
            **seeds_of(pair.row),
            ("", "metric"): Cell.words(METRICS[metric]),
            ("", "lesion-level split (%)"): level(pair.second, metric),
            ("", "image-level split (%)"): level(pair.first, metric),
            **{("", name.replace("difference", "inflation")): cell for (_, name), cell in pair.cells.items()},
            ("", "leaked test images (%)"): of_runs(pair.row, _leaked, 1),
        }
        for pair, metric in rows
    ]
    sides = [side for pair in pairs for side in (pair.second, pair.first)]
    notes = [LEVELS, SPLITS, *notes_on_tests(family), *notes_at_chance(sides), *notes_on([side.row for side in sides])]
    return Table("leak", CAPTION, cells, notes)


def _leaked(run: Run) -> float:
    return 100 * run.provenance["leaked_test_share"]
