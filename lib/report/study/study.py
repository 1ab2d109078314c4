"""The runs of a study as its tables need them: a row a configuration, with its runs, one a seed, finished or not."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lib.data import load_dataset
from lib.errors import WorkbookError
from lib.evaluation.transfer import REASONS, Transfer, transfer
from lib.paths import ROOT
from lib.statistics.estimates import Estimate, estimate
from lib.statistics.resampling import Tested
from lib.training.config import RunConfig
from lib.training.profiles import config_of
from lib.training.store import Run, RunStore

Made = TypeVar("Made")
SIZES = ("image_size", "limit_images", "max_epoch")  # what a profile decides


class Grid(Protocol):
    """One table of a protocol; `lib.workbook.protocol.Grid` is one."""

    axes: dict[str, list[Any]]

    def settings(self) -> Iterator[dict[str, Any]]:
        """The parameters of each row, without the seed."""


class Plan(Protocol):
    """What a study is to hold; `lib.workbook.protocol.Protocol` is one."""

    name: str
    title: str
    seeds: list[int]
    tables: dict[str, Any]
    sweeps: dict[str, Any]
    data_roots: dict[str, str]
    test_also_on: list[str]
    path: Path | None

    def run(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """All parameters of one run."""


@dataclass(frozen=True)
class Row:
    """One configuration: what sets it apart within its table, and its runs, one a seed."""

    label: dict[str, str]  # axis → value
    runs: tuple[Run, ...]
    finished: list[Run]  # of them, when the study first looked
    config: RunConfig  # of the first seed

    @property
    def name(self) -> str:
        """Its place on each of the table's axes, as in 'resnet18, CBAM'; its backbone, where there are no axes."""
        return ", ".join((self.label or {"backbone": self.config.backbone}).values())

    @property
    def full_name(self) -> str:
        """Its name with what its table does not say in it: that a network is bare, which split it is."""
        parts = [f"{value}-level split" if axis == "split" else value for axis, value in self.label.items()]
        bare = self.config.attention == "none" and "attention" not in self.label
        return (", ".join(parts) or self.config.backbone) + " without attention" * bare

    @property
    def done(self) -> str:
        """'2 of 3'"""
        return f"{len(self.finished)} of {len(self.runs)}"

    @property
    def complete(self) -> bool:
        """Whether all of its runs were finished when the study first looked."""
        return len(self.finished) == len(self.runs)


@dataclass(frozen=True)
class Missing:
    """Why there is no number."""

    reason: str


@dataclass(frozen=True)
class Answers:
    """What a row's finished runs answered on one test set; `missing` says why there is nothing."""

    row: Row
    dataset: str
    tests: list[Tested]
    missing: str | None = None

    @property
    def dropped(self) -> dict[str, int]:
        """Test images that were left out because a run had seen them, by reason; of the first run."""
        first = self.tests[0] if self.tests else None
        return first.dropped if isinstance(first, Transfer) else dict.fromkeys(REASONS, 0)

    def estimate(self, metric: str) -> Estimate | Missing:
        """The metric over the runs with its interval, or why there is none."""
        if self.missing:
            return Missing(self.missing)
        try:
            return estimate(self.tests, metric)
        except WorkbookError as error:
            return Missing(str(error))


