"""Random numbers that follow from a seed, without a trace outside."""

import pytest
import torch

from lib.hardware import drawing_from


def test_numbers_follow_from_the_seed_alone_and_those_outside_go_on(monkeypatch):
    torch.manual_seed(123456)
    expected = torch.rand(4)
    torch.manual_seed(5)
    outside = torch.rand(2)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("other devices are asked"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("GPUs are counted"))
    torch.default_generator.manual_seed(5)
    with drawing_from(123456, torch.device("cpu")):
        assert torch.equal(torch.rand(4), expected)
    assert torch.equal(torch.rand(2), outside)
