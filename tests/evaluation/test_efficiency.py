"""measure_efficiency: MACs against formulas, memory against known allocations, measured once."""

import json
import re

import pytest
import torch

from lib import hardware
from lib.errors import WorkbookValueError
from lib.evaluation import efficiency
from lib.evaluation.efficiency import Efficiency, measure_efficiency, peak_bytes
from lib.training import RunConfig
from lib.training.build_model import count_macs

CPU = torch.device("cpu")
SMALL = RunConfig(image_size=32, batch_size=2, device="cpu", precision="32", sampler="none")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("efficiency")
    return folder, measure_efficiency(SMALL, 7, folder, rounds=3, seconds=0.0)


def test_parts_sum_and_every_number_is_a_measurement(measured):
    _, found = measured
    parts = dict(found.parameters)
    assert parts.pop("total") == sum(parts.values())
    assert {"backbone", "global", "local", "fusion", "residual"} == set(parts)
    positive = ("macs", "train_images_per_s", "inference_images_per_s", "latency_ms", "peak_memory_mib")
    assert all(getattr(found, name) > 0 for name in positive)
    for median, low, high in (found.train_ratio, found.inference_ratio, found.latency_ratio):
        assert 0 < low <= median <= high
    assert (found.image_size, found.batch_size) == (32, 2)
    assert found.device == f"cpu: {hardware.device_name(CPU)}"
    assert found.threads == torch.get_num_threads()


def test_the_bare_backbone_is_beside_itself(tmp_path):
    found = measure_efficiency(SMALL.replace(attention="none"), 7, tmp_path, rounds=1, seconds=0.0)
    assert found.train_ratio == found.inference_ratio == found.latency_ratio == (1.0, 1.0, 1.0)


def test_a_second_call_measures_nothing(measured, monkeypatch):
    folder, found = measured
    monkeypatch.setattr(efficiency, "_measure", lambda *_: pytest.fail("measured again"))
    assert measure_efficiency(SMALL, 7, folder) == found
    assert measure_efficiency(SMALL.replace(seed=5, max_epoch=3, dataset="digits"), 7, folder) == found
    (name,) = (p.name for p in folder.iterdir())
    assert re.fullmatch(r"resnet18-CBAM-original-original-32px-[0-9a-f]{8}\.json", name)


@pytest.mark.parametrize(
    "change", [{"image_size": 64}, {"batch_size": 4}, {"num_heads": 4}, {"optimizer": "SGD"}, {"precision": "bf16"}]
)
def test_what_changes_the_cost_is_measured_anew(change, measured, monkeypatch):
    folder, found = measured
    monkeypatch.setattr(efficiency, "_measure", lambda *_: found)
    assert measure_efficiency(SMALL, 7, folder) == found
    before = set(folder.iterdir())
    measure_efficiency(SMALL.replace(**change), 7, folder)
    added = set(folder.iterdir()) - before
    assert len(added) == 1
    added.pop().unlink()


@pytest.mark.parametrize("content", ["{", "[]", '{"efficiency": {"macs": 1}}'])
def test_a_damaged_file_is_measured_anew(content, measured, tmp_path, monkeypatch, caplog):
    folder, found = measured
    (kept,) = folder.iterdir()
    (tmp_path / kept.name).write_text(content)
    monkeypatch.setattr(efficiency, "_measure", lambda *_: found)
    assert measure_efficiency(SMALL, 7, tmp_path) == found
    assert "is damaged" in caplog.text
    assert json.loads((tmp_path / kept.name).read_text())["conditions"]["classes"] == 7


def test_other_numbers_than_were_measured_are_measured_anew(measured, tmp_path, monkeypatch, caplog):
    folder, found = measured
    (kept,) = folder.iterdir()
    content = json.loads(kept.read_text())
    content["efficiency"]["macs"] += 1
    (tmp_path / kept.name).write_text(json.dumps(content))
    assert efficiency._read(tmp_path / kept.name) is None
    assert "these are not the numbers that were written" in caplog.text
    del content["digest"]  # as earlier builds wrote it
    (tmp_path / kept.name).write_text(json.dumps(content))
    assert efficiency._read(tmp_path / kept.name).macs == found.macs + 1


def test_force_measures_anew(measured, tmp_path, monkeypatch):
    _, found = measured
    calls = []
    monkeypatch.setattr(efficiency, "_measure", lambda *_: calls.append(1) or found)
    measure_efficiency(SMALL, 7, tmp_path)
    measure_efficiency(SMALL, 7, tmp_path, force=True)
    assert len(calls) == 2


