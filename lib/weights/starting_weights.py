"""Files of starting weights, `NAME.safetensors`: read, checked, put into a network, written.

A file holds a network without its head. Matrices and kernels are in half precision; what is a vector (biases, gains, the
statistics of BatchNorm, whose range is wide) stays as it was trained. Its metadata say which network it is (`network`),
what its last layer is called (`head`), of what `size` its images were, where it comes from (`provenance`, JSON), and a `digest` of the tensors.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
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


def one_start(pretrained: bool, weights: str) -> None:
    """Raise a WorkbookValueError where a network is to start from two things at once."""
    if pretrained and weights != NO_WEIGHTS:
        raise WorkbookValueError(
            f"pretrained=True and weights={weights!r} are two beginnings: leave one of them out (pretrained=False, or "
            "weights='none')."
        )


def start_from(
    name: str,
    net: nn.Module,
    network: str,
    fitted: Callable[[Tensors, tuple[int, int]], Tensors] = lambda tensors, size: tensors,
) -> None:
    """Fill `net`, the backbone called `network`, with the starting weights `name`; its head stays as it was drawn.

    "none" leaves everything as it was.

    Everything else has to fit, both ways: nothing is left over, and nothing of `net` is left as it was.

    Args:
        fitted: changes tensors, trained with images of the size (height, width), to the shapes that `net` has.

    Raises:
        WorkbookValueError: unknown weights, or weights of another network; what does not fit is named.
        WorkbookFileError: the file is damaged, or does not hold what its digest says.
    """
    if name == NO_WEIGHTS:
        return
    said = shipped(name)
    said.check_network(network)
    try:
        stored = load_file(said.file)
    except (SafetensorError, OSError) as error:
        raise damaged(said.file, error) from error
    if digest_of(stored) != said.digest:
        raise damaged(said.file, f"its tensors have the digest {digest_of(stored)}, and it says {said.digest}")
    whole = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    tensors = fitted(whole, said.size)
    wanted = without_head(net, said.head)
    strays = [f"{name} is not there" for name in wanted if name not in tensors]
    strays += [f"{name} has no place" for name in tensors if name not in wanted]
    strays += [
        f"{name} is {list(tensors[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if strays:
        more = f" and {len(strays) - 3} more" if len(strays) > 3 else ""
        raise WorkbookValueError(
            f"The weights {said.file.stem!r} are of another {network}: {'; '.join(strays[:3])}{more}. Build the network as "
            f"it was trained ({said.provenance.get('settings', {})}), or train from scratch (weights='none')."
        )
    net.load_state_dict(tensors, strict=False)


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
