"""What stands in one place of a table: what a reader sees, and apart from it what a file keeps; and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lib.statistics.estimates import Comparison, Estimate
from lib.statistics.mcnemar import McNemar

LEAST_P = 0.001
MOST_DIGITS = 6  # after the point, of a difference in points


@dataclass(frozen=True)
class Cell:
    """A cell says a line, maybe a second one, and holds plain numbers by name for the CSV file."""

    text: str
    below: str = ""  # a second, smaller line: the interval
    note: str = ""  # more, on demand
    columns: Mapping[str, float | str] = field(default_factory=dict)
    kind: Literal["number", "words", "missing", "verdict"] = "number"
    link: str = ""  # where the text leads: an address, or a notebook beside this one

    @classmethod
    def missing(cls, reason: str) -> Cell:
        """No value yet, and why."""
        return cls("missing", note=reason, columns={"missing": reason}, kind="missing")

    @classmethod
    def absent(cls) -> Cell:
        """Where a column does not apply, which is not the same as missing."""
        return cls("–")

    @classmethod
    def words(cls, text: str) -> Cell:
        """A text that is no number, kept in the file as it stands."""
        return cls(text, columns={"": text}, kind="words")

    @classmethod
    def verdict(cls, word: str, note: str = "") -> Cell:
        """A word that decides, such as 'shown', with its reason on demand."""
        return cls(word, note=note, columns={"": word}, kind="verdict")

    @classmethod
    def seeds(cls, done: int, wanted: int) -> Cell:
        """How many of a row's runs are finished."""
        return cls(f"{done} of {wanted}", columns={"done": done, "wanted": wanted})

    @classmethod
    def percent(cls, estimate: Estimate) -> Cell:
        """A metric of one configuration, in per cent."""
        mean, sd, low, high = (100 * value for value in (estimate.mean, estimate.sd, estimate.low, estimate.high))
        return cls(
            f"{mean:.1f}" if math.isnan(sd) else f"{mean:.1f} ± {sd:.1f}",
            f"[{low:.1f}, {high:.1f}]",
            f"{seeds_text(estimate.seeds)}, {_images(estimate.images, estimate.groups)}",
            {"mean": mean, "sd": sd, "low": low, "high": high, "seeds": estimate.seeds, "n": estimate.images},
        )

    @classmethod
    def points(cls, comparison: Comparison) -> Cell:
        """A difference of two configurations, in percentage points."""
        difference, low, high = in_points(comparison)
        text, *ends = points_with_ends(comparison)
        return cls(
            text,
            f"[{', '.join(ends)}]",
            f"{seeds_text(comparison.seeds)} a side, {comparison.images:,} images",
            {"difference": difference, "low": low, "high": high, "seeds": comparison.seeds, "n": comparison.images},
        )

    @classmethod
    def p_value(cls, p: float | None, corrected: float | None) -> Cell:
        """The p-value of a comparison, and after Holm's correction, which is the one to read."""
        return cls(
            "no claim" if corrected is None else p_text(corrected),
            "" if p is None else f"raw {p_text(p)}",
            "one seed: no test can be made" if p is None else "",
            {"": math.nan if corrected is None else corrected, "raw": math.nan if p is None else p},
        )

    @classmethod
    def mcnemar(cls, test: McNemar) -> Cell:
        """McNemar's p: whether these networks differ on these images, which is not whether the methods do."""
        return cls(
            p_text(test.p),
            f"g {signed(test.cohens_g, 2)}",
            f"only the first right: {test.b:.1f} images, only the second: {test.c:.1f}; Cohen's g",
            {"p": test.p, "b": test.b, "c": test.c, "g": test.cohens_g},
        )

    @classmethod
    def effect(cls, size: float, name: str) -> Cell:
        """An effect size and its name."""
        return cls("–" if math.isnan(size) else signed(size, 2), note=name, columns={"": size, "measure": name})

    @classmethod
    def quantity(cls, value: float, digits: int = 0, *ends: float, plus: bool = False) -> Cell:
        """A number with a unit (told in the column's heading), maybe with both ends of its range; `plus` shows a plus
        sign."""
        text, *span = (signed(v, digits) if plus else minus(f"{v:z,.{digits}f}") for v in (value, *ends))
        columns = {"": value, **dict(zip(("low", "high"), ends, strict=False))}
        return cls(text, f"[{', '.join(span)}]" if len(set(span)) == 2 else "", columns=columns)


def signed(value: float, digits: int = 1) -> str:
    """'+1.2', '−0.4', '0.0'"""
    number = f"{value:+,.{digits}f}"
    return number[1:] if float(number.replace(",", "")) == 0 else minus(number.replace("inf", "∞"))


def minus(number: str) -> str:
    """A number with a minus sign instead of a hyphen."""
    return number.replace("-", "−")


def p_text(p: float) -> str:
    """'0.031', '< 0.001'"""
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.3f}"


def p_statement(p: float) -> str:
    """'p = 0.031', 'p < 0.001'"""
    return f"p {p_text(p)}" if p < LEAST_P else f"p = {p_text(p)}"


def in_points(comparison: Comparison) -> tuple[float, float, float]:
    """The difference and the ends of its interval, in percentage points."""
    return 100 * comparison.difference, 100 * comparison.low, 100 * comparison.high


def points_with_ends(comparison: Comparison) -> tuple[str, str, str]:
    """'+1.2', '−0.4', '+2.8'; of an interval without zero with as many digits as tell its ends from zero."""
    difference, low, high = in_points(comparison)
    least = min(abs(low), abs(high)) if low * high > 0 else 1.0
    digits = min(max(1, -math.floor(math.log10(least))), MOST_DIGITS)
    return signed(difference, digits), signed(low, digits), signed(high, digits)


def points_text(comparison: Comparison) -> str:
    """'+1.2 [−0.4, +2.8]'"""
    cell = Cell.points(comparison)
    return f"{cell.text} {cell.below}"


def seeds_text(number: int) -> str:
    """'1 seed', '3 seeds'"""
    return "1 seed" if number == 1 else f"{number} seeds"


def _images(images: int, groups: int) -> str:
    return f"{images:,} images" + f" of {groups:,} groups" * (groups != images)
