"""One interface: every method on every kind of network, which is left as it was."""

import re
import sys

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from lib.dcal import DCALNet
from lib.errors import WorkbookError, WorkbookValueError
from lib.explain import METHODS, REFERENCE_MAPS, explain, max_sensitivity, methods_of, randomisation_check
from lib.explain.methods.explain import scaled
from tests.explain.models import CLASSES, MODELS, images, model_of

CAMS = ("grad-cam", "grad-cam++", "hires-cam", "xgrad-cam", "layer-cam", "eigen-cam", "ablation-cam")
EVERY = (*CAMS, "gradient-x-input", "integrated-gradients", "random", "noise", "centre")
FURTHER = {name for name in METHODS if not METHODS[name].by_default}  # whose tests are in files of their own
ROLLOUT = {"rollout", "gradient-rollout"}
OWN = {
    "glsa": {"glsa-global", "glsa-local", "glsa-fusion"},
    "glsa without gates": {"glsa-global", "glsa-local"},
    "gattanet": {"gatta-agreement"},
    "lesa": {"lesa-omega"},
    "vgg": set(),
    "dcal": ROLLOUT | {"glca-selection"},
    "timm vit": ROLLOUT,
    "timm vit without class token": ROLLOUT,
    "torchvision vit": ROLLOUT,
    "plain": set(),
}
PAIRS = [
    (kind, name)
    for kind in MODELS
    for name in (*METHODS, *sorted(OWN[kind] - ROLLOUT))
    if name in EVERY or name in OWN[kind]
]
FAST = [(kind, name) for kind, name in PAIRS if name != "ablation-cam" or kind in ("glsa", "vgg")]


def state(model):
    """All that a look inside might change."""
    return (
        {name: t.clone() for name, t in model.state_dict().items()},
        [(p.requires_grad, p.grad) for p in model.parameters()],
        [m.training for m in model.modules()],
        hooks(model),
    )


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def assert_same_state(model, before):
    tensors, flags, modes, hooked = state(model)
    assert all(torch.equal(t, before[0][name]) for name, t in tensors.items())
    assert flags == before[1]
    assert modes == before[2]
    assert hooked == before[3] == 0


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_has_the_methods_that_its_parts_allow(kind):
    assert set(methods_of(model_of(kind))) - FURTHER == {*EVERY, *OWN[kind]}


@pytest.mark.parametrize(("kind", "method"), FAST)
def test_every_method_gives_maps_and_leaves_the_model_as_it_was(kind, method):
    model, x = model_of(kind), images(2)
    before = state(model)
    maps = explain(model, x, method=method)
    assert maps.shape == (2, 32, 32)
    assert maps.dtype == torch.float32
    assert maps.device.type == "cpu"
    assert not maps.requires_grad
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert maps.isfinite().all()
    assert_same_state(model, before)


@pytest.mark.parametrize(("kind", "method"), [p for p in FAST if p[0] in ("glsa", "gattanet", "dcal", "plain")])
def test_frozen_parameters_and_forbidden_gradients_do_not_matter(kind, method):
    model, x = model_of(kind), images(2)
    free = explain(model, x, method=method)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        with torch.inference_mode():
            bound = explain(model, images(2), method=method)
            told = explain(model, images(2), model(images(2)).argmax(1), method)
        assert torch.equal(bound, free)
        assert torch.equal(told, free)
        assert not any(p.requires_grad for p in model.parameters())
    finally:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
    with torch.no_grad():
        assert torch.equal(explain(model, x, method=method), free)


def test_gradients_that_were_there_stay():
    model = model_of("vgg")
    model(images(1)).sum().backward()
    kept = [p.grad for p in model.parameters()]
    explain(model, images(1), method="grad-cam")
    assert all(p.grad is g for p, g in zip(model.parameters(), kept, strict=True))
    model.zero_grad()


@pytest.mark.parametrize(("kind", "method"), [p for p in FAST if p[0] in ("glsa", "dcal")])
def test_batches_do_not_matter(kind, method):
    model, x = model_of(kind), images(3)
    whole = explain(model, x, method=method)
    torch.testing.assert_close(explain(model, x, method=method, batch_size=2), whole, atol=1e-2, rtol=0)


@pytest.mark.parametrize(("kind", "method"), [p for p in FAST if p[0] in ("vgg", "dcal") and p[1] != "ablation-cam"])
def test_targets_are_the_predicted_classes_unless_told(kind, method):
    model, x = model_of(kind), images(3)
    with torch.no_grad():
        predicted = model(x).argmax(1)
    free = explain(model, x, method=method)
    assert torch.equal(explain(model, x, predicted, method), free)
    assert torch.equal(explain(model, x, predicted.tolist(), method), free)
    other = explain(model, x, (predicted + 1) % CLASSES, method)
    assert torch.equal(other, free) != methods_of(model)[method].by_class


