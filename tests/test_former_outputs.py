"""Runs, weights and reports of an earlier build (commit 7d332d7), kept in tests/golden: what users have is read as it is."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lib import predict
from lib.explain import browse_runs
from lib.report.pages.execution_records import read_entry
from lib.report.pages.index_page import read_entries, write_index
from lib.report.tables import run_tables
from lib.statistics.estimates import compare
from lib.training import RunConfig, RunStore, profile_config
from tests.helpers import unpacked

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = json.loads((GOLDEN / "settings.json").read_text())
NETWORKS = json.loads((GOLDEN / "networks.json").read_text())
BARE, AGREEING = "digits-toynet-none-s0-c4309f55", "digits-toynet-gatta-s0-c7d2af0d"
BIRDS, PEOPLE = "phantom-birds-vit_tiny_r_s16_p8_224-DCAL-s0-78341d23", "phantom-people-test_vit-DCAL-s0-f60fcaff"


@pytest.fixture(scope="module")
def store():
    return RunStore(GOLDEN / "runs")


def weightless_run(network: dict, store: Path) -> RunStore:
    """A store with a run of `network` as it was written, whose weights are all noughts."""
    folder = store / network["name"]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(network["config"]))
    (folder / "provenance.json").write_text(
        json.dumps({"classes": [f"class {i}" for i in range(7)], "is_phantom": True})
    )
    state = {name: torch.zeros(shape, dtype=getattr(torch, kind)) for name, (kind, *shape) in network["state"].items()}
    save_file(state, folder / "best.safetensors")
    return RunStore(store)


def test_the_settings_have_the_same_defaults():
    defaults = {field.name: field.default for field in dataclasses.fields(RunConfig)}
    assert {name: defaults[name] for name in SETTINGS["defaults"]} == SETTINGS["defaults"]


@pytest.mark.parametrize(("profile", "name"), SETTINGS["profiles"].items())
def test_a_profiles_run_has_the_same_name(profile, name):
    assert profile_config(profile).name == name


def test_all_runs_are_listed_under_their_names_and_finished(store):
    assert [run.path.name for run in store] == sorted([BARE, AGREEING, BIRDS, PEOPLE])
    assert all(run.finished and run.config.name == run.path.name for run in store)
    assert all(store.run(run.config).path == run.path for run in store)
    assert store.find("c4309f55").path.name == BARE
    assert {frozenset(run.basis) for run in store} == {frozenset({"data", "model code", "training code"})}


@pytest.mark.parametrize("name", [BARE, AGREEING, BIRDS])
def test_a_classifiers_run_is_read(store, name):
    run = store.find(name)
    assert len(run.log) == run.config.max_epoch
    assert run.probabilities.shape == (len(run.predictions), len(run.classes))
    assert np.allclose(run.probabilities.sum(axis=1), 1, atol=1e-4)
    answers = np.array(run.classes)[run.probabilities.argmax(axis=1)]
    assert (answers == run.predictions["prediction"]).all()
    assert run.metrics["test"]["accuracy"] == pytest.approx((run.labels == run.probabilities.argmax(axis=1)).mean())


def test_a_reidentification_run_is_read(store):
    run = store.find(PEOPLE)
    assert run.config.task == "reid"
    assert run.retrieval.metrics()["map"] == pytest.approx(run.metrics["test"]["map"], abs=1e-6)
    assert run.metrics["queries"] == 29


def test_tables_and_the_run_browser_take_the_runs(store):
    runs = {name: store.find(name) for name in (BARE, AGREEING)}
    assert list(run_tables.test_table(runs).columns)[:2] == [BARE, AGREEING]
    difference = compare([runs[AGREEING]], [runs[BARE]], "accuracy")
    accuracies = [run.metrics["test"]["accuracy"] for run in runs.values()]
    assert difference.difference == pytest.approx(accuracies[1] - accuracies[0])
    assert difference.low <= difference.difference <= difference.high
    rows = unpacked(browse_runs(store))[0]["runs"]
    assert {row["name"]: row["state"] for row in rows} == dict.fromkeys((BARE, AGREEING, BIRDS, PEOPLE), "finished")


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["name"])
def test_a_networks_weights_fit(network, tmp_path):
    run = weightless_run(network, tmp_path).find(network["name"])
    assert run.config.name == network["name"]
    model = run.model()
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == {
        name: shape for name, (_, *shape) in network["state"].items()
    }


def test_a_run_predicts(tmp_path):
    weightless_run(NETWORKS[0], tmp_path / "runs")
    Image.new("RGB", (40, 30)).save(tmp_path / "mole.png")
    table = tmp_path / "table.csv"
    hash8 = NETWORKS[0]["name"][-8:]
    assert predict.main([hash8, str(tmp_path / "mole.png"), "--output", str(table), "--output-dir", str(tmp_path)]) == 0
    header, row = table.read_text().splitlines()
    assert header.split(",")[:3] == ["image_id", "path", "prediction"]
    assert row.startswith("mole,")


def test_a_report_is_read_and_its_first_page_written_again(tmp_path):
    report = shutil.copytree(GOLDEN / "report", tmp_path / "report")
    entry = read_entry(report / "notebooks" / "07_gattanet.ipynb")
    assert read_entries(report) == {"07_gattanet": entry}
    assert (entry.status, entry.parameters["profile"], len(entry.inputs)) == ("ok", "quick", 12)
    page = write_index(report).read_text()
    for text in (
        "Does global agreement help this backbone",
        "Key figures",
        "notebooks/07_gattanet.ipynb",
        "Quick study",
    ):
        assert text in page
