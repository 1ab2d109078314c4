"""What is done when the figure of finished trainings is drawn: the one that was drawn live gives way to it."""

from collections.abc import Callable, Iterable

from lib.report.figures.live_curves import give_way
from lib.training.store import Run


def watch() -> Callable[[Iterable[Run]], None]:
    """What to call with the runs whose finished curves come now."""
    return give_way
