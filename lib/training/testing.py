"""The test of a trained run: once, with the best weights. Predictions or answers first, `metrics.json` last."""

import csv
import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib.data import ImageSet, rows_of
from lib.data.shards import ShardSet
from lib.errors import WorkbookError
from lib.files import write_text
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import RETRIEVAL_METRICS, RetrievalScores, retrieval_scores
from lib.retrieval.reranking import Reranking
from lib.training import inference
from lib.training.config import RunConfig
from lib.training.identities import embedded
from lib.training.metrics import Resampled, tell_absent, with_intervals
from lib.training.settings import BRANCHES
from lib.training.store import Run
from lib.training.training_data import DecodedImages, TrainingData, stream_of

log = logging.getLogger(__name__)

FLOAT32 = "%.9g"  # digits that tell a number of 32 bits from its neighbours


class Answers(NamedTuple):
    """What a network says about the test images."""

    table: pd.DataFrame  # image_id and group of each
    labels: np.ndarray  # [N], indices
    classes: tuple[str, ...]
    outputs: list[np.ndarray]  # probabilities [N, K]; of DCAL, too, those of each branch, [N, branches, K]


def evaluate(run: Run, model: nn.Module, training_data: TrainingData, device: torch.device) -> None:
    """Test `model`, the network of `run`, on the images of the test part and write what it answers, and how well."""
    model = model.to(device).eval()
    if run.config.refit == "all":
        results = {"test": {}, "intervals": {}}  # nothing is left to test it on
    elif run.config.task == "reid":
        results = _retrieve(run, model, training_data)
    else:
        answer = _answer_stream if isinstance(training_data, ShardSet) else _answer_rows
        results = _classify(run, model, answer(run.config, model, training_data))
    best = len(run.log) if run.config.refits else int(run.log["epoch"][run.log[run.config.monitor].idxmax()])
    run.finish({"best_epoch": best, **results})


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV, numbers as float32 takes them; with a lone carriage return in it, which readers take for a line's end,
    all its text stands in quotes."""
    text = table.to_csv(index=False, float_format=FLOAT32)
    return table.to_csv(index=False, float_format=FLOAT32, quoting=csv.QUOTE_NONNUMERIC) if "\r" in text else text


def predictions_frame(
    table: pd.DataFrame, labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """predictions.csv: a row an image of `table`, with its label (index) and probabilities [N, K] by name."""
    names = np.array(classes)
    columns = {
        "image_id": table["image_id"],
        "group": table["group"],
        "label": names[labels],
        "prediction": names[probabilities.argmax(axis=1)],
    }
    return pd.DataFrame(columns).assign(**{f"prob_{c}": probabilities[:, i] for i, c in enumerate(classes)})


def query_and_gallery(
    model: nn.Module, config: RunConfig, images: ImageSet, pixels: np.ndarray, parts: pd.Series
) -> tuple[Embedded, Embedded]:
    """The official queries and gallery as `model`, a re-identification run's, embeds them, in the order of `images`; with
    `config.flip_test` together with their mirror images.

    `images`, `pixels` and `parts` are what `lib.training.prepare` gives for `config`.
    """

    output = inference.mirrored_embeddings if config.flip_test else inference.embeddings

    def embed(part: str) -> Embedded:
        rows = rows_of(parts, part)
        vectors = inference.predict_rows(model, config, pixels, rows, output)
        return embedded(vectors, images.rows.iloc[rows])

    return embed("query"), embed("gallery")


def _outputs(config: RunConfig) -> list[inference.Output]:
    """What the test wants of a network: probabilities and, of DCAL, each branch's."""
    outputs = [inference.probabilities, *[inference.branch_probabilities] * (config.attention in BRANCHES)]
    return [inference.over_views(output, config) for output in outputs]


def _answer_rows(config: RunConfig, model: nn.Module, decoded: DecodedImages) -> Answers:
    images, pixels, parts = decoded
    rows = rows_of(parts, "test")
    outputs = [inference.predict_rows(model, config, pixels, rows, output) for output in _outputs(config)]
    table = images.rows.iloc[rows]
    return Answers(table, table["label"].to_numpy(), images.classes, outputs)


def _answer_stream(config: RunConfig, model: nn.Module, shards: ShardSet) -> Answers:
    """One pass over the shards; rows stand by name, however many workers read them."""
    part, augmentation = shards.test_part, inference.augmentation_of(config)
    if part == "val":
        log.warning(
            "there are no test-….tar shards: the test is on the validation part, which has chosen the best epoch"
        )
    stream = stream_of(config, shards, part, inference.evaluation_batch(config), training=False)
    image_ids, batches = [], []
    for images, labels, names in stream.loader():
        image_ids += names
        outputs = [inference.predict_batch(model, images.numpy(), augmentation, output) for output in _outputs(config)]
        batches.append([labels.numpy(), *outputs])
    order = np.argsort(image_ids)
    labels, *outputs = (np.concatenate(parts)[order] for parts in zip(*batches, strict=True))
    table = pd.DataFrame({"image_id": np.array(image_ids)[order]})
    return Answers(table.assign(group=table["image_id"]), labels, shards.classes, outputs)


def _classify(run: Run, model: nn.Module, answers: Answers) -> dict:
    table, labels, classes, (probabilities, *branches) = answers
    if not math.isfinite(probabilities.sum()):
        raise WorkbookError(f"The best weights of {run.path.name} give probabilities that are not numbers; lower lr.")
    tell_absent(labels, classes, "test")
    frame = predictions_frame(table, labels, probabilities, classes)
    resampled = Resampled(frame["group"], strata=labels)
    samples = resampled.measure(probabilities, labels, classes)
    if branches:
        for name, answer in zip(model.answering, branches[0].argmax(axis=2).T, strict=True):
            frame[f"prediction_{name}"] = np.array(classes)[answer]
            samples[f"accuracy_{name}"] = resampled.mean(answer == labels)
    write_text(run.path / "predictions.csv", csv_text(frame))
    return with_intervals(samples)


def _retrieve(run: Run, model: nn.Module, decoded: DecodedImages) -> dict:
    results, queries = retrieve(model, run.config, decoded)
    write_text(run.path / "queries.csv", csv_text(queries))
    return results


def retrieve(model: nn.Module, config: RunConfig, decoded: DecodedImages) -> tuple[dict, pd.DataFrame]:
    """Every query of the official part against its gallery: the metrics with their intervals, and a row a query. Queries without
    a match are left out and counted."""
    query, gallery = query_and_gallery(model, config, *decoded)
    scores = retrieval_scores(query, gallery, config.distance, skip_unmatched=True)
    image_ids = decoded.images.rows["image_id"].iloc[rows_of(decoded.parts, "query")].to_numpy()
    samples = _resampled(scores)
    if config.rerank:
        reranked = retrieval_scores(query, gallery, config.distance, Reranking(), skip_unmatched=True)
        samples |= {f"{name}_reranked": values for name, values in _resampled(reranked).items()}
    results = {**with_intervals(samples), "queries": len(query), "skipped": scores.skipped}
    return results, scores.queries.assign(image_id=image_ids)


def _resampled(scores: RetrievalScores) -> dict[str, np.ndarray]:
    """The metrics, and those of resamples of whole identities, whose images are not independent."""
    resampled = Resampled(scores.matched["identity"])
    return {name: resampled.mean(scores.per_query(name)) for name in RETRIEVAL_METRICS}
