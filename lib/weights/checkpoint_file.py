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
PARTS = 5  # names that a message tells

Tensors = dict[str, Tensor]


def read_weights(file: Path) -> tuple[Tensors, list[str]]:
    """The tensors in `file` by name, and the keys that were wrapped around them, outermost first.

    Raises:
        WorkbookFileError: it is damaged, cut off or of another kind, or holds no tensors by name.
    """
    try:
        return unwrapped(_safetensors(file) if _is_safetensors(file) else _pickled(file))
    except WorkbookValueError as error:
        raise WorkbookFileError(f"{file} holds no weights. {error}") from error


def unwrapped(content: object) -> tuple[Tensors, list[str]]:
    """The tensors in what a file held, and the keys that were wrapped around them.

    Raises:
        WorkbookValueError: it holds no tensors by name, or something beside them.
    """
    keys: list[str] = []
    while isinstance(content, Mapping):
        key = next((key for key in WRAPPINGS if isinstance(content.get(key), Mapping)), None)
        if key is None:
            break
        content, keys = content[key], [*keys, key]
    if not isinstance(content, Mapping):
        raise _no_state(f"a {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others or not content:
        raise _no_state(f"{told(others)} beside or instead of tensors" if others else "nothing")
    return {str(name): tensor for name, tensor in content.items()}, keys


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
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what cannot be read is told once
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        found = re.findall(r"GLOBAL ([\w.]+) was not an allowed global", str(error))
        if isinstance(error, pickle.UnpicklingError) and found:
            raise WorkbookFileError(
                f"{file} holds objects beside tensors ({found[0]}), which only code out of the file could make, and none is run. "
                "Where you trust it, save its weights alone, once: "
                "torch.save(torch.load(FILE, weights_only=False)['state_dict'], 'weights.pth')."
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
