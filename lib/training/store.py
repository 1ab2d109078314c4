"""The store of runs: a folder a run, named by its config. Everything is written whole or not at all.

<store>/superseded/     runs that were begun with other data or code
<store>/.claims/        who is training what (lib.file_claims)
<store>/<readable name>-<hash8>/
    config.json         what was asked for
    basis.json          digests of the data and of the code that the run was begun with
    training_log.csv    a line an epoch: epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,…
    train.log           everything that was logged, DEBUG
    best.safetensors    weights of the epoch that did best on validation
    last.ckpt           the state to resume from; gone when the run is finished
    predictions.csv     test split: image_id, group, label, prediction, prob_<class>…
    queries.csv         instead, of re-identification: image_id, identity, camera, matches, average_precision, …
    metrics.json        test metrics with intervals; its presence says that the run is finished
    provenance.json     commit, versions, device, data, seeds, wall time
"""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lib.errors import WorkbookFileError, did_you_mean
from lib.inputs import note
from lib.paths import OUTPUTS
from lib.retrieval.ranking import RetrievalScores
from lib.training.build_model import build_model
from lib.training.config import RunConfig

RUNS = OUTPUTS / "runs"


class Run:
    """One folder of the store, read lazily."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({self.path.name!r}, {'finished' if self.finished else 'unfinished'})"

    @property
    def finished(self) -> bool:
        note(self.path / "metrics.json")
        return (self.path / "metrics.json").exists()

    @cached_property
    def config(self) -> RunConfig:
        return RunConfig.from_dict(self._json("config.json"))

    @property
    def basis(self) -> dict[str, str]:
        """Digests of the data and code that the run was begun with; empty before it was."""
        try:
            return json.loads((self.path / "basis.json").read_text())
        except (OSError, ValueError):
            return {}

    @cached_property
    def log(self) -> pd.DataFrame:
        """training_log.csv, a row an epoch."""
        return pd.read_csv(self._file("training_log.csv"))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv of the test split, a row an image."""
        names = dict.fromkeys(("image_id", "group", "label", "prediction"), str)  # a class may be called 0, or NA
        return pd.read_csv(self._file("predictions.csv"), dtype=names, keep_default_na=False)

    @cached_property
    def retrieval(self) -> RetrievalScores:
        """Of a re-identification run: queries.csv, what the gallery answers to each query."""
        return RetrievalScores(pd.read_csv(self._file("queries.csv"), dtype={"image_id": str}))

    @cached_property
    def metrics(self) -> dict:
        """{'best_epoch': int, 'test': {metric: value}, 'intervals': {metric: [low, high]}}."""
        return self._json("metrics.json")

    @cached_property
    def provenance(self) -> dict:
        return self._json("provenance.json")

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.provenance["classes"])

    @property
    def probabilities(self) -> np.ndarray:
        """Test probabilities [N, K] in the order of `predictions`."""
        return self.predictions[[f"prob_{c}" for c in self.classes]].to_numpy()

    @property
    def labels(self) -> np.ndarray:
        """Test labels [N] as indices into `classes`."""
        return self.predictions["label"].map({c: i for i, c in enumerate(self.classes)}).to_numpy()

    def model(self) -> nn.Module:
        """The model with its best weights, in eval mode; raises what `load_best` does."""
        return self.load_best(build_model(self.config, len(self.classes), pretrained=False))

    def load_best(self, model: nn.Module) -> nn.Module:
        """`model`, the run's network, with its best weights, in eval mode.

        Raises:
            WorkbookFileError: the weights are missing or do not fit.
        """
        path = self._file("best.safetensors")
        try:
            model.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise WorkbookFileError(
                f"{path} cannot be loaded ({error}); remove the run's folder and train it again."
            ) from error
        return model.eval()

    def _file(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            raise WorkbookFileError(
                f"The run {self.path.name} has no {name}: it is not finished, or not a run. Train it with fit(config)."
            )
        return path

    def _json(self, name: str) -> dict:
        path = self._file(name)
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise WorkbookFileError(
                f"{path} is not valid JSON ({error}); remove the run's folder and train it again."
            ) from error


class RunStore:
    """All runs below one folder."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = RUNS if root is None else Path(root)

    def run(self, config: RunConfig) -> Run:
        """The run of `config`, whether it exists yet or not."""
        return Run(self.root / config.name)

    def __iter__(self) -> Iterator[Run]:
        """Every run with a config, finished or not, by name."""
        return iter([Run(p.parent) for p in sorted(self.root.glob("*/config.json"))])

    def find(self, name: str | Path) -> Run:
        """A run by its folder, its name, or the beginning or hash of its name.

        Raises:
            WorkbookFileError: none or several match.
        """
        if (Path(name) / "config.json").exists():
            return Run(Path(name))
        names = [run.path.name for run in self]
        hits = [n for n in names if n == str(name)] or [
            n for n in names if n.startswith(str(name)) or n.endswith(f"-{name}")
        ]
        if len(hits) == 1:
            return Run(self.root / hits[0])
        if hits:
            raise WorkbookFileError(f"{str(name)!r} fits {len(hits)} runs: {', '.join(hits[:5])}; give the whole name.")
        hint = did_you_mean(str(name), names)
        raise WorkbookFileError(f"No run {str(name)!r} in {self.root} ({len(names)} runs there).{hint}")
