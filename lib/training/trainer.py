"""Training of one run with pytorch-lightning: loaders, resumption, the Trainer's settings."""

import logging
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import TorchCheckpointIO
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch.serialization import get_unsafe_globals_in_checkpoint
from torch.utils.data import DataLoader, Dataset, Sampler

from lib import hardware
from lib.data import BatchShares, EpochBatches, rows_of
from lib.data.shards import ShardSet
from lib.errors import WorkbookFileError
from lib.progress import watcher
from lib.threads import Threads
from lib.training.classifier import Classifier
from lib.training.config import RunConfig
from lib.training.distributed import rank_of
from lib.training.identities import trained_identities
from lib.training.inference import evaluation_batch
from lib.training.logs import explain_out_of_memory, keep_not_finite, lightning_manners
from lib.training.recorder import BatchProgress, FollowLoad, Recorder, Watch
from lib.training.settings import BRANCHES
from lib.training.store import Run
from lib.training.training_data import DecodedImages, TrainingData, stream_of

log = logging.getLogger(__name__)

PROTO = b"\x80"  # how a pickle begins; a checkpoint is a zip file

Setup = tuple[Classifier, Iterable, Iterable]  # what a task trains, and this process's batches to train and to validate


class Batches(Dataset):
    """Rows of a pixel array, a whole batch at a time: indexing with a list is one copy."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> None:
        self.pixels, self.labels, self.rows = pixels, labels, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: list[int]) -> tuple[torch.Tensor, ...]:
        rows = self.rows[positions]
        return tuple(torch.from_numpy(array) for array in (self.pixels[rows], self.labels[rows], rows))


class StraightToFile(TorchCheckpointIO):
    """Lightning's own puts the whole checkpoint together in memory first: twice the time, and as much memory again."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` into the file `path` as it is pickled.

        Raises:
            OSError: it cannot be written, as on a full disk; torch hides that behind a RuntimeError.
        """
        try:
            with open(path, "wb") as file:  # torch's own writer makes a full disk a RuntimeError without a reason
                torch.save(checkpoint, file)
        except RuntimeError as error:  # and covers what the file has said with another one
            reason: BaseException | None = error
            while reason is not None and not isinstance(reason, OSError):
                reason = reason.__context__
            raise reason or error from error


def train(
    config: RunConfig,
    run: Run,
    model: torch.nn.Module,
    training_data: TrainingData,
    threads: Threads,
    before_saving: Callable[[], None] = lambda: None,
    followed: pd.DataFrame | None = None,
    follow: Watch = lambda rows, best: None,
) -> float:
    """Train up to the last epoch, from `last.ckpt` if there is one; returns the seconds that it took in all.

    Of several processes each calls this at the same time, with equal models. `before_saving` is called after every epoch;
    what it raises ends the training with the last epoch's files intact. A refit follows the log `followed`. `follow` gets all
    lines of the log after every epoch, and after the last one the best epoch.
    """
    phantom = isinstance(training_data, DecodedImages) and training_data.images.is_phantom
    watches = (watcher("training", run.path.name, phantom), follow)
    recorder = Recorder(run.path, config.early_stopping_patience, before_saving, followed, watches)
    follow_load = FollowLoad(threads)
    checkpoint = _resume_from(run.path / "last.ckpt", recorder, follow_load)
    if recorder.finished:
        return recorder.seconds
    module, batches, val_batches = _setup(config, model, training_data)
    if hardware.channels_last_helps(config.precision, hardware.device(config.device)):
        module.to(memory_format=torch.channels_last)
    # Lightning does so too, but after a resumed run's first batch is drawn.
    batches.sampler.set_epoch(len(recorder.rows))
    with lightning_manners(), explain_out_of_memory(config):
        trainer = _trainer(config, run, [follow_load, recorder])
        with keep_not_finite(run.path, training_data):
            trainer.fit(
                module, batches, None if config.refits else val_batches, ckpt_path=checkpoint, weights_only=True
            )
    return recorder.seconds


def _setup(config: RunConfig, model: torch.nn.Module, training_data: TrainingData) -> Setup:
    if isinstance(training_data, ShardSet):
        return _streamed(config, model, training_data)
    return (_identities if config.task == "reid" else _listed)(config, model, training_data)


def _streamed(config: RunConfig, model: torch.nn.Module, shards: ShardSet) -> Setup:
    module = classifier(config)(config, model, shards.classes, [])

    def loader(part: str, batch_size: int, training: bool) -> Iterable:
        share = {"training": training, "rank": rank_of(config), "processes": config.processes}
        stream = stream_of(config, shards, part, batch_size, **share)
        return stream.loader(pin_memory=hardware.device(config.device).type == "cuda")

    train = loader("train", config.batch_size // config.processes, training=True)
    return module, train, loader("val", evaluation_batch(config), training=False)


def _listed(config: RunConfig, model: torch.nn.Module, decoded: DecodedImages) -> Setup:
    images, pixels, parts = decoded
    labels = images.rows["label"].to_numpy(dtype=np.int64)
    train, val = rows_of(parts, "train"), rows_of(parts, "val")
    counts = np.bincount(labels[train], minlength=len(images.classes)).tolist()
    module = classifier(config)(config, model, images.classes, counts)
    shared = len(train) - len(train) % config.processes  # of a set that is smaller than a batch
    batches = EpochBatches(labels[train], min(config.batch_size, shared), config.sampler, config.seed)
    return _rows_setup(config, module, Batches(pixels, labels, train), batches, Batches(pixels, labels, val))


def _rows_setup(config: RunConfig, module: Classifier, train: Batches, batches: Sampler, val: Batches) -> Setup:
    rank, size = rank_of(config), evaluation_batch(config)
    own = list(range(rank, len(val), config.processes))
    in_order = [own[i : i + size] for i in range(0, len(own), size)]
    return module, _loader(train, BatchShares(batches, rank, config.processes)), _loader(val, in_order)


def classifier(config: RunConfig) -> type[Classifier]:
    """The module that trains the network of `config` on classes."""
    if config.attention not in BRANCHES:
        return Classifier
    from lib.training.fine_grained import FineGrained  # timm takes two seconds to import

    return FineGrained


def _identities(config: RunConfig, model: torch.nn.Module, decoded: DecodedImages) -> Setup:
    from lib.training.identity_sampling import IdentityBatches
    from lib.training.reidentification import ReIdentification

    images, pixels, parts = decoded
    classes, labels = trained_identities(images, parts)
    train = rows_of(parts, "train")
    val = np.concatenate([rows_of(parts, "val_query"), rows_of(parts, "val_gallery")])
    identities = images.rows[["identity", "camera"]].assign(is_query=parts == "val_query")
    counts = np.bincount(labels[train], minlength=len(classes)).tolist()
    number = config.batch_size // config.images_per_identity
    batches = IdentityBatches(labels[train], number, config.images_per_identity, config.seed)
    module = ReIdentification(config, model, classes, counts, identities)
    return _rows_setup(config, module, Batches(pixels, labels, train), batches, Batches(pixels, labels, val))


def _loader(data: Batches, batches: Iterable[list[int]]) -> DataLoader:
    # With a generator of its own a loader draws nothing from the global one, which belongs to the model and the
    # augmentation: a resumed run makes its loaders at another moment than an uninterrupted one.
    return DataLoader(data, sampler=batches, batch_size=None, generator=torch.Generator())


def _trainer(config: RunConfig, run: Run, callbacks: list[pl.Callback]) -> pl.Trainer:
    where, several = hardware.device(config.device), config.processes > 1
    progress = BatchProgress(f"{config.backbone} {config.attention}", config.verbose)
    # Buffers are not copied from the first process at every step: BatchNorm's are averaged before each validation.
    return pl.Trainer(
        max_epochs=config.max_epoch,
        accumulate_grad_batches=config.accumulate_grad_batches,
        accelerator=where.type,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=DDPStrategy(broadcast_buffers=False) if several else "auto",
        use_distributed_sampler=False,  # the loaders give shares
        sync_batchnorm=config.sync_batchnorm,
        precision=hardware.lightning_precision(config.precision, where),
        deterministic="warn" if where.type == "cuda" else None,  # on a CPU everything used here is so already
        callbacks=callbacks if rank_of(config) else [progress, *callbacks],
        logger=False,  # lib.training.trackers follows the recorder
        plugins=[  # an environment of ours, also inside a Slurm job
            TorchElasticEnvironment() if several else LightningEnvironment(),
            StraightToFile(),
        ],
        default_root_dir=run.path,
        num_sanity_val_steps=0,
        log_every_n_steps=10**9,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=True,
    )


def _resume_from(path: Path, recorder: Recorder, follow_load: FollowLoad) -> str | None:
    """The checkpoint to go on from; a damaged one is named and removed, and training starts over.

    Raises:
        WorkbookFileError: it asks for code to be run. Ours hold numbers and names.
    """
    if not path.exists():
        return None
    if code := _code_in(path):
        raise WorkbookFileError(
            f"{path} asks for code to be run ({', '.join(code)}) and is refused: nothing of it was loaded. Remove it, and the "
            "training starts from the first epoch; whoever has put it there may have changed other files beside it, too."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["callbacks"]
        recorder.load_state_dict(state[recorder.state_key])
        follow_load.load_state_dict(state.get(follow_load.state_key, {}))  # those of earlier builds do not tell
    except Exception as error:  # torch raises half a dozen types on damaged files
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
        log.warning("%s cannot be read (%s); starting from the first epoch", path, reason)
        path.unlink(missing_ok=True)  # another process may be at it
        return None
    log.info("resuming after epoch %d", len(recorder.rows))
    return str(path)


def _code_in(path: Path) -> list[str]:
    """What a pickle in `path` would import that no checkpoint of numbers needs."""
    with open(path, "rb") as file:
        if file.read(1) == PROTO:
            return ["a bare pickle, which torch.save does not write"]
    try:
        return get_unsafe_globals_in_checkpoint(path)
    except Exception:  # what cannot be read asks for nothing
        return []
