"""How a notebook opens: one line in a folded cell.

::

    from lib.opening import display, open_notebook, show, show_key_figures, show_verdict
    from lib.report.figures import run_figures as figures

    nb = open_notebook(globals())
    nb

The rules of that cell, and of what stands around it:

* `nb` holds what the whole notebook works with: the store of runs, the run that the parameters ask for, its network, an
  image to look at. Nothing is put into the notebook behind the reader's back; the cell ends in `nb`, which says the recipe.
* What only one section needs is imported in that section's cell, where the reader sees where it comes from.
* The cell is folded (`"jupyter": {"source_hidden": true}`), and so it is in the exported page, as "setup".
* The parameters cell stands above it, in two groups: what most people change, then, below the comment `SELDOM`, the
  rest. The exported page folds the second group.
* *The mechanism in ten lines* follows the question. Its cell is tagged `mechanism`: the page shows it unfolded, and
  `tests/test_mechanisms.py` runs it against a library that was changed, which it has to notice.
* A *Try it* question hides its answer in Markdown: `<details><summary>Answer</summary>`, an empty line, the answer, an
  empty line, `</details>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from torch import nn

from lib.errors import WorkbookValueError, choose, positive
from lib.evaluation.efficiency import Efficiency, measure_efficiency
from lib.evaluation.test_images import TestImages, select_images
from lib.paths import resolve_output
from lib.report.figures.diagram import show_diagram
from lib.report.figures.style import show
from lib.report.pages.key_figures import show_key_figures, show_verdict
from lib.report.tables.run_tables import recipe_text
from lib.training import PROFILES, Run, RunConfig, RunStore, config_of, fit, fit_all, prepare
from lib.training.build_model import build_model
from lib.training.training_data import DecodedImages

__all__ = [
    "Markdown",
    "OpenNotebook",
    "display",
    "np",
    "open_notebook",
    "pd",
    "show",
    "show_diagram",
    "show_key_figures",
    "show_verdict",
]


@dataclass(frozen=True)
class OpenNotebook:
    """What a notebook works with; what costs something is made when it is first asked for."""

    parameters: Mapping[str, Any]  # the notebook's
    settings: Mapping[str, Any]  # what it fixes beside them, or in place of them
    defaults: Mapping[str, Any]  # what a setting is where neither a parameter nor the profile says it

    @property
    def output(self) -> Path:
        """Where results go."""
        return resolve_output(self.parameters["output_dir"])

    @property
    def store(self) -> RunStore:
        """The store of runs."""
        return RunStore(self.output / "runs")

    @cached_property
    def config(self) -> RunConfig:
        """The run that the parameters ask for."""
        asked = {**self.parameters, **self.settings}
        preset = PROFILES[choose("profile", asked["profile"], PROFILES)]
        unsaid = {name for name in self.defaults if asked.get(name) is None and name not in preset}
        return config_of(asked | {name: self.defaults[name] for name in unsaid})

    def fit(self, config: RunConfig) -> Run:
        """The finished run of `config`; see `lib.training.fit`."""
        return fit(config, self.store)

    def fit_seeds(self, config: RunConfig, seeds: int) -> list[Run]:
        """The finished runs of `config` with the seeds 0, 1, …"""
        return [*fit_all([config.replace(seed=seed) for seed in range(seeds)], self.store).values()]

    def cost(self, run: Run) -> Efficiency:
        """Parameters, multiply-accumulates and times of a run's network, measured for `efficiency_seconds`."""
        seconds = self.parameters["efficiency_seconds"]
        return measure_efficiency(run.config, len(run.classes), self.output / "efficiency", seconds=seconds)

    @cached_property
    def network(self) -> nn.Module:
        """The trained network of `config`, in eval mode, on the CPU."""
        return self.fit(self.config).model()

    def network_of(self, config: RunConfig, train: bool = True) -> nn.Module:
        """The trained network of another config, or, where it is not there and not to be trained, as it is drawn."""
        run = self.store.run(config)
        if train:
            return self.fit(config).model()
        classes = len(prepare(config, self.store).images.classes)
        return run.model() if run.finished else build_model(config, classes, pretrained=False).eval()

    @cached_property
    def prepared(self) -> DecodedImages:
        """The images of `config`, decoded."""
        return prepare(self.config, self.store)

    def images(self, count: int | None = None, order: str = "classes in turn", **chosen: Any) -> TestImages:
        """Images as `config` is tested on them; see `select_images`."""
        return select_images(self.config, self.prepared, count, order, **chosen)

    def images_of(self, config: RunConfig, count: int, order: str = "classes in turn") -> TestImages:
        """Images as another config is tested on them."""
        return select_images(config, prepare(config, self.store), count, order)

    @cached_property
    def example(self) -> TestImages:
        """The one image on which the mechanism is computed."""
        return self.images(1)

    def size(self, name: str, otherwise: int, **by_profile: int) -> int:
        """The parameter `name` or, where it is none, its size in this profile: `nb.size("seeds", 3, quick=1, smoke=1)`.

        Raises:
            WorkbookValueError: it is no positive whole number.
        """
        given = self.parameters[name]
        value = by_profile.get(self.parameters["profile"], otherwise) if given is None else given
        positive(**{name: value})
        return value

    def _repr_markdown_(self) -> str:
        return f"{recipe_text(self.config)}. Runs are kept in `{self.parameters['output_dir']}/runs`."

    def __repr__(self) -> str:
        return self._repr_markdown_()


def open_notebook(
    parameters: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, **settings: Any
) -> OpenNotebook:
    """A notebook's work place. Nothing is trained or read yet.

    Args:
        parameters: the notebook's, `globals()` in the cell below them: names that are no settings are left out of the run.
        defaults: what a setting is where neither a parameter nor the profile says it.
        settings: what the notebook fixes.

    Raises:
        WorkbookValueError: an unknown profile, or, of a notebook that trains one run (it has a `seed`), a value that no run
            can have.
    """
    nb = OpenNotebook(dict(parameters), settings, defaults or {})
    profile = nb.parameters.get("profile")
    known = None if profile is None else choose("profile", profile, PROFILES)
    if known != profile:  # cells compare it with names
        raise WorkbookValueError(f"profile={profile!r} is written {known!r}.")
    if "seed" in nb.parameters:
        _ = nb.config
    return nb
