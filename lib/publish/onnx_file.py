"""A network as an ONNX file whose answers were compared with PyTorch's.

Known limits: DCAL's rollout and LESA's attention work through a batch piece by piece, in numbers that follow its size. An
exported graph has no such loop, so these networks take one image at a time; all others take any number.
"""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import WorkbookError

TOLERANCE = 1e-4  # of the answers, relative to the greatest
NEEDED = ("onnx", "onnxscript", "onnxruntime")
TRIED = 3  # images that the file is tried with, where it takes any number
INPUT = "images"


def export_onnx(model: nn.Module, size: tuple[int, int], path: Path) -> int | None:
    """Write `model`, images [B, 3, height, width] → answers, to `path` in eval mode, and try the file.

    Returns the one number of images that the file takes, or None where it takes any.

    Raises:
        WorkbookError: a package is missing, the network cannot be exported, or the file answers otherwise than the network.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise WorkbookError(
            f"An ONNX file needs {', '.join(missing)}: pip install -e '.[publish]', or leave it out with --no-onnx."
        )
    model = model.cpu().eval()
    with _quiet():
        program, batch = _captured(model, size)
        torch.onnx.export(
            program,
            f=str(path),
            dynamo=True,
            external_data=False,
            input_names=[INPUT],
            output_names=["answers"],
            verbose=False,
        )
    check_onnx(model, torch.randn(batch or TRIED, 3, *size, generator=torch.Generator().manual_seed(0)), path)
    return batch


def check_onnx(model: nn.Module, images: Tensor, path: Path) -> None:
    """Compare what the file at `path` answers to `images` with what `model` does.

    Raises:
        WorkbookError: they differ by more than TOLERANCE.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = model(images).numpy()
    (found,) = session.run(None, {INPUT: images.numpy()})
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    if not error <= TOLERANCE:
        raise WorkbookError(
            f"{path} answers otherwise than the network, by {error:.1e}: export it without ONNX (--no-onnx)."
        )


def _captured(model: nn.Module, size: tuple[int, int]) -> tuple[torch.export.ExportedProgram, int | None]:
    """The network's graph, and the number of images that it takes: None where any."""
    attempts = [(TRIED, {0: torch.export.Dim("batch")}, None), (1, {}, 1)]
    for images, dynamic, batch in attempts:
        try:
            example = torch.randn(images, 3, *size)
            return torch.export.export(model, (example,), dynamic_shapes=(dynamic,), strict=False), batch
        except Exception as error:  # torch.export has no common base for its errors
            reason = error
    raise WorkbookError(f"{type(model).__name__} cannot be exported ({str(reason).splitlines()[0]}): take --no-onnx.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own inner life."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
