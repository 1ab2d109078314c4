"""What a benchmark yields: the ratio of two things that took turns in one run, its spread, and what is wanted of it."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`name` ÷ `against`: the median over the turns, the least and the greatest of them."""

    name: str
    against: str
    ratio: float
    low: float
    high: float
    processor: float | None = (
        None  # the ratio of processor time, which other programs hardly change; None: not measured
    )
    at_most: float | None = None  # what is wanted, if anything
    at_least: float | None = None
    note: str = ""  # what the two were, with units

    @property
    def what(self) -> str:
        return f"{self.name} ÷ {self.against}"

    @property
    def wanted(self) -> str:
        """In words, '' for nothing."""
        bounds = (("≤", self.at_most), ("≥", self.at_least))
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    @property
    def missed(self) -> bool:
        """Whether something is wanted that the ratio is not."""
        return (self.at_most is not None and self.ratio > self.at_most) or (
            self.at_least is not None and self.ratio < self.at_least
        )


@dataclass(frozen=True)
class NotRun:
    """A comparison that needs what is not here."""

    what: str
    why: str


def of_turns(name: str, against: str, ratios: Sequence[float], note: str = "", **more: float | None) -> Row:
    """The row of the ratios of all turns."""
    return Row(name, against, statistics.median(ratios), min(ratios), max(ratios), note=note, **more)


def of_counts(name: str, against: str, first: float, second: float, unit: str = "", **wanted: float) -> Row:
    """The row of two numbers that are the same on every run, such as bytes of tensors or parameters."""
    return of_turns(name, against, [first / second], f"{first:,.4g} ÷ {second:,.4g} {unit}".rstrip(), **wanted)
