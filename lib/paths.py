"""Where the workbook keeps things: data sets in `data/`, everything a run writes in `outputs/`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
OUTPUTS = ROOT / "outputs"
NOTEBOOKS = ROOT / "notebooks"


def resolve_output(folder: str | Path) -> Path:
    """An output folder; a relative one is below the repository, wherever the notebook or command was started."""
    return ROOT / Path(folder).expanduser()
