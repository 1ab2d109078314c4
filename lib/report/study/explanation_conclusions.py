"""Notebook 05 in a few numbers and sentences: what the leaderboard says, what is left when a network forgets, what neither
can say."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from lib.report.tables.cells import minus

ALIKE = 0.5  # a mean rank correlation above which maps hardly changed; below its negative they are turned over
LEVEL = 0.05  # of the leaderboard's p


def cautions(table: pd.DataFrame, groups: int, chance: int | None) -> list[str]:
    """Why the `leaderboard` on images of so many groups may say nothing; `chance` as of `chance_reached`."""
    told, tests = [], int(table["p"].notna().sum())
    if chance:
        told.append(
            f"This network is not above chance on the test images (the interval of its balanced accuracy reaches 1/{chance}): "
            "it is not shown to have learned anything that a map could explain, and the scores tell no method's worth."
        )
    least = 2.0 ** (1 - groups) * tests  # Holm's p where the gain has one sign in all groups
    if least >= LEVEL:
        told.append(
            f"With {groups} groups of images and {tests} tests no p is below {min(least, 1):.2g} after Holm's correction: "
            "no method could beat the reference maps, however good, and × says nothing here."
        )
    return told


def likeness_table(by_draw: Mapping[str, np.ndarray], lowest: Sequence[str]) -> Styler:
    """What is left of each method's maps, `Forgetting.by_draw`, stage by stage."""
    draws = len(next(iter(by_draw.values())))
    stages = [f"from {name}" for name in lowest]
    cells = {name: [mean_and_range(stage) for stage in values.T] for name, values in by_draw.items()}
    of_draws = f", mean of {draws} draws; in brackets the least and the greatest of them" * (draws > 1)
    return pd.DataFrame(cells, stages).T.style.set_caption(f"Likeness to the trained network's maps{of_draws}")


def mean_and_range(values: np.ndarray) -> str:
    """'0.12 (−0.03 to 0.30)' of a value a draw; an even map has no rank correlation."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "unknown"
    spread = f" ({known.min():z.2f} to {known.max():z.2f})" if len(known) > 1 else ""
    of = f", {len(known)} of {len(values)} draws" if len(known) < len(values) else ""
    return minus(f"{known.mean():z.2f}{spread}{of}")


def explanation_figures(
    table: pd.DataFrame, by_draw: Mapping[str, np.ndarray], images: str, network: str
) -> dict[str, str | dict[str, str]]:
    """The key figures; `images` and `network` are told as they are."""
    won, scores = won_scores(table)
    return {
        "scores in which a method beats the best reference map": {name: f"{n} of {scores}" for name, n in won.items()},
        "likeness left when all is forgotten": {name: mean_and_range(v[:, -1]) for name, v in by_draw.items()},
        "images": images,
        "network": network,
    }


def explanation_verdict(table: pd.DataFrame, by_draw: Mapping[str, np.ndarray], images: int) -> tuple[str, str]:
    """Who beats the reference maps, in a sentence, and whose maps stay when the network forgets."""
    won, scores = won_scores(table)
    best, never = won[won == won.max()].index.tolist(), won[won == 0].index.tolist()
    if not won.max():
        first = f"For this network and these {images} images no method beats the best reference map in any score."
    else:
        rest = f"; {', '.join(never)} in none" if never else ""
        more = "more than any other method" if len(best) < len(won) else "all methods alike"
        first = (
            f"For this network and these {images} images {', '.join(best)} beat{'s' * (len(best) == 1)} the best reference "
            f"map in {won.max()} of {scores} scores, {more}{rest}."
        )
    return first, _left(by_draw)


def ranking_verdict(table: pd.DataFrame, by_score: pd.DataFrame, concordance: float) -> str:
    """Who is best over all scores, whether surely, and how far the scores agree; of a `Ranking`."""
    judged, (methods, scores) = table[table["beats"].notna()], by_score.shape
    first, most = judged.iloc[0], table.loc[table["disagreement"].idxmax()]
    surely = "beats" if first["beats"] else "is not shown to beat"
    told = (
        f"Over {scores} scores {first['method']} has the best rank of a method that is no reference map, {first['rank']:.1f} "
        f"[{first['low']:.1f}, {first['high']:.1f}] of {methods}, and {surely} the best reference map, {first['reference']}. "
        f"The scores disagree most about {most['method']} (± {most['disagreement']:.1f} ranks)."
    )
    if np.isnan(concordance):
        return told
    return f"{told} Their orders agree by W = {concordance:.2f}, where 1 is one order and {1 / scores:.2f} what chance gives."


def _left(by_draw: Mapping[str, np.ndarray]) -> str:
    kept = {name: values[:, -1] for name, values in by_draw.items()}
    known = {name: values[np.isfinite(values)] for name, values in kept.items()}
    means = {name: values.mean() for name, values in known.items() if values.size}
    stuck, turned = ([name for name, mean in means.items() if sign * mean > ALIKE] for sign in (1, -1))
    unknown = [name for name, values in kept.items() if np.isnan(values).any()]
    fates = {"hardly changed": stuck, "turned over, dark for bright,": turned}
    told = [f"{', '.join(names)} {fate} when the network forgot" for fate, names in fates.items() if names]
    text = f"{'; '.join(told)}: such a map says little about the network."
    text = text if told else "No map stayed alike when the network forgot."
    return text + (f" Unknown of {', '.join(unknown)}, whose maps became even." if unknown else "")


def won_scores(table: pd.DataFrame) -> tuple[pd.Series, int]:
    """In how many scores each method beats the best reference map, and how many scores there are."""
    judged = table[table["beats"].notna()]
    return judged.groupby("method", sort=False)["beats"].sum().astype(int), judged["score"].nunique()
