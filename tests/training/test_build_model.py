"""Networks whose weights are loaded next, built beside a training."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lib.training import RunConfig
from lib.training.build_model import OwnDraws, build_model, build_structure

VIT = {"dataset": "phantom-birds", "backbone": "deit_tiny_patch16_224", "depth": 1, "image_size": 32}
KINDS = [{"backbone": "toynet", "attention": name} for name in ("CBAM", "none", "gatta")]
KINDS += [{"backbone": "resnet26_small", "attention": "lesa", "image_size": 32}, {**VIT, "attention": "DCAL"}]


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings["attention"])
def test_a_network_is_built_without_a_number_of_a_training_beside_it(settings):
    config = RunConfig(pretrained=False, **settings)
    before = torch.get_rng_state()
    with OwnDraws():
        model = build_model(config, 3, pretrained=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings["attention"])
def test_its_structure_is_that_of_the_network_and_nothing_is_drawn_for_it(settings):
    config = RunConfig(pretrained=False, **settings)
    before = torch.get_rng_state()
    structure = build_structure(config, 3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    built = build_model(config, 3, pretrained=False).state_dict()
    described = {name: (tensor.shape, tensor.dtype, tensor.stride()) for name, tensor in built.items()}
    assert {name: (tensor.shape, tensor.dtype, tensor.stride()) for name, tensor in structure.items()} == described
    assert all(tensor.is_meta for tensor in structure.values())


def test_a_finished_run_is_loaded_so(finished):
    before = torch.get_rng_state()
    state = finished.model().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(state[name], kept) for name, kept in load_file(finished.path / "best.safetensors").items())


def test_other_threads_and_other_generators_draw_what_they_would():
    given = torch.Generator().manual_seed(1)
    expected = torch.manual_seed(0).initial_seed(), torch.rand(3), torch.rand(3, generator=given)
    torch.manual_seed(0)
    with ThreadPoolExecutor(1) as threads, OwnDraws():
        own = nn.init.trunc_normal_(torch.empty(1000), a=-0.5, b=0.5)
        beside = threads.submit(torch.rand, 3).result()
        with_its_own = torch.rand(3, generator=given.manual_seed(1))
    assert torch.equal(beside, expected[1])
    assert torch.equal(with_its_own, expected[2])
    assert own.abs().max() <= 0.5 < 1000 * own.std()
