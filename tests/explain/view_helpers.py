"""What the tests of views share."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib

import numpy as np

from lib.explain import View


def unpacked(view: View) -> tuple[dict, np.ndarray, np.ndarray]:
    """The data of a view, its ranges [maps, 2] and its levels, as the script reads them."""
    packed = re.search(r'data-payload="([^"]*)"', view.html)[1]
    raw = zlib.decompress(base64.b64decode(packed))
    (length,) = struct.unpack_from("<I", raw)
    data = json.loads(raw[4 : 4 + length])
    ranges = np.frombuffer(raw, "<f4", 2 * data.get("maps", 0), 4 + length).reshape(-1, 2)
    return data, ranges, np.frombuffer(raw, np.uint8, offset=4 + length + ranges.nbytes)
