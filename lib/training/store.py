"""The store of runs: a folder a run, named by its config. Everything is written whole or not at all.

<store>/superseded/     runs that were begun with other data or code
<store>/.claims/<run>/  who is training it (lib.disk.file_claims)
<store>/<readable name>-<hash8>/
    config.json         what was asked for
    basis.json          digests of the data, of the images as decoded, and of the code that the run was begun with
    training_log.csv    a line an epoch: epoch,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,…
    train.log           everything that was logged, DEBUG
    training_metrics.log  EPOCH and BATCH lines, for grep
    tracked.json        where it was told of (lib.training.trackers)
    best.safetensors    weights of the epoch that did best on validation
    last.ckpt           the state to resume from; gone when the run is finished
    predictions.csv     test split: image_id, group, label, prediction, prob_<class>…
    queries.csv         instead, of re-identification: image_id, identity, camera, matches, average_precision, …
    metrics.json        test metrics with intervals; its presence says that the run is finished
    provenance.json     commit, versions, device, data, seeds, wall time
    manifest.json       digests of all these but logs that are only for people (lib.disk.manifest)
    nan_loss.json       where the loss became NaN: the batch, its images, the learning rate, the gradient's norm
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain, count
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lib.disk.manifest import MANIFEST
from lib.disk.scratch import sweep
from lib.disk.sealed_folder import SealedFolder
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError, did_you_mean, warn_once
from lib.files import told, with_nan
from lib.paths import OUTPUTS, ROOT
from lib.retrieval.ranking import RetrievalScores
from lib.training.build_model import OwnDraws, build_model
from lib.training.config import RunConfig

log = logging.getLogger(__name__)

RUNS = OUTPUTS / "runs"
TRAINED = ("config.json", "basis.json", "training_log.csv", "best.safetensors", "provenance.json")
TESTED = ("predictions.csv", "queries.csv", "metrics.json")  # what a test writes: anew, where one is damaged
READERS = {
    "config.json": "config",
    "metrics.json": "metrics",
    "provenance.json": "provenance",
    "training_log.csv": "log",
}
CLASSIFIED, RANKED = {"predictions.csv": "predictions"}, {"queries.csv": "retrieval"}
COUNTED = ("parameters", "train_seconds", "leaked_test_share")  # of provenance.json: what tables tell
NAMES = ("image_id", "group", "label", "prediction")  # of predictions.csv; a class may be called 0, or NA


class Run(SealedFolder):
    """One folder of the store, read lazily."""

    files = (*TRAINED, *TESTED[:2])
    spare = "best.safetensors"
    remedy = "Restore it, or let fit(config) compute it again; what was there is kept in superseded/."

    @property
    def shown_path(self) -> str:
        """Its folder as a call in a notebook names it."""
        return str(self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path)

    def __repr__(self) -> str:
        return f"Run({self.path.name!r}, {'finished' if self.finished else 'unfinished'})"

    @property
    def begun(self) -> bool:
        """Whether anything is there that a training rests on; a disk may have been full at the very first file."""
        return any((self.path / name).exists() for name in (*self.files[1:], self.last, "last.ckpt", MANIFEST))

    @property
    def trained(self) -> bool:
        """Whether all that a training leaves is there as its manifest says: at most the test is to be done again."""
        return (self.path / MANIFEST).exists() and not self.damage().keys() - set(TESTED)

    @cached_property
    def config(self) -> RunConfig:
        """config.json, what was asked for.

        Raises:
            WorkbookFileError: it is missing or damaged, or has settings that there are not.
        """
        try:
            return RunConfig.stored(self.read_json("config.json"))
        except WorkbookValueError as error:
            raise WorkbookFileError(f"{self.path / 'config.json'} cannot be used: {error}") from error

    @property
    def basis(self) -> dict[str, str]:
        """Digests of the data and code that the run was begun with; empty before it was, and where they are damaged."""
        try:
            basis = self.read_json("basis.json") if (self.path / "basis.json").exists() else {}
            if not all(isinstance(digest, str) for digest in basis.values()):
                raise self._damaged("basis.json", "its digests are no texts")
            return basis
        except WorkbookFileError as error:
            warn_once(log, str(error))
            return {}

    @cached_property
    def log(self) -> pd.DataFrame:
        """training_log.csv, a row an epoch."""
        return self.read_table("training_log.csv", "epoch")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """predictions.csv of the test split, a row an image."""
        columns = (*NAMES, *(f"prob_{name}" for name in self.classes))
        return self.read_table("predictions.csv", *columns, dtype=dict.fromkeys(NAMES, str), keep_default_na=False)

    @cached_property
    def retrieval(self) -> RetrievalScores:
        """Of a re-identification run: queries.csv, what the gallery answers to each query."""
        return RetrievalScores(self.read_table("queries.csv", "image_id", "matches", dtype={"image_id": str}))

    @cached_property
    def metrics(self) -> dict:
        """{'best_epoch': int, 'test': {metric: value}, 'intervals': {metric: [low, high]}}; NaN of what has no value."""
        metrics = self.read_json("metrics.json", "test", "intervals")
        test, spans = metrics["test"], metrics["intervals"]
        if not (isinstance(test, dict) and isinstance(spans, dict)):
            raise self._damaged("metrics.json", "it names no metrics")
        pairs = all(isinstance(span, list) and len(span) == 2 for span in spans.values())
        if not (pairs and all(map(_is_number, (metrics.get("best_epoch"), *test.values(), *chain(*spans.values()))))):
            raise self._damaged("metrics.json", "some of its metrics are no numbers")
        return with_nan(metrics)

    @cached_property
    def provenance(self) -> dict:
        """provenance.json: commit, versions, device, data, seeds, wall time.

        Raises:
            WorkbookFileError: it is missing or damaged.
        """
        facts = self.read_json("provenance.json", "classes", "is_phantom")
        if not (isinstance(facts["classes"], list) and all(isinstance(name, str) for name in facts["classes"])):
            raise self._damaged("provenance.json", "its classes are no names")
        if not (isinstance(facts["is_phantom"], bool) and all(_is_number(facts.get(name)) for name in COUNTED)):
            raise self._damaged("provenance.json", "its facts are of other types")
        return facts

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the network's answers."""
        return tuple(self.provenance["classes"])

    @property
    def probabilities(self) -> np.ndarray:
        """Test probabilities [N, K] in the order of `predictions`."""
        try:
            return self.predictions[[f"prob_{c}" for c in self.classes]].to_numpy(np.float64)
        except (KeyError, ValueError) as error:
            raise self._damaged("predictions.csv", error) from error

    @property
    def labels(self) -> np.ndarray:
        """Test labels [N] as indices into `classes`."""
        labels = self.predictions["label"].map({c: i for i, c in enumerate(self.classes)})
        if labels.isna().any():
            raise self._damaged("predictions.csv", f"{self.predictions['label'][labels.isna()].iloc[0]!r} is no class")
        return labels.to_numpy()

    def _damaged(self, name: str, why: object) -> WorkbookFileError:
        return WorkbookFileError(f"{self.path / name} is damaged: {why}. {self.remedy}")

    def model(self) -> nn.Module:
        """The model with its best weights, in eval mode; raises what `load_best` does."""
        with OwnDraws():
            model = build_model(self.config, len(self.classes), pretrained=False)
        return self.load_best(model)

    def load_best(self, model: nn.Module) -> nn.Module:
        """`model`, the run's network, with its best weights, in eval mode.

        Raises:
            WorkbookFileError: the weights are missing or do not fit.
        """
        path = self.file("best.safetensors")
        try:
            model.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise WorkbookFileError(f"{path} cannot be loaded ({error}). {self.remedy}") from error
        return model.eval()

    def unreadable(self, trusting: bool) -> dict[str, str]:
        """The JSON files and the log, the test's answers unless `trusting`, and a config that the folder is not named by."""
        found = self._failing(READERS)
        if not found and not trusting and self.metrics["test"]:
            found = self._failing(RANKED if self.config.task == "reid" else CLASSIFIED)
        return found or self._renamed()

    def _failing(self, readers: Mapping[str, str]) -> dict[str, str]:
        """{file: why the attribute that reads it cannot}"""
        found = {}
        for name, attribute in readers.items():
            try:
                getattr(self, attribute)
            except WorkbookError as error:
                found[name] = str(error)
        return found

    def _renamed(self) -> dict[str, str]:
        """The config, where it is not the one that the folder is named by; a shipped network of another build has another
        digest, so that names with it cannot be compared."""
        named = re.fullmatch(r".*-([0-9a-f]{8})", self.path.name)
        if named is None or self.config.uses("weights") or self.config.hash == named[1]:
            return {}
        return {"config.json": f"it was edited: its settings are those of {self.config.name}"}


