"""Which network of torchvision or timm weights look like: told by names and shapes, when they fit another one."""

import difflib
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

TRIED = 4  # networks of each library that are built to look: each takes a tenth of a second or more
ALIKE = 0.5  # share of names and shapes in common below which two networks are not alike
WIDTHS = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}  # of ViTs
HEAD = re.compile(r"(^|\.)(head|fc|classifier)\w*\.")


def nearest_network(tensors: Mapping[str, Tensor], instead_of: str) -> str | None:
    """The network whose tensors have most names and shapes in common with `tensors`; None where none is like them."""
    found = {(name, tuple(tensor.shape)) for name, tensor in tensors.items() if not HEAD.search(name)}
    best, likeness = None, ALIKE
    for name, net in _candidates(tensors, instead_of):
        own = {(key, tuple(tensor.shape)) for key, tensor in net.state_dict().items() if not HEAD.search(key)}
        alike = len(found & own) / max(len(found | own), 1)
        if alike > likeness:
            best, likeness = name, alike
    return best


def _candidates(tensors: Mapping[str, Tensor], instead_of: str) -> Iterator[tuple[str, nn.Module]]:
    """Networks of about as many parameters or of such a name, without memory."""
    import timm  # takes two seconds, and only an error asks
    import torchvision
    from torchvision.models import get_model, get_model_weights, list_models

    count = sum(tensor.numel() for name, tensor in tensors.items() if "running_" not in name)
    sizes = {
        name: get_model_weights(name).DEFAULT.meta["num_params"] for name in list_models(module=torchvision.models)
    }
    names = sorted(sizes, key=lambda name: abs(sizes[name] - count))[:TRIED]
    for name, build in [(n, get_model) for n in names] + [
        (n, timm.create_model) for n in _of_timm(tensors, instead_of)
    ]:
        try:
            with torch.device("meta"):
                yield name, build(name)
        except Exception:  # one that cannot be built without memory is not looked at
            continue


def _of_timm(tensors: Mapping[str, Tensor], instead_of: str) -> list[str]:
    import timm

    token, patch = tensors.get("cls_token"), tensors.get("patch_embed.proj.weight")
    if token is not None and patch is not None and patch.ndim == 4:
        pattern = f"*{WIDTHS.get(token.shape[-1], '')}*patch{patch.shape[-1]}*"
        names = [
            n for module in ("vision_transformer", "deit", "eva") for n in timm.list_models(pattern, module=module)
        ]
    else:
        names = timm.list_models()
    return difflib.get_close_matches(instead_of, names, n=TRIED, cutoff=0.0)
