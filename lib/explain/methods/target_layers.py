"""Where the class activation maps of a model are taken: the last place that still knows positions.

Of a ResNet, with or without attention, the output of its last stage, or of the last one that keeps 4×4 positions where
the images are small: a ResNet shown 64×64 pixels ends in 2×2, which tell no place. (A GLSA block stands for the stage
that it follows; of a detector it is the stages below its feature pyramid.) Of a VGG and the toy network the last ReLU
before a pool; of a ViT whose head reads the class token the tokens that enter the last block's attention (`norm1`), since
nothing else is read after it, and the last tokens (`norm`) where the head reads the patches. Of any other network the last
map that a forward makes, the tokens of the ViT in it, or, where tokens come last, the last whose patches the answer
depends on.
Another architecture is one function:

    @target_layer_of.register
    def _(model: MyNet, images):
        return TargetLayer(model.stages[-1])
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import singledispatch

import torch
import torchvision
from einops import rearrange
from timm.models.beit import Beit
from timm.models.eva import Eva, EvaBlockPostNorm
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from timm.models.vision_transformer_relpos import ResPostRelPosBlock, VisionTransformerRelPos
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from lib.backbones import ResNetBackbone, ToyNetBackbone, VGGBackbone
from lib.dcal import DCALNet
from lib.dcal.vit import grid_of
from lib.errors import WorkbookValueError
from lib.explain.methods.blank_images import succeeds
from lib.explain.methods.eval_guards import as_written
from lib.explain.methods.logits import logits_of
from lib.explain.methods.target_objects import Scored
from lib.gattanet import GAttANet
from lib.glsa import GLSANet

LEAST = 4  # positions, the shorter side of a map
VITS = (VisionTransformer, VisionTransformerRelPos, Eva, Beit)  # timm's
DETECTORS = (GeneralizedRCNN, RetinaNet, FCOS)  # torchvision's, on a ResNet with a feature pyramid
MOST_PREFIX = 8  # tokens before those of the patches: class, distillation, registers
INSIDE = (nn.Linear, nn.Softmax, nn.Dropout)  # of attention: queries, keys, values, and what they are weighted by
POST_NORM = (ResPostBlock, ResPostRelPosBlock, EvaBlockPostNorm)  # blocks whose `norm1` is behind the attention


@dataclass(frozen=True)
class TargetLayer:
    """The output of `layer`: a map [B, C, h, w], or [B, h, w, C] where `channels_last`, or, with `grid` (h, w), tokens
    [B, T, C] whose last h·w are patches. Of a map, `extent` (h, w) tells how much shows the image, where it was padded."""

    layer: nn.Module
    grid: tuple[int, int] | None = None
    channels_last: bool = False
    extent: tuple[int, int] = (None, None)
    calls: int = 1  # the layer's call in a forward that counts, where it is called more than once: the last

    def maps(self, output: Tensor) -> Tensor:
        """The layer's output as maps [B, C, h, w]"""
        if self.grid is None:
            maps = rearrange(output, "b h w c -> b c h w") if self.channels_last else output
            return maps[:, :, : self.extent[0], : self.extent[1]]
        height, width = self.grid
        return rearrange(output[:, -height * width :], "b (h w) c -> b c h w", h=height)

    def output(self, maps: Tensor, like: Tensor) -> Tensor:
        """`maps` as the layer's output again, with the tokens of `like` that are no patches.

        A copy: what follows the layer may work on it in place.
        """
        maps = maps.to(like.dtype)
        if self.grid is None:
            maps = rearrange(maps, "b c h w -> b h w c") if self.channels_last else maps
            if maps.shape == like.shape:
                return maps.clone()
            whole = like.clone()
            whole[:, :, : maps.shape[2], : maps.shape[3]] = maps
            return whole
        patches = rearrange(maps, "b c h w -> b (h w) c")
        return torch.cat([like[:, : -patches.shape[1]], patches], dim=1)


