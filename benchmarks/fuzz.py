"""Whatever stands in a setting, a command, a protocol, a table, an image, a shard or a run's folder: an answer, or an error of
ours in one line.

Hypothesis draws cases; any exception that is not a WorkbookError is a finding, told with its place and its first example.
The same cases on every run.

    python -m benchmarks.fuzz                     # about 12,000 cases
    python -m benchmarks.fuzz --targets masks,images --cases 200   # some
"""

import collections
import logging
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks import fuzzed_files, odd_values
from benchmarks.program import run
from benchmarks.rows import Row, of_counts
from lib import train
from lib.errors import WorkbookError, choose
from lib.paths import ROOT
from lib.training import RunConfig
from lib.workbook.notebook_source import check_of
from lib.workbook.parameters import read_parameters
from lib.workbook.plan import find_notebooks, plan
from lib.workbook.protocol import PROTOCOLS, read_protocol
from lib.workbook.task import run_task

Target = tuple[st.SearchStrategy, Callable[[Any], object]]  # cases, and what is done with one
CASES = 1500  # of each target
LONGEST = 3000  # letters of a message


def config(folder: Path) -> Target:
    """Settings by their names, as from JSON: the hash and the folder's name of what is accepted."""

    def try_it(values: dict[str, Any]) -> None:
        made = RunConfig.from_dict(values)
        assert RunConfig.from_dict(made.to_dict()).hash == made.hash
        assert "/" not in made.name
        assert len(made.name.encode()) <= 255

    return odd_values.configs, try_it


def command_line(folder: Path) -> Target:
    """Flags of `python -m lib.train`."""
    names = [*odd_values.FIELDS, "profile", "output_dir", "frobnicate"]
    flags = st.sampled_from([f"--{name}" for name in names] + [f"--no-{name.replace('_', '-')}" for name in names])
    words = odd_values.texts | odd_values.numbers.filter(lambda x: abs(x) < 1e300 or x != x).map(str)
    pairs = st.lists(st.tuples(flags, words), max_size=4).map(lambda pairs: [word for pair in pairs for word in pair])

    def try_it(arguments: list[str]) -> None:
        with patch.object(train, "fit", side_effect=WorkbookError("It would be trained now.")):
            train.main(arguments)

    return pairs | st.lists(flags | words, max_size=8), try_it


def protocol(folder: Path) -> Target:
    """Studies: YAML that is edited by hand."""
    odd = [
        "[]",
        "{}",
        "~",
        "!!python/object/apply:os.getcwd []",
        "!!binary aGk=",
        "!!timestamp 2020",
        "&a [*a]",
        "*b",
        "0x_",
    ]
    odd += [
        "<<: *c",
        "2020-13-45",
        "1:99",
        ".nan",
        "!!set {a}",
        "? [a]: b",
        "[0, 0]",
        "[[1]]",
        "|",
        "---",
        "\t",
        "[" * 3000,
    ]
    texts = [(PROTOCOLS / f"{name}.yaml").read_bytes() for name in ("quick", "paper")]
    keys = st.sampled_from(
        ["title", "notebook", "seeds", "common", "data_roots", "test_also_on", "tables", "sweeps", "lr"]
    )
    pairs = st.tuples(keys, st.sampled_from(odd) | odd_values.texts.filter(lambda text: len(text) < 400))
    lines = pairs.map(
        lambda pair: f"notebook: 02\n{pair[0]}: {pair[1]}\nsweeps: {{a: {{lr: [1]}}}}".encode("utf-8", "replace")
    )
    path = folder / "study.yaml"

    def try_it(content: bytes) -> None:
        path.write_bytes(content)
        read_protocol(path).check()

    return odd_values.damaged(texts) | odd_values.damaged(texts) | lines, try_it


def parameters(folder: Path) -> Target:
    """`-p NAME=VALUE` of the notebooks."""
    notebooks = find_notebooks()
    names = sorted({name for notebook in notebooks for name in read_parameters(notebook)})
    where = st.sampled_from(["", "", "02.", "2.", "99.", "."])
    words = (
        odd_values.texts
        | odd_values.wholes.filter(lambda x: x < 2**70).map(str)
        | st.sampled_from(["smoke", "digits", "[1]"])
    )
    one = st.tuples(where, st.sampled_from([*names, "", "x", "lr "]), words).map(lambda t: f"{t[0]}{t[1]}={t[2]}")
    chosen = st.lists(st.sampled_from(notebooks), min_size=1, max_size=2, unique=True)

    def try_it(case: tuple[list[Path], list[str]]) -> None:
        for job in plan(case[0], folder, {}, case[1]):
            task = run_task(job, folder)
            assert task.executed.resolve().is_relative_to(folder.resolve())
            if check := check_of(job.notebook):
                check(job.parameters)

    return st.tuples(chosen, st.lists(one | odd_values.texts, max_size=4)), try_it


TARGETS: dict[str, Callable[[Path], Target]] = {
    "config": config,
    "command_line": command_line,
    "protocol": protocol,
    "parameters": parameters,
    **fuzzed_files.TARGETS,
}


class Findings:
    """What `try_it` raised that is not ours, by type and place."""

    def __init__(self, try_it: Callable[[Any], object]) -> None:
        self.try_it, self.count = try_it, collections.Counter[str]()
        self.first: dict[str, str] = {}

    def __call__(self, case: object) -> None:
        self.count["cases"] += 1
        try:
            self.try_it(case)
        except WorkbookError as error:
            self.count["refused"] += 1
            if len(str(error)) > LONGEST:
                self.note("a message that is too long", f"{str(error)[:120]}: {case!r}")
        except SystemExit:
            self.count["refused"] += 1  # --help
        except Exception as error:
            own = [frame for frame in traceback.extract_tb(error.__traceback__) if str(ROOT) in frame.filename]
            place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
            self.note(f"{type(error).__name__} at {place}", f"{str(error)[:120]}: {case!r}")

    def note(self, what: str, example: str) -> None:
        self.count["findings"] += 1
        self.first.setdefault(what, example[:400])


def fuzz(name: str, cases: int, folder: Path) -> Findings:
    """Try `cases` cases of a target in `folder`."""
    folder.mkdir()
    strategy, try_it = TARGETS[name](folder)
    findings = Findings(try_it)

    @seed(1)
    @settings(
        max_examples=cases,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
    )
    @given(strategy)
    def draw(case: object) -> None:
        findings(case)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw()
    return findings


def rows(quick: bool = False, targets: str = "", cases: int = CASES) -> Iterator[Row]:
    logging.disable(logging.CRITICAL)
    chosen = [choose("targets", name, TARGETS) for name in targets.split(",")] if targets else [*TARGETS]
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            findings = fuzz(name, CASES // 10 if quick else cases, Path(folder) / name)
            for what, example in findings.first.items():
                print(f"  {what}\n    {example}", file=sys.stderr, flush=True)
            count = findings.count
            yield of_counts(f"findings, {name}", "cases", count["findings"], count["cases"], at_most=0.0)


if __name__ == "__main__":
    run(rows)
