"""Figures on trained runs (notebook 02): curves, confusion, recalls, calibration, hardest images, the block's maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor, nn

from lib.data import ImageSet, decode
from lib.data.augmentation import centre_view, stored_size
from lib.report.figures.style import GREY, bars_with_intervals, figure, grid_of, overlay, picture
from lib.training.inference import network_input
from lib.training.metrics import BINS
from lib.training.store import Run

SHOWN = 200  # side in pixels of an image in a figure


def sharp(path: str, augmentation: str) -> np.ndarray:
    """uint8 [H, W, 3]: what a network trained with `augmentation` is shown of a picture, in as many pixels as people like."""
    whole = torch.from_numpy(decode(path, stored_size(SHOWN, augmentation)).copy())
    return rearrange(centre_view(rearrange(whole, "y x c -> 1 c y x"), augmentation), "1 c y x -> y x c").numpy()


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


def hardest(run: Run, images: ImageSet, count: int = 10) -> Figure:
    """The test images to whose true class the model gave the least probability."""
    table = run.predictions.assign(truth=run.probabilities[np.arange(len(run.labels)), run.labels])
    worst = table.nsmallest(count, "truth")
    paths = images.rows.set_index("image_id")["path"]
    columns = 5
    rows = -(-len(worst) // columns)
    with figure(1.9 * columns, 2.15 * rows, images.is_phantom) as fig:
        axes = grid_of(fig, rows, columns).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, each in zip(axes, worst.to_dict("records"), strict=False):
            said = f"{each['prediction']} ({100 * each['prob_' + each['prediction']]:.0f} %)"
            picture(ax, decode(paths[each["image_id"]], SHOWN), f"{each['image_id']}\n{each['label']} → {said}")
    return fig


def block_maps(
    model: nn.Module, images: ImageSet, image_ids: list[str], size: int, query: tuple[int, int] | None = None
) -> Figure:
    """What a GLSA block does on a few images: the global attention of one query, the local maps, the fusion's gate.

    A row an image. A map of channels is shown as its mean over them; colours go from a panel's least to its greatest
    value, both given in its title, because attention and gates live on different scales.
    """
    paths = images.rows.set_index("image_id")[["path", "label"]]
    pixels = np.stack([decode(paths.loc[i, "path"], size) for i in image_ids])
    sharp = [decode(paths.loc[i, "path"], SHOWN) for i in image_ids]  # the network saw `pixels`; people see more
    with torch.inference_mode():
        found = model.eval()(network_input(model, pixels)).softmax(dim=1)
        maps = {name: _flat(m) for name, m in model.maps(query).items()}
    spatial = {
        name: m
        for name, m in maps.items()
        if m is not None and m.shape[1] * m.shape[2] > 1 and not name.endswith("heads")
    }
    with figure(1.95 * (1 + len(spatial)), 2.2 * len(image_ids), images.is_phantom) as fig:
        for i, row in enumerate(grid_of(fig, len(image_ids), 1 + len(spatial))):
            label = images.classes[paths.loc[image_ids[i], "label"]]
            picture(
                row[0], pixels[i], f"{label} → {images.classes[int(found[i].argmax())]} ({100 * found[i].max():.0f} %)"
            )
            for ax, (name, heat) in zip(row[1:], spatial.items(), strict=True):
                overlay(ax, sharp[i], heat[i], f"{name.replace('_', ' ')}\n{heat[i].min():.3g} … {heat[i].max():.3g}")
                if name == "global":
                    _mark_query(ax, heat[i].shape, query)
    return fig


def _flat(m: Tensor) -> np.ndarray | None:
    """A map as [B, H, W]: the mean over channels; None for what belongs to no position (weights, scalars)."""
    if m.ndim == 4:
        m = m.mean(dim=1)
    return m.float().numpy() if m.ndim == 3 else None


def _mark_query(ax: object, shape: tuple[int, int], query: tuple[int, int] | None) -> None:
    row, column = query if query else (shape[0] // 2, shape[1] // 2)
    ax.plot(
        (column + 0.5) * SHOWN / shape[1] - 0.5,
        (row + 0.5) * SHOWN / shape[0] - 0.5,
        "x",
        color="cyan",
        markersize=7,
        markeredgewidth=2,
    )
