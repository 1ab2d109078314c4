"""Small networks of every kind that can be explained."""

from collections.abc import Callable
from functools import cache, partial

import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models.vgg import VGG, make_layers

from lib import create_dcal_model, create_model
from lib.backbones import VGGBackbone

CLASSES = 4
VIT = {"img_size": 32, "patch_size": 8, "depth": 2, "num_classes": CLASSES}


def _toynet(**options: object) -> nn.Module:
    return create_model("toynet", num_classes=CLASSES, **options)


def _vgg() -> nn.Module:
    features = make_layers([4, "M", 4, "M", 4, "M", 4, "M", 4, "M"])
    with torch.device("meta"):  # its own classifier takes 0.4 GiB
        net = VGG(features, num_classes=CLASSES, init_weights=False)
    net.classifier = nn.Sequential(nn.Linear(4 * 49, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    return VGGBackbone(net)


def _torchvision_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "glsa": partial(_toynet, attn_type="CBAM", fusion_strategy="learnable_gate"),
    "glsa without gates": partial(_toynet, attn_type="scSE", fusion_strategy="original"),
    "gattanet": partial(_toynet, attn_type="gatta"),
    "lesa": partial(create_model, "resnet26_small", num_classes=CLASSES, attn_type="lesa", image_size=(32, 32)),
    "vgg": _vgg,
    "dcal": lambda: create_dcal_model("deit_tiny_patch16_224", top_ratio=0.2, **VIT),
    "timm vit": lambda: timm.create_model("vit_tiny_patch16_224", **VIT),
    "timm vit without class token": lambda: timm.create_model(
        "vit_tiny_patch16_224", class_token=False, global_pool="avg", **VIT
    ),
    "torchvision vit": _torchvision_vit,
    "plain": lambda: torchvision.models.mobilenet_v3_small(num_classes=CLASSES),
}


@cache
def model_of(kind: str) -> nn.Module:
    """The network, weights drawn at random and statistics that are not those of the start; in eval mode."""
    torch.manual_seed(0)
    model = MODELS[kind]()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):  # of GAttANet: 0 at the start
            parameter.data.fill_(0.5)
    return model.eval()


def images(number: int = 3, side: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


def drawn(shape: torch.Size, start: int) -> Tensor:
    """float64, from −1 to 1, the same in every version of PyTorch."""
    return torch.sin((torch.arange(shape.numel(), dtype=torch.float64) + start) * 1.7).reshape(shape)


def small_vit() -> nn.Module:
    """Whose answers others' code was asked for: tests/golden."""
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "num_heads": 2, "depth": 2, "num_classes": 3}
    model = VisionTransformer(**sizes).double().eval().requires_grad_(False)
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(drawn(p.shape, 100 * number) * (0.4 if p.ndim > 1 else 0.2))
        for norm in (part for part in model.modules() if isinstance(part, nn.LayerNorm)):
            norm.weight += 1
    return model
