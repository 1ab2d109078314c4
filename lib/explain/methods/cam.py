"""Class activation maps, by the formulas of pytorch-grad-cam.

grad-cam arXiv 1610.02391, grad-cam++ 1710.11063, hires-cam 2011.08891, xgrad-cam 2008.02312, layer-cam (Jiang et al.,
IEEE TIP 2021), eigen-cam 2008.00299, ablation-cam (Desai & Ramaswamy, WACV 2020), score-cam 1910.01279, finer-cam
2501.11309, shapley-cam 2501.06261, fem (Fuad et al., IPTA 2020), kpca-cam 2410.00267, seg-eigen-cam (doi
10.3390/app15137562); grad-cam-elementwise and eigen-grad-cam are that library's own.

Some are the workbook's own on that library's base. Its EigenCAM has the sign that the decomposition happens to give; here
the side that reaches farther from 0 is the positive one (Seg-Eigen-CAM, eq. 13). Its AblationCAM divides by a logit, which
flips the map where that is negative, and shifts signed maps by 10⁷; here the drop is that of the class's probability
when a channel is 0, as a share of that probability. Its ScoreCAM goes image by image; here all take a channel at once.
Its ShapleyCAM raises where the answer is linear in the maps; here the term of second order is 0 there.
"""

from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from pytorch_grad_cam import (
    FEM,
    KPCA_CAM,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from pytorch_grad_cam import ShapleyCAM as CurvedShapleyCAM
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, FinerWeightedTarget
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib.explain.methods.activation_tap import ActivationTap
from lib.explain.methods.target_layers import target_layer_of
from lib.explain.methods.targets import in_range, strengths

COMPARED = 3  # classes, the nearest in their logits, from which finer-cam tells its own apart


class EigenCAM(BaseCAM):
    """Positions projected on the first principal direction of their channels; it knows no class."""

    def __init__(self, model: nn.Module, target_layers: list[nn.Module], uses_gradients: bool = False) -> None:
        super().__init__(model, target_layers, uses_gradients=uses_gradients)

    def get_cam_image(self, input_tensor, target_layer, targets, activations, grads, eigen_smooth=False) -> np.ndarray:
        """[B, h, w]: the positions of activations [B, C, h, w] along their first principal direction, the side that reaches
        farther from 0 positive; NaN where an activation is not finite."""
        maps = self.weighed(activations, grads)
        if not np.isfinite(maps).all():  # for which there is no decomposition
            return np.full_like(maps[:, 0], np.nan)
        rows = rearrange(maps, "b c h w -> b (h w) c")
        left, lengths, _ = np.linalg.svd(rows - rows.mean(axis=1, keepdims=True), full_matrices=False)
        projected = left[:, :, 0] * lengths[:, :1]
        projected = np.where(-projected.min(1, keepdims=True) > projected.max(1, keepdims=True), -projected, projected)
        return rearrange(projected, "b (h w) -> b h w", h=activations.shape[2])

    def weighed(self, activations: np.ndarray, grads: np.ndarray | None) -> np.ndarray:
        """The maps [B, C, h, w] that are decomposed."""
        return activations


class EigenGradCAM(EigenCAM):
    """EigenCAM of maps times gradients."""

    def __init__(self, model: nn.Module, target_layers: list[nn.Module]) -> None:
        super().__init__(model, target_layers, uses_gradients=True)

    def weighed(self, activations: np.ndarray, grads: np.ndarray) -> np.ndarray:
        return grads * activations


class SegEigenCAM(EigenGradCAM):
    """EigenCAM of maps times the size of their gradients."""

    def weighed(self, activations: np.ndarray, grads: np.ndarray) -> np.ndarray:
        return np.abs(grads) * activations


class ShapleyCAM(CurvedShapleyCAM):
    """Channels weighed by the gradient minus half the Hessian times the maps (arXiv 2501.06261)."""

    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads) -> np.ndarray:
        """[B, C]; what is linear in the maps, as a logit behind a pool and a layer is, has a gradient without a graph, and
        no second derivative: the mean gradient is left, which is grad-cam's weight."""
        if not grads.requires_grad:
            return grads.mean((2, 3)).cpu().numpy()
        return super().get_cam_weights(input_tensor, target_layer, targets, activations, grads)


