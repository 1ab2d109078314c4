"""A picture that answers to mouse and keyboard: the same in JupyterLab, in the exported report, on a phone.

A view is one piece of HTML that needs nothing but itself, neither kernel nor network: its data, its style and its script
are inside. It goes on working where a widget of ipywidgets would be blank, in a report and in a notebook that was closed,
and draws on one canvas in place, so nothing flickers. Where scripts are off, a static picture with an alternative text
stands in for it.

Data reach the script as one base64 text, compressed: whatever a class or a file is called, no name of it is ever markup.
"""

import base64
import io
import json
import struct
import textwrap
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from lib.inputs import note
from lib.report.figures.style import PHANTOM_NOTE, STYLE
from lib.view_files import FOLDER, script_files, view_file, view_script

STILL_DPI = 110
QUALITY = 88  # of pictures, in per cent


@dataclass(frozen=True, repr=False, eq=False)
class View:
    """What a notebook displays: `script`, one of `lib.view_files.SCRIPTS`, draws `data` and `numbers`.

    `caption` says in one sentence what is to be seen; it is the alternative text too. `still` is the static picture,
    `left_out` what did not fit, `bridge` the name of its line to a kernel, where it has one (`lib.explain.views.live`).
    """

    script: str
    data: Mapping[str, Any]  # JSON types
    still: Figure | Image.Image
    caption: str
    numbers: bytes = b""
    left_out: Sequence[str] = ()
    phantom: bool = False
    bridge: str = ""

    @cached_property
    def picture(self) -> bytes:
        """The static picture as a PNG."""
        buffer = io.BytesIO()
        if isinstance(self.still, Image.Image):
            self.still.save(buffer, "PNG")
        else:
            with mpl.rc_context(STYLE):
                self.still.savefig(buffer, format="png", dpi=STILL_DPI)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        bundle = {"text/html": self.html, "image/png": self.picture, "text/plain": self.caption}
        return bundle, {"image/png": {"alt": self.caption}}

    @cached_property
    def html(self) -> str:
        """The whole view; whatever comes from data is escaped or compressed."""
        for name in ("view.css", *script_files(self.script)):
            note(FOLDER / name)  # a notebook whose views draw otherwise is executed again
        bridge = f' data-bridge="{self.bridge}"' * bool(self.bridge)
        still = as_webp(Image.open(io.BytesIO(self.picture)))
        notes = [PHANTOM_NOTE] * self.phantom + list(self.left_out)
        small = "".join(f'<span class="note">{escape(note)}</span>' for note in notes)
        return (
            f'<figure class="attention-view"{bridge} data-payload="{payload(self.data, self.numbers)}">'
            f"<style>{view_file('view.css')}</style>"
            f'<img class="still" src="{still}" alt="{escape(self.caption)}">'
            f'<div class="live" hidden></div><figcaption>{escape(self.caption)}{small}</figcaption>'
            f"<script>{view_script(self.script)}</script></figure>"
        )


def payload(data: Mapping[str, Any], numbers: bytes) -> str:
    """Length of the JSON (4 bytes, little-endian), JSON, numbers: compressed by zlib, as base64."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)  # numbers begin where a Float32Array may
    return base64.b64encode(zlib.compress(struct.pack("<I", len(text)) + text + numbers, 9)).decode()


def as_webp(picture: Image.Image) -> str:
    """`picture` as a data URI."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def plain(text: str, width: int = 24) -> str:
    """`text` as a matplotlib label of lines of `width` letters, which is no formula, dollars or not."""
    lines = [textwrap.fill(line, width) for line in text.splitlines()]
    return "\n".join(lines)
