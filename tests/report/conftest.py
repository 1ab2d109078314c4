"""A small study whose runs are written, not trained: what they answer is given."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.evaluation.transfer import REASONS, Transfer
from lib.report.study.study import Study, study_of
from lib.training import Run, RunConfig, RunStore
from lib.training.metrics import Resampled, intervals, measure
from lib.workbook.protocol import Protocol, read_protocol

CLASSES = ("a", "b", "c")
IMAGES, VIEWS = 240, 2  # of which two show one lesion
PROTOCOL = """
title: A study
notebook: 02
seeds: [0, 1, 2]
common: {profile: quick, max_epoch: 4}
test_also_on: [phantom-clinic]
tables:
  backbones: {attention: none, backbone: [resnet18, resnet34]}
  attention: {attention: CBAM, fusion_strategy: original, backbone: [resnet18, resnet34]}
  fusion: {backbone: resnet18, fusion_strategy: [original, learnable_gate, weighted_add]}
  residual: {backbone: resnet18, fusion_strategy: learnable_gate, residual_strategy: [original, progressive]}
  transfer: {backbone: resnet18, residual_strategy: progressive, dataset: [phantom-lesions, phantom-clinic]}
  efficiency: {backbone: [resnet18, resnet34]}
  leak: {backbone: resnet18, attention: none, split: [lesion, image]}
sweeps:
  learning rate: {backbone: resnet18, lr: [1e-2, 1e-3]}
  epochs: {backbone: resnet18, max_epoch: [2, 3]}
"""


def answers(right: float, seed: int, classes: tuple[str, ...] = CLASSES, images: str = "") -> pd.DataFrame:
    """predictions.csv of a network that is right with the probability `right`; `images` names another test set."""
    labels = np.random.default_rng(0).integers(0, len(classes), IMAGES)
    rng = np.random.default_rng([seed, int(1e4 * right)])
    said = np.where(rng.random(IMAGES) < right, labels, (labels + 1) % len(classes))
    frame = {
        "image_id": [f"{images}{i:04d}" for i in range(IMAGES)],
        "group": [f"{images}L{i // VIEWS}" for i in range(IMAGES)],
        "label": np.array(classes)[labels],
        "prediction": np.array(classes)[said],
    }
    probabilities = np.full((IMAGES, len(classes)), 0.3 / (len(classes) - 1))
    probabilities[np.arange(IMAGES), said] = 0.7
    return pd.DataFrame(frame).assign(**{f"prob_{c}": probabilities[:, i] for i, c in enumerate(classes)})


def metrics_of(frame: pd.DataFrame, classes: tuple[str, ...] = CLASSES) -> dict:
    """metrics.json, as `fit` writes it."""
    found = frame[[f"prob_{c}" for c in classes]].to_numpy()
    labels = frame["label"].map({c: i for i, c in enumerate(classes)}).to_numpy()
    spans = intervals(Resampled(frame["group"], resamples=20).measure(found, labels, classes))
    return {"best_epoch": 3, "test": measure(found, labels, classes), "intervals": spans}


@dataclass
class Writer:
    """Writes finished runs into a store."""

    plan: Protocol
    store: RunStore
    roots: dict[str, float] = field(default_factory=dict)

    def study(self, **changes: str) -> Study:
        """The study as the store is now."""
        return study_of(self.plan, self.store, **changes)

    def finish(
        self, config: RunConfig, right: float = 0.8, curve: tuple[float, ...] = (0.3, 0.5, 0.6, 0.6), **facts
    ) -> Run:
        """A finished run that is right on the share `right` of the test images; `curve`: validation, an epoch each."""
        folder = self.store.root / config.name
        folder.mkdir(parents=True)
        images = f"{config.dataset}-{config.split}-"
        frame = answers(right, config.seed, images="" if images == "phantom-lesions-lesion-" else images)
        frame.to_csv(folder / "predictions.csv", index=False)
        epochs = np.arange(1, len(curve) + 1)
        log = pd.DataFrame({"epoch": epochs, "train_loss": 1.0, "val_balanced_accuracy": curve})
        log.to_csv(folder / "training_log.csv", index=False)
        provenance = {"classes": CLASSES, "is_phantom": True, "parameters": 11_000_000, "train_seconds": 90.0}
        provenance |= {"leaked_test_share": 0.4 if config.split == "image" else 0.0, "data_fingerprint": "x"}
        files = {
            "config": config.to_dict(),
            "basis": {"data": "x", "model code": "m", "training code": facts.pop("code", "t")},
            "provenance": provenance | facts,
            "metrics": metrics_of(frame),
        }
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        return Run(folder)

    def finish_table(self, table: str, right: Mapping[str, float], **more) -> None:
        """All seeds of a table's rows; `right` by the row's name, rows that are not in it stay missing."""
        study = self.study()
        for row in study.rows(table):
            for config in study.configs(row) if row.name in right else []:
                if not self.store.run(config).finished:
                    self.finish(config, right[row.name], **more)


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """An empty store, and what writes into it."""
    path = tmp_path / "small.yaml"
    path.write_text(PROTOCOL)
    return Writer(read_protocol(path), RunStore(tmp_path / "runs"))


@pytest.fixture
def transferred(monkeypatch) -> Callable[..., None]:
    """transferred(right, dropped): every transfer from now on answers so, without data or network."""

    def install(right: float, **dropped: int) -> None:
        def fake(run: Run, dataset: str, *_: object) -> Transfer:
            left = answers(right, run.config.seed, images=f"{dataset}-").iloc[sum(dropped.values()) :]
            found = Transfer(run, dataset, run.path / "transfer" / dataset)
            found.path.mkdir(parents=True, exist_ok=True)
            left.to_csv(found.path / "predictions.csv", index=False)
            result = metrics_of(left) if len(left) else {"test": {}, "intervals": {}}
            result |= {"dropped": dict.fromkeys(REASONS, 0) | dropped, "images": IMAGES, "is_phantom": True}
            (found.path / "metrics.json").write_text(json.dumps(result))
            return found

        monkeypatch.setattr("lib.report.study.study.transfer", fake)

    install(0.6)
    return install
