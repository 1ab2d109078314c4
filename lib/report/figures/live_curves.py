"""The curves of a training as it goes on, below the notebook's cell that trains; what stays is the finished figure.

A picture that is exchanged in place needs nothing but a notebook: it is the same in JupyterLab, Notebook and VS Code, and
what was last drawn is what is saved, exported and printed. All trainings of one cell share a figure.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.display import display

from lib.report.figures.reid_figures import SEARCH
from lib.report.figures.run_figures import CLASSIFICATION, log_curves
from lib.report.figures.style import png_of
from lib.training.store import Run

MOST = 4  # trainings in one figure, the latest
SHARE = 0.1  # of the time that drawing may take


@dataclass
class LiveCurves:
    """The figure of a cell: its trainings' logs by name, the best epochs of those that are finished."""

    logs: dict[str, pd.DataFrame] = field(default_factory=dict)
    best: dict[str, int] = field(default_factory=dict)
    phantom: bool = False
    place: Any = None  # of the display
    again: float = 0.0  # when it may be drawn again

    def tell(self, name: str, phantom: bool, rows: Sequence[Mapping[str, float]], best: int | None) -> None:
        """The log of training `name` so far; `best` is its best epoch, once it is finished."""
        self.phantom |= phantom
        self.logs[name] = pd.DataFrame(rows)
        if best is not None:
            self.best[name] = best
        began = time.monotonic()
        if best is not None or began >= self.again:
            self.draw()
            self.again = time.monotonic() + (time.monotonic() - began) / SHARE

    def draw(self) -> None:
        """Show the logs as they are, in the place of what was shown before."""
        logs = dict(list(self.logs.items())[-MOST:])
        panels = SEARCH if any("val_map" in log for log in logs.values()) else CLASSIFICATION
        fig = log_curves(logs, {name: epoch for name, epoch in self.best.items() if name in logs}, self.phantom, panels)
        caption = f"Training (dashed) and validation (full) of {', '.join(logs)} over the epochs, the best one dotted."
        width, height = (round(side * 110) for side in fig.get_size_inches())  # known, the page does not jump
        shown = {"image/png": png_of(fig), "text/plain": caption}
        metadata = {"image/png": {"alt": caption, "width": width, "height": height}}
        if self.place is None:
            self.place = display(shown, metadata=metadata, raw=True, display_id=True)
        else:
            self.place.update(shown, metadata=metadata, raw=True)

    def clear(self) -> None:
        """Show nothing any more."""
        if self.place is not None:
            self.place.update({"text/html": "", "text/plain": ""}, raw=True)
            self.place = None


@lru_cache(maxsize=1)
def _figure_of(cell: str) -> LiveCurves:
    return LiveCurves()


def watch(name: str, phantom: bool) -> partial:
    """What to call with the log's rows after every epoch of training `name`, and with the best epoch after the last."""
    return partial(_figure_of(_cell()).tell, name, phantom)


def give_way(runs: Iterable[Run]) -> None:
    """Take away this cell's figure where it has nothing but the trainings of `runs`, whose finished figure comes now."""
    live = _figure_of(_cell())
    if live.logs.keys() <= {run.path.name for run in runs}:
        live.clear()


def _cell() -> str:
    """What the kernel calls the cell that runs."""
    return get_ipython().kernel.get_parent()["header"]["msg_id"]
