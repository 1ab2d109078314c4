"""Trained networks without a term: what the gate has closed costs nothing, and the rest costs what the answers say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib.data import Truth
from lib.evaluation.term_ablation import ablated_answers, compare_without
from lib.models import create_model
from lib.training import RunConfig
from tests.evaluation.made_images import images_of

N = 24


@pytest.fixture
def images(tmp_path):
    config = RunConfig(dataset="phantom-birds", augmentation="none", image_size=32, device="cpu")
    return images_of(tmp_path, config, Truth(np.full((N, 4), np.nan), (), np.empty((N, 0, 2))), count=N)


def run_of(images, seed):
    """A network whose gate is closed, as a run that has answered `images`."""
    torch.manual_seed(seed)
    network = create_model("resnet26_small", num_classes=2, attn_type="lesa", image_size=(32, 32)).eval()
    for layer in network.blocks.values():
        torch.nn.init.constant_(layer.gate[-2].bias, -100.0)  # of the BatchNorm before the sigmoid
    answers = ablated_answers(network, images)
    return SimpleNamespace(
        predictions=answers.predictions, classes=answers.classes, metrics=answers.metrics, model=lambda: network
    )


def test_a_closed_gate_makes_the_context_term_worth_nothing(images):
    runs = [run_of(images, seed) for seed in (0, 1)]
    lost = compare_without(runs, images, ["accuracy"])
    assert list(lost) == ["local", "context"]
    assert lost["context"][0].difference == 0
    (local,) = lost["local"]
    whole = [run.metrics["test"]["accuracy"] for run in runs]
    assert local.seeds == 2
    assert local.difference == pytest.approx(0.5 - np.mean(whole))  # one answer to all: nothing is left of the image
    assert all(layer.switched_off is None for layer in runs[0].model().blocks.values())
