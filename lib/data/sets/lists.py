"""Official lists of the fine-grained and re-identification sets: a line an image, fields with blanks between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lib.errors import WorkbookFileError, WorkbookValueError


def find_base(root: Path, name: str, landmark: str, advice: str) -> Path:
    """The folder that holds the file or folder `landmark`: `root`, one in it, or one in that.

    Raises:
        WorkbookFileError: there is none; the message tells the layout by `landmark` and goes on with `advice`.
    """
    for pattern in ("", "[!.]*", "[!.]*/[!.]*"):
        for base in sorted(root.glob(pattern)) if pattern else [root]:
            if (base / landmark).exists():
                return base
    raise WorkbookFileError(
        f"{root} is no {name} data set: no {landmark} in it. Give the folder that holds it. {advice}"
    )


def read_list(path: Path, *fields: str) -> pd.DataFrame:
    """The list's fields as text; the index counts the file's lines from 1. The last field may hold blanks.

    Raises:
        WorkbookFileError: the file is missing, not text, or empty. WorkbookValueError: a line with too few fields.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise WorkbookFileError(
            f"{path} is not a readable list ({error}); unpack the official archive again."
        ) from error
    rows = {number: line.split(maxsplit=len(fields) - 1) for number, line in enumerate(lines, 1) if line.strip()}
    short = next((number for number, words in rows.items() if len(words) != len(fields)), None)
    if short is not None:
        raise WorkbookValueError(
            f"{path}, row {short}: {lines[short - 1].strip()!r} is not of the form '{' '.join(fields)}'. "
            "Is this the data set's own list?"
        )
    if not rows:
        raise WorkbookFileError(f"{path} lists nothing; unpack the official archive again.")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(fields))
    return table.map(str.strip)


def numbers(path: Path, values: pd.Series) -> pd.Series:
    """`values` of the list `path` as numbers.

    Raises:
        WorkbookValueError: names row and value of the first that is none.
    """
    found = pd.to_numeric(values, errors="coerce")
    _refuse(path, values[~np.isfinite(found)], "is not a number")
    return found


def whole_numbers(path: Path, values: pd.Series) -> pd.Series:
    """`values` of the list `path` as whole numbers.

    Raises:
        WorkbookValueError: names row and value of the first that is none.
    """
    found = numbers(path, values)
    _refuse(path, values[found % 1 != 0], "is not a whole number")
    return found.astype(int)


def _refuse(path: Path, wrong: pd.Series, what: str) -> None:
    if len(wrong):
        raise WorkbookValueError(
            f"{path}, row {wrong.index[0]}: the {wrong.name} {wrong.iloc[0]!r} {what}; restore the official list."
        )


def looked_up(path: Path, table: pd.DataFrame, key: str, value: str) -> dict[str, str]:
    """Key → value of a list.

    Raises:
        WorkbookValueError: a key stands twice.
    """
    twice = table[table[key].duplicated()]
    if len(twice):
        raise WorkbookValueError(
            f"{path}, row {twice.index[0]}: {key} {twice[key].iloc[0]!r} stands there a second time; restore the official list."
        )
    return dict(zip(table[key], table[value], strict=True))
