"""Figures on trained runs (notebook 02): curves, confusion, recalls, calibration, hardest images, the block's maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib.data import in_full
from lib.errors import printable
from lib.evaluation.test_images import TestImages, select_images
from lib.progress import watcher
from lib.report.figures.forest import Interval, forest_figure
from lib.report.figures.style import (
    GREY,
    class_legend,
    figure,
    legend_above,
    mark_query,
    marker,
    overlay_range,
    picture,
    picture_grid,
)
from lib.training.metrics import BINS
from lib.training.store import Run
from lib.training.training_data import DecodedImages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSIFICATION = {
    "Loss": ("loss", ("train_loss", "val_loss")),
    "Accuracy": ("fraction right", ("train_accuracy", "val_accuracy")),
    "Balanced accuracy": ("mean recall", ("val_balanced_accuracy",)),
}
DASHES = {"training": (4, 2), "validation": ""}


def curves(runs: Mapping[str, Run], panels: Mapping[str, tuple[str, Sequence[str]]] = CLASSIFICATION) -> Figure:
    """The logs of finished runs, as `log_curves` draws them; in a notebook in place of those that were drawn live."""
    watcher("finished curves")(runs.values())
    phantom = any(run.provenance["is_phantom"] for run in runs.values())
    best = {name: run.metrics["best_epoch"] for name, run in runs.items()}
    return log_curves({name: run.log for name, run in runs.items()}, best, phantom, panels)


def log_curves(
    logs: Mapping[str, pd.DataFrame],
    best: Mapping[str, int],
    phantom: bool,
    panels: Mapping[str, tuple[str, Sequence[str]]] = CLASSIFICATION,
) -> Figure:
    """Columns of training logs over the epochs: training dashed, validation full, the best epoch dotted.

    `panels`: the title of each, with its unit and its columns; all but losses and rates are fractions. A panel whose columns no log
    has, those of validation in a refit, is left out.
    """
    import seaborn as sns  # slow to import

    table = pd.concat(logs, names=["network"]).reset_index("network")
    there = {title: (unit, [name for name in names if name in table]) for title, (unit, names) in panels.items()}
    panels = {title: (unit, names) for title, (unit, names) in there.items() if names}
    with figure(10, 3.7, phantom) as fig:
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        for ax, (title, (unit, columns)) in zip(axes, panels.items(), strict=True):
            values = table.melt(["network", "epoch"], columns, "part")
            values["part"] = values["part"].str.split("_").str[0].map({"train": "training", "val": "validation"})
            sns.lineplot(values, x="epoch", y="value", hue="network", style="part", dashes=DASHES, ax=ax)
            for number, name in enumerate(logs):
                if name in best:
                    ax.axvline(best[name], color=f"C{number}", linestyle=":", linewidth=1)
            for line in (line for line in ax.lines if len(line.get_xdata()) == 1):
                line.set_marker("o")  # after one epoch there is no line to see
            ax.get_legend().remove()
            ax.set(title=title, xlabel="epoch", ylabel=unit)
            ax.xaxis.get_major_locator().set_params(integer=True)
            if not unit.endswith(("loss", "rate")):
                ax.set_ylim(0, 1)
        legend_above(fig, *axes, columns=8)
    return fig


def confusion(run: Run, title: str) -> Figure:
    """Test images by true (row) and predicted class (column): share of the row as colour, counts as numbers."""
    import seaborn as sns  # slow to import
    from sklearn.metrics import confusion_matrix

    classes, k = [*map(printable, run.classes)], len(run.classes)  # seaborn measures them at once
    counts = confusion_matrix(run.labels, run.probabilities.argmax(axis=1), labels=range(k))
    support = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(support, support, np.nan)  # of a class without test images the row stays empty
    texts = [
        [f"{n}\n{100 * share:.0f} %" for n, share in zip(*row, strict=True)] for row in zip(counts, shares, strict=True)
    ]
    with figure(0.62 * k + 2.2, 0.55 * k + 1.4, run.provenance["is_phantom"]) as fig:
        ax = fig.subplots()
        bar = {"label": "share of the true class", "shrink": 0.8}
        labels = {"xticklabels": classes, "yticklabels": classes, "annot": texts, "annot_kws": {"fontsize": 7}}
        sns.heatmap(shares, cmap="Blues", vmin=0, vmax=1, fmt="", cbar_kws=bar, ax=ax, **labels)
        ax.set(xlabel="predicted class", ylabel="true class", title=title)
        ax.tick_params(axis="x", rotation=45)
        ax.tick_params(axis="y", rotation=0)
        class_legend(fig, in_full(run.config.dataset, classes))
    return fig


def recalls(runs: Mapping[str, Run]) -> Figure:
    """Recall of each class and their mean on the test split, with 95 % bootstrap intervals over lesions."""
    first = next(iter(runs.values()))
    metrics = ["balanced_accuracy", *(f"recall_{c}" for c in first.classes)]
    support = np.bincount(first.labels, minlength=len(first.classes))
    intervals = {
        name: [
            Interval(run.metrics["test"][m], *run.metrics["intervals"][m], note=f"{run.metrics['test'][m]:.2f}")
            for m in metrics
        ]
        for name, run in runs.items()
    }
    fig = forest_figure(
        ["balanced accuracy", *(f"{c} (n = {n})" for c, n in zip(first.classes, support, strict=True))],
        intervals,
        first.provenance["is_phantom"],
        xlim=(-0.02, 1.12),
        xlabel="recall (fraction of the class that was found)",
        title="Recall on the test split, 95 % intervals",
    )
    class_legend(fig, in_full(first.config.dataset, first.classes))
    return fig


def reliability(runs: Mapping[str, Run]) -> Figure:
    """Accuracy against confidence on the test split, in the bins of the expected calibration error."""
    phantom = any(run.provenance["is_phantom"] for run in runs.values())
    with figure(4.6, 4.2, phantom) as fig:
        ax = fig.subplots()
        ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
        for number, (name, run) in enumerate(runs.items()):
            p = run.probabilities
            confidence, right = p.max(axis=1), p.argmax(axis=1) == run.labels
            place = np.minimum((confidence * BINS).astype(int), BINS - 1)
            bins = [b for b in range(BINS) if (place == b).sum() >= 5]
            x, y = ([v[place == b].mean() for b in bins] for v in (confidence, right))
            ax.plot(x, y, f"{marker(number)}-", label=f"{name} (ECE {run.metrics['test']['ece']:.3f})")
        ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence (largest probability)", ylabel="accuracy in the bin")
        ax.set_title("Calibration on the test split")
        ax.legend(fontsize=8)
    return fig


def hardest(run: Run, prepared: DecodedImages, count: int = 10) -> Figure:
    """The test images to whose true class the model gave the least probability.

    `prepared` is what `lib.training.prepare` gives for the run.
    """
    table = run.predictions.assign(truth=run.probabilities[np.arange(len(run.labels)), run.labels])
    worst = table.nsmallest(count, "truth")
    images = select_images(run.config, prepared, ids=worst["image_id"].tolist())
    columns = 5
    rows = -(-len(images) // columns)
    with figure(1.9 * columns, 2.15 * rows, images.is_phantom) as fig:
        axes = picture_grid(fig, rows, columns).ravel()
        for ax, image, row in zip(axes, images.sharp, worst.to_dict("records"), strict=False):
            answer = f"{row['prediction']} ({100 * row['prob_' + row['prediction']]:.0f} %)"
            picture(ax, image, f"{row['image_id']}\n{row['label']} → {answer}")
    return fig


def right_and_wrong(run: Run, right: int = 3, wrong: int = 2) -> list[str]:
    """The ids of some test images that a run gets right, each of another class, and of some that it gets wrong."""
    table = run.predictions
    hit = table["label"] == table["prediction"]
    parts = ((table[hit], right), (table[~hit], wrong))
    return [image for part, count in parts for image in part.drop_duplicates("label")["image_id"][:count]]


def block_maps(model: nn.Module, images: TestImages, query: tuple[int, int] | None = None) -> Figure:
    """What a GLSA block does on a few images: the global attention of one query, the local maps, the fusion's gate.

    A row an image. A map of channels is shown as its mean over them; colours go from a panel's least to its greatest
    value, both given in its title, because attention and gates live on different scales.
    """
    with torch.inference_mode():
        probabilities = model.eval()(images.batch(model)).softmax(dim=1).numpy()
        shown = [m for m in model.shown(query) if m.info.positional and m.shape[-2:].numel() > 1]
    maps = [(m.info, m.plane().float().numpy()) for m in shown]
    titles = images.names(probabilities.argmax(axis=1))
    with figure(1.95 * (1 + len(maps)), 2.2 * len(images), images.is_phantom) as fig:
        for i, row in enumerate(picture_grid(fig, len(images), 1 + len(maps))):
            picture(row[0], images.shown[i], f"{titles[i]} ({100 * probabilities[i].max():.0f} %)")
            for ax, (info, heats) in zip(row[1:], maps, strict=True):
                overlay_range(ax, images.sharp[i], heats[i], info.name.replace("_", " "))
                if info.queries is not None:
                    mark_query(ax, images.sharp.shape[1:3], heats.shape[1:], info.query)
    return fig