def _is_number(value: object) -> bool:
    """Whether JSON's `value` is a number, or one that is none."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


class RunStore:
    """All runs below one folder."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = RUNS if root is None else Path(root)

    @property
    def cache(self) -> Path:
        """Beside it: what is kept of data sets that runs have in common."""
        return self.root.parent / "cache"

    def run(self, config: RunConfig) -> Run:
        """The run of `config`, whether it exists yet or not."""
        return Run(self.root / config.name)

    def __iter__(self) -> Iterator[Run]:
        """Every run with a config, finished or not, by name."""
        return iter([Run(p.parent) for p in sorted(self.root.glob("*/config.json"))])

    def set_aside(self, run: Run, why: str) -> Run:
        """Move what is there of `run` into superseded/, for the reason `why`; returns the run anew, of which nothing is
        there or has been read."""
        shelf = self.root / "superseded"
        with told(shelf):
            sweep(run.path)  # of a killed writer: nobody else comes there any more
            shelf.mkdir(exist_ok=True)
            place = next(p for n in count(1) if not (p := shelf / f"{run.path.name}-{n}").exists())
            log.warning("%s %s: it is trained again, the old one is kept in %s", run.path.name, why, place)
            run.path.rename(place)
        return Run(run.path)

    def find(self, name: str | Path) -> Run:
        """A run by its folder, its name, or the beginning or hash of its name.

        Raises:
            WorkbookFileError: none or several match.
        """
        if os.path.exists(os.path.join(name, "config.json")):
            return Run(Path(name))
        names = [run.path.name for run in self]
        hits = [n for n in names if n == str(name)] or [
            n for n in names if n.startswith(str(name)) or n.endswith(f"-{name}")
        ]
        if len(hits) == 1:
            return Run(self.root / hits[0])
        if hits:
            raise WorkbookFileError(f"{str(name)!r} fits {len(hits)} runs: {', '.join(hits[:5])}; give the whole name.")
        hint = (
            did_you_mean(str(name), names)
            or " Give a run's folder, or the folder of its store's outputs (--output-dir)."
        )
        raise WorkbookFileError(f"No run {str(name)!r} in {self.root} ({len(names)} runs there).{hint}")
