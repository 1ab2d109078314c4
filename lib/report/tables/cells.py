"""What stands in one place of a table: values, and apart from them how a reader and how a file shows them.

A cell has `text` (one line), `below` (a second, smaller line: the interval), `note` (more, on demand), and `columns`:
plain numbers by name for the CSV file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from lib.statistics.estimates import Comparison, Estimate
from lib.statistics.mcnemar import McNemar

LEAST_P = 0.001


class Cell(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def below(self) -> str: ...

    @property
    def note(self) -> str: ...

    @property
    def columns(self) -> dict[str, float | int | str]: ...


class _Plain:
    """A cell without a second line and without a note."""

    below = ""
    note = ""


@dataclass(frozen=True)
class Missing(_Plain):
    """No value yet, and why."""

    reason: str
    text = "missing"

    @property
    def note(self) -> str:
        return self.reason

    @property
    def columns(self) -> dict[str, str]:
        return {"missing": self.reason}


@dataclass(frozen=True)
class Absent(_Plain):
    """Where a column does not apply, which is not the same as missing."""

    text = "–"

    @property
    def columns(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class Text(_Plain):
    text: str

    @property
    def columns(self) -> dict[str, str]:
        return {"": self.text}


@dataclass(frozen=True)
class Percent:
    """A metric of one configuration, in per cent."""

    estimate: Estimate

    @property
    def text(self) -> str:
        spread = "" if math.isnan(self.estimate.sd) else f" ± {100 * self.estimate.sd:.1f}"
        return f"{100 * self.estimate.mean:.1f}{spread}"

    @property
    def below(self) -> str:
        return f"[{100 * self.estimate.low:.1f}, {100 * self.estimate.high:.1f}]"

    @property
    def note(self) -> str:
        e = self.estimate
        return f"{_seeds(e.seeds)}, {e.images:,} images of {e.groups:,} lesions"

    @property
    def columns(self) -> dict[str, float | int]:
        e = self.estimate
        shares = {name: 100 * getattr(e, name) for name in ("mean", "sd", "low", "high")}
        return {**shares, "seeds": e.seeds, "n": e.images}


@dataclass(frozen=True)
class Points:
    """A difference of two configurations, in percentage points."""

    comparison: Comparison

    @property
    def text(self) -> str:
        return signed(100 * self.comparison.difference)

    @property
    def below(self) -> str:
        return f"[{signed(100 * self.comparison.low)}, {signed(100 * self.comparison.high)}]"

    @property
    def note(self) -> str:
        return f"{_seeds(self.comparison.seeds)} a side, {self.comparison.images:,} images"

    @property
    def columns(self) -> dict[str, float | int]:
        c = self.comparison
        points = {"difference": 100 * c.difference, "low": 100 * c.low, "high": 100 * c.high}
        return {**points, "seeds": c.seeds, "n": c.images}


@dataclass(frozen=True)
class PValue:
    """The p-value of a comparison, and after Holm's correction, which is the one to read."""

    p: float | None
    corrected: float | None

    @property
    def text(self) -> str:
        return "no claim" if self.corrected is None else p_text(self.corrected)

    @property
    def below(self) -> str:
        return "" if self.p is None else f"raw {p_text(self.p)}"

    @property
    def note(self) -> str:
        return "one seed: no test can be made" if self.p is None else ""

    @property
    def columns(self) -> dict[str, float]:
        return {"": _or_nan(self.corrected), "raw": _or_nan(self.p)}


@dataclass(frozen=True)
class Networks:
    """McNemar's p: whether these networks differ on these images, which is not whether the methods do."""

    test: McNemar

    @property
    def text(self) -> str:
        return p_text(self.test.p)

    @property
    def below(self) -> str:
        return f"g {signed(self.test.cohens_g, 2)}"

    @property
    def note(self) -> str:
        return f"only the first right: {self.test.b:.1f} images, only the second: {self.test.c:.1f}; Cohen's g"

    @property
    def columns(self) -> dict[str, float]:
        return {"p": self.test.p, "b": self.test.b, "c": self.test.c, "g": self.test.cohens_g}


@dataclass(frozen=True)
class Effect(_Plain):
    """An effect size and its name."""

    value: float
    name: str

    @property
    def text(self) -> str:
        return "–" if math.isnan(self.value) else signed(self.value, 2)

    @property
    def note(self) -> str:
        return self.name

    @property
    def columns(self) -> dict[str, float | str]:
        return {"": self.value, "measure": self.name}


@dataclass(frozen=True)
class Quantity:
    """A number with a unit (told in the column's heading), maybe with a range."""

    value: float
    digits: int = 0
    plus: bool = False  # show a plus sign
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        return self._told(self.value)

    @property
    def below(self) -> str:
        ends = [] if self.low is None else [self._told(self.low), self._told(self.high)]
        return f"[{', '.join(ends)}]" if len(set(ends)) == 2 else ""

    note = ""

    @property
    def columns(self) -> dict[str, float]:
        ends = {} if self.low is None else {"low": self.low, "high": self.high}
        return {"": self.value, **ends}

    def _told(self, value: float) -> str:
        return signed(value, self.digits) if self.plus else minus(f"{value:,.{self.digits}f}")


@dataclass(frozen=True)
class Seeds(_Plain):
    """How many of a row's runs are finished."""

    done: int
    wanted: int

    @property
    def text(self) -> str:
        return f"{self.done} of {self.wanted}"

    @property
    def columns(self) -> dict[str, int]:
        return {"done": self.done, "wanted": self.wanted}


def signed(value: float, digits: int = 1) -> str:
    """'+1.2', '−0.4', '0.0'"""
    told = f"{value:+,.{digits}f}"
    return told[1:] if float(told.replace(",", "")) == 0 else minus(told.replace("inf", "∞"))


def minus(number: str) -> str:
    """A number with a minus sign instead of a hyphen."""
    return number.replace("-", "−")


def p_text(p: float) -> str:
    """'0.031', '< 0.001'"""
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.3f}"


def _seeds(number: int) -> str:
    return "1 seed" if number == 1 else f"{number} seeds"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