class ScoreCAM(BaseCAM):
    """Channels weighed by the class's logit where the picture shows only what they do; a forward of the batch a channel."""

    def __init__(self, model: ActivationTap, target_layers: list[nn.Module]) -> None:
        super().__init__(model, target_layers, uses_gradients=False)

    @torch.no_grad()
    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads) -> np.ndarray:
        """[B, C], of each image summing to 1: the softmax over channels of what the targets make of the answer to the image
        times the channel, which is enlarged to [H, W] and scaled to [0, 1] (arXiv 1910.01279)."""
        logits = []
        for channel in torch.from_numpy(activations).to(input_tensor).split(1, dim=1):
            shown = F.interpolate(channel, input_tensor.shape[2:], mode="bilinear", align_corners=True)
            shown = shown - shown.amin((2, 3), keepdim=True)
            answers = self.model(input_tensor * (shown / (shown.amax((2, 3), keepdim=True) + 1e-8)))
            logits.append(torch.stack([target(row) for target, row in zip(targets, answers, strict=True)]))
        return torch.stack(logits, dim=1).softmax(1).cpu().numpy()


class AblationCAM(BaseCAM):
    """Channels weighed by what the class loses without them; one forward of the batch a channel."""

    def __init__(self, model: ActivationTap, target_layers: list[nn.Module]) -> None:
        super().__init__(model, target_layers, uses_gradients=False)

    @torch.no_grad()
    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads) -> np.ndarray:
        """[B, C]: 1 − p without the channel ÷ p, where p is the probability of what is explained; negative where it grows."""
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


def class_score(target: int | None, logits: Tensor) -> Tensor:
    """The logit, or probability, of one class among those of an image [K]; None is the greatest."""
    return logits[_class(target, logits)]


def finer_score(target: int | None, logits: Tensor) -> Tensor:
    """By how much the class's logit is above those nearest to it, weighed by their probabilities (Finer-CAM, eq. 5)."""
    own = _class(target, logits)
    nearest = [k for k in (logits - logits[own]).abs().argsort().tolist() if k != own][:COMPARED]
    return FinerWeightedTarget(own, nearest, 1)(logits) if nearest else logits[own]


def residual_score(target: int | None, logits: Tensor) -> Tensor:
    """The class's logit plus the logarithm of its probability (Shapley-CAM's ReST); of a single answer, that answer."""
    own = _class(target, logits)
    return ClassifierOutputReST(own)(logits) if len(logits) > 1 else logits[own]


def _class(target: int | None, logits: Tensor) -> int:
    return int(logits.argmax()) if target is None else in_range(target, len(logits))


CAMS: dict[str, type[BaseCAM]] = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "hires-cam": HiResCAM,
    "xgrad-cam": XGradCAM,
    "layer-cam": LayerCAM,
    "eigen-cam": EigenCAM,
    "ablation-cam": AblationCAM,
    "score-cam": ScoreCAM,
    "finer-cam": GradCAM,
    "shapley-cam": ShapleyCAM,
    "grad-cam-elementwise": GradCAMElementWise,
    "eigen-grad-cam": EigenGradCAM,
    "seg-eigen-cam": SegEigenCAM,
    "kpca-cam": KPCA_CAM,
    "fem": FEM,
}
OF_NO_CLASS = {"eigen-cam", "kpca-cam", "fem"}
WITHOUT_GRADIENT = {*OF_NO_CLASS, "ablation-cam", "score-cam"}
ITS_OWN_REASON = {  # for a map that is the same everywhere
    "fem": "it keeps activations that are more than two deviations above the mean of their channel, as none can be among five "
    "positions or fewer, so take larger images, or eigen-cam",
    "kpca-cam": "its kernel does not tell activations apart that are this small or this alike, as those of an untrained "
    "network, so take eigen-cam",
}
EXPLAINED = {"finer-cam": finer_score, "shapley-cam": residual_score}  # instead of the class's logit


def cam(name: str, model: nn.Module, images: Tensor, targets: Tensor | None) -> Tensor:
    """Maps [B, H, W] of images [B, 3, H, W] by the method `name`, at the model's `target_layer_of`."""
    classes = targets.tolist() if targets is not None else [None] * len(images) if name in EXPLAINED else None
    scores = None if classes is None else [partial(EXPLAINED.get(name, class_score), each) for each in classes]
    twice = CAMS[name] is ShapleyCAM  # differentiates twice, from the images on: fused attention cannot
    attention = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
    with attention, ActivationTap(model, target_layer_of(model, images), detached=not twice) as tap:
        maker = CAMS[name](tap, [tap.point])
        tap.differentiated = maker.uses_gradients
        try:
            return torch.from_numpy(maker(images, scores))
        finally:  # not `with maker`, which prints an IndexError and goes on
            kept = maker.activations_and_grads
            kept.activations, kept.gradients = [], []  # which `release` would detach in place, and views refuse that
            kept.release()
