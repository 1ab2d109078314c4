"""The test of a trained run: once, with the best weights. Predictions or answers first, `metrics.json` last."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib.data import ImageSet, rows_of
from lib.data.shards import ShardSet, ShardStream
from lib.errors import WorkbookError
from lib.files import write_text
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import METRICS, RetrievalScores, retrieval_scores
from lib.retrieval.reranking import Reranking
from lib.training.identities import embedded
from lib.training.inference import (
    augmentation_of,
    branch_answers,
    decoded_size,
    embeddings,
    evaluation_batch,
    predict_rows,
    probabilities,
)
from lib.training.metrics import Resampled, intervals, measure
from lib.training.settings import BRANCHES
from lib.training.store import Run
from lib.training.training_data import Prepared, TrainingData

log = logging.getLogger(__name__)


class Answers(NamedTuple):
    """What a network says about the test images."""

    table: pd.DataFrame  # image_id and group of each
    labels: np.ndarray  # [N], indices
    classes: tuple[str, ...]
    probabilities: np.ndarray  # [N, K]
    branches: np.ndarray | None  # of DCAL: the class that each branch answers alone, [N, branches]


def test(run: Run, material: TrainingData, device: torch.device) -> None:
    """Test `run` on the images of its test part and write what it answers, and how well."""
    if run.config.task == "reid":
        found = _retrieve(run, material, device)
    else:
        model = run.model()
        ask = _ask_stream if isinstance(material, ShardSet) else _ask_rows
        found = _classify(run, model, ask(run, model, material, device))
    best = int(run.log["epoch"][run.log[run.config.monitor].idxmax()])
    write_text(run.path / "metrics.json", json.dumps({"best_epoch": best, **found}, indent=1))


def predictions_frame(
    table: pd.DataFrame, labels: np.ndarray, found: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """predictions.csv: a row an image of `table`, with its label (index) and probabilities [N, K] by name."""
    names = np.array(classes)
    columns = {
        "image_id": table["image_id"],
        "group": table["group"],
        "label": names[labels],
        "prediction": names[found.argmax(axis=1)],
    }
    return pd.DataFrame(columns).assign(**{f"prob_{c}": found[:, i] for i, c in enumerate(classes)})


def query_and_gallery(
    run: Run, images: ImageSet, pixels: np.ndarray, parts: pd.Series, device: torch.device | str = "cpu"
) -> tuple[Embedded, Embedded]:
    """The official queries and gallery as a re-identification run with its best weights embeds them, in the order of
    `images`; the other arguments are what `lib.training.prepare` gives for the run."""
    model, seen = run.model(), augmentation_of(run.config)

    def embed(rows: np.ndarray) -> Embedded:
        vectors = predict_rows(model, pixels, rows, evaluation_batch(run.config), device, seen, embeddings)
        return embedded(vectors, images.rows.iloc[rows])

    return embed(rows_of(parts, "query")), embed(rows_of(parts, "gallery"))


def _ask_rows(run: Run, model: nn.Module, material: Prepared, device: torch.device) -> Answers:
    images, pixels, parts = material
    rows, seen, size = rows_of(parts, "test"), augmentation_of(run.config), evaluation_batch(run.config)
    found = predict_rows(model, pixels, rows, size, device, seen)
    branches = None
    if run.config.attention in BRANCHES:
        branches = predict_rows(model, pixels, rows, size, device, seen, branch_answers)
    labels = images.rows["label"].to_numpy()[rows]
    return Answers(images.rows.iloc[rows], labels, images.classes, found, branches)


def _ask_stream(run: Run, model: nn.Module, shards: ShardSet, device: torch.device) -> Answers:
    """One pass over the shards; rows stand by name, however many workers read them."""
    config, part, model = run.config, shards.test_part, model.to(device).eval()
    if part == "val":
        log.warning(
            "there are no test-….tar shards: the test is on the validation part, which has chosen the best epoch"
        )
    stream = ShardStream(
        shards.parts[part],
        len(shards.classes),
        decoded_size(config),
        evaluation_batch(config),
        config.loader_workers,
        training=False,
        skip_unreadable=config.skip_unreadable,
    )
    asks = [probabilities, *[branch_answers] * (config.attention in BRANCHES)]
    names, labels, found = [], [], []
    for images, own, ids in stream.loader():
        names += ids
        labels.append(own.numpy())
        found.append([ask(model, images.numpy(), device, augmentation_of(config)) for ask in asks])
    order = np.argsort(names)
    answers = [np.concatenate(each)[order] for each in zip(*found, strict=True)]
    table = pd.DataFrame({"image_id": np.array(names)[order]})
    table["group"] = table["image_id"]
    return Answers(table, np.concatenate(labels)[order], shards.classes, answers[0], (*answers, None)[1])


def _classify(run: Run, model: nn.Module, answers: Answers) -> dict:
    table, labels, classes, found, branches = answers
    if not math.isfinite(found.sum()):
        raise WorkbookError(f"The best weights of {run.path.name} give probabilities that are not numbers; lower lr.")
    frame = predictions_frame(table, labels, found, classes)
    resampled = Resampled(frame["group"], strata=labels)
    values, samples = measure(found, labels, classes), resampled.measure(found, labels, classes)
    if branches is not None:
        for name, answer in zip(model.answering, branches.T, strict=True):
            frame[f"prediction_{name}"] = np.array(classes)[answer]
            values[f"accuracy_{name}"] = round(float((answer == labels).mean()), 6)
            samples[f"accuracy_{name}"] = resampled.mean(answer == labels)
    write_text(run.path / "predictions.csv", frame.to_csv(index=False, float_format="%.7g"))
    return {"test": values, "intervals": intervals(samples)}


def _retrieve(run: Run, material: Prepared, device: torch.device) -> dict:
    """Every query of the official part asks its gallery; queries without a match are left out and counted."""
    images, pixels, parts = material
    query, gallery = query_and_gallery(run, images, pixels, parts, device)
    found = retrieval_scores(query, gallery, run.config.distance, skip_unmatched=True)
    names = images.rows["image_id"].iloc[rows_of(parts, "query")].to_numpy()
    write_text(run.path / "queries.csv", found.queries.assign(image_id=names).to_csv(index=False, float_format="%.7g"))
    values, ranges = _with_intervals(found)
    if run.config.rerank:
        again = retrieval_scores(query, gallery, run.config.distance, Reranking(), skip_unmatched=True)
        for target, source in zip((values, ranges), _with_intervals(again), strict=True):
            target |= {f"{name}_reranked": value for name, value in source.items()}
    return {"test": values, "intervals": ranges, "queries": len(query), "skipped": found.skipped}


def _with_intervals(found: RetrievalScores) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The metrics, and their intervals over resamples of whole identities: its images are not independent."""
    resampled = Resampled(found.matched["identity"])
    samples = {name: resampled.mean(found.per_query(name)) for name in METRICS}
    return found.metrics(), intervals(samples)
