"""Masks looked at before a training: those that cannot be read are refused, and those that are even are told."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from lib.data.decoding import on_all_cores
from lib.data.imageset import ImageSet, refuse_unreadable
from lib.data.masks import mask_files, read_mask
from lib.errors import warn_once
from lib.files import from_json, write_text
from lib.progress import Progress

log = logging.getLogger(__name__)

EVEN = {"empty": "empty", "full": "all object"}


def check_masks(images: ImageSet, notes: Path, skip_unreadable: bool) -> ImageSet:
    """The set without the masks that cannot be read, where these may be skipped; a line tells of those that are even.

    They are read once: what was found is kept in the file `notes`, whose name has to follow theirs.

    Raises:
        WorkbookFileError: masks that cannot be read, listed once, unless `skip_unreadable`.
    """
    masked = images.rows[images.rows["mask"] != ""]
    if masked.empty:
        return images
    found = _noted(notes)
    if found is None:
        found = _examined(images.name, masked)
        write_text(notes, json.dumps(found))
    for state, told in EVEN.items():
        if even := [image_id for image_id, what in found.items() if what == state]:
            warn_once(log, f"{images.name}: masks that are {told}: {len(even)}, among them that of {even[0]}")
    damaged = {image_id: what for image_id, what in found.items() if what not in EVEN}
    refuse_unreadable(damaged.values(), skip_unreadable)
    return images.without_masks(damaged) if damaged else images


def _noted(notes: Path) -> dict[str, str] | None:
    """What was found before; None where nothing is kept, or not as it was written."""
    try:
        return dict(from_json(notes.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _examined(name: str, masked: pd.DataFrame) -> dict[str, str]:
    """Image id → "empty", "full", or why its mask cannot be read; those of which there is nothing to tell are left out."""
    found = {}
    with Progress(len(masked), f"looking at the masks of {name}") as bar:
        for image_id, mask in zip(masked["image_id"], on_all_cores(_state, masked["mask"]), strict=True):
            if mask:
                found[image_id] = str(mask)
            bar.advance()
    return found


def _state(path: str) -> str:
    inside = [read_mask(file) for file in mask_files(path)]
    return "full" if any(map(np.all, inside)) else "" if any(map(np.any, inside)) else "empty"
