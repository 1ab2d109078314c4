"""Retrieval scores of several models in a table, as they are read."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from lib.data import REID_PARTS, ImageSet
from lib.data.imageset import DISTRACTOR, JUNK
from lib.report.tables.cells import points_text
from lib.retrieval.ranking import RETRIEVAL_METRICS
from lib.statistics.retrieval_estimates import SeedScores, compare_retrieval, estimate_retrieval


def score_text(scores: SeedScores, metric: str = "map") -> str:
    """'0.502 [0.432, 0.577]', the mean over seeds and its 95 % interval; with several seeds '0.502 ± 0.010 […]'."""
    estimate = estimate_retrieval(scores, metric)
    spread = f" ± {estimate.sd:.3f}" if estimate.seeds > 1 else ""
    return f"{estimate.mean:.3f}{spread} [{estimate.low:.3f}, {estimate.high:.3f}]"


def scores_table(scores: Mapping[str, SeedScores], reference: str) -> pd.DataFrame:
    """A row a model: its metrics with 95 % intervals over identities and seeds, and its mAP less that of `reference`."""
    table = pd.DataFrame(
        {name: [score_text(model, m) for model in scores.values()] for m, name in RETRIEVAL_METRICS.items()},
        index=pd.Index(scores, name="model"),
    )
    differences = [
        "" if name == reference else points_text(compare_retrieval(model, scores[reference]))
        for name, model in scores.items()
    ]
    table.insert(1, f"mAP less {reference}'s (points)", differences)
    return table


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
