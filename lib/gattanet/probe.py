"""What a backbone's layers give: one forward on drawn images, before anything is built on them."""

import difflib
import itertools
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.mapped import mode

INPUT_SIZE = (3, 224, 224)


def named_layers(backbone: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """The submodules of those names.

    Raises:
        WorkbookValueError: no name at all, one that does not exist (the nearest are told), or one module named twice.
    """
    known = {name: module for name, module in backbone.named_modules(remove_duplicate=False) if name}
    if isinstance(names, str) or not names:
        raise WorkbookValueError(
            f"layers={names!r} selects no layer: give a list of names from backbone.named_modules(), "
            f"such as {list(known)[-1:]}."
        )
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.0)
            raise WorkbookValueError(
                f"The backbone has no layer {name!r}. The nearest names are {', '.join(close)}; "
                "backbone.named_modules() gives all."
            )
    layers = {name: known[name] for name in names}
    if len({id(layer) for layer in layers.values()}) < len(names):
        raise WorkbookValueError(f"layers={list(names)} name a layer twice: name each once.")
    return layers


def draw_images(backbone: nn.Module, input_size: Sequence[int] | None) -> Tensor:
    """Two images [2, *input_size] where the backbone is; None is timm's own size, or else 3×224×224."""
    size = input_size or (getattr(backbone, "pretrained_cfg", None) or {}).get("input_size", INPUT_SIZE)
    images = torch.randn(2, *size, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
    like = next(itertools.chain(backbone.parameters(), backbone.buffers()), images)
    return images.to(like.device, like.dtype)


def probe(backbone: nn.Module, layers: dict[str, nn.Module], images: Tensor) -> tuple[Tensor, dict[str, torch.Size]]:
    """The logits, and each layer's shape, [B, C, H, W] or [B, C].

    Raises:
        WorkbookValueError: the backbone cannot take such images or gives no logits, or a layer is not called exactly
            once, or gives neither a map nor a vector.
    """
    seen: dict[str, list] = {name: [] for name in layers}
    with mode(backbone, training=False), torch.no_grad(), ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.enter_context(layer.register_forward_hook(lambda _m, _i, out, name=name: seen[name].append(out)))
        try:
            logits = backbone(images)
        except Exception as error:  # whatever a network says to images that do not suit it
            raise WorkbookValueError(
                f"The backbone cannot take images of shape {list(images.shape[1:])} ({first_line(error)}). Give the "
                "shape of yours: input_size=(channels, height, width)."
            ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise WorkbookValueError(
            f"The backbone gives {described(logits)}, not logits [B, num_classes]: give a classifier."
        )
    for name, outputs in seen.items():
        called_once(name, len(outputs))
        if not isinstance(outputs[0], Tensor) or outputs[0].ndim not in (2, 4):
            raise WorkbookValueError(
                f"The layer {name!r} gives {described(outputs[0])}, neither a map [B, C, H, W] nor a vector [B, C]: "
                "select another one."
            )
    return logits, {name: outputs[0].shape for name, outputs in seen.items()}


def called_once(name: str, times: int) -> None:
    """Raise a WorkbookValueError for a layer that one forward of the backbone calls another number of times."""
    if times == 0:
        raise WorkbookValueError(f"The layer {name!r} is never called in the backbone's forward: select another one.")
    if times > 1:
        raise WorkbookValueError(
            f"The layer {name!r} is called {times} times in the backbone's forward, so it has no one output: select "
            "the block around it."
        )


def first_line(error: Exception) -> str:
    """The first line of an error's message, 200 characters at most; its type, where it has none."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def described(value: object) -> str:
    """A layer's output in an error's words: a tensor by its shape, all else by its type."""
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
