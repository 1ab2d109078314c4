"""What the tests of this room share."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "golden"


def filler():
    """The module that regenerates the golden files' weights and inputs."""
    spec = importlib.util.spec_from_file_location("fill", GOLDEN / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def official_state(name: str) -> dict[str, Tensor]:
    """The official code's state dict for the golden `name`, as it writes it."""
    state = {}
    for key, shape in json.loads((GOLDEN / "lesa_keys.json").read_text())[name].items():
        if key.endswith("flatten_index"):
            position = torch.arange(round(shape[0] ** 0.5))
            state[key] = (position[:, None] - position + len(position) - 1).flatten()
        else:
            state[key] = torch.zeros(shape, dtype=torch.long if key.endswith("num_batches_tracked") else None)
    return filler().fill(state, seed=7)


def float64(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module, seed: int = 1) -> nn.Module:
    """`module` in float64, all of it drawn anew: nothing passes only because it is 0 or 1 at the start."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    for parameter in module.parameters():
        parameter.data.normal_(std=0.5, generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=generator)
    return module


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()