@singledispatch
def target_layer_of(model: nn.Module, images: Tensor) -> TargetLayer:
    """Where the maps of `model` are taken when it is shown `images` [B, 3, H, W].

    Raises:
        WorkbookValueError: no map can be told among the outputs of the model's layers.
    """
    vits = [part for part in model.modules() if is_vit(part)]
    if len(vits) == 1:
        return target_layer_of(vits[0], _shown(model, vits[0], images))
    layers = {name: layer for name, layer in model.named_modules() if name}
    seen: list[tuple[str, torch.Size]] = []
    watch(model, images, layers, lambda name, output: seen.append((name, getattr(output, "shape", torch.Size()))))
    calls = Counter[str]()
    found: list[TargetLayer] = []
    for name, shape in seen:
        calls[name] += 1
        inside = isinstance(layers[name], INSIDE)
        if not inside and (layout := _layout(shape, images.shape)):
            found.append(TargetLayer(layers[name], **layout, calls=calls[name]))
    if found and found[-1].grid is not None:  # tokens, of which the head may read one that is no patch
        found = _read(model, images, found) or found
    if not found:
        last = next(
            (
                f"the last candidate, {name!r}, gives {list(shape)}"
                for name, shape in reversed(seen)
                if len(shape) in (3, 4)
            ),
            "there is no candidate",
        )
        raise WorkbookValueError(
            f"No layer of this {type(model).__name__} gives a map [B, C, h, w] of the image to explain it by ({last}). "
            "Register its layer with lib.explain.methods.target_layers.target_layer_of, or take a method that needs no layer: gradient-x-input."
        )
    return found[-1]


UNKNOWN = target_layer_of.dispatch(object)


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


def _of_vit(model: nn.Module, images: Tensor) -> TargetLayer:
    of_timm = isinstance(model, VisionTransformer)
    grid = grid_of(model, images) if of_timm else model.patch_embed.dynamic_feat_size(images.shape[2:])
    if model.global_pool != "token":
        return TargetLayer(model.norm, grid)
    last = model.blocks[-1]
    if isinstance(last, POST_NORM) or not hasattr(last, "norm1"):
        return TargetLayer(model.blocks[-2], grid)
    return TargetLayer(last.norm1, grid)


for vit in VITS:
    target_layer_of.register(vit, _of_vit)


@target_layer_of.register
def _(model: DCALNet, images: Tensor) -> TargetLayer:
    return target_layer_of(model.vit, images)


@target_layer_of.register
def _(model: torchvision.models.VisionTransformer, images: Tensor) -> TargetLayer:
    height, width = (side // model.patch_size for side in images.shape[2:])
    return TargetLayer(model.encoder.layers[-1].ln_1, (height, width))


@target_layer_of.register
def _(model: Scored, images: Tensor) -> TargetLayer:
    target_layer = target_layer_of.dispatch(type(model.model))
    return UNKNOWN(model, images) if target_layer is UNKNOWN else target_layer(model.model, images)


def _of_detector(model: nn.Module, images: Tensor) -> TargetLayer:
    """The last stage of the body that keeps `LEAST` positions, without those of the padding."""
    stages, seen, sizes = dict(model.backbone.body.named_children()), [], []
    with model.transform.register_forward_hook(
        lambda _, args, out: sizes.append((out[0].image_sizes, out[0].tensors.shape))
    ):
        watch(model, images, stages, lambda name, output: seen.append((stages[name], output.shape[2:])))
    layer, maps = next((each for each in reversed(seen) if min(each[1]) >= LEAST), seen[-1])
    (image, *_), padded = sizes[0]
    return TargetLayer(
        layer, extent=tuple(round(n * side / of) for n, side, of in zip(maps, image, padded[2:], strict=True))
    )


for detector in DETECTORS:
    target_layer_of.register(detector, _of_detector)


def watch(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module], note: Callable[[str, object], object]
) -> None:
    """Run `model` on one of the images [B, 3, H, W] and call `note(name, output)` whenever one of `layers` is done."""
    with ExitStack() as hooks, torch.no_grad(), as_written(model):
        for name, layer in layers.items():
            hook = layer.register_forward_hook(lambda module, args, output, name=name: note(name, output) and None)
            hooks.enter_context(hook)
        model(images[:1])


