"""Figures on trained runs (notebook 02): curves, confusion, recalls, calibration, hardest images, the block's maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from lib.evaluation.test_images import TestImages, select_images
from lib.report.figures.style import GREY, bars_with_intervals, figure, grid_of, overlay, picture
from lib.training.metrics import BINS
from lib.training.store import Run
from lib.training.training_data import DecodedImages


def curves(runs: Mapping[str, Run]) -> Figure:
    """Loss, accuracy and balanced accuracy over the epochs: training dashed, validation full, the best epoch dotted."""
    phantom = any(run.provenance["is_phantom"] for run in runs.values())
    with figure(10, 3.7, phantom) as fig:
        axes = fig.subplots(1, 3)
        for i, (name, run) in enumerate(runs.items()):
            colour, log = f"C{i}", run.log
            axes[0].plot(log["epoch"], log["train_loss"], "--", color=colour, label=f"{name}, training")
            axes[0].plot(log["epoch"], log["val_loss"], color=colour, label=f"{name}, validation")
            axes[1].plot(log["epoch"], log["train_accuracy"], "--", color=colour)
            axes[1].plot(log["epoch"], log["val_accuracy"], color=colour)
            axes[2].plot(log["epoch"], log["val_balanced_accuracy"], color=colour)
            for ax in axes:
                ax.axvline(run.metrics["best_epoch"], color=colour, linestyle=":", linewidth=1)
        for ax, title, unit in zip(
            axes, ("Loss", "Accuracy", "Balanced accuracy"), ("loss", "fraction right", "mean recall"), strict=True
        ):
            ax.set(title=title, xlabel="epoch", ylabel=unit)
            ax.xaxis.get_major_locator().set_params(integer=True)
        for ax in axes[1:]:
            ax.set_ylim(0, 1)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return fig


def confusion(run: Run, title: str) -> Figure:
    """Test images by true (row) and predicted class (column): share of the row as colour, counts as numbers."""
    classes, k = run.classes, len(run.classes)
    predicted = run.probabilities.argmax(axis=1)
    counts = np.bincount(run.labels * k + predicted, minlength=k * k).reshape(k, k)
    share = counts / counts.sum(axis=1, keepdims=True)
    with figure(0.62 * k + 2.2, 0.55 * k + 1.4, run.provenance["is_phantom"]) as fig:
        ax = fig.subplots()
        shown = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if share[row, column] > 0.55 else "black"
            ax.text(
                column,
                row,
                f"{count}\n{100 * share[row, column]:.0f} %",
                ha="center",
                va="center",
                color=colour,
                fontsize=7,
            )
        ax.set_xticks(range(k), classes, rotation=45, ha="right")
        ax.set_yticks(range(k), classes)
        ax.set(xlabel="predicted class", ylabel="true class", title=title)
        ax.grid(visible=False)
        fig.colorbar(shown, ax=ax, label="share of the true class", shrink=0.8)
    return fig


def recalls(runs: Mapping[str, Run]) -> Figure:
    """Recall of each class and their mean on the test split, with 95 % bootstrap intervals over lesions."""
    first = next(iter(runs.values()))
    names = ["balanced_accuracy", *(f"recall_{c}" for c in first.classes)]
    support = np.bincount(first.labels, minlength=len(first.classes))
    labels = ["balanced accuracy", *(f"{c} (n = {n})" for c, n in zip(first.classes, support, strict=True))]
    series = {
        label: ([run.metrics["test"][n] for n in names], [tuple(run.metrics["intervals"][n]) for n in names])
        for label, run in runs.items()
    }
    with figure(8.5, 0.5 * len(names) + 1.2, first.provenance["is_phantom"]) as fig:
        ax = fig.subplots()
        bars_with_intervals(ax, labels, series)
        ax.set(xlim=(-0.02, 1.12), xlabel="recall (fraction of the class that was found)")
        ax.set_title("Recall on the test split, 95 % intervals")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=len(series))
    return fig


def reliability(runs: Mapping[str, Run]) -> Figure:
    """Accuracy against confidence on the test split, in the bins of the expected calibration error."""
    phantom = any(run.provenance["is_phantom"] for run in runs.values())
    with figure(4.6, 4.2, phantom) as fig:
        ax = fig.subplots()
        ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
        for name, run in runs.items():
            p = run.probabilities
            confidence, right = p.max(axis=1), p.argmax(axis=1) == run.labels
            place = np.minimum((confidence * BINS).astype(int), BINS - 1)
            bins = [b for b in range(BINS) if (place == b).sum() >= 5]
            x, y = ([v[place == b].mean() for b in bins] for v in (confidence, right))
            ax.plot(x, y, "o-", label=f"{name} (ECE {run.metrics['test']['ece']:.3f})")
        ax.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="confidence (largest probability)",
            ylabel="accuracy in the bin",
            title="Calibration on the test split",
        )
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
        axes = grid_of(fig, rows, columns).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, image, row in zip(axes, images.sharp, worst.to_dict("records"), strict=False):
            answer = f"{row['prediction']} ({100 * row['prob_' + row['prediction']]:.0f} %)"
            picture(ax, image, f"{row['image_id']}\n{row['label']} → {answer}")
    return fig


def block_maps(model: nn.Module, images: TestImages, query: tuple[int, int] | None = None) -> Figure:
    """What a GLSA block does on a few images: the global attention of one query, the local maps, the fusion's gate.

    A row an image. A map of channels is shown as its mean over them; colours go from a panel's least to its greatest
    value, both given in its title, because attention and gates live on different scales.
    """
    with torch.inference_mode():
        probabilities = model.eval()(images.batch(model)).softmax(dim=1).numpy()
        maps = {name: _spatial(m) for name, m in model.maps(query).items() if not name.endswith("heads")}
    maps = {name: m for name, m in maps.items() if m is not None}
    titles = images.names(probabilities.argmax(axis=1))
    with figure(1.95 * (1 + len(maps)), 2.2 * len(images), images.is_phantom) as fig:
        for i, row in enumerate(grid_of(fig, len(images), 1 + len(maps))):
            picture(row[0], images.shown[i], f"{titles[i]} ({100 * probabilities[i].max():.0f} %)")
            for ax, (name, heats) in zip(row[1:], maps.items(), strict=True):
                heat, image = heats[i], images.sharp[i]
                overlay(ax, image, heat, f"{name.replace('_', ' ')}\n{heat.min():.3g} … {heat.max():.3g}")
                if name == "global":
                    _mark_query(ax, image.shape, heat.shape, query)
    return fig


def _spatial(m: Tensor) -> np.ndarray | None:
    """A map as [B, H, W], the mean over channels; None for what has no positions, or one (weights, scalars)."""
    if m.ndim == 4:
        m = m.mean(dim=1)
    return m.float().numpy() if m.ndim == 3 and m.shape[1] * m.shape[2] > 1 else None


def _mark_query(ax: Axes, size: tuple[int, ...], grid: tuple[int, int], query: tuple[int, int] | None) -> None:
    """A cross on the query of a map of `grid` positions over an image of `size` pixels."""
    (height, width), (rows, columns) = size[:2], grid
    row, column = query or (rows // 2, columns // 2)
    x, y = (column + 0.5) * width / columns - 0.5, (row + 0.5) * height / rows - 0.5
    ax.plot(x, y, "x", color="cyan", markersize=7, markeredgewidth=2)
