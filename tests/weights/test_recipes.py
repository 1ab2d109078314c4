"""The files that ship: small, of kinds that are tested nowhere, and trained as their recipes say."""

import pytest
import torch

from lib import create_model
from lib.data import DATASETS
from lib.errors import WorkbookError
from lib.paths import ROOT
from lib.training import PROFILES, RunConfig, RunStore
from lib.weights import shipped, shipped_names
from lib.weights.__main__ import compare, main
from lib.weights.recipes import RECIPES, recipe, rehearse
from lib.weights.shipped_files import shipped_tensors

MIB = 2**20


def test_every_file_has_a_recipe_and_is_small():
    assert {*shipped_names()} <= {*RECIPES}
    sizes = [shipped(name).file.stat().st_size for name in shipped_names()]
    assert max(sizes) <= 4 * MIB
    assert sum(sizes) <= 16 * MIB


@pytest.mark.parametrize("name", shipped_names())
def test_a_file_says_where_it_comes_from(name):
    said, config = shipped(name), recipe(name)
    assert RunConfig.from_dict(said.provenance["settings"]) == config
    assert (said.network, said.size) == (config.backbone, config.size)
    assert {"classes", "images", "data_fingerprint", "versions", "test", "made"} <= {*said.provenance}


@pytest.mark.parametrize("name", shipped_names())
def test_its_first_steps_are_those_that_were_recorded(name, tmp_path):
    compare(name, shipped(name).provenance["rehearsal"], rehearse(name, RunStore(tmp_path / "runs")))
    (file,) = tmp_path.glob("runs/*/train.log")
    assert (" parameters are loaded; drawn: " in file.read_text()) == (recipe(name).weights != "none")


def test_no_set_that_weights_were_trained_on_is_tested_anywhere():
    """That their kinds are no other set's, by name and by how they are drawn, the tests of the sets hold."""
    learned = {recipe(name).dataset for name in shipped_names()}
    assert all(DATASETS[name].built_in for name in learned)
    assert not learned & {profile.get("dataset") for profile in PROFILES.values()}
    for file in (*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "protocols").glob("*.yaml")):
        assert not any(name in file.read_text() for name in learned), file.name


@pytest.mark.parametrize("attention", ["none", "CBAM", "gatta"])
def test_a_small_resnet_starts_with_every_attention(attention):
    model = create_model("resnet18_small", num_classes=5, attn_type=attention, weights="resnet18_small")
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("attention", "drawn"),
    [
        ("none", "net.fc"),
        ("self_attention", "net.fc, net.layer4.0.conv2"),
        ("lesa", "net.fc, net.layer4.0.conv2"),
        ("gatta", "agreement, backbone.net.fc"),
    ],
)
def test_what_of_a_network_of_patches_is_loaded_and_what_is_drawn(attention, drawn):
    size = {} if attention in ("none", "gatta") else {"image_size": 40}
    model = create_model("resnet14_patches", num_classes=4, attn_type=attention, weights="resnet14_patches", **size)
    stored, state = shipped_tensors("resnet14_patches"), model.state_dict()
    prefix = "backbone.net." if attention == "gatta" else "net."
    replaced = () if attention in ("none", "gatta") else ("layer4.0.conv2.", "layer4.0.bn2.")
    taken = [name for name in stored if not name.startswith(replaced)]
    assert len(taken) > 50
    assert all(torch.equal(state[prefix + name], stored[name].to(state[prefix + name].dtype)) for name in taken)
    assert model.started_from.endswith(f"parameters are loaded; drawn: {drawn}")


def test_the_command_lists_them(capsys):
    with pytest.raises(WorkbookError, match="--check is of the weights with a NAME: one of .*toynet"):
        main(["--check"])
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == shipped_names()
    assert all(shipped(line.split()[0]).digest in line and "phantom-" in line for line in lines)


def test_a_recipe_that_begins_otherwise_is_told():
    with pytest.raises(WorkbookError, match="does not begin as it did: train_loss is 3.3000, not 3.2000"):
        compare("resnet18_small", {"train_loss": 3.2}, {"train_loss": 3.3})
