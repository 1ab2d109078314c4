"""Where the class activation maps of a model are taken: the last place that still knows positions.

Of a ResNet, with or without attention, the output of its last stage, or of the last one that keeps 4×4 positions where
the images are small: a ResNet shown 64×64 pixels ends in 2×2, which tell no place. (A GLSA block stands for the stage
that it follows.) Of a VGG and the toy network the last ReLU before a pool; of a ViT the tokens that enter the last
block's attention (`norm1`), since the class token alone is read after it. Of any other network the last map that a
forward makes. Another architecture is one function:

    @target_layer_of.register
    def _(model: MyNet, images):
        return TargetLayer(model.stages[-1])
"""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import singledispatch

import torch
import torchvision
from einops import rearrange
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lib.backbones import ResNetBackbone, ToyNetBackbone, VGGBackbone
from lib.dcal import DCALNet
from lib.dcal.vit import grid_of
from lib.errors import WorkbookValueError
from lib.gattanet import GAttANet
from lib.glsa import GLSANet

LEAST = 4  # positions, the shorter side of a map


@dataclass(frozen=True)
class TargetLayer:
    """The output of `layer`: a map [B, C, h, w], or, with `grid` (h, w), tokens [B, T, C] whose last h·w are patches."""

    layer: nn.Module
    grid: tuple[int, int] | None = None
    calls: int = 1  # the layer's call in a forward that counts, where it is called more than once: the last

    def maps(self, output: Tensor) -> Tensor:
        """The layer's output as maps [B, C, h, w]"""
        if self.grid is None:
            return output
        height, width = self.grid
        return rearrange(output[:, -height * width :], "b (h w) c -> b c h w", h=height)

    def output(self, maps: Tensor, like: Tensor) -> Tensor:
        """`maps` as the layer's output again, with the tokens of `like` that are no patches.

        A copy: what follows the layer may work on it in place.
        """
        maps = maps.to(like.dtype)
        if self.grid is None:
            return maps.clone()
        patches = rearrange(maps, "b c h w -> b (h w) c")
        return torch.cat([like[:, : -patches.shape[1]], patches], dim=1)


@singledispatch
def target_layer_of(model: nn.Module, images: Tensor) -> TargetLayer:
    """Where the maps of `model` are taken when it is shown `images` [B, 3, H, W].

    Raises:
        WorkbookValueError: no map can be told among the outputs of the model's layers.
    """
    seen: list[tuple[str, torch.Size]] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
            seen.append((name, output.shape))

    layers = {name: layer for name, layer in model.named_modules() if name}
    watch(model, images, layers, note)
    if not seen or not _is_map(seen[-1][1], images.shape):
        last = f"the last candidate, {seen[-1][0]!r}, gives {list(seen[-1][1])}" if seen else "there is no candidate"
        raise WorkbookValueError(
            f"No layer of this {type(model).__name__} gives a map [B, C, h, w] of the image to explain it by ({last}). "
            "Register its layer with lib.explain.methods.target_layers.target_layer_of, or take a method that needs no layer: gradient-x-input."
        )
    return TargetLayer(layers[seen[-1][0]])


@target_layer_of.register
def _(model: GLSANet, images: Tensor) -> TargetLayer:
    target_layer = target_layer_of(model.backbone, images)
    followed = getattr(model.backbone.net, "layer3", None)
    return TargetLayer(model.block) if target_layer.layer is followed else target_layer


@target_layer_of.register
def _(model: ResNetBackbone, images: Tensor) -> TargetLayer:
    net, stride = model.net, 4  # of the stem; layer1 has none
    last = net.layer1
    for stage in (net.layer2, net.layer3, net.layer4):
        stride *= math.prod(block.stride for block in stage)
        if -(-min(images.shape[2:]) // stride) >= LEAST:
            last = stage
    return TargetLayer(last)


@target_layer_of.register
def _(model: VGGBackbone, images: Tensor) -> TargetLayer:
    return TargetLayer(model.net.features[-2])


@target_layer_of.register
def _(model: ToyNetBackbone, images: Tensor) -> TargetLayer:
    return TargetLayer(model.net.conv3[2])


@target_layer_of.register
def _(model: GAttANet, images: Tensor) -> TargetLayer:
    target_layer, calls = target_layer_of(model.backbone, images), []
    watch(model, images, {"": target_layer.layer}, lambda name, output: calls.append(name))
    return replace(target_layer, calls=len(calls))


@target_layer_of.register
def _(model: VisionTransformer, images: Tensor) -> TargetLayer:
    return TargetLayer(model.blocks[-1].norm1, grid_of(model, images))


@target_layer_of.register
def _(model: DCALNet, images: Tensor) -> TargetLayer:
    return target_layer_of(model.vit, images)


@target_layer_of.register
def _(model: torchvision.models.VisionTransformer, images: Tensor) -> TargetLayer:
    height, width = (side // model.patch_size for side in images.shape[2:])
    return TargetLayer(model.encoder.layers[-1].ln_1, (height, width))


def watch(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module], note: Callable[[str, object], object]
) -> None:
    """Run `model` on one of the images [B, 3, H, W] and call `note(name, output)` whenever one of `layers` is done."""
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in layers.items():
            hook = layer.register_forward_hook(lambda module, args, output, name=name: note(name, output) and None)
            hooks.enter_context(hook)
        model(images[:1])


def has_target_layer(model: nn.Module) -> bool:
    """Whether maps may be found in `model`: it convolves."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def _is_map(output: torch.Size, images: torch.Size) -> bool:
    """Whether the last two sides of `output` are those of the images, at most halved or as they are: channels that
    come last, or attention of tokens to tokens, are not."""
    (h, w), (height, width) = output[2:], images[2:]
    return abs(h * width - w * height) <= max(height, width) and (h == height or 2 * h <= height + 1)
