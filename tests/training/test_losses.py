"""Each loss against its formula, each optimiser and schedule against what its name says."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib import create_dcal_model
from lib.errors import WorkbookValueError
from lib.training.losses import LOSSES, FocalLoss, build_loss, class_balanced_weights
from lib.training.optimisers import LR_SCHEDULERS, OPTIMIZERS, build_optimisation, parameter_groups

COUNTS = [900, 80, 20]


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 3, generator=generator), torch.randint(0, 3, (64,), generator=generator)


def test_focal_loss_by_hand(batch):
    logits, labels = batch
    p = logits.softmax(1)[torch.arange(64), labels]
    expected = (-0.25 * (1 - p) ** 2 * p.log()).mean()
    assert torch.allclose(build_loss("focal", COUNTS)(logits, labels), expected)
    alpha = torch.tensor([0.1, 0.2, 0.7])
    per_class = (-alpha[labels] * (1 - p) ** 3 * p.log()).mean()
    mine = build_loss("focal", COUNTS, alpha=(0.1, 0.2, 0.7), gamma=3.0)
    assert torch.allclose(mine(logits, labels), per_class)


def test_focal_without_gamma_and_alpha_is_cross_entropy(batch):
    assert torch.allclose(FocalLoss(None, 0.0)(*batch), F.cross_entropy(*batch))


def test_class_balanced_by_hand(batch):
    logits, labels = batch
    raw = torch.tensor([(1 - 0.999) / (1 - 0.999**n) for n in COUNTS])
    weights = raw / raw.mean()
    assert torch.allclose(class_balanced_weights(COUNTS, 0.999), weights)
    assert weights.mean() == pytest.approx(1)
    assert torch.allclose(class_balanced_weights(COUNTS, 0.0), torch.ones(3))
    p = logits.softmax(1)[torch.arange(64), labels]
    loss = build_loss("class_balanced", COUNTS, gamma=0.0)(logits, labels)
    assert torch.allclose(loss, (-weights[labels] * p.log()).mean())
    assert not torch.allclose(loss, F.cross_entropy(logits, labels))


def test_the_others_are_pytorchs(batch):
    assert torch.equal(build_loss("cross_entropy", COUNTS)(*batch), F.cross_entropy(*batch))
    smoothed = build_loss("label_smoothing", COUNTS, smoothing=0.2)(*batch)
    assert torch.equal(smoothed, F.cross_entropy(*batch, label_smoothing=0.2))
    assert set(LOSSES) == {"focal", "cross_entropy", "class_balanced", "label_smoothing", "logit_adjusted"}


@pytest.mark.parametrize(("sampler", "shown"), [("none", [900, 80, 20]), ("sqrt", [900**0.5, 80**0.5, 20**0.5])])
def test_logit_adjusted_by_hand(batch, sampler, shown):
    """Menon et al., eq. 10: −log(π_y e^f_y / Σ π_k e^f_k), π the shares of the images that the sampler shows."""
    logits, labels = batch
    weighed = torch.tensor(shown) / sum(shown) * logits.exp()
    expected = -(weighed[torch.arange(64), labels] / weighed.sum(1)).log().mean()
    assert torch.allclose(
        build_loss("logit_adjusted", COUNTS, sampler=sampler, smoothing=0.0)(logits, labels), expected
    )


def test_where_the_sampler_shows_all_classes_alike_nothing_is_adjusted(batch):
    adjusted = build_loss("logit_adjusted", COUNTS, sampler="inverse", smoothing=0.2)
    assert torch.allclose(adjusted(*batch), F.cross_entropy(*batch, label_smoothing=0.2))


def test_a_class_without_training_images_leaves_the_loss_finite(batch):
    assert build_loss("logit_adjusted", [900, 80, 0])(*batch).isfinite()


def test_as_many_alphas_as_classes(batch):
    with pytest.raises(WorkbookValueError, match="focal_alpha has 2 values; the data set has 3 classes"):
        build_loss("focal", COUNTS, alpha=(0.5, 0.5))


# --- optimisation ---


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_by_name(name):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = build_optimisation(model, name, lr=0.01, weight_decay=1e-4)
    assert type(optimizer).__name__ == {"Nesterov": "SGD"}.get(name, name)
    assert optimizer.param_groups[0].get("nesterov", False) == (name == "Nesterov")
    before = model[0].weight.clone()
    model(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert name == "SGD" or not torch.equal(before, model[0].weight)


def test_norms_biases_and_gates_are_not_decayed():
    class Gated(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
            self.gate = nn.Parameter(torch.zeros(1, 8, 1, 1))

    decayed, free = parameter_groups(Gated(), 0.1)
    assert [p.shape for p in decayed["params"]] == [(8, 3, 1, 1)]
    assert len(free["params"]) == 4
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)


def rates(name, epochs=9, steps=4, losses=None, **settings):
    """The learning rate at the start of each step ('step' schedules) or epoch."""
    model = nn.Linear(2, 2)
    built = build_optimisation(model, "SGD", lr=1.0, scheduler=name, epochs=epochs, steps_per_epoch=steps, **settings)
    optimizer, scheduler = built["optimizer"], built["lr_scheduler"]["scheduler"]
    seen = []
    for i in range(epochs * (steps if built["lr_scheduler"]["interval"] == "step" else 1)):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(losses[i]) if losses else scheduler.step()
    return seen


def test_schedules_do_what_they_say():
    assert rates("StepLR") == pytest.approx([1] * 3 + [0.1] * 3 + [0.01] * 3)
    assert rates("CosineAnnealingLR") == pytest.approx([(1 + math.cos(math.pi * e / 9)) / 2 for e in range(9)])
    restarts = rates("CosineAnnealingWarmRestarts", epochs=21)
    assert [i for i in range(21) if restarts[i] == 1] == [0, 3, 9]
    plateau = rates("ReduceLROnPlateau", losses=[1.0, 0.5, *[0.6] * 7])
    assert plateau == pytest.approx([1] * 8 + [0.1])


def test_cosine_warmup_rises_for_an_epoch_and_falls_to_zero():
    seen = rates("CosineWarmup", epochs=5, steps=10, warmup_epochs=1.0)
    assert seen[:10] == sorted(seen[:10])
    assert seen[10] == 1.0 == max(seen)
    assert seen[10:] == sorted(seen[10:], reverse=True)
    assert seen[-1] < 0.01
    assert rates("CosineWarmup", epochs=1, steps=4, warmup_epochs=5.0)[2] == 1.0  # warm-up takes half at the most
    assert set(LR_SCHEDULERS) == {
        "ReduceLROnPlateau",
        "StepLR",
        "CosineAnnealingLR",
        "CosineAnnealingWarmRestarts",
        "CosineWarmup",
        "none",
    }


def test_weight_decay_spares_what_the_model_names():
    model = create_dcal_model("deit_tiny_patch16_224", num_classes=3, img_size=32, depth=1)
    decayed, free = parameter_groups(model, 0.1)
    assert any(p is model.vit.pos_embed for p in free["params"])
    assert any(p is model.vit.blocks[0].attn.qkv.weight for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len([*model.parameters()])
