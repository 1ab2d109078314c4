"""Tables and lists that come with data sets, read as text and checked row by row: each complaint names file and row."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lib.errors import WorkbookFileError, WorkbookValueError, did_you_mean


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A table separated by commas, tabs or semicolons, with all of `columns`; text stays text (ids keep their zeros).

    The index counts the file's rows as an editor does: the header is row 1.

    Raises:
        WorkbookFileError: not a table. WorkbookValueError: a column is missing.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = next((sign for sign in "\t;" if sign in header), ",")
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise WorkbookFileError(f"{path} is not a readable CSV table ({error}).") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise WorkbookValueError(
            f"{path} lacks the column {missing[0]!r}; it has {', '.join(map(str, table.columns))}. "
            "Is this the data set's own metadata file?"
        )
    return table.set_axis(table.index + 2)


def label_indices(path: Path, values: pd.Series, classes: tuple[str, ...]) -> pd.Series:
    """Class names to indices; the index of `values` holds the row numbers of the file `path`.

    Raises:
        WorkbookValueError: names file, row and value of the first unknown class.
    """
    wrong = values[~values.isin(classes)]
    if len(wrong):
        hint = did_you_mean(wrong.iloc[0], classes)
        raise WorkbookValueError(
            f"{path}, row {wrong.index[0]}: unknown class {wrong.iloc[0]!r}.{hint} Known: {', '.join(classes)}."
        )
    return values.map({name: i for i, name in enumerate(classes)})


def read_list(path: Path, *fields: str) -> pd.DataFrame:
    """The fields of a list, a line an entry with blanks between them, as text; the last field may hold blanks, too.

    The index counts the file's lines from 1. A line that begins with '#' is a comment.

    Raises:
        WorkbookFileError: the file is missing, not text, or empty. WorkbookValueError: a line with too few fields.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise WorkbookFileError(
            f"{path} is not a readable list ({error}); unpack the official archive again."
        ) from error
    entries = {i: line for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")}
    rows = {number: line.split(maxsplit=len(fields) - 1) for number, line in entries.items()}
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
    parsed = pd.to_numeric(values, errors="coerce")
    refuse_rows(path, values[~np.isfinite(parsed)], "the {name} {value!r} is not a number; restore the official list")
    return parsed


def whole_numbers(path: Path, values: pd.Series) -> pd.Series:
    """`values` of the list `path` as whole numbers.

    Raises:
        WorkbookValueError: names row and value of the first that is none.
    """
    parsed = numbers(path, values)
    refuse_rows(path, values[parsed % 1 != 0], "the {name} {value!r} is not a whole number; restore the official list")
    return parsed.astype(int)


def refuse_rows(path: Path, wrong: pd.Series, complaint: str) -> None:
    """Raise a WorkbookValueError for the first of `wrong`, values of one column of `path`, by their rows; none is fine.

    In `complaint` {name} stands for the column's name and {value} for the value.
    """
    if len(wrong):
        what = complaint.format(name=wrong.name, value=wrong.iloc[0])
        raise WorkbookValueError(f"{path}, row {wrong.index[0]}: {what}.")


def lookup(path: Path, table: pd.DataFrame, key: str, value: str) -> dict[str, str]:
    """Key → value of a list.

    Raises:
        WorkbookValueError: a key stands twice.
    """
    repeated = table[key][table[key].duplicated()]
    refuse_rows(path, repeated, "{name} {value!r} stands there a second time; restore the official list")
    return dict(zip(table[key], table[value], strict=True))
