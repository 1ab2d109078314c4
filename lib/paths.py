"""Where the workbook keeps things: data sets in `data/`, everything a run writes in `outputs/`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
OUTPUTS = ROOT / "outputs"
NOTEBOOKS = ROOT / "notebooks"
