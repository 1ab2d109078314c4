"""The networks that a view may ask: runs of a store, each loaded when it is first asked."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from torch import nn

from lib import hardware
from lib.errors import WorkbookValueError, choose
from lib.explain.views.worker import WORKER
from lib.training import Run, RunStore

MOST_LOADED = 6  # networks that stay in memory: as many as a comparison shows

TESTED = ("metrics.json", "predictions.csv")  # of a run that is finished, and tells classes apart

Given = RunStore | Run | Iterable[Run] | Mapping[str, Run]


class Networks:
    """Finished runs that tell classes apart, by name: all of a store (those that it gets later, too), or those given.

    Raises:
        WorkbookValueError: there are none.
    """

    def __init__(self, given: Given, device: str = "auto") -> None:
        self._given, self._device = given, hardware.device(device)
        self._loaded: OrderedDict[str, nn.Module] = OrderedDict()
        self._runs = self._listed()
        if not self._runs:
            raise WorkbookValueError(
                "There is no finished run that tells classes apart: train one with fit(config). Networks that search for "
                "identities answer no class: explorer_of({name: run.model()}, images) shows what they look at."
            )

    def _listed(self) -> dict[str, Run]:
        """By name, as they are now; a config is read when its network is asked, since a store may be large."""
        if isinstance(self._given, Mapping):
            return {name: run for name, run in self._given.items() if run.config.task != "reid"}
        runs = [self._given] if isinstance(self._given, Run) else self._given
        return {run.path.name: run for run in runs if all((run.path / name).exists() for name in TESTED)}

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
