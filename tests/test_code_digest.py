"""What code a thing depends on, and what files: the grounds on which it is not computed again."""

import importlib
import os
import sys

import pytest
import torch
from torch import nn

from lib import code_digest as module
from lib import inputs
from lib.code_digest import code_digest, imported, imports, statements, statements_of
from lib.glsa import FUSION_STRATEGIES, BaseFusion
from lib.inputs import NOTES, note, state, states, wrote
from lib.training import RunConfig, run_digest
from lib.training.build_model import build_structure
from lib.training.run_digest import run_digests


def test_imports_are_found_wherever_they_stand():
    assert imports("import numpy\nfrom lib.data import survey\n") == ["lib", "lib.data", "lib.data.survey"]
    assert imports("def f():\n    from lib.data import load_dataset") == ["lib", "lib.data"]
    assert imports("from lib import fit, create_model") == ["lib", "lib.training", "lib", "lib.models"]
    assert imports("from lib.explain import explore") == [
        "lib",
        "lib.explain",
        "lib.explain.views",
        "lib.explain.views.explorer",
    ]


def test_what_a_module_imports_counts_too():
    found = imported(["lib.predict"])
    assert {"lib.predict", "lib.training.trainer", "lib.glsa.fusion", "lib.data.splits", "lib.errors"} <= found
    assert not any(name.startswith(("lib.report", "lib.workbook")) for name in found)
    assert imported(["lib.nowhere"]) == {"lib", "lib.malloc", "lib.progress"}


def test_remarks_do_not_count_and_code_does():
    plain = 'x = "# no comment"\n\ndef f(a):\n    return a + 1\n'
    remarked = '"""Module."""\nx = "# no comment"  # a comment\n\n\ndef f(a):\n    """Of two\n    lines."""\n    return a + 1\n'
    assert statements(remarked) == statements(plain) == 'x = "# no comment"\ndef f(a):\n    return a + 1'
    assert statements(plain.replace("1", "2")) != statements(plain)
    assert statements('def f(): "one line"\n') == 'def f(): "one line"'
    assert statements('def f():\n    """Says\n    nothing else."""\n') == "def f():\n    pass"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A `lib` of three files, a importing b."""
    monkeypatch.setattr(module, "ROOT", tmp_path)
    module._file.cache_clear()
    for name, text in {"__init__": "", "a": "from lib.b import x", "b": "x = 1", "c": "y = 1"}.items():
        (tmp_path / "lib").mkdir(exist_ok=True)
        (tmp_path / "lib" / f"{name}.py").write_text(text)
    yield tmp_path / "lib"
    module._file.cache_clear()


def test_the_digest_follows_the_code_and_what_it_imports(package):
    before = code_digest(["lib.a"], "more")
    assert code_digest(["lib.a"], "other") != before
    (package / "c.py").write_text("y = 2")
    assert code_digest(["lib.a"], "more") == before
    (package / "b.py").write_text("x = 1  # one")
    assert code_digest(["lib.a"], "more") == before
    (package / "b.py").write_text("x = 2")
    assert code_digest(["lib.a"], "more") != before


def digests(**settings):
    config = RunConfig(backbone="resnet18", attention="CBAM", **settings)
    return run_digests(config, build_structure(config, 7))


def test_a_new_strategy_makes_no_other_runs_stale_and_an_edited_one_does(monkeypatch):
    before = digests()
    assert digests() == before
    assert digests(fusion_strategy="cross_attn")["model code"] != before["model code"]
    monkeypatch.setitem(FUSION_STRATEGIES, "mean", type("Mean", (BaseFusion,), {"forward": lambda s, A, L, x=None: A}))
    assert digests() == before
    mine = digests(fusion_strategy="mean")
    monkeypatch.setitem(FUSION_STRATEGIES, "mean", type("Mean", (BaseFusion,), {"forward": lambda s, A, L, x=None: L}))
    assert digests(fusion_strategy="mean") != mine  # where no file holds the class, its byte code counts


def test_what_is_loaded_already_makes_no_difference(monkeypatch):
    late = importlib.import_module("lib.cnn.narrow_resnets")  # of which this network has no layer
    run_digest._deciding.cache_clear()
    before = digests()
    monkeypatch.setattr("lib.cnn.narrow_resnets", late)  # both are put back at the end
    monkeypatch.delitem(sys.modules, late.__name__)
    run_digest._deciding.cache_clear()
    assert digests() == before


@pytest.mark.parametrize(
    ("module", "line", "counts"),
    [
        ("lib.glsa.local", "MIN_HIDDEN = 64", True),
        ("lib.backbones", "def checked(images): return images", True),
        ("lib.models", "def create_model(name): return None", True),
        ("lib.glsa.fusion", "FUSION_STRATEGIES = {'mean': BaseFusion}", False),
        ("lib.glsa.block", "WIDTHS = {'full': 1, 'lean': 8}", True),
        ("lib.models", "WRAPPERS: dict = {'none': lambda backbone: None}", True),
        ("lib.glsa.block", "__all__ = ['GLSABlock']", False),
        ("lib.errors", "def positive(**sizes): return None", False),
        ("lib.retrieval.ranking", "METRICS = ('map',)", False),
    ],
)
def test_constants_and_functions_of_a_models_files_count_but_no_list_of_classes(monkeypatch, module, line, counts):
    before = digests()
    monkeypatch.setattr(
        run_digest, "statements_of", lambda name: statements_of(name) + f"\n{line}\n" * (name == module)
    )
    assert (digests() != before) is counts


def test_finding_the_code_draws_no_random_numbers():
    before = torch.get_rng_state()
    digests()
    assert torch.equal(torch.get_rng_state(), before)
    assert next(nn.Linear(1, 1).parameters()).device.type == "cpu"


def test_states_follow_files_and_folders(tmp_path):
    folder, file = tmp_path / "folder", tmp_path / "folder" / "a.txt"
    assert state(file) == "absent"
    folder.mkdir()
    empty = state(folder)
    file.write_text("a")
    first, filled = state(file), state(folder)
    assert empty != filled
    os.utime(file, (1, 1))
    assert state(file) != first
    assert state(folder) != filled


def test_what_is_read_is_noted_where_somebody_asks(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "_noted", set())
    note(tmp_path / "a")  # nobody asks
    monkeypatch.setenv(NOTES, str(tmp_path / "notes"))
    monkeypatch.setattr(inputs, "_noted", set())
    for name in ("a", "b", "a"):
        note(tmp_path / name)
    for name in ("a", "b"):
        (tmp_path / name).touch()
    note(tmp_path / "a")
    wrote(tmp_path / "b")
    found = states(tmp_path / "notes")
    assert found[str(tmp_path / "a")] == "absent"  # as it was read
    assert found[str(tmp_path / "b")].startswith("0 bytes")
    assert states(tmp_path / "none") == {}
