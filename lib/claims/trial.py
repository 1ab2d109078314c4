"""Claims on trial: the networks of both arms trained, seed by seed, compared, and a verdict on each claim."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lib.claims.claim import KINDS, NOT_TRIED, Claim, verdict
from lib.data import DATASETS
from lib.errors import WorkbookError, choose
from lib.progress import Progress
from lib.retrieval.ranking import RETRIEVAL_METRICS
from lib.statistics.estimates import Comparison, Estimate, compare, estimate, holm
from lib.statistics.retrieval_estimates import compare_retrieval, estimate_retrieval
from lib.training.config import RunConfig
from lib.training.fitting import fit_all
from lib.training.profiles import SMOKE, lesa_settings, profile_config
from lib.training.store import Run, RunStore


@dataclass(frozen=True)
class Trial:
    """What came of one claim. Without a comparison `missing` says why, or what a data set would have to be."""

    claim: Claim
    arms: tuple[list[Run], ...] = ()  # one a seed
    comparison: Comparison | None = None
    corrected: float | None = None  # p after Holm's correction over all trials
    missing: str = ""

    @property
    def task(self) -> str:
        """The data set that it was tried on, or its recipe where it was not."""
        return self.arms[0][0].config.dataset if self.arms else self.claim.recipe

    @cached_property
    def levels(self) -> list[Estimate]:
        """The score of each arm with its interval; none where the claim has a measure of its own, or was not tried."""
        measure = self.claim.measure
        if callable(measure) or self.comparison is None:
            return []
        if measure in RETRIEVAL_METRICS:
            return [estimate_retrieval([run.retrieval for run in arm], measure) for arm in self.arms]
        return [estimate(arm, measure) for arm in self.arms]

    @property
    def scores(self) -> list[list[float]]:
        """The score of each seed in each arm of which `levels` are known."""
        return [[run.metrics["test"][self.claim.measure] for run in arm] for arm in self.arms if self.levels]

    @property
    def verdict(self) -> str:
        """One of SHOWN, REFUTED and UNDECIDED, or NOT_TRIED where there is no comparison."""
        return NOT_TRIED if self.comparison is None else verdict(self.claim, self.comparison, self.corrected)


def trials(
    claims: Iterable[Claim],
    store: RunStore | str | Path | None = None,
    seeds: int = 5,
    dataset: str | None = None,
    **changes: Any,
) -> list[Trial]:
    """Try each claim; all p-values are corrected together. What is trained already is not trained again.

    Args:
        dataset: a data set in place of the claims' own tasks; a claim that it cannot be tried on says why.
        changes: `profile` and settings of every run, such as `data_root`; None leaves the recipe's.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    claims, raw = list(claims), []
    with Progress(len(claims), "trying claims", "claims") as bar:
        for claim in claims:
            raw.append(trial(claim, store, seeds, dataset, **changes))
            bar.advance()
    corrected = holm([None if each.comparison is None else each.comparison.p for each in raw])
    return [replace(each, corrected=p) for each, p in zip(raw, corrected, strict=True)]


def trial(claim: Claim, store: RunStore, seeds: int = 5, dataset: str | None = None, **changes: Any) -> Trial:
    """One claim, its p not yet corrected for the others."""
    if missing := unsuited(claim, dataset):
        return Trial(claim, missing=missing)
    try:
        wanted = configs(claim, seeds, dataset, **changes)
        runs = fit_all([config for arm in wanted for config in arm], store)
        arms = tuple([runs[config] for config in arm] for arm in wanted)
        return Trial(claim, arms, measured(claim, *arms))
    except WorkbookError as error:
        return Trial(claim, missing=" ".join(str(error).split()))


def configs(
    claim: Claim, seeds: int = 5, dataset: str | None = None, profile: str = "quick", **changes: Any
) -> tuple[list[RunConfig], ...]:
    """The runs of each arm, one a seed.

    Raises:
        WorkbookValueError: an unknown recipe or setting, or a value that a setting cannot have.
    """
    recipe, sizes = claim.recipe, SMOKE if profile == "smoke" else {}
    if dataset is not None:
        recipe, sizes = KINDS[_kind(dataset)][profile], {"dataset": dataset}
        if claim.first.get("attention") == "lesa":  # whose backbone has to have bottlenecks
            sizes |= lesa_settings(profile, dataset, None)
    arms = [claim.first] if claim.second is None else [claim.first, claim.second]
    return tuple(
        [profile_config(recipe, **{**sizes, **arm, **changes, "seed": seed}) for seed in range(seeds)] for arm in arms
    )


def measured(claim: Claim, *arms: Sequence[Run]) -> Comparison:
    """The first arm − the second in the claim's measure."""
    if callable(claim.measure):
        return claim.measure(*arms)
    if claim.measure in RETRIEVAL_METRICS:
        scores = [[run.retrieval for run in arm] for arm in arms]
        return compare_retrieval(*scores, claim.measure, same_networks=claim.seed_by_seed)
    return compare(*arms, claim.measure, same_networks=claim.seed_by_seed)


def unsuited(claim: Claim, dataset: str | None) -> str:
    """Why a claim cannot be tried on a data set; "" where it can, or is tried on its own task."""
    if dataset is None or _kind(dataset) in claim.kinds:
        return ""
    needs = claim.needs or "a data set for " + " or ".join(claim.kinds)
    return f"It would need {needs}; {dataset} is for {_kind(dataset)}."


def _kind(dataset: str) -> str:
    """Which of KINDS a data set is of."""
    augmentation = DATASETS[choose("dataset", dataset, DATASETS)].augmentation
    return {"person": "re-identification", "fine_grained": "fine-grained"}.get(augmentation, "classification")
