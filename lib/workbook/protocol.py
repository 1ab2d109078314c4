"""A study: the tables of a paper as grids over a notebook's parameters, read from a YAML file and checked line by line.

::

    title: Fusion strategies on skin lesions
    notebook: 02                      # the notebook that one run is
    seeds: [0, 1, 2]
    common: {profile: full}           # parameters of every run
    data_roots: {HAM10000: ~/ham}     # folders of data sets; those left out are in data/
    test_also_on: [isic-2018-task-3]  # every run is tested there too, without what it has seen
    tables:                           # the workbook's own: see lib.report.study.paper_tables
      fusion: {dataset: HAM10000, attention: CBAM, fusion_strategy: [original, learnable_gate]}
    sweeps:                           # any other grid, under any name
      learning rate: {lr: [1e-2, 1e-3]}
    then: [03, 09]                    # notebooks to execute when all runs are done, with this file as `protocol`

In `tables` and `sweeps` a list is an axis of the grid, anything else is fixed.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lib.errors import WorkbookFileError, WorkbookValueError, did_you_mean, plain_name
from lib.inputs import note
from lib.paths import ROOT
from lib.workbook.notebook_source import check_of
from lib.workbook.parameters import PLACES, Parameter, check_names, hash_of, parse, parse_all, placed, read_parameters
from lib.workbook.plan import find_notebooks
from lib.workbook.shared_options import known_dataset
from lib.workbook.yaml_file import Pairs, YamlFile

PROTOCOLS = ROOT / "protocols"
KEYS = ("title", "notebook", "seeds", "common", "data_roots", "test_also_on", "tables", "sweeps", "then")
MOST_RUNS = 100_000  # of a study: its plan alone takes half a minute
TABLES = ("backbones", "attention", "fusion", "residual", "transfer", "efficiency", "leak")


@dataclass(frozen=True)
class Grid:
    """One table: its axes, and every other parameter with its value. Values have their parameters' types."""

    name: str
    axes: dict[str, list[Any]]
    fixed: dict[str, Any]  # the notebook's defaults included

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(map(len, self.axes.values()))

    def settings(self) -> Iterator[dict[str, Any]]:
        """The parameters of each combination, without the seed, in the order in which the file lists them."""
        for values in itertools.product(*self.axes.values()):
            yield self.fixed | dict(zip(self.axes, values, strict=True))


