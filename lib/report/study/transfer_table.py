"""Table 5 of the paper: networks trained on one data set and tested on another."""

from collections.abc import Mapping

from lib.evaluation.transfer import REASONS
from lib.report.study.comparisons import DIFFERENCE, comparisons
from lib.report.study.footnotes import LEVELS, notes_at_chance, notes_on, notes_on_tests
from lib.report.study.row_cells import level, seeds_of
from lib.report.study.study import Answers, Study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading, Table

SEEN = {"image_id": "same id", "content": "same pixels", "group": "same lesion"}  # of REASONS
DROP = (
    "Drop: the metric on the own test set minus that on the other one. The networks are the same, the images are not, "
    "so a drop holds what the change of images costs and what the other images are harder by."
)
DROPPED = (
    "A test image is left out where the run trained on it or chose its epoch by it: the same image id, the same "
    "pixels, or another view of the same lesion, in this order."
)


def transfer_table(study: Study) -> Table:
    """Table 5: trained on × tested on, what is lost, and which test images were left out."""
    rows, family = study.rows("transfer"), comparisons(study, "transfer")
    drops = family.of("accuracy")
    cells: list[dict[Heading, Cell]] = []
    for row in rows:
        own = study.answers(row, row.config.dataset)
        cells.append(_line(own, dict.fromkeys(DIFFERENCE, Cell.absent())))
        cells += [_line(drop.second, drop.cells) for drop in drops if drop.row.config == row.config]
    chance = notes_at_chance(side for drop in drops for side in (drop.first, drop.second))
    notes = [LEVELS, DROP, DROPPED, *notes_on_tests(family), *chance, *notes_on(rows)]
    return Table("table5_transfer", "Table 5. Trained on one data set, tested on another.", cells, notes, labels=2)


def _line(answers: Answers, drop: Mapping[Heading, Cell]) -> dict[Heading, Cell]:
    """A network on one test set."""
    config = answers.row.config
    return {
        ("", "trained on"): Cell.words(config.dataset),
        ("", "backbone"): Cell.words(config.backbone),
        ("", "tested on"): Cell.words(answers.dataset),
        **seeds_of(answers.row),
        ("", "accuracy (%)"): level(answers, "accuracy"),
        ("", "balanced accuracy (%)"): level(answers, "balanced_accuracy"),
        **{("", name.replace("difference", "drop")): cell for (_, name), cell in drop.items()},
        **{("left out", SEEN[reason]): _left_out(answers, reason) for reason in REASONS},
    }


def _left_out(answers: Answers, reason: str) -> Cell:
    """How many test images were left out for this reason."""
    if answers.dataset == answers.row.config.dataset:
        return Cell.absent()
    return Cell.missing(answers.missing) if answers.missing else Cell.quantity(answers.dropped[reason])
