"""A research workbook on global-local visual attention: GLSA, DCAL, LESA and GAttANet on one trainer.

`import lib` is cheap: a name is loaded when it is first used. One thing it does: freed memory is kept, see `lib.malloc`.
"""

from importlib import import_module
from typing import Any

from lib.malloc import keep_freed_memory
from lib.progress import WATCHERS

HOMES = {
    "create_dcal_model": "lib.dcal",
    "create_model": "lib.models",
    "RunConfig": "lib.training",
    "RunStore": "lib.training",
    "fit": "lib.training",
    "profile_config": "lib.training",
    "load_dataset": "lib.data",
    "WorkbookError": "lib.errors",
}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'lib' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


keep_freed_memory()
WATCHERS["training"] = "lib.report.figures.live_curves"
WATCHERS["finished curves"] = "lib.report.figures.finished_curves"
