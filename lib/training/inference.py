"""Class probabilities of a trained model for uint8 images, the same way after training and in `lib.predict`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

EVALUATION_BATCH = 256  # images
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which pretrained weights expect


def to_unit(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W] in [0, 1], channels last in memory as it was."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def normalise(images: Tensor) -> Tensor:
    """Images in [0, 1] to the scale that networks are trained on."""
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(1, 3, 1, 1)
    return (images - mean) / std


@torch.inference_mode()
def probabilities(model: nn.Module, pixels: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
    """Softmax of the logits, float32 [B, K], for a batch of uint8 images [B, H, W, 3]; the model is in eval mode."""
    images = normalise(to_unit(torch.from_numpy(np.ascontiguousarray(pixels)).to(device)))
    return model(images).float().softmax(dim=1).cpu().numpy()


def predict_rows(
    model: nn.Module, pixels: np.ndarray, rows: np.ndarray, batch_size: int, device: torch.device | str
) -> np.ndarray:
    """Probabilities of the chosen rows of a pixel array, [len(rows), K]."""
    model = model.to(device).eval()
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return np.concatenate([probabilities(model, pixels[batch], device) for batch in batches])