@pytest.mark.parametrize("method", ["grad-cam", "gradient-x-input", "integrated-gradients"])
def test_each_image_keeps_its_class_in_batches(method):
    model, x = model_of("vgg"), images(5)
    classes = [0, 1, 2, 3, 1]
    single = torch.cat([explain(model, x[i : i + 1], classes[i], method) for i in range(5)])
    torch.testing.assert_close(explain(model, x, classes, method, batch_size=2), single, atol=1e-2, rtol=0)


def test_one_class_for_all_images():
    model, x = model_of("vgg"), images(3)
    assert torch.equal(explain(model, x, 1), explain(model, x, [1, 1, 1]))
    assert torch.equal(explain(model, x, torch.tensor(1)), explain(model, x, [1, 1, 1]))


@pytest.mark.parametrize("method", ["grad-cam", "gradient-x-input", "rollout", "gradient-rollout", "glca-selection"])
def test_mixed_precision_gives_nearly_the_same_maps(method):
    model, x = model_of("dcal"), images(3)
    whole, half = explain(model, x, 1, method), explain(model, x, 1, method, precision="bf16")
    assert not torch.equal(half, whole) or method == "glca-selection"
    assert (half - whole).abs().mean() < 0.08
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(explain(model, x, 1, method), half)


def test_ablation_knows_what_half_precision_cannot_tell():
    model, x = model_of("lesa"), images(4)
    whole, half = explain(model, x, 1, "ablation-cam"), explain(model, x, 1, "ablation-cam", precision="bf16")
    assert not torch.equal(half, whole)  # its maps are the run's
    assert (half - whole).abs().mean() < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "gradcam+"}, "VGGBackbone has no 'gradcam\\+'. Did you mean 'grad-cam"),
        ({"method": "rollout"}, "VGGBackbone has no 'rollout'. It has: grad-cam, .*random, noise, centre"),
        ({"method": "lesa-omega"}, "VGGBackbone has no 'lesa-omega'"),
        ({"targets": CLASSES}, "no class 4: the model has classes 0 to 3"),
        ({"targets": [0, -1, 0]}, "no class -1"),
        ({"targets": [0, 1]}, "3 images and targets of shape \\[2\\]"),
        ({"targets": [0.5, 1, 2]}, "whole numbers"),
        ({"targets": "mel"}, "whole numbers"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"precision": "fp8"}, "Unknown precision 'fp8'"),
        ({"images": torch.zeros(3, 32, 32)}, "shape \\[N, 3, H, W\\].*not \\[3, 32, 32\\]"),
        ({"images": torch.zeros(0, 3, 32, 32)}, "at least one image"),
        ({"images": torch.zeros(1, 3, 32, 32, dtype=torch.uint8)}, "float tensor.*uint8.*network_input"),
        ({"images": [1]}, "float tensor.*list"),
    ],
)
def test_what_cannot_be_explained(arguments, message):
    with pytest.raises(WorkbookValueError, match=message):
        explain(model_of("vgg"), **{"images": images(), **arguments})


@pytest.mark.parametrize(
    "method", ["grad-cam", "ablation-cam", "eigen-cam", "gradient-x-input", "integrated-gradients", "random", "centre"]
)
def test_a_class_outside_the_range_leaves_no_trace(method):
    model = model_of("vgg")
    before = state(model)
    with pytest.raises(WorkbookValueError, match="There is no class 7: the model has classes 0 to 3"):
        explain(model, images(), 7, method)
    assert_same_state(model, before)


def test_a_model_in_training_mode_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(1800, 2))
    with pytest.raises(WorkbookValueError, match="training mode, .* call model.eval"):
        explain(model, images())
    model.eval()[0].train()
    with pytest.raises(WorkbookValueError, match="its part '0'"):
        explain(model, images())


def test_a_model_that_gives_no_map_says_which_methods_need_none():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.row, self.head = nn.Conv2d(3, 8, (64, 2), (64, 1)), nn.Linear(8, 2)
            self.last = nn.Identity()

        def forward(self, x):
            rows = self.row(x).flatten(2).mT
            return self.head((self.last(rows[:, None] @ rows[:, None].mT) @ rows[:, None]).mean((1, 2)))

    with pytest.raises(WorkbookValueError, match="'last', gives \\[1, 1, 63, 63\\].*target_layer_of.*gradient-x-input"):
        explain(Rows().eval(), images(side=64))
    assert "grad-cam" not in methods_of(Rows())


@pytest.mark.parametrize("method", ["gradient-x-input", "eigen-cam", "grad-cam"])
def test_a_map_that_is_not_finite_is_told(method):
    model = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(2048, 2)).eval()
    nn.init.constant_(model[0].weight, float("nan"))
    with pytest.raises(WorkbookError, match=f"{method} gave a map that is not finite"):
        explain(model, images(), 0, method)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("kind", "method"), [p for p in FAST if p[0] in ("vgg", "dcal")])
