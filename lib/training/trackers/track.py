"""When a tracker is told: after every epoch while a run trains, and once from the store of a run that is finished.

A run's folder keeps in `tracked.json` where it was told: so a run that is asked for again is not told twice, and one that
was trained without a tracker, or under another name, is told from what the store has of it. Nothing that a tracker raises
ends a training: what it has missed is told when the run is asked for again.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

from lib.errors import WorkbookError, warn_once
from lib.files import write_text
from lib.training.config import RunConfig
from lib.training.distributed import rank_of
from lib.training.store import Run
from lib.training.trackers.destinations import Destination, destinations, project_of
from lib.training.trackers.tracked_runs import best_epoch_of, facts_of

log = logging.getLogger(__name__)

Rows = Sequence[Mapping[str, float]]


class Tracking:
    """The trackers of one run while it is open."""

    def __init__(self, run: Run, opened: dict[str, Destination]) -> None:
        self.run, self.opened, self.epochs = run, opened, 0

    def follow(self, rows: Rows, best: int | None = None) -> None:
        """Tell the lines of the log that are new; of a run that goes on after an interrupt these are all, at first."""
        for row in rows[self.epochs :]:
            self._tell(lambda destination, row=row: destination.epoch(row))
        self.epochs = len(rows)

    def conclude(self) -> None:
        """Tell of the finished run, and keep where it was told."""
        if not self.opened:
            return
        best, facts = best_epoch_of(self.run), facts_of(self.run)
        self._tell(lambda destination: destination.conclude(best, facts))
        if self.opened:
            write_text(self.run.path / "tracked.json", json.dumps(sorted({*_told(self.run), *self.opened}), indent=1))

    def _tell(self, tell: Callable[[Destination], None]) -> None:
        """`tell` every tracker; one that fails is told no more."""
        for place, destination in list(self.opened.items()):
            try:
                tell(destination)
            except Exception as error:  # of four packages, and of what they send over a network
                self.opened.pop(place)
                _warn(place, error)
                with contextlib.suppress(Exception):
                    destination.close(finished=False)


@contextlib.contextmanager
def tracking(config: RunConfig, run: Run) -> Iterator[Tracking]:
    """What `config` asks to tell of `run`, and was not told yet, opened; in the end it is closed.

    Raises:
        WorkbookError: a tracker is asked for and not installed.
    """
    tracked = Tracking(run, {} if rank_of(config) else dict(_open(config, run)))
    finished = False
    try:
        yield tracked
        finished = True
    finally:
        for place, destination in tracked.opened.items():
            try:
                destination.close(finished)
            except Exception as error:
                _warn(place, error)


def track(config: RunConfig, run: Run) -> None:
    """Tell of a finished run what `config` asks for and nobody was told yet, from what the store has."""
    if config.wandb_run is not None and project_of(config) is None:
        warn_once(
            log,
            f"wandb_run={config.wandb_run!r} names a run at Weights & Biases, and no project is named: nothing is "
            "logged there. Give it with --wandb_project NAME, or in the environment's WANDB_PROJECT.",
        )
    with tracking(config, run) as tracked:
        if tracked.opened:
            tracked.follow(run.log.to_dict("records"))
            tracked.conclude()


def _open(config: RunConfig, run: Run) -> Iterator[tuple[str, Destination]]:
    wanted = destinations(config)
    for place, kind in wanted.items() if wanted else ():
        if place in _told(run):
            continue
        try:
            yield place, kind(config, run.path)
        except WorkbookError:
            raise
        except Exception as error:
            _warn(place, error)


def _told(run: Run) -> list[str]:
    """Where the run was told already; nowhere, if that cannot be read."""
    try:
        return list(map(str, json.loads((run.path / "tracked.json").read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError):
        return []


def _warn(place: str, error: Exception) -> None:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    log.warning("%s cannot be told (%s): ask for the run again, and it is told from the store", place, reason)
