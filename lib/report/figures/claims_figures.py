"""Claims on trial (notebook 00): all effects, what stands around them, each seed, and what the tasks look like."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from lib.claims import REFUTED, SHOWN, UNDECIDED, Claim, Trial
from lib.evaluation.test_images import TestImages
from lib.report.figures.forest import Interval, forest, forest_height
from lib.report.figures.style import BLUE, DARK, GREY, ORANGE, figure, legend_above, nothing, picture, picture_grid

COLOURS = {SHOWN: BLUE, REFUTED: ORANGE, UNDECIDED: GREY}
ARMS = ("with the mechanism", "without")
REFERENCES = "|x+d"  # markers
BAND = "#e8e2cf"  # in which an effect does not matter
NEAR = 0.09  # of the picture's side: radius of a circle about a place that decides


def effects(trials: Sequence[Trial]) -> Figure:
    """The effect of every claim with its interval, its verdict told by colour and marker, and the size that matters."""
    names = [trial.claim.name for trial in trials]
    groups = {word: [_effect(trial) if trial.verdict == word else None for trial in trials] for word in COLOURS}
    with figure(8.5, forest_height(names) + 0.4, _phantom(trials)) as fig:
        ax = fig.subplots()
        _sizes(ax, [trial.claim for trial in trials], forest(ax, names, groups, reference=0))
        ax.set(xlabel="effect (percentage points) with 95 % interval", ylabel="claim")
        ax.set_title("Effects of the mechanisms, and what would matter")
        legend_above(fig, ax)
    return fig


def brackets(trials: Sequence[Trial], references: Mapping[str, Mapping[str, float]]) -> Figure:
    """Between which scores each claim's networks lie: both arms with their intervals, and the `references` by claim
    and name, fractions, such as chance or a linear probe."""
    shown = [trial for trial in trials if trial.levels]
    names = [f"{trial.claim.name}\n{trial.claim.names[0]} / {trial.claim.names[1]}" for trial in shown]
    arms = {label: [Interval.of(trial.levels[arm]) for trial in shown] for arm, label in enumerate(ARMS)}
    with figure(8.5, forest_height(names, 2) + 0.4, _phantom(trials)) as fig:
        ax = fig.subplots()
        places = dict(zip([trial.claim.name for trial in shown], forest(ax, names, arms), strict=True))
        known = [(name, 100 * v, places[c]) for c, of in references.items() if c in places for name, v in of.items()]
        for number, name in enumerate(dict.fromkeys(name for name, _, _ in known)):
            values, at = zip(*[(value, place) for own, value, place in known if own == name], strict=True)
            ax.scatter(values, at, marker=REFERENCES[number % 4], s=60, color=DARK, label=name, zorder=2)
        ax.set(xlabel="score on the test part (%)", ylabel="claim, and its two networks", xlim=(0, 103))
        ax.set_title("Chance, simple readers, and both networks")
        legend_above(fig, ax)
    return fig


def by_seed(trials: Sequence[Trial]) -> Figure:
    """Each seed's score in both arms, joined to the mean: how far one training may be from another."""
    shown = [trial for trial in trials if trial.levels]
    with figure(8.5, forest_height([trial.claim.name for trial in shown], 2), _phantom(trials)) as fig:
        ax = fig.subplots()
        for arm, label, shift in ((0, ARMS[0], 0.16), (1, ARMS[1], -0.16)):
            for place, trial in enumerate(reversed(shown)):
                values = 100 * np.array(trial.scores[arm])
                name = label if place == 0 else None
                ax.scatter(values, np.full(len(values), place + shift), s=18, color=f"C{arm}", alpha=0.7, label=name)
                ax.vlines(values.mean(), place + shift - 0.14, place + shift + 0.14, f"C{arm}")
        ax.set_yticks(range(len(shown)), [trial.claim.name for trial in reversed(shown)])
        ax.set(xlabel="score on the test part (%); a line is the mean", ylabel="claim", title="Seed by seed")
        if not shown:
            nothing(ax)
        legend_above(fig, ax)
    return fig


def tasks(images: Mapping[str, TestImages], columns: int = 6) -> Figure:
    """Test images of each task with their classes; circles mark the places that decide, where they are known."""
    with figure(1.45 * columns, 1.75 * len(images) + 0.4, any(task.is_phantom for task in images.values())) as fig:
        if not images:
            nothing(fig.add_subplot(), "nothing was tried")
            return fig
        for axes, (name, task) in zip(picture_grid(fig, len(images), columns), images.items(), strict=True):
            shown = task[:columns]
            for ax, image, label, places in zip(axes, shown.sharp, shown.names(), shown.truth.places, strict=False):
                picture(ax, image, label)
                _mark(ax, image, places)
            axes[0].text(
                -0.08, 0.5, name, transform=axes[0].transAxes, rotation=90, ha="right", va="center", fontsize=9
            )
    return fig


def _effect(trial: Trial) -> Interval | None:
    return Interval.of(trial.comparison, colour=COLOURS[trial.verdict], filled=trial.verdict != UNDECIDED)


def _sizes(ax: Axes, claims: Sequence[Claim], places: np.ndarray) -> None:
    """The smallest effects that matter: lines that a gain has to pass, and bands in which there is none."""
    sizes = 100 * np.array([claim.size for claim in claims])
    none = np.array([claim.expects == "none" for claim in claims])
    ends = places[~none] - 0.31, places[~none] + 0.31
    ax.vlines(
        sizes[~none], *ends, DARK, linestyles=":", linewidth=1.4, label="a gain that matters" if any(~none) else None
    )
    if none.any():
        ax.barh(places[none], 2 * sizes[none], 0.62, -sizes[none], color=BAND, zorder=0, label="too small to matter")


def _mark(ax: Axes, image: np.ndarray, places: np.ndarray) -> None:
    height, width = image.shape[:2]
    for x, y in places[np.isfinite(places).all(1)]:
        look = {"fill": False, "edgecolor": "white", "linewidth": 1.3}
        ax.add_patch(Circle((x * width, y * height), NEAR * width, **look))


def _phantom(trials: Sequence[Trial]) -> bool:
    return any(run.provenance["is_phantom"] for trial in trials for arm in trial.arms for run in arm)
