"""Which notebooks run, with which values: everything a user can get wrong is found here, before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.errors import WorkbookFileError, WorkbookValueError, unknown
from lib.paths import NOTEBOOKS
from lib.workbook.notebook_source import read_source
from lib.workbook.parameters import Parameter, check_names, parse_all, placed, read_parameters


@dataclass(frozen=True)
class Job:
    """One notebook and the value of every parameter it has."""

    notebook: Path
    parameters: dict[str, Any]


def number(notebook: Path) -> str:
    """What a notebook is called for short: '02' for 02_glsa_training.ipynb."""
    return notebook.stem.split("_")[0]


def predecessors(notebook: Path) -> list[str]:
    """The notebooks that this one has to wait for where they are executed, too, since it reads the runs that they train:
    their stems, of its metadata `{"workbook": {"after": ["03_fusion_ablation"]}}`."""
    return _metadata(notebook).get("after", [])


def minutes(notebook: Path) -> float:
    """About how long a notebook takes as it is, on one core, of its metadata `{"workbook": {"minutes": 3}}`; 0 where it
    does not say."""
    return _metadata(notebook).get("minutes", 0)


def longest_first(jobs: Sequence[Job]) -> list[Job]:
    """The order to begin in: the longer it takes from a notebook's begin to the end of those that wait for it the sooner,
    so that in the end none is left to run alone. Those that do not say how long they take keep their order."""
    ahead: dict[str, float] = {}
    waits_for = {job.notebook.stem: predecessors(job.notebook) for job in jobs}
    for job in reversed(jobs):  # what waits for a notebook stands behind it
        stem = job.notebook.stem
        behind = (time for other, time in ahead.items() if stem in waits_for[other])
        ahead[stem] = minutes(job.notebook) + max(behind, default=0)
    return sorted(jobs, key=lambda job: -ahead[job.notebook.stem])


def _metadata(notebook: Path) -> dict[str, Any]:
    return read_source(notebook).metadata.get("workbook", {})


def find_notebooks(wanted: Sequence[str] = (), folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks that `wanted` names by number, stem or path; without any, all of `folder` in order.

    Raises:
        WorkbookFileError: a path where there is no notebook.
        WorkbookValueError: a number or stem that is not in `folder`, or two notebooks of one name.
    """
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    notebooks = list(dict.fromkeys(_find(name, every) for name in wanted)) if wanted else every
    if not notebooks:
        raise WorkbookFileError(f"There are no notebooks in {folder}; name some by their paths.")
    stems = [path.stem for path in notebooks]
    for stem in stems:
        if stems.count(stem) > 1:
            raise WorkbookValueError(f"Two of the notebooks are called {stem!r}; their reports would be one file.")
    return notebooks


def plan(
    notebooks: Sequence[Path], output_dir: Path, options: Mapping[str, Any], assignments: Sequence[str]
) -> list[Job]:
    """A job for each notebook.

    `options` go to every notebook that has them, and one must; `assignments` are 'NAME=VALUE' for every
    notebook that has NAME, or '02.NAME=VALUE' for one, and win over `options`. Relative paths in them begin in the
    folder that this process works in.

    Raises:
        WorkbookValueError: an unknown name, a value of the wrong type, or a notebook without a readable
            parameters cell.
    """
    parameters = {notebook: read_parameters(notebook) for notebook in notebooks}
    values = {
        notebook: {"output_dir": str(output_dir)} if "output_dir" in parameters[notebook] else {}
        for notebook in notebooks
    }
    for name, value in options.items():
        _assign(values, parameters, name, value)
    for text in assignments:
        target, value = read_assignment(text, "NAME=VALUE or 02.NAME=VALUE")
        where, _, name = target.rpartition(".")
        _assign(values, _addressed(parameters, where), name, placed(name, value, Path.cwd()))
    return [Job(notebook, parse_all(parameters[notebook], values[notebook])) for notebook in notebooks]


def _find(name: str, every: list[Path]) -> Path:
    if name.endswith(".ipynb"):
        path = Path(name).absolute()
        if not path.is_file():
            raise WorkbookFileError(f"There is no notebook {name}.")
        return path
    for path in every:
        if name == path.stem or (name.isdigit() and int(name) == int(number(path))):
            return path
    raise unknown("notebook", name, [path.stem for path in every])


def _assign(
    values: dict[Path, dict[str, Any]], among: Mapping[Path, dict[str, Parameter]], name: str, value: Any
) -> None:
    """Give `name` its value in every notebook that has it."""
    check_names([name], dict.fromkeys(known for parameters in among.values() for known in parameters))
    for notebook, parameters in among.items():
        if name in parameters:
            values[notebook][name] = value


def _addressed(parameters: dict[Path, dict], where: str) -> dict[Path, dict]:
    chosen = {path: known for path, known in parameters.items() if where in ("", number(path), path.stem)}
    if not chosen:
        raise unknown("notebook", where, [number(path) for path in parameters])
    return chosen


def read_assignment(text: str, form: str = "NAME=VALUE") -> tuple[str, str]:
    """'NAME=VALUE' as ('NAME', 'VALUE').

    Raises:
        WorkbookValueError: the text is not so, or the name is missing or ends in a dot; the message tells the `form`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name or name.endswith("."):
        raise WorkbookValueError(f"{form} is wanted, not {text!r}.")
    return name, value
