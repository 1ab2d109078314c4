"""Class activation maps, by the formulas of pytorch-grad-cam.

grad-cam arXiv 1610.02391, grad-cam++ 1710.11063, hires-cam 2011.08891, xgrad-cam 2008.02312, layer-cam (Jiang et al.,
IEEE TIP 2021), eigen-cam 2008.00299, ablation-cam (Desai & Ramaswamy, WACV 2020). Two are the workbook's own on that
library's base. Its EigenCAM has the sign that the decomposition happens to give; here the side that reaches farther
from 0 is the positive one (Seg-Eigen-CAM, doi 10.3390/app15137562, eq. 13). Its AblationCAM divides by a logit, which
flips the map where that is negative, and shifts signed maps by 10⁷; here the drop is that of the class's probability
when a channel is 0, as a share of that probability.
"""

from functools import partial

import numpy as np
import torch
from einops import rearrange
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor, nn

from lib.explain.methods.activation_tap import ActivationTap
from lib.explain.methods.target_layers import target_layer_of
from lib.explain.methods.targets import in_range, strengths


class EigenCAM(BaseCAM):
    """Positions projected on the first principal direction of their channels; it knows no class."""

    def __init__(self, model: nn.Module, target_layers: list[nn.Module]) -> None:
        super().__init__(model, target_layers, uses_gradients=False)

    def get_cam_image(self, input_tensor, target_layer, targets, activations, grads, eigen_smooth=False) -> np.ndarray:
        if not np.isfinite(activations).all():  # for which there is no decomposition
            return np.full_like(activations[:, 0], np.nan)
        rows = rearrange(activations, "b c h w -> b (h w) c")
        left, lengths, _ = np.linalg.svd(rows - rows.mean(axis=1, keepdims=True), full_matrices=False)
        projected = left[:, :, 0] * lengths[:, :1]
        projected = np.where(-projected.min(1, keepdims=True) > projected.max(1, keepdims=True), -projected, projected)
        return rearrange(projected, "b (h w) -> b h w", h=activations.shape[2])


class AblationCAM(BaseCAM):
    """Channels weighed by what the class loses without them; one forward of the batch a channel."""

    def __init__(self, model: ActivationTap, target_layers: list[nn.Module]) -> None:
        super().__init__(model, target_layers, uses_gradients=False)

    @torch.no_grad()
    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads) -> np.ndarray:
        whole, without = self._probabilities(input_tensor, targets), []
        for channel in range(activations.shape[1]):
            self.model.point = _Without(channel)
            without.append(self._probabilities(input_tensor, targets))
        return (1 - torch.stack(without, dim=1) / whole.unsqueeze(1)).cpu().numpy()

    def _probabilities(self, images: Tensor, targets: list) -> Tensor:
        # In full precision: without one channel a probability often changes by less than bf16 can tell.
        with torch.autocast(images.device.type, enabled=False):
            return torch.stack([target(p) for target, p in zip(targets, strengths(self.model(images)), strict=True)])


class _Without(nn.Module):
    """Maps with one channel set to 0."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.channel = channel

    def forward(self, maps: Tensor) -> Tensor:
        return maps.index_fill(1, torch.tensor(self.channel, device=maps.device), 0)


def class_score(target: int, logits: Tensor) -> Tensor:
    """The logit, or probability, of one class among those of an image [K]."""
    return logits[in_range(target, len(logits))]


CAMS: dict[str, type[BaseCAM]] = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "hires-cam": HiResCAM,
    "xgrad-cam": XGradCAM,
    "layer-cam": LayerCAM,
    "eigen-cam": EigenCAM,
    "ablation-cam": AblationCAM,
}


def cam(name: str, model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """Maps [B, H, W] of images [B, 3, H, W] by the method `name`, at the model's `target_layer_of`."""
    scores = None if targets is None else [partial(class_score, target) for target in targets.tolist()]
    with ActivationTap(model, target_layer_of(model, images)) as tap:
        maker = CAMS[name](tap, [tap.point])
        try:
            return torch.from_numpy(maker(images, scores))
        finally:  # not `with maker`, which prints an IndexError and goes on
            maker.activations_and_grads.release()