@dataclass(frozen=True)
class Study:
    """A protocol and the store that holds its runs. `changes` are parameters that win over the protocol's."""

    plan: Plan
    store: RunStore
    changes: Mapping[str, Any]
    _made: dict = field(default_factory=dict, repr=False)

    def rows(self, table: str) -> list[Row]:
        """The rows of a table or sweep in the protocol's order, each once; none where the protocol has no such table."""
        grid = (self.plan.tables | self.plan.sweeps).get(table)
        if grid is None:
            return []
        rows = [self._row(grid, settings) for settings in grid.settings()]
        return list({row.config: row for row in rows}.values())

    def configs(self, row: Row) -> list[RunConfig]:
        """The configs of a row's runs, a seed each."""
        return [row.config.replace(seed=seed) for seed in self.plan.seeds]

    def bare(self, row: Row) -> Row:
        """The same configuration without attention."""
        return self._of(row.label, row.config.replace(attention="none"))

    def answers(self, row: Row, dataset: str) -> Answers:
        """What the row's finished runs answer on the test part of `dataset`; of another set than their own by transfer."""
        answers = self.once(("answers", row.config, dataset), lambda: self._answer(row, dataset))
        return replace(answers, row=row)  # rows of two tables may be the same runs under other labels

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returns, made at the first call with this key: tables, figures and criteria ask for the same."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def test_sets(self, rows: Sequence[Row]) -> list[str]:
        """The rows' own data set, then those that the protocol tests on as well."""
        own = [row.config.dataset for row in rows[:1]]
        return list(dict.fromkeys([*own, *self.plan.test_also_on]))

    def every_row(self) -> Iterator[Row]:
        """The rows of all tables and sweeps but `efficiency`, which has no runs."""
        for table in [*self.plan.tables, *self.plan.sweeps]:
            if table != "efficiency":
                yield from self.rows(table)

    @cached_property
    def progress(self) -> tuple[int, int]:
        """How many of the study's runs are finished, and how many there are."""
        runs = {run.path: run in row.finished for row in self.every_row() for run in row.runs}
        return sum(runs.values()), len(runs)

    @property
    def command(self) -> str:
        """What fills the study."""
        path = self.plan.path or Path(self.plan.name)
        return f"python run_all.py sweep {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}"

    def classes(self, config: RunConfig) -> int:
        """The number of classes of a config's data set."""
        for row in self.every_row():
            if row.config.dataset == config.dataset and row.finished:
                return len(row.finished[0].classes)
        return len(load_dataset(config.dataset, config.data_root, config.limit_images, config.skip_unreadable).classes)

    def _row(self, grid: Grid, settings: Mapping[str, Any]) -> Row:
        parameters = {**settings, **self._changes(settings, grid.axes)}
        label = {axis: str(parameters[axis]) for axis in grid.axes}
        run = self.plan.run(parameters, self.plan.seeds[0])
        if "data_root" in self.changes and parameters["dataset"] == self.changes.get("dataset", self._main):
            run["data_root"] = self.changes["data_root"]
        return self._of(label, config_of(run))

    def _of(self, label: dict[str, str], config: RunConfig) -> Row:
        return Row(label, *self.once(("runs", config), lambda: self._runs(config)), config)

    def _runs(self, config: RunConfig) -> tuple[tuple[Run, ...], list[Run]]:
        """The runs of `config`, and those that are finished and whole: one state of the store, though others may be filling it."""
        runs = tuple(self.store.run(config.replace(seed=seed)) for seed in self.plan.seeds)
        return runs, [run for run in runs if run.sound]

    @cached_property
    def _main(self) -> str:
        """The protocol's main data set: that of its first row."""
        return next(s["dataset"] for grid in self.plan.tables.values() for s in grid.settings())

    def _changes(self, settings: Mapping[str, Any], axes: Iterable[str]) -> dict[str, Any]:
        """The changes as they apply to one row. Another profile brings its own sizes, but for those that the grid is
        about; another data set takes the place of the main one only."""
        changes: dict[str, Any] = {}
        profile = self.changes.get("profile")
        if profile is not None and profile != settings["profile"]:
            changes |= {"profile": profile} | {name: None for name in SIZES if name not in axes}
        if "dataset" in self.changes and settings["dataset"] == self._main:
            changes["dataset"] = self.changes["dataset"]
        return changes

    def _answer(self, row: Row, dataset: str) -> Answers:
        runs = row.finished
        if not runs:
            return Answers(row, dataset, [], f"{row.done} seeds done")
        if dataset == row.config.dataset:
            return Answers(row, dataset, list(runs))
        try:
            tests = [self._transferred(run, dataset) for run in runs]
        except WorkbookError as error:
            return Answers(row, dataset, [], " ".join(str(error).split()))
        missing = next((test.missing for test in tests if test.missing), None)
        return Answers(row, dataset, [] if missing else list(tests), missing)

    def _transferred(self, run: Run, dataset: str) -> Transfer:
        root = self.plan.data_roots.get(dataset)
        return transfer(run, dataset, root, self.store, run.config.limit_images, run.config.skip_unreadable)


def study_of(plan: Plan, store: RunStore, **changes: Any) -> Study:
    """The study of `plan` in `store`; of the changes (`profile`, `dataset`, `data_root`) those that are not None count."""
    return Study(plan, store, {name: value for name, value in changes.items() if value is not None})


def block_config(study: Study, **settings: Any) -> RunConfig:
    """A run of the study's first row, an ablation's where it has one, with `settings`, and with a block to look into."""
    config = next(iter([*study.rows("fusion"), *study.rows("residual"), *study.every_row()])).config
    return config.replace(**{"attention": "CBAM" if config.attention == "none" else config.attention, **settings})


def trained_by_different_code(rows: Iterable[Row]) -> bool:
    """Whether the rows' finished runs were trained by more than one version of the training code."""
    return len({run.basis.get("training code") for row in rows for run in row.finished}) > 1


def any_phantom(rows: Iterable[Row]) -> bool:
    """Whether one of the rows' finished runs was trained on drawn images."""
    return any(run.provenance["is_phantom"] for row in rows for run in row.finished)