@dataclass(frozen=True)
class Protocol:
    """A study as its file describes it, every name and value checked against the notebook's parameters."""

    name: str
    title: str
    notebook: Path
    seeds: list[int]
    tables: dict[str, Grid]
    sweeps: dict[str, Grid] = field(default_factory=dict)
    data_roots: dict[str, str] = field(default_factory=dict)
    test_also_on: list[str] = field(default_factory=list)
    then: list[Path] = field(default_factory=list)
    path: Path | None = None
    lines: dict[tuple[str, Any], int] = field(default_factory=dict)  # where in the file a parameter has a value

    def __post_init__(self) -> None:
        sizes = {name: grid.size * len(self.seeds) for name, grid in self.grids().items()}
        if sum(sizes.values()) > MOST_RUNS:
            largest = max(sizes, key=sizes.__getitem__)
            raise WorkbookValueError(
                f"{self.path or 'The grid'} is of {sum(sizes.values()):,} runs, {sizes[largest]:,} of them in {largest!r}, and "
                f"{MOST_RUNS:,} are the most: give fewer values to its axes, or make several studies of it."
            )

    def grids(self) -> dict[str, Grid]:
        """Tables and sweeps by name."""
        return self.tables | self.sweeps

    def run(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """All parameters of one run: a row's settings, the seed, and the folder of the data set."""
        root = self.data_roots.get(settings.get("dataset"))
        return {**settings, "seed": seed} | ({} if root is None else {"data_root": root})

    def runs(self) -> list[dict[str, Any]]:
        """The parameters of every run, each once; efficiency is measured and needs none."""
        grids = (grid for name, grid in self.grids().items() if name != "efficiency")
        every = (self.run(settings, seed) for grid in grids for settings in grid.settings() for seed in self.seeds)
        return list({repr(sorted(run.items())): run for run in every}.values())

    def check(self) -> None:
        """Let the notebook itself judge the parameters of every row and every seed, before hours have passed.

        Raises:
            WorkbookValueError: no run can have them, or an axis has one value in two spellings; the message names the line of
                the file.
        """
        check = check_of(self.notebook)
        rows = [(name, settings) for name, grid in self.grids().items() for settings in grid.settings()]
        runs = [(name, self.run(settings, self.seeds[0])) for name, settings in rows]
        runs += [(rows[0][0], self.run(rows[0][1], seed)) for seed in self.seeds[1:]]
        for name, run in runs if check else []:
            try:
                check(run)
            except WorkbookValueError as error:
                raise WorkbookValueError(f"{self._place(name, run, check)}{error}") from None
        for name, grid in self.grids().items() if check else []:
            for axis in grid.axes:
                self._refuse_spellings(name, axis, check)

    def _refuse_spellings(self, grid: str, axis: str, check: Callable[[Mapping[str, Any]], object]) -> None:
        """Raise a WorkbookValueError where two values of an axis are one to the notebook: names in another case, `none` and
        what it stands for."""
        first = next(self.grids()[grid].settings())
        seen: dict[Any, Any] = {}
        for value in self.grids()[grid].axes[axis]:
            meant = _meant(axis, value, check(self.run(first | {axis: value}, self.seeds[0])))
            if meant in seen:
                line = self.lines.get((axis, value))
                place = "" if self.path is None else f"{self.path}, {f'line {line}' if line else grid}: "
                raise WorkbookValueError(
                    f"{place}{axis} has one value twice: {seen[meant]!r} and {value!r} are the same run; remove one."
                )
            seen[meant] = value

    def _place(self, grid: str, run: Mapping[str, Any], check: Callable[[Mapping[str, Any]], object]) -> str:
        """Where the file says what is wrong with `run`: the value without which it would be right."""
        if self.path is None:
            return ""
        for name, parameter in read_parameters(self.notebook).items():
            line = self.lines.get((name, run[name]))
            try:
                check({**run, name: parameter.default})
            except WorkbookValueError:
                continue
            if line is not None:
                return f"{self.path}, line {line}: "
        return f"{self.path}, {grid}: "


def _meant(name: str, value: Any, made: object) -> Any:
    """What the parameter `name` is in that which a notebook has `made` of it; of what is not in it, such as a profile, the
    spelling does not count."""
    return getattr(getattr(made, "config", made), name, plain_name(value) if isinstance(value, str) else value)


def read_protocol(name: str | Path) -> Protocol:
    """The protocol in the file `name`, or `protocols/<name>.yaml`.

    Raises:
        WorkbookFileError: there is no such file.
        WorkbookValueError: anything wrong in it; the message names file, line, and the nearest known name.
    """
    path = _find(name)
    note(path)
    return _Reader(path).protocol()


def grid_protocol(notebook: Path, axes: Mapping[str, list[str]], fixed: Mapping[str, Any]) -> Protocol:
    """The study of one grid, as the command line writes it: `axes` hold text, the seed may be among them.

    Raises:
        WorkbookValueError: an unknown parameter, one that is fixed and an axis, a value of the wrong type, an empty axis.
    """
    known = read_parameters(notebook)
    check_names([*axes, *fixed], known)
    for name in axes:
        if name in fixed:
            raise WorkbookValueError(
                f"{name} is an axis of the grid and {fixed[name]!r} in every run, too: give it once."
            )
    for name in PLACES:
        if name in axes or name in fixed:
            raise WorkbookValueError(
                f"{name} is none of a run's own: all runs of a study have one; give it as --output-dir."
            )
    typed = {name: [parse(known[name], value) for value in values] for name, values in axes.items()}
    for name, values in typed.items():
        if not values:
            raise WorkbookValueError(f"--grid {name}= is empty: give at least one value, as in --grid {name}=A,B.")
        if len(set(values)) < len(values):
            raise WorkbookValueError(f"--grid {name} has a value twice ({', '.join(map(str, values))}); remove one.")
    _require_seed(notebook, known)
    seeds = typed.pop("seed", [parse(known["seed"], fixed.get("seed", known["seed"].default))])
    others = parse_all(known, {name: value for name, value in fixed.items() if name not in axes})
    grid = Grid("grid", typed, _without(others, [*typed, "seed"]))
    name = "-".join([notebook.stem, *axes, hash_of(typed, seeds, grid.fixed)[:8]])
    return Protocol(name, f"{notebook.stem} over {', '.join(axes)}", notebook, seeds, {}, {"grid": grid})


def _require_seed(notebook: Path, known: Mapping[str, Parameter]) -> None:
    if "seed" not in known:
        raise WorkbookValueError(f"{notebook.name} has no parameter 'seed': it is not a notebook that trains one run.")


def _without(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in set(names)}


def _find(name: str | Path) -> Path:
    """A path as it stands, or a name in protocols/."""
    for path in (Path(name).expanduser(), ROOT / Path(name), PROTOCOLS / f"{name}.yaml"):
        if path.is_file():
            return path.absolute()
    known = sorted(p.stem for p in PROTOCOLS.glob("*.yaml"))
    hint = did_you_mean(Path(name).stem, known)
    raise WorkbookFileError(f"There is no protocol {str(name)!r}.{hint} In protocols/: {', '.join(known)}.")


class _Reader(YamlFile):
    """Reads one file."""

    def protocol(self) -> Protocol:
        self.lines: dict[tuple[str, Any], int] = {}
        root = self.parse()
        top = self.mapping(root, "the protocol", KEYS)
        if "notebook" not in top:
            raise self.wrong(root, "the key 'notebook' is missing")
        notebook = self._notebook(top["notebook"][1])
        self.known = read_parameters(notebook)
        with self.at(top["notebook"][1]):
            _require_seed(notebook, self.known)
        self.settable = [name for name in self.known if name not in ("seed", *PLACES)]
        pairs = self.section(top, "common", self.settable, "parameter")
        common = parse_all(self.known, {name: self._value(node, self.known[name]) for name, (_, node) in pairs.items()})
        tables, sweeps = self.section(top, "tables", TABLES, "table"), self.section(top, "sweeps")
        for name in {*sweeps} & {*TABLES}:
            raise self.wrong(sweeps[name][0], f"{name!r} is the name of a table; give the sweep another")
        if not tables and not sweeps:
            raise self.wrong(root, "there is neither a table nor a sweep, so nothing to run")
        return Protocol(
            name=self.path.stem if self.path.parent == PROTOCOLS else f"{self.path.stem}-{hash_of(str(self.path))[:8]}",
            title=self.text(top["title"][1]) if "title" in top else self.path.stem,
            notebook=notebook,
            seeds=self._seeds(top),
            tables={name: self._grid(name, *tables[name], common) for name in tables},
            sweeps={name: self._grid(name, *sweeps[name], common) for name in sweeps},
            data_roots={self._dataset(key): self._folder(v) for key, v in self.section(top, "data_roots").values()},
            test_also_on=[*dict.fromkeys(self._dataset(node) for node in self.sequence(top, "test_also_on"))],
            then=[*dict.fromkeys(self._study_notebook(node) for node in self.sequence(top, "then"))],
            path=self.path,
            lines=self.lines,
        )

    def _grid(self, name: str, key: yaml.Node, node: yaml.Node, common: dict[str, Any]) -> Grid:
        pairs = self.mapping(node, name, self.settable, "parameter")
        axes = {n: self._axis(n, v.value, v) for n, (_, v) in pairs.items() if isinstance(v, yaml.SequenceNode)}
        fixed = {n: self._value(v, self.known[n]) for n, (_, v) in pairs.items() if n not in axes}
        if not axes and not fixed:
            raise self.wrong(key, f"{name} is empty; give it a parameter, or a list of values as an axis")
        return Grid(name, axes, _without(common, [*axes, "seed"]) | fixed)

    def _axis(self, name: str, items: list[yaml.Node], node: yaml.Node, what: str = "") -> list[Any]:
        """The values of the parameter `name`, which the file calls `what`, each once."""
        what = what or name
        values = [self._value(item, self.known[name]) for item in items]
        if not values:
            raise self.wrong(node, f"the grid over {what} is empty; give at least one value")
        seen = set()
        for item, value in zip(items, values, strict=True):
            if value in seen:
                raise self.wrong(item, f"{what} has the value {value!r} twice; remove one")
            seen.add(value)
        return values

    def _seeds(self, top: Pairs) -> list[int]:
        if "seeds" not in top:
            return [self.known["seed"].default]
        return self._axis("seed", self.sequence(top, "seeds", "[0, 1, 2]"), top["seeds"][1], "seeds")

    def _value(self, node: yaml.Node, parameter: Parameter) -> Any:
        """As the parameter's type. YAML 1.1 takes 1e-3 and a quoted "3" for text, as a command line does."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.wrong(node, f"{parameter.name} takes one value or a list of values")
        plain = self.plain(node)
        with self.at(node):
            value = parse(parameter, placed(parameter.name, plain, self.path.parent))
        if parameter.name == "dataset" and value is not None:
            value = self._dataset(node)
        self.lines.setdefault((parameter.name, value), node.start_mark.line + 1)
        return value

    def _dataset(self, node: yaml.Node) -> str:
        name = self.text(node)
        with self.at(node):
            return known_dataset(name)

    def _study_notebook(self, node: yaml.Node) -> Path:
        """A notebook that reads a study."""
        notebook = self._notebook(node)
        if "protocol" not in read_parameters(notebook):
            raise self.wrong(node, f"{notebook.name} has no parameter 'protocol': it does not read a study")
        return notebook

    def _notebook(self, node: yaml.Node) -> Path:
        name = self.text(node)
        with self.at(node):
            return find_notebooks([name])[0]

    def _folder(self, node: yaml.Node) -> str:
        """A folder, relative to the protocol's own."""
        folder = (self.path.parent / Path(self.text(node)).expanduser()).resolve()
        if not folder.is_dir():
            raise self.wrong(node, f"the data root {folder} does not exist or is not a folder")
        return str(folder)