def test_bad_requests_are_named(tmp_path):
    with pytest.raises(WorkbookValueError, match="rounds must be a whole number of at least 1, not 0"):
        measure_efficiency(SMALL, 7, tmp_path, rounds=0)
    with pytest.raises(WorkbookValueError, match="focal_alpha has 3 values; the data set has 7 classes"):
        measure_efficiency(SMALL.replace(focal_alpha=[1.0] * 3), 7, tmp_path)
    assert not list(tmp_path.iterdir())


# --- MACs ---


def test_resnet18_has_its_published_macs():
    macs = count_macs(RunConfig(attention="none", image_size=224), 1000)
    assert 1.81e9 < macs < 1.83e9  # torchvision: 1.81 GFLOPS


def linear(n, channels):
    """A 1×1 convolution, or a matrix of channels × channels, at each of n positions."""
    return n * channels * channels


def conv7(n):
    return n * 2 * 49


@pytest.mark.parametrize("size", [64, 224])
def test_a_glsa_block_by_hand(size):
    """The block's share of ResNet18 (256 channels at the cut), term by term."""
    n, c, hidden = (size // 16) ** 2, 256, 16
    attention = 3 * linear(n, c) + n * n * c + n * n * c + linear(n, c)  # W_qkv, QKᵀ, AV, W_out
    cbam = 2 * (c * hidden + hidden * c) + conv7(n)  # the MLP on mean and maximum; the 7×7 of two maps
    by_hand = {
        "original": linear(n, c),
        "learnable_gate": 2 * linear(n, c) + linear(n, c),  # the gate sees 2C channels; projection
        "weighted_add": linear(n, c),
        "channel_attn": 2 * c * (2 * c // 16) * 2 + linear(n, c),
        "spatial_attn": conv7(n) + linear(n, c),
        "cross_attn": 3 * linear(n, c) + 2 * n * n * c + linear(n, c),
    }
    bare = count_macs(RunConfig(attention="none", image_size=size), 7)
    for fusion, own in by_hand.items():
        macs = count_macs(RunConfig(attention="CBAM", fusion_strategy=fusion, image_size=size), 7)
        assert macs - bare == attention + cbam + own, fusion


# --- memory ---


def test_peak_memory_of_known_allocations():
    block = 2**20  # floats of 4 bytes

    def two_at_once_then_one():
        first, second = torch.empty(block), torch.empty(block)
        del first, second
        torch.empty(block)

    assert peak_bytes(two_at_once_then_one, CPU) == 2 * 4 * block
    held = torch.empty(block)
    assert peak_bytes(lambda: held.add_(1.0), CPU) < 1024  # what was there before does not count
    assert peak_bytes(lambda: held + held, CPU) == pytest.approx(4 * block, abs=1024)


def test_a_step_holds_activations_and_gradients(measured):
    _, found = measured
    gradients = 4 * found.parameters["total"] / 2**20
    assert gradients < found.peak_memory_mib < 4 * gradients


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_training_step_trains(precision):
    subject = efficiency._Subject(SMALL.replace(precision=precision), 7)
    subject.prepare_training()
    before = {name: p.detach().clone() for name, p in subject.model.named_parameters()}
    subject.train()
    assert all(not torch.equal(before[name], p) for name, p in subject.model.named_parameters() if p.ndim > 1)


def test_a_measurement_survives_json(measured):
    folder, found = measured
    assert isinstance(found, Efficiency)
    assert efficiency._read(next(folder.iterdir())) == found


# --- what a GPU is asked, without one ---


def test_a_gpus_peak_is_its_allocators_beyond_what_was_there(monkeypatch):
    asked = []
    for name, answer in {"synchronize": None, "reset_peak_memory_stats": None, "memory_allocated": 100}.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, name=name, answer=answer: asked.append(name) or answer)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 350)
    assert peak_bytes(lambda: asked.append("work"), torch.device("cuda")) == 250
    assert asked == ["synchronize", "reset_peak_memory_stats", "memory_allocated", "work", "synchronize"]


def test_deterministic_kernels_are_asked_for_as_in_training_and_given_up_again():
    with efficiency._deterministic_on_gpu(torch.device("cuda")):
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with efficiency._deterministic_on_gpu(CPU):
        assert not torch.are_deterministic_algorithms_enabled()
