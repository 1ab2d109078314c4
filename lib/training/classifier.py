"""The LightningModule of a classifier: augmentation on the device, loss, metrics; the model stays a plain nn.Module.

What is special about training another network is in the methods that its own module overrides: `losses` for a batch,
`validation_step` and `validation_row` for an epoch.
"""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.utilities import dim_zero_cat

from lib import hardware
from lib.data import AUGMENTATIONS, mixed_seed
from lib.data.augmentation import centre_view
from lib.data.mixing import build_mixing
from lib.training.config import RunConfig
from lib.training.distributed import average_statistics
from lib.training.inference import augmentation_of, normalise, statistics_of, to_unit
from lib.training.losses import LossNotFinite, build_loss
from lib.training.metrics import measure, tell_absent
from lib.training.optimisers import build_optimisation

Shown = Tensor | list[str]  # which images a batch shows: rows of the image set, or names in a stream
PROCESS_STRIDE = 2**40  # between the seeds of two processes: more than seeds and epochs take


class Classifier(pl.LightningModule):
    """Trains `model` as `config` says. Batches are (uint8 images [B, H, W, 3], labels [B], which images they are).

    `counts` are the training images of each class.
    """

    def __init__(self, config: RunConfig, model: nn.Module, classes: Sequence[str], counts: Sequence[int]) -> None:
        super().__init__()
        self.config, self.classes = config, tuple(classes)
        self.model = model
        self.loss = build_loss(counts=counts, **config.arguments("loss"))
        self.augmentation = augmentation_of(config)
        self.augment = AUGMENTATIONS[self.augmentation]
        self.mixing = build_mixing(config.mixup, config.cutmix, len(classes))
        self.average = _average(model, config.ema_decay) if config.ema_decay else None
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_accuracy = MulticlassAccuracy(len(classes), average="micro")
        self.val_metrics = EpochMetrics(classes)

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def on_train_epoch_start(self) -> None:
        """Seed what the model draws, and note the learning rate with which the epoch begins."""
        # Dropout and drop path become functions of (seed, epoch, process): a resumed run draws what it would have.
        torch.manual_seed(mixed_seed(self.config.seed, self.current_epoch + self.global_rank * PROCESS_STRIDE))
        self.augmented = self.global_rank  # shares of batches of this epoch, all processes counted
        self.learning_rate = self.optimizers().param_groups[0]["lr"]

    def on_after_batch_transfer(
        self, batch: tuple[Tensor, Tensor, Shown], dataloader_idx: int
    ) -> tuple[Tensor, Tensor, Shown]:
        """uint8 [B, H, W, 3] → float [B, 3, H, W] as the network takes them, on its device: augmented in training, else the
        centre view, and normalised. Labels [B] become shares [B, K] where images are mixed."""
        images, labels, shown = batch
        images = to_unit(images)
        if self.trainer.training:
            images, labels = self._augmented(images, labels)
        else:
            images = centre_view(images, self.augmentation)
        return normalise(images, statistics_of(self.model)), labels, shown

    def _augmented(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A function of (seed, epoch, batch) and nothing else, so that all models see the same images. Labels are shares
        [B, K] where images are mixed."""
        seed = mixed_seed(self.config.seed, self.current_epoch, self.augmented)
        self.augmented += self.trainer.world_size
        with hardware.drawing_from(seed, images.device):
            images = self.augment(images)
            return (images, labels) if self.mixing is None else self.mixing(images, labels)

    def training_step(self, batch: tuple[Tensor, Tensor, Shown], batch_idx: int) -> Tensor:
        """The batch's loss, a scalar with its graph; it and the accuracy are noted, for the batch and for the epoch.

        Raises:
            LossNotFinite: the loss is NaN or infinite.
        """
        images, labels, shown = batch
        loss, logits = self.losses(images, labels, shown)
        if not torch.isfinite(loss):
            raise self._not_finite(loss.item(), shown, batch_idx)
        self.train_loss.update(loss.detach(), len(labels))
        labels = labels if labels.ndim == 1 else labels.argmax(dim=1)  # of a mixed image, what most of it shows
        self.train_accuracy.update(logits.detach(), labels)
        self.batch_loss = loss.detach()
        self.batch_accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        return loss

    def _not_finite(self, loss: float, shown: Shown, batch_idx: int) -> LossNotFinite:
        epoch, batch = self.current_epoch + 1, batch_idx + 1
        facts = {"loss": loss, "epoch": epoch, "batch": batch, "gradient_norm_before": self.gradient_norm()}
        facts["learning_rate"] = self.optimizers().param_groups[0]["lr"]
        return LossNotFinite(
            f"The loss became {loss} in epoch {epoch}, batch {batch}: lower lr ({self.config.lr}), set gradient_clip, or train "
            "with precision='32'.",
            shown,
            facts,
        )

    def gradient_norm(self) -> float | None:
        """Of the step before, clipped where gradients are; None before the first."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return nn.utils.get_total_norm(gradients).item() if gradients else None

    def losses(self, images: Tensor, labels: Tensor, shown: Shown | None = None) -> tuple[Tensor, Tensor]:
        """The training loss of a batch, a scalar, and the logits [B, K] whose accuracy is logged."""
        logits = self.model(images)
        return self.loss(logits, labels), logits

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step as Lightning makes it, which the average of the weights follows where there is one."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *args: object, **kwargs: object) -> None:
        """Scale the gradients so that their norm is `config.gradient_clip` at most, where that is set."""
        # Here and not in the Trainer, which refuses to clip for fused optimisers even where no scaler is at work.
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)

    def on_validation_start(self) -> None:
        """Of several processes, give each the mean of all BatchNorm statistics."""
        if self.config.processes > 1:
            average_statistics(self)

    def validation_step(self, batch: tuple[Tensor, Tensor, Shown], batch_idx: int) -> None:
        """Note the loss and the probabilities that the kept network gives a batch, in full precision."""
        images, labels, _ = batch
        logits = self.kept(images).float()
        self.val_loss.update(self.loss(logits, labels), len(labels))
        self.val_metrics.update(logits.softmax(dim=1), labels)

    def epoch_row(self) -> dict[str, float]:
        """The finished epoch's line of training_log.csv, the seeds' columns first; metrics are reset. In a refit there is
        no validation."""
        row = {
            "epoch": self.current_epoch + 1,
            "train_loss": float(self.train_loss.compute()),
            "train_accuracy": float(self.train_accuracy.compute()),
        }
        val = {} if self.config.refits else {"val_loss": float(self.val_loss.compute()), **self.validation_row()}
        row |= {name: val.pop(name) for name in ("val_loss", "val_accuracy") if val}
        row |= {"learning_rate": self.learning_rate, **val}
        for metric in filter(lambda child: isinstance(child, Metric), self.children()):
            metric.reset()
        return row

    def validation_row(self) -> dict[str, float]:
        """The epoch's validation metrics by the log's names, `val_accuracy` among them."""
        return {f"val_{name}": round(value, 6) for name, value in self.val_metrics.compute().items()}

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: object) -> None:
        """A step of any schedule but a plateau's."""
        # Lightning steps a plateau schedule after the epoch's checkpoint is written, so a resumed run would lag behind
        # by an epoch: the recorder steps it, before it writes.
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def configure_optimizers(self) -> dict | torch.optim.Optimizer:
        """The optimiser and its schedule by `config`; see `lib.training.optimisers.build_optimisation`."""
        steps_per_epoch = int(self.trainer.estimated_stepping_batches) // self.config.max_epoch
        return build_optimisation(self.model, steps_per_epoch=steps_per_epoch, **self.config.arguments("optimisation"))


def _average(model: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of all weights and running statistics, of which nothing is trained."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    return average.requires_grad_(False)


class EpochMetrics(Metric):
    """`measure` of all validation images since the last reset, shown as probabilities [B, K] and labels [B].

    In a run of several processes they are the images of all. Classes that none shows are told, once.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes, self.told = tuple(classes), False
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch: probabilities [B, K] and labels [B]."""
        self.probabilities.append(probabilities.detach())
        self.labels.append(labels)

    def compute(self) -> dict[str, float]:
        """{metric: value}, fractions; see `measure`."""
        probabilities, labels = (dim_zero_cat(kept).cpu().numpy() for kept in (self.probabilities, self.labels))
        if not self.told:
            tell_absent(labels, self.classes, "validation")
        self.told = True
        return measure(probabilities, labels, self.classes)
