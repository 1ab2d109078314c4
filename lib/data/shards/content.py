"""What the shards of a set hold, as a digest: another shard in the place of one, of the same name and size, is seen."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lib.data.shards.listing import ShardSet, is_remote, unreadable
from lib.disk.manifest import Entry, entry, untouched
from lib.files import from_json, write_text
from lib.progress import Progress

MOST_BYTES = 2**38  # of a set that is read for it; ImageNet takes half of that


def content_digest(shards: ShardSet, cache: Path | None = None) -> str | None:
    """32 hex digits that follow every byte of every shard, wherever they lie; None where that is not known: of shards
    behind addresses, and of sets of more than MOST_BYTES.

    What is known of a file that nobody has touched since stands in the folder `cache`; without one all is read.

    Raises:
        InputLost: a shard has gone. WorkbookError: the disk is full.
    """
    listed = [(part, shard) for part, own in shards.parts.items() for shard in own]
    if any(is_remote(shard.url) for _, shard in listed) or sum(shard.size for _, shard in listed) > MOST_BYTES:
        return None
    entries = _entries([shard.url for _, shard in listed], cache)
    lines = [f"{part}/{shard.name} {each['blake2b']}" for (part, shard), each in zip(listed, entries, strict=True)]
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def _entries(files: list[str], cache: Path | None) -> list[Entry]:
    """What each file is now."""
    if cache is None:
        return _read(files, {})
    kept = cache / f"shards-{hashlib.sha256(repr(files).encode()).hexdigest()[:12]}.json"
    known = _known(kept)
    entries = _read(files, known)
    if (now := dict(zip(files, entries, strict=True))) != known:
        write_text(kept, json.dumps(now))
    return entries


def _known(kept: Path) -> dict[str, Entry]:
    """What an earlier reading has left; nothing where it is damaged."""
    try:
        known = from_json(kept.read_text(encoding="utf-8"))
        return {str(file): then for file, then in known.items() if isinstance(then["blake2b"], str)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _read(files: Iterable[str], known: dict[str, Entry]) -> list[Entry]:
    with ThreadPoolExecutor() as pool, Progress(len(files), "reading shards for their digest", "shards") as bar:
        entries = []
        for each in pool.map(partial(_entry, known), files):
            entries.append(each)
            bar.advance()
        return entries


def _entry(known: dict[str, Entry], file: str) -> Entry:
    try:
        return known[file] if file in known and untouched(Path(file), known[file]) else entry(Path(file))
    except OSError as error:
        raise unreadable(file, error) from error
