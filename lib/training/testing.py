"""The test of a trained run: once, with the best weights. Predictions or answers first, `metrics.json` last."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from lib.data import ImageSet, rows_of
from lib.errors import WorkbookError
from lib.files import write_text
from lib.training.config import BRANCHES
from lib.training.distances import Embedded
from lib.training.inference import EVALUATION_BATCH, augmentation_of, branch_answers, embeddings, predict_rows
from lib.training.metrics import Resampled, intervals, measure
from lib.training.people import embedded
from lib.training.ranking import METRICS, RetrievalScores, retrieval_scores
from lib.training.reranking import Reranking
from lib.training.store import Run


def test(run: Run, images: ImageSet, pixels: np.ndarray, parts: pd.Series, device: torch.device) -> None:
    """Test `run` on the images of its test part and write what it answers, and how well."""
    ask = _retrieve if run.config.task == "reid" else _classify
    found = ask(run, images, pixels, parts, device)
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
        vectors = predict_rows(model, pixels, rows, EVALUATION_BATCH, device, seen, embeddings)
        return embedded(vectors, images.rows.iloc[rows])

    return embed(rows_of(parts, "query")), embed(rows_of(parts, "gallery"))


def _classify(run: Run, images: ImageSet, pixels: np.ndarray, parts: pd.Series, device: torch.device) -> dict:
    rows = rows_of(parts, "test")
    table, labels = images.rows.iloc[rows], images.rows["label"].to_numpy()[rows]
    model, seen = run.model(), augmentation_of(run.config)
    found = predict_rows(model, pixels, rows, EVALUATION_BATCH, device, seen)
    if not math.isfinite(found.sum()):
        raise WorkbookError(f"The best weights of {run.path.name} give probabilities that are not numbers; lower lr.")
    frame = predictions_frame(table, labels, found, images.classes)
    resampled = Resampled(frame["group"], strata=labels)
    values, samples = measure(found, labels, images.classes), resampled.measure(found, labels, images.classes)
    if run.config.attention in BRANCHES:
        answers = predict_rows(model, pixels, rows, EVALUATION_BATCH, device, seen, branch_answers)  # [N, branches]
        for name, answer in zip(model.answering, answers.T, strict=True):
            frame[f"prediction_{name}"] = np.array(images.classes)[answer]
            values[f"accuracy_{name}"] = round(float((answer == labels).mean()), 6)
            samples[f"accuracy_{name}"] = resampled.mean(answer == labels)
    write_text(run.path / "predictions.csv", frame.to_csv(index=False, float_format="%.7g"))
    return {"test": values, "intervals": intervals(samples)}


def _retrieve(run: Run, images: ImageSet, pixels: np.ndarray, parts: pd.Series, device: torch.device) -> dict:
    """Every query of the official part asks its gallery; queries without a match are left out and counted."""
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
    resampled = Resampled(found.answered["identity"])
    samples = {name: resampled.mean(found.per_query(name)) for name in METRICS}
    return found.metrics(), intervals(samples)
