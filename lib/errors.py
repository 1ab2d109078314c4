"""Errors that a user can cause: what is wrong, where, and what to do about it."""

import argparse
import difflib
import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any, NoReturn

from lib import seeds

# A package `lib` from PyPI was found before ours, and an editable install adds our parts to it.
_package = getattr(sys.modules[__package__], "__file__", None)
if _package is None or Path(_package).parent != Path(__file__).parent:
    from attention_workbook import HIDDEN

    raise ImportError(HIDDEN.format(found=_package or "an empty folder lib"))

LONGEST_WORD = 600  # letters in a message
# Signs that steer a terminal, turn a line round or end it, and bytes of names that are no UTF-8.
UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_warned: set[str] = set()  # what this process has warned of already


class WorkbookError(Exception):
    """A user's mistake or a broken input, told in one sentence with its remedy. Of a word that goes on for pages, such as a
    damaged file's, the beginning is told, and what cannot be printed as `printable` shows it."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(re.sub(rf"(\S{{{LONGEST_WORD}}})\S+", r"\1…", str(message))))


class WorkbookValueError(WorkbookError, ValueError):
    """A value that cannot be used."""


class WorkbookFileError(WorkbookError, FileNotFoundError):
    """A file or folder that is missing or is not what it should be."""


class InputLost(WorkbookFileError):
    """What a run was reading has gone, or was cut off, since the run began: looked for again, it may be there."""


def printable(text: str) -> str:
    """A text from a file or of a file's name, as it can be shown: a control character as Python writes it, `\\x1b`."""
    return UNPRINTABLE.sub(lambda sign: repr(sign[0])[1:-1], text)


def plain_name(name: str) -> str:
    """A name without what does not count in it: case, '-', '_' and blanks."""
    return re.sub(r"[-_ ]", "", name).casefold()


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing resembles it."""
    by_plain = {plain_name(k): k for k in known}
    hits = difflib.get_close_matches(plain_name(name), by_plain, n=1, cutoff=0.5)
    return by_plain[hits[0]] if hits else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'mel'?', to go on with after a sentence; nothing where no known name resembles `name`."""
    guess = nearest(name, known)
    return f" Did you mean {guess!r}?" if guess else ""


def unknown(kind: str, name: object, known: Iterable[str]) -> WorkbookValueError:
    """The error for a name that is not among `known`: lists them all and suggests the nearest. A name of one of the projects
    that this one comes from is told what it is here."""
    known = list(known)
    if former := seeds.told(str(name)):
        return WorkbookValueError(former)
    return WorkbookValueError(f"Unknown {kind} {name!r}.{did_you_mean(str(name), known)} Known: {', '.join(known)}.")


def choose(kind: str, name: object, known: Iterable[str]) -> str:
    """The entry of `known` that `name` means; case, '-' and '_' do not matter.

    Raises:
        WorkbookValueError: nothing matches; the message lists `known` and the nearest name.
    """
    known = list(known)
    if name in known:
        return name
    matches = [k for k in known if isinstance(name, str) and plain_name(k) == plain_name(name)]
    if len(matches) != 1:
        raise unknown(kind, name, known)
    return matches[0]


def positive(**sizes: int) -> None:
    """Raise a WorkbookValueError for the first of `sizes` that is not a positive whole number."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise WorkbookValueError(f"{name} must be a whole number of at least 1, not {size!r}.")


def height_and_width(size: int | Sequence[int], what: str = "image") -> tuple[int, int]:
    """The `size` of `what` as (height, width); a single number is the side of a square.

    Raises:
        WorkbookValueError: neither a whole number of at least 1 nor a pair of such.
    """
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise WorkbookValueError(f"The {what}'s size {size!r} must be a whole number or a pair (height, width).")
    positive(**{f"The {what}'s height": pair[0], f"The {what}'s width": pair[1]})
    return pair


def warn_once(log: logging.Logger, warning: str) -> None:
    """Warn of what many places look at, such as a damaged file, the first time only."""
    if warning not in _warned:
        _warned.add(warning)
        log.warning("%s", printable(warning))


class _Version(argparse.Action):
    """Prints which build this is, and ends the command."""

    def __call__(self, parser: argparse.ArgumentParser, *told: object) -> NoReturn:
        from lib.version import version  # which asks git

        print(version())
        parser.exit()


class CommandLine(argparse.ArgumentParser):
    """An argument parser whose complaints are WorkbookErrors, with the nearest flag for one that does not exist, and which tells
    its `--version`. A value that is empty, as a shell's variable that was never set gives it, is not taken for a flag that was
    left out, or a path."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.add_argument(
            "--version",
            action=_Version,
            nargs=0,
            dest=argparse.SUPPRESS,
            help="tell which build this is, and do nothing",
        )

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        """As argparse's, but that no flag is left over.

        Raises:
            WorkbookValueError: a value that is empty, or a flag that does not exist, with the nearest one; of flags that other
                projects had, what they are here.
        """
        words = sys.argv[1:] if args is None else list(args)
        _refuse_empty(words)
        namespace, rest = super().parse_known_args(words, namespace)
        flags = [word.split("=")[0] for word in rest if word.startswith("--")]
        former = [seeds.told(flag) for flag in flags]
        if flags and all(former):
            raise WorkbookValueError(" ".join(former))
        if flags:
            raise unknown(
                "flag", flags[former.index(None)], [a.option_strings[0] for a in self._actions if a.option_strings]
            )
        return namespace, rest

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a WorkbookError, where argparse would print the usage and exit."""
        raise WorkbookError(f"{message}. See {self.prog} --help.")


def _refuse_empty(words: list[str]) -> None:
    for before, word in pairwise(["", *words]):
        flag, given, value = word.partition("=") if word.startswith("--") else (before, True, word)
        if given and not value.strip():
            what = flag if flag.startswith("-") else "an argument"
            raise WorkbookValueError(f"The value of {what} is empty ({value!r}): give one, or leave it out.")


def run_command(main: Callable[[], int | None]) -> None:
    """Run a command line: a WorkbookError becomes one line on stderr and exit status 2."""
    try:
        sys.exit(main())
    except (WorkbookError, OSError) as error:  # a full disk, a folder that may not be written: not a bug either
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, run the same command again to go on", file=sys.stderr)
        sys.exit(130)
