"""A file of weights, as anybody writes one, read as tensors by name. No code in it is run (`weights_only=True`)."""

import argparse
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lib.errors import WorkbookFileError, WorkbookValueError

# What training scripts wrap around weights, the averaged ones first: timm's and DeiT's dictionaries, DINO's teacher, which
# is what its authors evaluate, Lightning's and LESA's.
WRAPPINGS = (
    "state_dict_ema",
    "model_ema",
    "teacher",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "student",
    "module",
)
POINTER = b"version https://git-lfs"
PART = re.compile(r"-\d+-of-(\d+)\.")
PARTS = 5  # names that a message tells

Tensors = dict[str, Tensor]


def read_weights(file: Path) -> tuple[Tensors, list[str]]:
    """The tensors in `file` by name, and the keys that were wrapped around them, outermost first.

    Raises:
        WorkbookFileError: it is damaged, cut off or of another kind, or holds no tensors by name.
    """
    _refuse_other_kinds(file)
    try:
        tensors, keys = unwrapped(_safetensors(file) if _is_safetensors(file) else _pickled(file))
    except WorkbookValueError as error:
        raise WorkbookFileError(f"{file} holds no weights. {error}") from error
    special = next((name for name, tensor in tensors.items() if not _is_plain(tensor)), None)
    if special is not None:
        kind = f"{tensors[special].dtype}, {tensors[special].layout}, on {tensors[special].device.type}".replace(
            "torch.", ""
        )
        raise WorkbookFileError(
            f"{file} holds {special} in a form that no network here is filled with ({kind}): save it with plain numbers, as "
            "tensor.dequantize() or tensor.to_dense() makes them."
        )
    return tensors, keys


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has all its numbers, as they count."""
    return not (tensor.is_meta or tensor.is_quantized or tensor.is_complex()) and tensor.layout is torch.strided


def _refuse_other_kinds(file: Path) -> None:
    """Raise a WorkbookFileError for a file that stands for others: a part of weights, their index, Git LFS's pointer."""
    part = PART.search(file.name)
    if file.name.endswith(".index.json") or (part and int(part[1]) > 1):
        raise WorkbookFileError(
            f"{file} is {'one part' if part else 'the index'} of weights in several files: join these once, "
            "safetensors.torch.save_file({name: tensor for part in PARTS for name, tensor in load_file(part).items()}, FILE)."
        )
    with open(file, "rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise WorkbookFileError(f"{file} is Git LFS's pointer to the weights: `git lfs pull` fetches them.")


def unwrapped(content: object) -> tuple[Tensors, list[str]]:
    """The tensors in what a file held, and the keys that were wrapped around them.

    Raises:
        WorkbookValueError: it holds no tensors by name, or something beside them.
    """
    keys: list[str] = []
    while isinstance(content, Mapping):
        wrapped = [key for key in WRAPPINGS if isinstance(content.get(key), Mapping)]
        wrapped = [key for key in wrapped if content[key]] or wrapped or _only_one_with_tensors(content)
        if not wrapped:
            break
        key = wrapped[0]
        content, keys = content[key], [*keys, key]
    if not isinstance(content, Mapping):
        raise _no_state(f"a {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others or not content:
        raise _no_state(f"{told(others)} beside or instead of tensors" if others else "nothing")
    return {str(name): tensor for name, tensor in content.items()}, keys


def _only_one_with_tensors(content: Mapping) -> list[Any]:
    """The key of the only dictionary in `content` that holds tensors by name, or dictionaries that do, where `content` holds none
    itself: somebody's own name for what WRAPPINGS are others' names for."""
    if any(isinstance(value, Tensor) for value in content.values()):
        return []
    found = [key for key, value in content.items() if isinstance(value, Mapping) and _holds_tensors(value)]
    return found if len(found) == 1 else []


def _holds_tensors(content: Mapping) -> bool:
    named = [value for key, value in content.items() if isinstance(key, str)]
    return any(isinstance(value, Tensor) or (isinstance(value, Mapping) and _holds_tensors(value)) for value in named)


def _no_state(held: str) -> WorkbookValueError:
    return WorkbookValueError(
        f"A state dict holds tensors by name, perhaps under {', '.join(map(repr, WRAPPINGS))}; this one holds {held}. Save it anew, "
        "torch.save(model.state_dict(), FILE)."
    )


def told(names: list[str]) -> str:
    """The first few of `names`, and how many more there are."""
    return ", ".join(names[:PARTS]) + (f" and {len(names) - PARTS} more" if len(names) > PARTS else "")


def _is_safetensors(file: Path) -> bool:
    """A safetensors file begins with the length of its header, which is JSON."""
    with open(file, "rb") as opened:
        return opened.read(9)[8:] == b"{"


def _safetensors(file: Path) -> Tensors:
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _pickled(file: Path) -> Any:
    try:
        # Training scripts keep their arguments beside the weights, as timm's, DeiT's and DINO's do: plain values by name.
        with (
            torch.serialization.safe_globals([argparse.Namespace]),
            warnings.catch_warnings(),
            open(file, "rb") as opened,
        ):
            warnings.simplefilter("ignore")  # what cannot be read is told once
            return torch.load(
                opened, map_location="cpu", weights_only=True
            )  # by a path's suffix it might choose another reader
    except Exception as error:  # a damaged pickle can raise anything
        found = re.findall(r"GLOBAL ([\w.]+) was not an allowed global", str(error))
        if isinstance(error, pickle.UnpicklingError) and found:
            raise WorkbookFileError(
                f"{file} holds objects beside tensors ({found[0]}), which only code out of the file could make, and none is run. "
                "Where you trust it, save its weights alone, once: of a dictionary "
                "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pth'), of a whole network "
                "torch.save(torch.load(FILE, weights_only=False).state_dict(), 'weights.pth')."
            ) from error
        if "TorchScript" in str(error):
            raise WorkbookFileError(
                f"{file} is a network in TorchScript, code and all. Where you trust it, save its weights alone, once: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')."
            ) from error
        if _is_other_pickle(file):
            raise WorkbookFileError(
                f"{file} is a pickle that torch.save did not write: it holds no state dict. Save one, "
                "torch.save(model.state_dict(), FILE)."
            ) from error
        raise _damaged(file, error) from error


def _is_other_pickle(file: Path) -> bool:
    """Whether it begins as a pickle does, and not as one that torch.save wrote before PyTorch 1.6."""
    with open(file, "rb") as opened:
        first = opened.read(32)
    return first[:1] == pickle.PROTO and torch.serialization.MAGIC_NUMBER.to_bytes(10, "little") not in first


def _damaged(file: Path, error: Exception) -> WorkbookFileError:
    size = file.stat().st_size
    whole = "not what torch.save writes" if isinstance(error, LookupError) else str(error) or type(error).__name__
    reason = re.split(r"\n|(?<=\w)\.\s", whole)[0][:150]  # the first sentence
    return WorkbookFileError(
        f"{file} is no file of weights, or a part of one: {size:,} bytes ({reason}). Compare its size with the original's; a "
        "download that broke off is to be deleted and fetched again."
    )
