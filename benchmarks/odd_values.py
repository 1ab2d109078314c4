"""Strategies of Hypothesis for what a person or a damaged disk may put where something else is expected."""

import dataclasses
import io
import json
import types
import typing

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from lib.training import RunConfig
from lib.training.settings import known_names

TEXTS = [
    "",
    " ",
    "..",
    "../../x",
    "/",
    "none",
    "nan",
    "true",
    "1e400",
    "\x00",
    "\ud800",
    "a" * 300,
    "~nobody/x",
    "s3://x",
]
TEXTS += ["${HOME}", "{x}", "%s", "<b>", "ß", "\n", "\r", "\ufeff", "-1", "0", "auto", "=1+1", "9" * 5000]
texts = st.text(max_size=20) | st.sampled_from(TEXTS)
wholes = st.integers(-5, 500) | st.sampled_from([-1, 2**31, 2**63, 2**64, 10**400])
numbers = wholes | st.floats() | st.sampled_from([1e308, 5e-324, -0.0])
values = st.one_of(st.none(), st.booleans(), numbers, texts, st.binary(max_size=4))
values |= st.lists(numbers | texts, max_size=3) | st.dictionaries(texts, numbers, max_size=2)
json_texts = st.recursive(st.none() | st.booleans() | numbers.filter(lambda x: x == x) | st.text(max_size=5), st.lists)

FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}
HINTS = typing.get_type_hints(RunConfig)


def setting(name: str) -> st.SearchStrategy:
    """A value of a setting that is likely of its type, but not always one that can be."""
    hint = HINTS[name]
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    of = {bool: st.booleans(), int: st.integers(-1, 300), float: st.floats(-1, 2), type(None): st.none(), str: texts}
    likely = [of[kind] for kind in kinds if kind in of]
    if known := known_names(name):
        likely = [st.sampled_from(known)]
    return st.one_of(*likely, values) if likely else values


configs = st.lists(st.sampled_from(sorted(FIELDS)), max_size=6, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: setting(name) for name in names})
)


@st.composite
def damaged(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """One of `contents` as it may come back from a bad disk, an editor or a broken copy."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        stop = draw(st.integers(start, min(len(content), start + 64)))
        how = draw(st.sampled_from(["cut", "drop", "flip", "insert", "twice", "zeros"]))
        if how == "cut":
            del content[start:]
        elif how == "drop":
            del content[start:stop]
        elif how == "flip" and content:
            content[min(start, len(content) - 1)] ^= 1 << draw(st.integers(0, 7))
        elif how == "insert":
            content[start:start] = draw(
                st.binary(max_size=8) | texts.map(lambda text: text[:40].encode("utf-8", "replace"))
            )
        elif how == "twice":
            content[stop:stop] = content[start:stop]
        else:
            content[start:stop] = bytes(stop - start)
    return bytes(content)


@st.composite
def edited_json(draw: st.DrawFn, document: dict) -> bytes:
    """A JSON file of which somebody has replaced or removed an entry, or the whole."""
    edited = json.loads(json.dumps(document))
    place, keys = edited, sorted(edited)
    while keys:
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if isinstance(inner, dict) and inner and draw(st.booleans()):
            place, keys = inner, sorted(inner)
            continue
        if draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(json_texts)
        break
    return json.dumps(draw(st.just(edited) | st.just(edited) | st.just(edited) | json_texts)).encode()


def pictures(mode: str = "RGB") -> list[bytes]:
    """Small images of `mode`, a file of each format that takes it."""
    rng, files = np.random.default_rng(0), []
    image = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).convert(mode)
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        try:
            image.save(buffer, kind)
        except (OSError, ValueError):
            continue
        files.append(buffer.getvalue())
    return files
