"""The part of a file that a broken transfer left, and beside it what the host said of the file when the transfer began.

Going on with a part is safe only if the host still has the same file: HTTP's `If-Range` names its version, and a host that
has another one by now sends that from its start.
"""

import base64
import contextlib
import json
import re
from email.message import Message
from functools import cached_property
from pathlib import Path

from lib.files import from_json, write_text

DIGESTS = {"md5": "md5", "sha-256": "sha256", "sha-512": "sha512"}  # HTTP's names of digests, and hashlib's


class Part:
    """A partial file at `path`; its note is `<path>.json`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.note = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    @cached_property
    def told(self) -> dict:
        """What the host said: the `version` of the file, and its `checksums`, {algorithm: hex digits}."""
        try:
            told = from_json(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def request(self, is_checked: bool) -> dict[str, str]:
        """The headers that ask for the rest; of a part whose version nobody knows only if the whole `is_checked` later."""
        version = self.told.get("version")
        if not self.size or not (version or is_checked):
            return {}
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": version} if version else {})

    def begin(self, headers: Message) -> None:
        """Note what the host says of a file that it sends from the start."""
        self.drop()
        self.told = {"version": version(headers), "checksums": checksums(headers)}
        write_text(self.note, json.dumps(self.told))

    def drop(self) -> None:
        """Remove what is here."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.__dict__.pop("told", None)

    def become(self, path: Path) -> None:
        """Move the file, which is whole now, to its place."""
        self.path.replace(path)
        self.note.unlink(missing_ok=True)


def version(headers: Message) -> str | None:
    """What `If-Range` calls this version of a file: a strong ETag, or the time of the last change."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def checksums(headers: Message) -> dict[str, str]:
    """The checksums of a whole file that a host tells with it, {algorithm: hex digits}.

    In `Repr-Digest` (RFC 9530) and the older `Digest` and `Content-MD5`, in Google's `x-goog-hash`, and in the ETag of
    Amazon's S3, which is the MD5 of what was uploaded in one piece and not encrypted with a key of the owner's.
    """
    fields = [*headers.get_all("Repr-Digest", []), *headers.get_all("Digest", []), *headers.get_all("x-goog-hash", [])]
    pairs = re.findall(r"([\w-]+)=:?([A-Za-z0-9+/]+=*)", ",".join(fields))
    pairs += [("md5", value) for value in headers.get_all("Content-MD5", [])]
    told = {}
    for name, value in pairs:
        with contextlib.suppress(KeyError, ValueError):  # an algorithm that is not ours, or no base64
            told[DIGESTS[name.lower()]] = base64.b64decode(value, validate=True).hex()
    tag = re.fullmatch(r'"([0-9a-f]{32})"', headers.get("ETag", ""))
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    if tag and headers.get("Server") == "AmazonS3" and not encrypted:
        told.setdefault("md5", tag[1])
    return told
