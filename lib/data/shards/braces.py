"""Patterns with braces, such as `train-{0000..0146}.tar`, and the shards that they stand for; webdataset expands them."""

import re
import string
from types import ModuleType

from lib.errors import WorkbookError, WorkbookFileError

MOST_SHARDS = 1_000_000  # of a set: LAION-5B's are a quarter of that
SIGNS = re.compile(r"\\.|[{},]", re.DOTALL)  # behind a backslash each is a letter
RANGE = re.compile(r"(?:(-?\d+)\.\.(-?\d+)|([A-Za-z])\.\.([A-Za-z]))(?:\.\.-?(\d+))?")
LETTERS = string.ascii_uppercase + string.ascii_lowercase  # in the order of bash's ranges


def expand(pattern: str) -> list[str]:
    """The paths and addresses that a pattern stands for: with ranges, choices, `${NAME}` for the variable WDS_NAME, and
    `::` between several patterns.

    Raises:
        WorkbookError: `webdataset` is not installed.
        WorkbookFileError: there are more than MOST_SHARDS, or it is no pattern.
    """
    expand_urls = webdataset().shardlists.expand_urls
    try:
        number = sum(map(expansions, pattern.split("::")))
        if number > MOST_SHARDS:
            raise WorkbookFileError(
                f"{pattern!r} stands for {number:,} shards, and {MOST_SHARDS:,} are the most: correct its ranges."
            )
        return expand_urls(pattern)
    except (ValueError, AssertionError, RecursionError) as error:  # braces, an unknown variable, numbers without end
        reason = str(error).partition(":")[0]
        raise WorkbookFileError(
            f"{pattern!r} is no pattern of shards ({reason}): it may look like train-{{000..146}}.tar or {{train,val}}-0.tar."
        ) from error


def expansions(pattern: str) -> int:
    """How many texts a pattern with braces stands for, none of which is made: a group that follows another multiplies,
    and of a group's choices each adds."""
    groups = [[0, 1, 0]]  # those that are open: the choices before, the choice that is read, and where the group begins
    for sign in SIGNS.finditer(pattern):
        if sign[0] == "{":
            groups.append([0, 1, sign.end()])
        elif sign[0] == "," and len(groups) > 1:
            groups[-1][:2] = groups[-1][0] + groups[-1][1], 1
        elif sign[0] == "}" and len(groups) > 1:
            before, last, start = groups.pop()
            groups[-1][1] *= _length(pattern[start : sign.start()]) or before + last
    return groups[0][1]


def _length(group: str) -> int | None:
    """Of a range; None of what is none."""
    if (found := RANGE.fullmatch(group)) is None:
        return None
    *ends, step = found.groups()
    first, last = (int(end) if end not in LETTERS else LETTERS.index(end) for end in ends if end is not None)
    return abs(last - first) // (int(step or 1) or 1) + 1


def webdataset() -> ModuleType:
    """The package, imported only when shards are read.

    Raises:
        WorkbookError: it is not installed.
    """
    try:
        import webdataset
    except ImportError as error:
        raise WorkbookError(
            "Tar shards are read by webdataset: pip install -e '.[shards]', or use a folder of images."
        ) from error
    return webdataset
