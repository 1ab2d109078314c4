"""One progress display for all long work: a bar with time left, or plain lines where nobody watches a bar."""

import os
import re
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Self

HEADLESS = "WORKBOOK_HEADLESS"  # set by run_all for the kernels that it starts
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_MESSAGES = 0.1  # to a notebook's page
LONG = 1.0  # seconds of work that is worth a line when it is done
NEWS = re.compile(
    r"^.+: [\d.]+/[\d.]+ .+ \(\d+ %\)(, .*)?\n?", re.MULTILINE
)  # a line of `Lines`, which has been news once

# What a notebook shows while it happens → the module whose `watch` shows it. Those who work stand in rooms below those who
# draw: `lib` itself says here who watches whom.
WATCHERS: dict[str, str] = {}


def is_interactive() -> bool:
    """Whether a person has a notebook open on this process: it is a kernel, and not one that run_all started."""
    ipython = sys.modules.get("IPython")
    return not os.environ.get(HEADLESS) and ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def watcher(what: str, *about: object) -> Callable[..., object]:
    """What to call whenever there is news of `what`, such as a training; it does nothing where nobody watches."""
    if what not in WATCHERS or not is_interactive():
        return lambda *news: None
    return import_module(WATCHERS[what]).watch(*about)


def duration(seconds: float) -> str:
    """Seconds as a person says them: '41 s', '3 min 05 s', '2 h 10 min'."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Progress:
    """Counts `total` steps of `what`; 0 where nobody knows how many. Use as a context manager and call `advance`.

    A bar of ipywidgets in a notebook that a person has open, of tqdm in a terminal; elsewhere one plain line every few
    seconds, because a bar's carriage returns flood log files (papermill#765). `quiet`: no plain lines, since the caller
    has lines of its own and says them through `say`.
    """

    def __init__(self, total: int, what: str, unit: str = "images", done: int = 0, quiet: bool = False) -> None:
        self.total, self.what, self.unit, self.quiet = total, what, unit, quiet
        self.start_count = self.done = done
        self.note = ""
        self._display = Lines(self)

    def __enter__(self) -> Self:
        self._began = self._shown = time.monotonic()
        if is_interactive():
            self._display = NotebookBar(self)
        elif sys.stderr.isatty() and not os.environ.get(HEADLESS):
            self._display = TerminalBar(self)
        return self

    def __exit__(self, kind: object = None, *exc: object) -> None:
        seconds = time.monotonic() - self._began
        self._display.close(
            f"{self.what}: {self.count}, {'stopped' if kind else 'done'} after {duration(seconds)}", seconds
        )

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` more; `note` is shown beside the count (the current loss, a run's name)."""
        self.done += steps
        self.note = note or self.note
        now = time.monotonic()
        if now - self._shown >= self._display.pause:
            self._shown = now
            self._display.show(now - self._began)

    def say(self, line: str) -> None:
        """Print a line that stays, above the bar where there is one."""
        self._display.say(line)

    @property
    def count(self) -> str:
        """'3/20 images (15 %)', '1.5/80.0 MB (2 %)'; without a total '3 images'."""
        unit, scale, digits = ("MB", 1e6, 1) if self.unit == "bytes" else (self.unit, 1, 0)
        done, total = (f"{number / scale:.{digits}f}" for number in (self.done, self.total))
        return f"{done}/{total} {unit} ({100 * self.done / self.total:.0f} %)" if self.total else f"{done} {unit}"

    def left(self, seconds: float) -> str:
        """The time that is left, after `seconds`; '' where nobody knows."""
        rate = (self.done - self.start_count) / max(seconds, 1e-9)
        return f"{duration((self.total - self.done) / rate)} left" if rate > 0 and self.total else ""

    def line(self, seconds: float) -> str:
        """All of it in words, after `seconds`."""
        return ", ".join(filter(None, (f"{self.what}: {self.count}", self.left(seconds), self.note)))


class Lines:
    """Where a `Progress` is seen: plain lines, for log files and exported pages. `pause`: seconds between two looks."""

    pause = SECONDS_BETWEEN_LINES

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def show(self, seconds: float) -> None:
        """Show the count, `seconds` after the beginning."""
        if not self.progress.quiet:
            self.say(self.progress.line(seconds))

    def say(self, line: str) -> None:
        """Print a line that stays."""
        print(line, flush=True)

    def close(self, line: str, seconds: float) -> None:
        """The end, after `seconds`, which `line` tells: nothing that the lines have not said."""


class TerminalBar(Lines):
    """tqdm's."""

    pause = 0.0  # it knows when to draw

    def __init__(self, progress: Progress) -> None:
        from tqdm import tqdm

        super().__init__(progress)
        unit = progress.unit
        scaled = {"unit": "B", "unit_scale": True} if unit == "bytes" else {"unit": f" {unit}"}
        total = progress.total or None
        self.bar = tqdm(total=total, initial=progress.done, desc=progress.what, leave=False, **scaled)

    def show(self, seconds: float) -> None:
        if self.progress.note:
            self.bar.set_postfix_str(self.progress.note, refresh=False)
        self.bar.update(self.progress.done - self.bar.n)

    def say(self, line: str) -> None:
        self.bar.write(line)

    def close(self, line: str, seconds: float) -> None:
        self.bar.close()


class NotebookBar(Lines):
    """A bar of ipywidgets, with the count beside it. In the end a plain line takes its place, or nothing if the work was
    short: a notebook that is opened again has no kernel to draw a widget."""

    pause = SECONDS_BETWEEN_MESSAGES

    def __init__(self, progress: Progress) -> None:
        from IPython.display import display
        from ipywidgets import HBox, IntProgress, Label

        super().__init__(progress)
        self.bar = IntProgress(value=progress.done, max=progress.total or 1, bar_style="info")
        self.text = Label(progress.count)
        self.box = HBox([Label(f"{progress.what}:"), self.bar, self.text])
        self.handle = display(self.box, display_id=True)

    def show(self, seconds: float) -> None:
        progress = self.progress
        self.bar.value = progress.done if progress.total else 1
        self.text.value = ", ".join(filter(None, (progress.count, progress.left(seconds), progress.note)))

    def close(self, line: str, seconds: float) -> None:
        said = {"text/plain": line} if seconds >= LONG else {"text/html": "", "text/plain": ""}
        self.handle.update(said, raw=True)
        for widget in (*self.box.children, self.box):
            widget.close()
