"""The installed command `attention-workbook`. It stands beside `lib`, to say so where another package of that name is found."""

import sys
from importlib.util import find_spec
from pathlib import Path

HIDDEN = (
    "The module lib of this project is hidden by another package of that name, {found}. Remove that one (pip uninstall "
    "lib), install this project again (pip install -e .), and try once more."
)


def program() -> None:
    """Run the command line, once it is certain that `lib` is ours."""
    found = find_spec("lib")
    where = Path(found.origin) if found and found.origin else None
    if where is None or not (where.parent / "opening.py").exists():
        print("error:", HIDDEN.format(found=where or "an empty folder lib"), file=sys.stderr)
        sys.exit(2)
    from lib.__main__ import main  # ours, now that this is known
    from lib.errors import run_command

    run_command(main)
