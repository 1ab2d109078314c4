"""The files of starting weights that ship, `NAME.safetensors`: read, checked, written.

A file holds a network without its head. Matrices and kernels are in half precision; what is a vector (biases, gains, the
statistics of BatchNorm, whose range is wide) stays as it was trained. Its metadata say which network it is (`network`),
what its last layer is called (`head`), of what `size` its images were, where it comes from (`provenance`, JSON), and a `digest` of the tensors.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from lib.disk.tensors import save_tensors
from lib.errors import WorkbookFileError, WorkbookValueError, choose
from lib.inputs import note

FOLDER = Path(__file__).parent
NO_WEIGHTS = "none"  # the name that means: from scratch

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Shipped:
    """What a file of starting weights says of itself."""

    file: Path
    network: str  # the backbone that the weights are of
    head: str  # the name of its last layer, which no file holds
    size: tuple[int, int]  # height and width in pixels of the images that it was trained with
    digest: str  # sixteen hex digits over names, shapes and values
    provenance: dict

    def check_network(self, network: str) -> None:
        """Raise a WorkbookValueError unless the weights are of the backbone `network`."""
        if network != self.network:
            others = [name for name in shipped_names() if shipped(name).network == network]
            remedy = f"take {' or '.join(map(repr, others))}" if others else "train from scratch (weights='none')"
            raise WorkbookValueError(
                f"The weights {self.file.stem!r} are of {self.network}, not of {network}: {remedy}, "
                f"or take backbone={self.network!r}."
            )


def shipped_names() -> list[str]:
    """The names of all starting weights that ship."""
    return sorted(file.stem for file in FOLDER.glob("*.safetensors"))


def shipped(name: str) -> Shipped:
    """What the starting weights `name` say of themselves; no tensor is read.

    Raises:
        WorkbookValueError: no weights of that name ship; the nearest is told.
        WorkbookFileError: the file is damaged.
    """
    file = FOLDER / f"{choose('weights', name, [NO_WEIGHTS, *shipped_names()])}.safetensors"
    note(file)
    try:
        with safe_open(file, "pt") as opened:
            said = opened.metadata() or {}
        size = tuple(json.loads(said["size"]))
        return Shipped(file, said["network"], said["head"], size, said["digest"], json.loads(said["provenance"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(file, error) from error


def shipped_tensors(name: str) -> Tensors:
    """What the file of the starting weights `name` holds.

    Raises:
        WorkbookFileError: it is damaged, or does not hold what its digest says.
    """
    said = shipped(name)
    try:
        stored = load_file(said.file)
    except (SafetensorError, OSError) as error:
        raise damaged(said.file, error) from error
    if digest_of(stored) != said.digest:
        raise damaged(said.file, f"its tensors have the digest {digest_of(stored)}, and it says {said.digest}")
    return stored


def export(net: nn.Module, name: str, network: str, head: str, size: tuple[int, int], provenance: Mapping) -> Shipped:
    """Write `net` without its `head` as the starting weights `name`, whole or not at all."""
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).contiguous().cpu()
        for name, tensor in without_head(net, head).items()
    }
    said = {"network": network, "head": head, "size": json.dumps(size), "digest": digest_of(tensors)}
    said["provenance"] = json.dumps(provenance)
    save_tensors(FOLDER / f"{name}.safetensors", tensors, said)
    return shipped(name)


def without_head(net: nn.Module, head: str) -> Tensors:
    """The state of `net` but for its last layer, `head`."""
    return {name: tensor.detach() for name, tensor in net.state_dict().items() if not name.startswith(f"{head}.")}


def digest_of(tensors: Tensors) -> str:
    """Sixteen hex digits that follow every name, type, shape and value."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def damaged(file: Path, reason: object) -> WorkbookFileError:
    """The error for a file of starting weights that is not what it was."""
    text = (str(reason) or type(reason).__name__).splitlines()[0][:200]
    return WorkbookFileError(
        f"{file} is damaged ({text}). Put it back with `git checkout` or by installing the workbook again, or train from "
        "scratch (weights='none')."
    )
