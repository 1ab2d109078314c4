"""Every command line and snippet of the five projects: it runs, or one line says what to type.

`tests/golden/seeds.tsv` lists them. A command is parsed by the program itself, up to where training would begin; Python is
executed with the names of `lib.seeds`; what other programs were given is looked up in its table.
"""

import importlib.util
import shlex

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import timm
import torch

from lib import RunConfig, seeds, train
from lib.backbones import build_backbone
from lib.errors import WorkbookError
from lib.paths import ROOT
from lib.seeds import TABLE

ROWS = pd.read_csv(ROOT / "tests" / "golden" / "seeds.tsv", sep="\t", quoting=3)
RUNS = "runs"
GOLDEN_RUN = ROOT / "tests" / "golden" / "runs" / "digits-toynet-none-s0-c4309f55"
GIVEN = {"torch": torch, "timm": timm, "pd": pd, "plt": plt, "RunConfig": RunConfig}


class Begun(Exception):
    """Training would begin here."""


def rows(kind):
    chosen = ROWS[ROWS["kind"] == kind]
    return pytest.mark.parametrize(("typed", "outcome"), chosen[["typed", "outcome"]].to_numpy().tolist())


def begin(config, store):
    raise Begun(config)


@rows("command")
def test_a_command_line_runs_or_is_told(typed, outcome, monkeypatch):
    monkeypatch.setattr(train, "fit", begin)
    words = shlex.split(typed)[2:]
    with pytest.raises(Begun if outcome == RUNS else WorkbookError) as stopped:
        train.main(words)
    if outcome != RUNS:
        assert outcome in str(stopped.value)
        assert "\n" not in str(stopped.value)
        return
    (config,) = stopped.value.args
    for flag, value in zip(words, [*words[1:], "--"], strict=True):
        if flag.startswith("--"):
            found = getattr(config, flag[2:])
            assert found is True if value.startswith("--") else is_like(found, value), flag


def is_like(found, text):
    """Whether a setting is what the text of a flag says: names are found in any case."""
    if isinstance(found, float):
        return found == float(text)
    return str(found).casefold().replace("-", "") == text.casefold().replace("-", "")


@pytest.fixture
def names(monkeypatch):
    """What a snippet is given; a network's weights are drawn, not downloaded."""
    drawn = lambda name, classes, pretrained: build_backbone(name, classes)  # noqa: E731
    monkeypatch.setattr("lib.models.build_backbone", drawn)
    monkeypatch.chdir(GOLDEN_RUN)
    yield {name: getattr(seeds, name) for name in seeds.__all__} | GIVEN
    plt.close("all")


@rows("python")
def test_a_snippet_runs_or_is_told(typed, outcome, names):
    if outcome == RUNS:
        with torch.device("meta" if "VGG16" in typed or "vgg16" in typed or "resnet50" in typed else "cpu"):
            exec(typed, names)
        return
    (asked,) = [
        name for name in seeds.NAMES if name not in seeds.__all__ and name in typed.replace("(", " ").split()
    ] or [None]
    with pytest.raises((ImportError, WorkbookError)) as stopped:
        exec(f"from lib.seeds import {asked}" if asked else typed, names)
    assert outcome in str(stopped.value)


@rows("shell")
def test_what_another_program_was_given_is_in_the_table(typed, outcome):
    (row,) = [row for row in TABLE if row.there in typed]
    assert outcome in str(row)


def test_no_name_is_told_in_two_ways_and_what_is_told_is_there():
    of_python = [row for row in TABLE if row.there.isidentifier() or row.there.startswith("--")]
    assert len({row.there for row in of_python}) == len(of_python)
    assert all(callable(getattr(seeds, name)) or isinstance(getattr(seeds, name), dict) for name in seeds.__all__)
    assert seeds.told("--gpu-id") == seeds.told("--gpu_id") != seeds.told("gpu_id")
    with pytest.raises(AttributeError, match="no attribute 'ResNet19'"):
        _ = seeds.ResNet19
    with pytest.raises(ImportError, match="`DCALTrainer` is `lib.fit"):
        from lib.seeds import DCALTrainer  # noqa: F401


@pytest.mark.parametrize("flags", [row.here.strip("`") for row in TABLE if row.here.startswith("`--profile")])
def test_the_flags_that_are_told_make_a_run(flags, monkeypatch):
    monkeypatch.setattr(train, "fit", begin)
    with pytest.raises(Begun):
        train.main(flags.split())


def test_a_flag_that_nobody_had_is_unknown_as_before():
    with pytest.raises(WorkbookError, match="Unknown flag '--epoch'"):
        train.main(["--cfg", "x", "--epoch", "3"])


def test_the_pages_have_the_table():
    """`python docs/tools/seed_tables.py` writes them anew."""
    spec = importlib.util.spec_from_file_location("seed_tables", ROOT / "docs" / "tools" / "seed_tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    for name in {row.project for row in TABLE}:
        page = tables.PAGES / f"{name}.md"
        assert tables.table_of(name) in page.read_text()
