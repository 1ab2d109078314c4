"""Trained DCAL networks that let GLCA select other patches than they were trained with: what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from lib import hardware
from lib.evaluation.attention_study import BATCH, Subjects
from lib.training.build_model import build_model
from lib.training.inference import network_input
from lib.training.store import Run

WAYS: Mapping[str, dict[str, Any]] = {
    "rollout": {"selection": "rollout"},
    "last layer": {"selection": "last_layer"},
    "random": {"selection": "random"},
    "all patches": {"top_ratio": 1.0},
}


def answers_by_selection(run: Run, subjects: Subjects) -> pd.DataFrame:
    """The network of `run` with each way of `WAYS` to select, against its own: a row a way.

    Columns: 'patches' selected of each image; 'own', the share of them that the trained way selects, too; 'changed', the
    share of images that are answered otherwise; 'moved', the most that any class's probability moves.
    """
    trained, rows = run.model().state_dict(), {}
    probabilities, selected = _asked(run, trained, {}, subjects)
    for way, settings in WAYS.items():
        said, chosen = _asked(run, trained, settings, subjects)
        rows[way] = {
            "patches": int(chosen[0].sum()),
            "own": (chosen & selected).sum() / chosen.sum(),
            "changed": (said.argmax(1) != probabilities.argmax(1)).mean(),
            "moved": np.abs(said - probabilities).max(),
        }
    return pd.DataFrame(rows).T


@torch.inference_mode()
def _asked(
    run: Run, trained: dict[str, torch.Tensor], settings: dict[str, Any], subjects: Subjects
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, K] and which patches were selected [N, h, w], by the weights `trained` under other settings."""
    where = hardware.device()
    model = build_model(run.config.replace(**settings), len(run.classes), pretrained=False).to(where).eval()
    model.load_state_dict(trained)
    said, chosen = [], []
    for at in range(0, len(subjects.pixels), BATCH):
        logits = model(network_input(model, subjects.pixels[at : at + BATCH], subjects.augmentation, where))
        said.append(logits.softmax(1).cpu().numpy())
        chosen.append(model.maps()["glca_selected"].cpu().numpy() > 0)
    return np.concatenate(said), np.concatenate(chosen)
