"""One progress display for all long work: a bar with time left, or plain lines where nobody watches a bar."""

import os
import sys
import time
from typing import Self

HEADLESS = "WORKBOOK_HEADLESS"  # set by run_all for the kernels that it starts
SECONDS_BETWEEN_LINES = 5.0


def is_interactive() -> bool:
    """Whether a bar can be drawn: a terminal, or a notebook that a person has open."""
    if os.environ.get(HEADLESS):
        return False
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def duration(seconds: float) -> str:
    """Seconds as a person says them: '41 s', '3 min 05 s', '2 h 10 min'."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Progress:
    """Counts `total` steps of `what`. Use as a context manager and call `advance`.

    A tqdm bar in a terminal or in Lab; elsewhere one plain line every few seconds, because a bar's
    carriage returns flood log files (papermill#765).
    """

    def __init__(self, total: int, what: str, unit: str = "images", done: int = 0) -> None:
        self.total, self.what, self.unit = total, what, unit
        self.start_count = self.done = done
        self._bar = None

    def __enter__(self) -> Self:
        self._began = self._spoke = time.monotonic()
        if is_interactive():
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.total, initial=self.done, desc=self.what, unit=f" {self.unit}", leave=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` more; `note` is shown beside the count (the current loss, a run's name)."""
        self.done += steps
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(steps)
            return
        now = time.monotonic()
        if now - self._spoke >= SECONDS_BETWEEN_LINES:
            self._spoke = now
            print(self._line(now - self._began, note), flush=True)

    def _line(self, seconds: float, note: str) -> str:
        rate = (self.done - self.start_count) / max(seconds, 1e-9)
        left = f", {duration((self.total - self.done) / rate)} left" if rate > 0 else ""
        share = 100 * self.done / max(self.total, 1)
        tail = f", {note}" if note else ""
        return f"{self.what}: {self.done}/{self.total} {self.unit} ({share:.0f} %){left}{tail}"