def is_vit(module: nn.Module) -> bool:
    """Whether `module` is a network whose maps are tokens, and known."""
    return isinstance(module, (*VITS, torchvision.models.VisionTransformer))


def has_target_layer(model: nn.Module) -> bool:
    """Whether `target_layer_of` finds a layer in `model`: of networks that it does not know, it is tried."""
    network = model.model if isinstance(model, Scored) else model
    if target_layer_of.dispatch(type(network)) is not UNKNOWN:
        return True
    return convolves(model) and succeeds(model, target_layer_of)


def convolves(model: nn.Module) -> bool:
    """Whether maps may be found in `model`."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def _read(model: nn.Module, images: Tensor, layers: list[TargetLayer]) -> list[TargetLayer]:
    """Those of `layers` on whose patches the answer to the first of the images depends."""
    outputs: list[Tensor] = [images] * len(layers)
    counts = Counter[nn.Module]()
    numbers = {(each.layer, each.calls): number for number, each in enumerate(layers)}

    def keep(layer: nn.Module, args: tuple, output: Tensor) -> None:
        counts[layer] += 1
        if (layer, counts[layer]) in numbers:
            outputs[numbers[layer, counts[layer]]] = output

    with ExitStack() as hooks, torch.inference_mode(False), torch.enable_grad(), as_written(model):
        for layer in {each.layer for each in layers}:
            hooks.enter_context(layer.register_forward_hook(keep))
        answer = logits_of(model, images[:1].clone().requires_grad_()).amax()
        on_path = [(each, out) for each, out in zip(layers, outputs, strict=True) if out.requires_grad]
        gradients = torch.autograd.grad(answer, [out for _, out in on_path], allow_unused=True)
    read = zip(on_path, gradients, strict=True)
    return [each for (each, _), g in read if g is not None and each.maps(g).any()]


def _shown(model: nn.Module, part: nn.Module, images: Tensor) -> Tensor:
    """The images that `part` of `model` is shown when `model` is shown `images`."""
    shown: list[Tensor] = []
    with part.register_forward_pre_hook(lambda _, args: shown.append(args[0])):
        watch(model, images, {}, lambda name, output: None)
    return shown[0] if shown and isinstance(shown[0], Tensor) and shown[0].ndim == 4 else images


def _layout(output: torch.Size, images: torch.Size) -> dict[str, object] | None:
    """How the output of a layer is to be read as a map of one of the images, by the fields of `TargetLayer`; None where it
    is none."""
    if output[:1] != (1,):
        return None
    if len(output) == 4 and min(output[2:].numel(), output[1:3].numel()) > 1:
        layouts = {False: output[2:], True: output[1:3]}
        return next(({"channels_last": last} for last, grid in layouts.items() if _is_grid(grid, images)), None)
    if len(output) == 3 and output[2] > 1:
        fitting = [
            grid for grid in _grids(images) if math.prod(grid) > 1 and 0 <= output[1] - math.prod(grid) <= MOST_PREFIX
        ]
        return {"grid": max(fitting, key=math.prod)} if fitting else None
    return None


def _grids(images: torch.Size) -> Iterator[tuple[int, int]]:
    """Rows and columns of patches of 2×2, 3×3, … pixels in the images, with and without those cut off at the edge."""
    for side in range(2, min(images[2:]) + 1):
        yield images[2] // side, images[3] // side
        yield -(-images[2] // side), -(-images[3] // side)


def _is_grid(grid: tuple[int, int], images: torch.Size) -> bool:
    """Whether these rows and columns are those of the images, at most halved or as they are: attention of tokens to tokens
    is none."""
    (h, w), (height, width) = grid, images[2:]
    return abs(h * width - w * height) <= max(height, width) and (h == height or 2 * h <= height + 1)
