"""Tables and lists that come with data sets, read as text and checked row by row: each complaint names file and row."""

import codecs
import csv
import re
import string
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from lib.errors import WorkbookFileError, WorkbookValueError, did_you_mean

SEPARATORS = ",;\t|"
TELLS_SEPARATOR = re.compile("sep=.?", re.IGNORECASE).fullmatch  # a first line of Excel's
UNSEEN = "\xa0\u200b\u2060\u3000\ufeff"  # which pages and programs put round a text, and nobody sees
BLANKS = string.whitespace + UNSEEN
# What programs and people write where they know nothing, in any case.
MISSING = frozenset(
    (
        *("", "na", "n/a", "n.a.", "<na>", "#na", "#n/a", "nan", "-nan", "nat", "none", "null", "nil", r"\n", "."),
        *("?", "-", "--", "unknown", "unk", "missing", "undefined", "unspecified", "not available", "not known"),
    )
)


def read_table(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A table separated by commas, semicolons, tabs or bars, with all of `columns`; text stays text (ids keep their zeros).

    It is in UTF-8, or in the UTF-16 of Excel's "Unicode text". Excel's first line `sep=;`, blanks round a field, empty rows,
    separators at a row's end, and R's names of rows, which its header does not count,
    are left out. The index numbers the rows as an editor numbers the file's lines.

    Raises:
        WorkbookFileError: not a table, or one without rows. WorkbookValueError: a column is missing, or there twice, or a row
            has more fields than the header.
    """
    columns = tuple(columns)
    headers = possible_headers(path)
    separator = max(SEPARATORS, key=lambda sign: (len({*headers[sign]} & {*columns}), len(headers[sign])))
    header = headers[separator]
    for column in columns:
        refuse_several(path, [name for name in header if name == column])
    table = _named(path, _fields(path, separator, len(header)), header)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise WorkbookValueError(
            f"{path} lacks the column {missing[0]!r}; it has {', '.join(table.columns)}. "
            "Is this the data set's own metadata file?"
        )
    if table.empty:
        raise WorkbookFileError(f"{path} has a header and no rows; give the whole table.")
    return table


def possible_headers(path: Path) -> dict[str, list[str]]:
    """The names in a table's first row by the separator that would divide them, for who needs only one of several columns.

    Raises:
        WorkbookFileError: not a table, or an empty one.
    """
    headers = {separator: _header(path, separator) for separator in SEPARATORS}
    if not any(headers.values()):
        raise WorkbookFileError(f"{path} is empty; restore the data set's own table.")
    return headers


def refuse_several(path: Path, names: list[str]) -> None:
    """Raise a WorkbookValueError where several columns of a table, `names`, may be the one that is meant."""
    if len(names) > 1:
        raise WorkbookValueError(
            f"{path} has the columns {' and '.join(names)}, and which is meant nobody can tell: rename or remove all but one."
        )


def _header(path: Path, separator: str) -> list[str]:
    """The fields of the first row that is not empty, if they are divided by `separator`; none of an empty file."""
    with _readable(path), open(path, encoding=_encoding(path), newline="") as file:
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
        return next(
            ([name.strip(BLANKS) for name in row] for row in rows if any(row) and not TELLS_SEPARATOR(row[0])), []
        )


def _encoding(path: Path) -> str:
    """The encoding that the mark at a file's beginning tells; without one, UTF-8."""
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _fields(path: Path, separator: str, width: int) -> pd.DataFrame:
    """All rows of a table that hold anything, the header first, with one column more than its `width`, or as many as
    the longest row has; the index counts lines."""
    try:
        table = _parsed(path, separator, width + 1)
    except WorkbookFileError:  # perhaps since a row is longer
        with _readable(path), open(path, encoding=_encoding(path)) as file:
            longest = max(line.count(separator) for line in file) + 1
        table = _parsed(path, separator, max(longest, width + 1))
    raw = path.read_bytes()
    if (encoding := _encoding(path)) != "utf-8-sig":
        raw = raw.decode(encoding).encode()
    breaks = 0
    if len(table) < max(raw.count(b"\n"), raw.count(b"\r")) + (raw[-1:] not in b"\r\n"):  # some fields hold line breaks
        breaks = sum(table[column].str.count(r"\r\n|\r|\n") for column in table).cumsum().shift(fill_value=0)
    table = table.set_axis(table.index + 1 + breaks)
    if TELLS_SEPARATOR(table.iloc[0, 0]):
        table = table.iloc[1:]
    empty = table[0] == ""
    if empty.any():
        table = table[~empty | (table != "").any(axis=1)]
    blanks = (f" {separator}", " \n", " \r", ' "', '" ', *("" if raw.isascii() else UNSEEN))
    if raw[-1:] == b" " or any(blank.encode() in raw for blank in blanks):
        table = table.apply(lambda column: column.str.strip(BLANKS))
    return table


def _parsed(path: Path, separator: str, width: int) -> pd.DataFrame:
    """Every row as `width` texts, "" where it ends before; a WorkbookFileError where one is longer."""
    with _readable(path):
        return pd.read_csv(
            path, sep=separator, header=None, names=range(width), dtype=str, keep_default_na=False,
            skip_blank_lines=False, skipinitialspace=True, encoding=_encoding(path),
        )  # fmt: skip


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What is raised about a file that is no table becomes a WorkbookFileError that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise WorkbookFileError(f"{path} is not a readable CSV table ({error}); save it as CSV in UTF-8.") from error
    except (OSError, ValueError, csv.Error) as error:  # pandas' own are ValueErrors
        if begun := re.search(r"inside string starting at row (\d+)", str(error)):  # which counts from 0
            raise WorkbookFileError(
                f"{path}, row {int(begun[1]) + 1}: a quotation mark opens there and nothing closes it; close or remove it."
            ) from error
        raise WorkbookFileError(f"{path} is not a readable CSV table ({str(error).strip()}).") from error


def _named(path: Path, table: pd.DataFrame, header: list[str]) -> pd.DataFrame:
    """The rows below the header, with its names; of two columns of one name that nobody asks for the first is left."""
    rows, width = table.iloc[1:], len(header)
    if _has_row_names(rows, width):
        rows = rows.iloc[:, 1:]
    surplus = rows.iloc[:, width:] != ""
    if surplus.any(axis=None):
        row = surplus.any(axis=1).idxmax()
        raise WorkbookValueError(
            f"{path}, row {row}: there are more fields than the header's {width} ({', '.join(header)}); quote a field that "
            "holds the separator, or give every column its name."
        )
    named = rows.iloc[:, :width].set_axis(header, axis=1)
    return named.loc[:, ~named.columns.duplicated()]


def _has_row_names(rows: pd.DataFrame, width: int) -> bool:
    """Whether a column of names, all different, stands before the `width` columns of the header, as R writes them."""
    last = rows.iloc[:, width : width + 1]
    return rows.shape[1] == width + 1 and len(rows) > 0 and bool((last != "").all(axis=None)) and rows[0].is_unique


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


def filled(values: pd.Series, otherwise: pd.Series) -> pd.Series:
    """`values`, and where one is missing, or a word says so (see MISSING), what `otherwise` has there."""
    missing = [value for value in values.unique() if value.casefold() in MISSING]
    return values.where(~values.isin(missing), otherwise)
