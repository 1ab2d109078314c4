"""The one table of ratios, its JSON, and what has moved since another."""

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.rows import NotRun, Row
from lib.errors import WorkbookFileError
from lib.files import from_json, write_text
from lib.hardware import device, device_name

Results = Mapping[str, Sequence[Row | NotRun]]  # by the benchmark's name
HEADS = ("ratio", "spread", "processor", "wanted", "", "")


def line(result: Row | NotRun) -> str:
    """A row by itself, as soon as it is measured."""
    if isinstance(result, NotRun):
        return f"{result.what}: not run: {result.why}"
    return f"{result.what}: {'  '.join(filter(None, _cells(result)))}"


def table(results: Results, before: Results | None = None) -> str:
    """All rows below each other, and of those that `before` has what they were there; what was not run comes last."""
    known = dict(_rows(before or {}))
    heads = ("", *HEADS, *["before"] * bool(before))
    lines = [heads]
    for name, found in results.items():
        rows = [row for row in found if isinstance(row, Row)]
        lines += [(name, *[""] * (len(heads) - 1))] * bool(rows)
        for row in rows:
            cells = (f"  {row.what}", *_cells(row))
            lines.append((*cells, _before(row, known.get((name, row.what)))) if before else cells)
    widths = [max(len(cells[n]) for cells in lines) for n in range(len(heads))]
    told = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in lines]
    absent = [f"{name}: {line(each)}" for name, found in results.items() for each in found if isinstance(each, NotRun)]
    return "\n".join([*told, *([""] * bool(absent)), *absent])


def moved(now: Row, before: Row) -> bool:
    """Whether the two differ by more than their turns do: each median is outside the other's spread."""
    return not (before.low <= now.ratio <= before.high) and not (now.low <= before.ratio <= now.high)


def write(path: Path, results: Results) -> None:
    """The rows as JSON, with the machine that they hold for."""
    where = device()
    machine = {
        "device": device_name(where),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    rows = {name: [asdict(each) for each in found] for name, found in results.items()}
    write_text(path, json.dumps({"machine": machine, "results": rows}, indent=1, ensure_ascii=False) + "\n")


def refuse_unwritable(path: Path) -> None:
    """Raise a WorkbookError, before minutes of measuring, where `write` will not be able to write."""
    if path.is_dir():
        raise WorkbookFileError(f"{path} is a folder: name a file for the results.")
    probe = path.with_name(f".{path.name}.probe")
    write_text(probe, "")
    probe.unlink()


def read(path: Path) -> Results:
    """What `write` has written.

    Raises:
        WorkbookFileError: it is not there, or is something else.
    """
    try:
        rows = from_json(path.read_text())["results"]
        return {name: [_read(each) for each in found] for name, found in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkbookFileError(
            f"{path} has no results of benchmarks ({error}): name a file that python -m benchmarks --json has written."
        ) from error


def _read(told: dict[str, Any]) -> Row | NotRun:
    """What `write` has made of a row. Of a kept one the numbers are compared with, so they have to be some."""
    if "why" in told:
        return NotRun(**told)
    row = Row(**told)
    for name in ("ratio", "low", "high"):
        if type(value := getattr(row, name)) not in (int, float):
            raise TypeError(f"the {name} of {row.what} is {value!r}")
    return row


def _rows(results: Results) -> list[tuple[tuple[str, str], Row]]:
    return [((name, row.what), row) for name, found in results.items() for row in found if isinstance(row, Row)]


def _cells(row: Row) -> tuple[str, ...]:
    spread = "" if row.low == row.high else f"{_ratio(row.low)} – {_ratio(row.high)}"
    processor = "" if row.processor is None else _ratio(row.processor)
    verdict = "" if not row.wanted else "missed" if row.missed else "ok"
    return f"{_ratio(row.ratio)} ×", spread, processor, row.wanted, verdict, row.note


def _ratio(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10 or value == 0 else f"{value:.3g}"


def _before(now: Row, before: Row | None) -> str:
    if before is None:
        return "new"
    return f"{_ratio(before.ratio)} ×{' → moved' if moved(now, before) else ''}"
