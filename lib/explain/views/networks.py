"""The networks that a view may ask: runs of a store, each loaded when it is first asked."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from torch import nn

from lib import hardware
from lib.errors import WorkbookValueError, choose
from lib.explain.views.worker import WORKER
from lib.training import Run, RunStore

MOST_LOADED = 6  # networks that stay in memory: as many as a comparison shows

TESTS = (
    "predictions.csv",
    "queries.csv",
)  # of a finished run that tells classes apart, or that searches for identities

Given = RunStore | Run | Iterable[Run] | Mapping[str, Run]


class Networks:
    """Finished runs that were tested, by name: all of a store (those that it gets later, too), or those given.

    Raises:
        WorkbookValueError: there are none.
    """

    def __init__(self, given: Given, device: str = "auto") -> None:
        self._given, self._device = given, hardware.device(device)
        self._loaded: OrderedDict[str, nn.Module] = OrderedDict()
        self._runs = self._listed()
        if not self._runs:
            raise WorkbookValueError("There is no finished run that was tested: train one with fit(config).")

    def _listed(self) -> dict[str, Run]:
        """By name, as they are now; a config is read when its network is asked, since a store may be large."""
        if isinstance(self._given, Mapping):
            return dict(self._given)
        runs = [self._given] if isinstance(self._given, Run) else self._given
        tested = lambda path: (path / "metrics.json").exists() and any((path / name).exists() for name in TESTS)  # noqa: E731
        return {run.path.name: run for run in runs if tested(run.path)}

    @property
    def names(self) -> list[str]:
        """Of all networks that are there now."""
        there = self._listed()
        self._runs = there | self._runs  # what has been read already stays
        return list(there)

    def __getitem__(self, name: str) -> Run:
        """The run called `name`; a WorkbookValueError where there is none."""
        if name not in self._runs:
            choose("network", name, self.names)
        return self._runs[name]

    def searches(self, name: str) -> bool:
        """Whether that network searches for identities: it answers no class."""
        return self[name].config.task == "reid"

    def model(self, name: str) -> nn.Module:
        """The network of that run in eval mode, on the device, for the views' thread alone.

        Raises:
            WorkbookError: it is not in the store any more, or its weights cannot be loaded.
        """
        if name not in self._loaded:
            model = self[name].model().to(self._device)
            model.register_forward_pre_hook(lambda *_: WORKER.checkpoint())  # long work asks whether it is still wanted
            self._loaded[name] = model
            if len(self._loaded) > MOST_LOADED:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return self._loaded[name]
