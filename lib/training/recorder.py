"""The callback that keeps a run: one line an epoch, the best weights, and the state to resume from."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lib.disk.tensors import save_tensors
from lib.errors import printable
from lib.files import save_whole, write_text
from lib.progress import Progress, duration
from lib.threads import Threads
from lib.training.classifier import Classifier
from lib.training.logs import METRICS_LOG

log = logging.getLogger(__name__)

Watch = Callable[[Sequence[Mapping[str, float]], int | None], object]


class Recorder(Checkpoint):  # Lightning calls checkpoint callbacks after all others
    """Writes training_log.csv, best.safetensors and last.ckpt after every epoch, and stops early.

    The lines live in the checkpoint too, so that an interrupted and resumed run writes the same log as one that was
    never interrupted. The best epoch has the highest `RunConfig.monitor`, a validation metric; the test split is not
    touched. Of several processes each has one, with equal numbers, and the first writes.

    `watches` get the lines after every epoch, and after the last one the best epoch.

    A refit has no validation: what a plateau did to the learning rate stands in the log of the run that has chosen the
    epochs, `followed`, and the last epoch is kept.
    """

    def __init__(
        self,
        folder: Path,
        patience: int | None,
        before_saving: Callable[[], None],
        followed: pd.DataFrame | None = None,
        watches: Sequence[Watch] = (),
    ) -> None:
        self.folder, self.patience, self.before_saving, self.followed = folder, patience, before_saving, followed
        self.watches = watches
        self.rows: list[dict[str, float]] = []
        self.best, self.best_epoch, self.finished = -math.inf, 0, False
        self.seconds = 0.0  # of training, over all sessions

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to write the same log: the lines, the best epoch, the seconds of training."""
        return {name: getattr(self, name) for name in ("rows", "best", "best_epoch", "finished", "seconds")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        vars(self).update(state)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Begin to count the epoch's seconds."""
        self.began = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Write the epoch's line and, last, the state; keep the weights if they are the best; step a plateau's schedule;
        stop where it is time. What `before_saving` raises ends the training before anything is written."""
        self.before_saving()
        row = module.epoch_row()
        self.rows.append(row)
        self.seconds += time.monotonic() - self.began
        for scheduler in (entry.scheduler for entry in trainer.lr_scheduler_configs):
            if isinstance(scheduler, ReduceLROnPlateau):  # here and not by Lightning: see Classifier
                self._step_plateau(scheduler, row)
        self._keep_best(row, module, trainer.is_global_zero)
        stop = self._waited_too_long(row, module.config.monitor)
        trainer.should_stop = trainer.should_stop or stop
        self.finished = stop or row["epoch"] >= module.config.max_epoch
        self._report(row, module)
        for watch in self.watches:
            watch(self.rows, self.best_epoch if self.finished else None)
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.folder / "last.ckpt")  # writes nothing: the first process waits for the others
            return
        write_text(self.folder / "training_log.csv", pd.DataFrame(self.rows).to_csv(index=False, float_format="%.6f"))
        # Last, since a resumed run takes what comes before as done: after the last epoch nothing would write it again.
        save_whole(self.folder / "last.ckpt", trainer.save_checkpoint, _bytes_of_state(trainer, module))

    def _step_plateau(self, scheduler: ReduceLROnPlateau, row: dict[str, float]) -> None:
        if self.followed is None:
            scheduler.step(row["val_loss"])
        elif row["epoch"] < len(self.followed):
            for group in scheduler.optimizer.param_groups:
                group["lr"] = float(self.followed["learning_rate"].iloc[int(row["epoch"])])  # of the next epoch

    def _keep_best(self, row: dict[str, float], module: Classifier, writes: bool) -> None:
        value = row.get(module.config.monitor, row["epoch"])  # in a refit the later epoch is the better one
        if not value > self.best:
            return
        self.best, self.best_epoch = value, int(row["epoch"])
        if writes:
            weights = {k: v.detach().cpu().contiguous() for k, v in module.kept.state_dict().items()}
            save_tensors(self.folder / "best.safetensors", weights)
            log.debug(
                "checkpoint: best.safetensors is of epoch %d, %s %.4f", row["epoch"], module.config.monitor, value
            )

    def _waited_too_long(self, row: dict[str, float], monitor: str) -> bool:
        waited = int(row["epoch"]) - self.best_epoch
        if self.patience is None or waited < self.patience:
            return False
        log.info("early stop: no better %s for %d epochs", monitor, waited)
        return True

    def _report(self, row: dict[str, float], module: Classifier) -> None:
        config = module.config
        if len(self.rows) == 1:
            METRICS_LOG.info("EPOCH,%s", printable(",".join(row)))
        METRICS_LOG.info("EPOCH,%d,%s", row["epoch"], ",".join(f"{value:.6f}" for value in list(row.values())[1:]))
        log.info(
            "epoch %d/%d: train loss %.4f, accuracy %.3f; %slr %.2g; %s",
            row["epoch"],
            config.max_epoch,
            row["train_loss"],
            row["train_accuracy"],
            "" if config.refits else self._validation(row, config.monitor),
            row["learning_rate"],
            duration(time.monotonic() - self.began),
        )
        self._tell_learning_rate()

    def _tell_learning_rate(self) -> None:
        """Say that it has changed; of one that does so every epoch, whose line says it, only to the file."""
        before, last = [row["learning_rate"] for row in self.rows[-3:-1]], self.rows[-1]["learning_rate"]
        if before and last != before[-1]:
            level = logging.DEBUG if len(set(before)) > 1 else logging.INFO
            log.log(level, "Learning rate changed from %g to %g", before[-1], last)

    def _validation(self, row: dict[str, float], monitor: str) -> str:
        shown = {name: row[name] for name in ("val_accuracy", monitor)}
        values = ", ".join(
            f"{name.removeprefix('val_').replace('_', ' ')} {value:.3f}" for name, value in shown.items()
        )
        best = " (best so far)" if row["epoch"] == self.best_epoch else ""
        return f"validation loss {row['val_loss']:.4f}, {values}{best}; "


def _bytes_of_state(trainer: pl.Trainer, module: Classifier) -> int:
    """Of all tensors that a checkpoint holds."""
    optimisation = [value for o in trainer.optimizers for state in o.state.values() for value in state.values()]
    values = [*module.state_dict().values(), *optimisation]
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


class BatchProgress(pl.Callback):
    """The progress display of a whole training, and the batch metrics of `--verbose`."""

    def __init__(self, name: str, verbose: bool) -> None:
        self.name = name
        self.level = logging.INFO if verbose else logging.DEBUG
        self.shown = contextlib.ExitStack()

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Begin the display, behind the epochs that are done, and head the BATCH lines of a run that begins."""
        total = trainer.num_training_batches * trainer.max_epochs
        progress = Progress(
            total, f"training {self.name}", "batches", done=trainer.num_training_batches * trainer.current_epoch
        )
        self.bar = self.shown.enter_context(progress)
        if trainer.global_step == 0:
            METRICS_LOG.info("BATCH,epoch,batch,loss,accuracy,learning_rate")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Classifier, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the display on, and write the batch's line: loss, accuracy (a fraction), learning rate."""
        epoch, batch_of_epoch = trainer.current_epoch + 1, batch_idx + 1
        loss, accuracy = float(module.batch_loss), float(module.batch_accuracy)
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        self.bar.advance(note=f"epoch {epoch}/{trainer.max_epochs}, loss {loss:.3f}")
        told = (epoch, batch_of_epoch, loss, accuracy, lr)
        log.log(self.level, "epoch %d, batch %d: loss %.4f, accuracy %.3f, lr %.3g", *told)
        METRICS_LOG.info("BATCH,%d,%d,%.6f,%.6f,%.6g", *told)

    def on_train_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """End the display: done."""
        self.shown.close()

    def on_exception(self, trainer: pl.Trainer, module: Classifier, exception: BaseException) -> None:
        """End the display: stopped."""
        self.shown.__exit__(type(exception), exception, exception.__traceback__)


class FollowLoad(pl.Callback):
    """Asks `threads` before every batch whether they are still as many as find a core each."""

    def __init__(self, threads: Threads) -> None:
        self.threads = threads

    def state_dict(self) -> dict[str, list[int]]:
        """The numbers of threads so far, which `provenance.json` lists."""
        return {"numbers": self.threads.numbers}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Take on what `state_dict` gave; a checkpoint of an earlier build has no numbers."""
        self.threads.numbers = list(state.get("numbers", ()))

    def on_train_start(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Look at what other processes do, and take the threads that they leave."""
        self.threads.begin()

    def on_train_batch_start(self, trainer: pl.Trainer, module: Classifier, batch: Any, batch_idx: int) -> None:
        """Take fewer threads where others have come; more, where they have gone, at an epoch's first batch only."""
        self.threads.look(epoch_begins=batch_idx == 0)
