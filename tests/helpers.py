"""What the tests of several rooms share."""

import base64
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn


def unsealed(folder: Path) -> Path:
    """A finished run or transfer as earlier builds left it: without a manifest, so that a test may change its files."""
    (folder / "manifest.json").unlink(missing_ok=True)
    return folder


def float64(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module, seed: int = 1, std: float = 0.5) -> nn.Module:
    """`module` in float64, all of it drawn anew: nothing passes only because it is 0 or 1 at the start."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    for parameter in module.parameters():
        parameter.data.normal_(std=std, generator=generator)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=generator)
    return module


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def unpacked(view: object) -> tuple[dict, np.ndarray, np.ndarray]:
    """The data of a view, its ranges [maps, 2] and its levels, as the script reads them."""
    packed = re.search(r'data-payload="([^"]*)"', view.html)[1]
    raw = zlib.decompress(base64.b64decode(packed))
    (length,) = struct.unpack_from("<I", raw)
    data = json.loads(raw[4 : 4 + length])
    ranges = np.frombuffer(raw, "<f4", 2 * data.get("maps", 0), 4 + length).reshape(-1, 2)
    return data, ranges, np.frombuffer(raw, np.uint8, offset=4 + length + ranges.nbytes)
