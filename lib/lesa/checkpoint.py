"""The official LESA checkpoints, and anything saved from this room's own networks.

The official classification code (arXiv 2107.05637) saves {'net', 'optim', 'epoch'} of a DataParallel model, as
`WORK_DIRS/NAME/95.pth`. Its names become this room's here; its index tables (`flatten_index`) hold no weights, but are checked
to mean what ours mean.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lib.errors import WorkbookFileError, WorkbookValueError, choose, positive
from lib.lesa.model import BASES, LESANet, lesa_net
from lib.weights.checkpoint_file import read_weights, told, unwrapped

# An official name within a layer → ours.
NAMES = {
    "x_transform.0.": "local.0.",
    "x_transform.1.": "local.1.",
    "bn_x.": "local.2.",
    "qkv_transform.": "context.to_qkv.",
    "bn_qkv.": "context.norm_qkv.",
    "bn_similarity.": "context.norm_logits.",
    "bn_output.": "context.norm_out.",
    "relative": "context.position.table",
    "rel_height": "context.position.rows",
    "rel_width": "context.position.columns",
    "reasoning.": "gate.",
    "projection.0.": "gate.4.",
    "projection.1.": "gate.5.",
}
OFFICIAL = re.compile(rf"(^|\.)({'|'.join(map(re.escape, NAMES))})(?=[^.]*$|\d\.)")
SUFFIXES = (".pth", ".pt", ".tar", ".safetensors")


def create_lesa(name: str, num_classes: int = 1000, pretrained: bool = False) -> LESANet:
    """The paper's network `name`, a key of `BASES`.

    Pretrained weights are the official ones (ImageNet-1k). They lie behind a link that only a browser can follow, so
    the file has to be put into torch hub's folder by hand. The last layer is kept for 1000 classes and drawn anew for
    any other number.

    Raises:
        WorkbookValueError: an unknown name, or `num_classes` is not a positive whole number.
        WorkbookFileError: the weights are not there; the message says which file to put where.
    """
    name = choose("network", name, BASES)
    if not pretrained:
        return lesa_net(name, num_classes)
    positive(num_classes=num_classes)
    model = load_official(Path(torch.hub.get_dir(), "checkpoints", f"{name}.pth.tar"), name)
    if num_classes != model.net.fc.out_features:
        model.net.fc = nn.Linear(model.net.fc.in_features, num_classes)
    return model


def load_official(
    file: str | Path,
    name: str = "lesa_resnet50",
    num_classes: int = 1000,
    image_size: int | tuple[int, int] = (224, 224),
) -> LESANet:
    """The network `name` with the weights of an official checkpoint, or of one in this room's names.

    Raises:
        WorkbookFileError: there is no such file, or it is no checkpoint.
        WorkbookValueError: the checkpoint is of another network; missing and surplus keys are named.
    """
    checkpoint = read_checkpoint(file)
    model = lesa_net(name, num_classes, image_size=image_size)
    load_weights(model.net, checkpoint)
    return model


def find_checkpoint(place: str | Path) -> Path:
    """A checkpoint's file, or that in a folder of the official code's: `checkpoint`, the best one (`-1`), or the last epoch's.

    Raises:
        WorkbookFileError: there is none in the folder, or which of several is meant cannot be told.
    """
    place = Path(place)
    if not place.is_dir():
        return place
    files = [path for path in sorted(place.rglob("*")) if path.suffix in SUFFIXES]
    names = [path.name.split(".")[0] for path in files]
    epochs = sorted((name for name in names if name.isdecimal()), key=int)
    wanted = next((name for name in ("checkpoint", "-1", *epochs[-1:]) if name in names), None)
    meant = [path for path, name in zip(files, names, strict=True) if wanted in (None, name)]
    if len(meant) != 1:
        told = ", ".join(str(path.relative_to(place)) for path in meant[:5]) or "none of " + ", ".join(SUFFIXES)
        raise WorkbookFileError(
            f"{place} holds {len(meant)} checkpoints that may be meant ({told}); give the file of one."
        )
    return meant[0]


def read_checkpoint(file: str | Path) -> Mapping:
    """The tensors in `file` by name.

    Raises:
        WorkbookFileError: there is no such file, or it cannot be read.
    """
    file = Path(file)
    if not file.is_file():
        raise WorkbookFileError(
            f"There is no checkpoint {str(file)!r}. The README of github.com/Chenglin-Yang/LESA_classification links the "
            "official ones: download one in a browser and put it there, or build the model with pretrained=False."
        )
    return read_weights(file)[0]


def load_weights(module: nn.Module, checkpoint: Mapping) -> None:
    """Fill a ResNet with LESA layers, or one LESA layer, from an official checkpoint or its own state dict, strictly.

    With or without DataParallel's `module.` in front of the names, and with or without the dictionary that a training
    script wraps around them. Nothing is changed when something does not fit.

    Raises:
        WorkbookValueError: missing or surplus keys, or shapes that differ; all are named, up to five of a kind.
    """
    weights = converted(checkpoint)
    own = module.state_dict()
    strays = {
        "missing": [name for name in own if name not in weights],
        "surplus": [name for name in weights if name not in own],
        "of another shape": [
            f"{name} ({list(weights[name].shape)}, not {list(tensor.shape)})"
            for name, tensor in own.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }
    if any(strays.values()):
        strays_text = "; ".join(f"{len(names)} {what}: {told(names)}" for what, names in strays.items() if names)
        raise WorkbookValueError(
            f"The checkpoint does not fit {type(module).__name__}: {strays_text}. Build the network that it was saved from: "
            "the same name, number of classes, image size and position scheme."
        )
    module.load_state_dict(weights)


def converted(checkpoint: Mapping) -> dict[str, Tensor]:
    """A state dict in this room's names, from an official checkpoint or from one in this room's names.

    Raises:
        WorkbookValueError: it holds no tensors by name, or an index table of another scheme.
    """
    state, _ = unwrapped(checkpoint)
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return in_our_names(state)


def in_our_names(state: Mapping[str, Tensor], size: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """A state dict in this room's names, from one in the official names or in this room's, of images of any `size`.

    Raises:
        WorkbookValueError: an index table of another scheme.
    """
    indices = [name for name in state if name.rpartition(".")[2] == "flatten_index"]
    for name in indices:
        check_index(name, state[name])
    return dict(ours(name, tensor) for name, tensor in state.items() if name not in indices)


def ours(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """An official name and tensor in this room's form; any other pair as it is."""
    match = OFFICIAL.search(name)
    if not match:
        return name, tensor
    if match[2] == "qkv_transform.":  # theirs is a Conv1d
        tensor = tensor.unsqueeze(3)
    if match[2] in ("rel_height", "rel_width"):
        tensor = tensor.T
    return f"{name[: match.start(2)]}{NAMES[match[2]]}{name[match.end(2) :]}", tensor


def check_index(name: str, index: Tensor) -> None:
    """Hold that an official index table is i − j + N − 1, which `FlattenedPosition` computes.

    Raises:
        WorkbookValueError: it is not.
    """
    positions = torch.arange(math.isqrt(index.numel()))
    expected = (positions[:, None] - positions + len(positions) - 1).flatten()
    if not torch.equal(index.cpu(), expected):
        raise WorkbookValueError(
            f"{name} is not the index table of relative positions that the official code writes; its weights would be misread."
        )
