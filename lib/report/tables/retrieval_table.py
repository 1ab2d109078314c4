"""Retrieval scores of several models in a table, as they are read."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from lib.data import REID_PARTS, ImageSet
from lib.data.imageset import DISTRACTOR, JUNK
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading, Table
from lib.retrieval.ranking import RETRIEVAL_METRICS
from lib.statistics.retrieval_estimates import SeedScores, compare_retrieval, estimate_retrieval

CAPTION = "Scores of the searches: mean ± standard deviation over seeds, below it the 95 % interval over identities and seeds."


def scores_table(scores: Mapping[str, SeedScores], reference: str) -> Table:
    """A row a model: its metrics with 95 % intervals over identities and seeds, and its mAP less that of `reference`."""
    return Table("retrieval", CAPTION, [_row(name, scores, reference) for name in scores])


def score_cell(scores: SeedScores, metric: str = "map") -> Cell:
    """'0.502', the mean over seeds, with several seeds '0.502 ± 0.010', and its 95 % interval."""
    estimate = estimate_retrieval(scores, metric)
    spread = f" ± {estimate.sd:.3f}" if estimate.seeds > 1 else ""
    columns = {"mean": estimate.mean, "sd": estimate.sd, "low": estimate.low, "high": estimate.high}
    return Cell(f"{estimate.mean:.3f}{spread}", f"[{estimate.low:.3f}, {estimate.high:.3f}]", columns=columns)


def _row(name: str, scores: Mapping[str, SeedScores], reference: str) -> dict[Heading, Cell]:
    first, *others = ((heading, score_cell(scores[name], metric)) for metric, heading in RETRIEVAL_METRICS.items())
    ahead = Cell.absent() if name == reference else Cell.points(compare_retrieval(scores[name], scores[reference]))
    cells = [("model", Cell.words(name)), first, (f"mAP less {reference}'s (points)", ahead), *others]
    return {("", heading): cell for heading, cell in cells}


def split_table(images: ImageSet, parts: pd.Series) -> Styler:
    """Images, identities, distractors and junk of each part of a re-identification set; `parts` is what
    `lib.training.prepare` gives."""
    identities = {part: images.rows["identity"][parts == part] for part in REID_PARTS}
    counts = {
        part: {
            "images": len(of_part),
            "identities": of_part[of_part > 0].nunique(),
            "distractors": (of_part == DISTRACTOR).sum(),
            "junk": (of_part == JUNK).sum(),
        }
        for part, of_part in identities.items()
    }
    caption = f"{images.name}: the official split; validation is taken from its training identities"
    return pd.DataFrame(counts).T.style.format("{:,}").set_caption(caption)