def test_images_that_are_not_finite_are_refused(kind, method, number):
    x = images(3)
    x[1:, 0, 3, 3] = float(number)
    with pytest.raises(WorkbookValueError, match=r"not finite \(2 of 3 images, first images\[1\]\)"):
        explain(model_of(kind), x, method=method)


VITS = [p for p in FAST if "vit" in p[0] and p[1] not in REFERENCE_MAPS]  # reference maps do not ask the network


@pytest.mark.parametrize(("kind", "method"), [*VITS, ("strict dcal", "rollout"), ("strict dcal", "grad-cam")])
def test_a_vit_tells_which_size_it_takes(kind, method):
    model = DCALNet(model_of("timm vit")).eval() if kind == "strict dcal" else model_of(kind)
    before = state(model)
    for ask in (explain, randomisation_check):
        with pytest.raises(WorkbookValueError, match=r"does not take images of 40×48 pixels: .*32.* Resize them"):
            ask(model, torch.randn(2, 3, 40, 48), method=method)
    assert_same_state(model, before)


@pytest.mark.parametrize("method", ["grad-cam", "gradient-x-input", "eigen-cam", "rise"])
@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "1 channels, but got 3.*Grayscale",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten(), nn.Linear(16, 4)),
            "shapes cannot be multiplied.*Resize them",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 64), nn.Flatten()), "Kernel size can't be greater.*Resize them"),
    ],
)
def test_what_images_a_network_takes_is_told_as_it_tells_it(method, model, told):
    with pytest.raises(WorkbookValueError, match=f"does not take images of 32×32 pixels: .*{told}"):
        explain(model.eval(), images(2), 1, method)


def test_only_a_network_is_explained():
    with pytest.raises(WorkbookValueError, match="a torch.nn.Module, not function: wrap"):
        explain(lambda x: x, images(2))


def test_a_model_that_asserts_something_else_is_not_told_of_sizes():
    class Uncalibrated(nn.Module):
        def forward(self, x):
            raise AssertionError("calibration missing")

    with pytest.raises(AssertionError, match="^calibration missing"):
        explain(Uncalibrated().eval(), images(2), method="gradient-x-input")


def test_without_captum_integrated_gradients_tell_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(WorkbookError, match="pip install captum"):
        explain(model_of("vgg"), images(), method="integrated-gradients")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "integrated-gradients" not in methods_of(model_of("vgg"))


@pytest.mark.parametrize("method", ["random", "noise"])
def test_an_even_map_is_zero_and_a_random_one_the_same_for_an_image_wherever_it_stands(method):
    model = model_of("vgg")
    assert explain(model, torch.zeros(1, 3, 32, 32), method="gradient-x-input").max() == 0
    x = images(3)
    drawn = explain(model, x, method=method)
    assert torch.equal(explain(model, x[1:], method=method), drawn[1:])
    assert not torch.equal(drawn[0], drawn[1])


def test_a_map_that_differs_by_rounding_only_is_even():
    maps = torch.stack([torch.full((7, 7), 0.1), torch.full((7, 7), -3.0), torch.full((7, 7), 1e-12)])
    assert scaled(maps, (64, 64)).eq(0).all()
    maps[0, 3, 3] += 1e-5
    assert scaled(maps, (64, 64))[0].max() == 1


@pytest.mark.parametrize(
    ("method", "even", "told"),
    [
        ("fem", [0, 1, 2], "as none can be among five positions or fewer, so take larger images, or eigen-cam"),
        (
            "gradient-x-input",
            [1],
            "nothing in them speaks for what is explained.*take another method, class or network",
        ),
    ],
)
def test_maps_that_are_the_same_everywhere_are_told_once_a_call(caplog, method, even, told):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES)).eval()
    x = torch.randn(3, 3, 8, 8)
    x[1] = 0
    maps = explain(model, x, method=method, batch_size=1)
    assert [place for place, heat in enumerate(maps) if heat.max() == 0] == even
    (record,) = caplog.records
    numbers = ", ".join(map(str, even))
    beginning = f"{method} gives maps that are the same everywhere, and so 0, for {len(even)} of 3 images ({numbers}): "
    assert record.getMessage().startswith(beginning)
    assert re.search(told, record.getMessage())
    caplog.clear()
    max_sensitivity(model, x, method=method, samples=2)  # which explains neighbours, and tells nothing of them
    assert not caplog.records


def test_a_thousand_maps_leave_neither_memory_nor_hooks():
    model, process = model_of("vgg"), psutil.Process()
    explain(model, images(50), batch_size=1)
    before = process.memory_info().rss
    for _ in range(10):
        explain(model, images(100), batch_size=1)
    assert process.memory_info().rss - before < 50e6
    assert hooks(model) == 0


@pytest.mark.filterwarnings("error")
def test_targets_may_be_an_array_that_is_not_to_be_written():
    labels = np.array([1, 0])
    labels.flags.writeable = False
    model = model_of("vgg")
    assert torch.equal(explain(model, images(2), labels), explain(model, images(2), [1, 0]))
