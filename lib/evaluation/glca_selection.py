"""Trained DCAL networks that let GLCA select other patches than they were trained with: what comes of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from lib import hardware
from lib.evaluation.test_images import TestImages
from lib.mapped import Kind
from lib.training.build_model import build_model
from lib.training.store import Run

SELECTIONS: Mapping[str, dict[str, Any]] = {
    "rollout": {"selection": "rollout"},
    "last layer": {"selection": "last_layer"},
    "random": {"selection": "random"},
    "all patches": {"top_ratio": 1.0},
}


def answers_by_selection(run: Run, images: TestImages) -> pd.DataFrame:
    """The network of `run` with each of `SELECTIONS`, against its own: a row a selection.

    Columns: 'patches' selected of each image; 'own', the share of them that the trained way selects, too; 'changed', the
    share of images that are answered otherwise; 'moved', the most that any class's probability moves.
    """
    weights, rows = run.model().state_dict(), {}
    probabilities, own = _answers(run, weights, {}, images)
    for name, settings in SELECTIONS.items():
        others, selected = _answers(run, weights, settings, images)
        rows[name] = {
            "patches": int(selected[0].sum()),
            "own": (selected & own).sum() / selected.sum(),
            "changed": (others.argmax(1) != probabilities.argmax(1)).mean(),
            "moved": np.abs(others - probabilities).max(),
        }
    return pd.DataFrame(rows).T


@torch.inference_mode()
def _answers(
    run: Run, weights: dict[str, torch.Tensor], settings: dict[str, Any], images: TestImages
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, K] and which patches are selected [N, h, w], by `weights` under other settings."""
    model = build_model(run.config.replace(**settings), len(run.classes), pretrained=False).to(hardware.device()).eval()
    model.load_state_dict(weights)
    probabilities, selected = [], []
    for batch in images.batches(model):
        probabilities.append(model(batch).softmax(1).cpu().numpy())
        selection = next(m for m in model.shown() if m.info.kind is Kind.SELECTION)
        selected.append(selection.cpu().numpy() > 0)
    return np.concatenate(probabilities), np.concatenate(selected)
