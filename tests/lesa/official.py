"""What the official LESA code is asked and answers."""

import importlib.util
import json
from pathlib import Path

import torch
from torch import Tensor

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
