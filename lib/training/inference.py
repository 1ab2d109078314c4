"""What a trained model says about uint8 images, the same way after training and in `lib.predict`."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lib.data import DATASETS, VIEWS
from lib.data.augmentation import centre_view, stored_size
from lib.training.config import RunConfig

EVALUATION_BATCH = 256  # images at most
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of the channels

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
Output = Callable[[nn.Module, Tensor], Tensor]  # of a network, for images [B, 3, H, W] on its own scale


def to_unit(images: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float [B, 3, H, W] in [0, 1], channels last in memory as it was."""
    return images.permute(0, 3, 1, 2).float().div_(255)


def statistics_of(model: nn.Module) -> Statistics:
    """Mean and standard deviation by which images are normalised for `model`: its `statistics`, or ImageNet's.

    All of torchvision's weights and DeiT's expect the latter, many of timm's ViTs others.
    """
    return getattr(model, "statistics", IMAGENET)


def normalise(images: Tensor, statistics: Statistics) -> Tensor:
    """Images [B, 3, H, W] in [0, 1] to the scale that a network is trained on."""
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in statistics)
    return (images - mean) / std


def evaluation_batch(config: RunConfig) -> int:
    """Images that a process shows at once where nothing is learned: four fit where one can be trained on."""
    return min(EVALUATION_BATCH, 4 * config.batch_size // config.processes)


def augmentation_of(config: RunConfig) -> str:
    """The name of the augmentation that `config` trains with."""
    return config.augmentation or DATASETS[config.dataset].augmentation


def decoded_size(config: RunConfig) -> tuple[int, int]:
    """(height, width) in pixels at which images are decoded: more than the network sees where training crops."""
    height, width = (stored_size(side, augmentation_of(config)) for side in config.size)
    return height, width


def device_of(model: nn.Module) -> torch.device:
    """Where `model` computes; the CPU where it has no parameters."""
    return next(model.parameters(), torch.empty(0)).device


def network_input(model: nn.Module, pixels: np.ndarray, augmentation: str = "none") -> Tensor:
    """uint8 images [B, H, W, 3] as `model`, trained with `augmentation`, is shown them: float [B, 3, h, w], where it is."""
    images = to_unit(torch.from_numpy(np.ascontiguousarray(pixels)).to(device_of(model)))
    return normalise(centre_view(images, augmentation), statistics_of(model))


def probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Softmax of the logits, float32 [B, K]."""
    return model(images).float().softmax(dim=1)


def embeddings(model: nn.Module, images: Tensor) -> Tensor:
    """What a re-identification model makes of images, float32 [B, D]."""
    return model.embed(images).float()


def mirrored_embeddings(model: nn.Module, images: Tensor) -> Tensor:
    """The mean of what it makes of images and of their mirror images, float32 [B, D]: the flip test of re-identification."""
    return (embeddings(model, images) + embeddings(model, images.flip(3))) / 2


def branch_probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """What each branch of a DCAL model answers alone, float32 [B, branches, K] in the order of `answering`."""
    branches = model.branches(images)
    return torch.stack([getattr(branches, name).float().softmax(dim=1) for name in model.answering], dim=1)


def over_views(output: Output, config: RunConfig) -> Output:
    """The mean of `output` over the views of an image that a run of `config` answers with."""
    views = VIEWS[config.test_time_augmentation]
    return lambda model, images: sum(output(model, view(images)) for view in views) / len(views)


@torch.inference_mode()
def predict_batch(
    model: nn.Module, pixels: np.ndarray, augmentation: str = "none", output: Output = probabilities
) -> np.ndarray:
    """An `output` of `model`, in eval mode, for a batch of uint8 images [B, H, W, 3]; see `network_input`."""
    return output(model, network_input(model, pixels, augmentation)).cpu().numpy()


def predict_rows(
    model: nn.Module, config: RunConfig, pixels: np.ndarray, rows: np.ndarray, output: Output = probabilities
) -> np.ndarray:
    """An `output` of `model`, trained by `config`, for the chosen rows of a pixel array, batch by batch: [len(rows), …]."""
    model, size, augmentation = model.eval(), evaluation_batch(config), augmentation_of(config)
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    return np.concatenate([predict_batch(model, pixels[batch], augmentation, output) for batch in batches])
