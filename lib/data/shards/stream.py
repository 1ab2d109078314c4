"""Images streamed from tar shards, dealt to the processes of a run and to their loader workers."""

import io
import math
import random
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count, islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lib.data.decoding import Size, decode
from lib.data.image_names import is_image
from lib.data.imageset import refuse_unreadable
from lib.data.shards.listing import Shard, is_member, unreadable, webdataset
from lib.errors import InputLost, WorkbookError, WorkbookFileError, WorkbookValueError, positive

BUFFER = 5000  # images held for shuffling, encoded, by each worker


class ShardStream(IterableDataset):
    """(image uint8 [height, width, 3], label, name) one by one, shuffled anew each epoch by (seed, epoch) alone.

    In training every worker of every process yields the same number of whole batches, so that no process waits for
    another at the end of an epoch: one whose shards run out begins them again, one with more leaves the rest; with equal
    shares each image comes once. With `training=False` every image comes once, in order.

    Args:
        shards: of one part of a set.
        classes: number of classes; labels are below.
        size: what images are resized to, see `decode`.
        batch_size: images of a batch of this process.
        workers: loader workers of each process.
        seed: of the order of shards and images.
        training: see above.
        skip_unreadable: leave out images that cannot be read, with a warning; in training others stand in for them.
        rank, processes: which of how many processes this one is.

    Raises:
        WorkbookValueError: too few shards to deal out or images for a batch, or a size that is not a positive whole
            number.
        WorkbookFileError: while iterating: a shard is missing or damaged, or what it holds cannot be used.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        classes: int,
        size: Size,
        batch_size: int = 64,
        workers: int = 1,
        seed: int = 0,
        training: bool = True,
        skip_unreadable: bool = False,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        super().__init__()
        positive(batch_size=batch_size, workers=workers)
        self.shards, self.classes, self.size = list(shards), classes, size
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.training, self.skip_unreadable = training, skip_unreadable
        self.rank, self.processes, self.epoch = rank, processes, 0
        self._check_shares()

    def _check_shares(self) -> None:
        wanted = self.processes * (self.workers if self.training else 1)
        if len(self.shards) < wanted:
            raise WorkbookValueError(
                f"{len(self.shards)} shards cannot be dealt to {self.processes} processes with {self.workers} loader "
                f"workers each: lower loader_workers or devices, or pack the images into {wanted} shards or more."
            )
        if self.training and not self.batches:
            raise WorkbookValueError(
                f"{sum(s.images for s in self.shards)} images are less than one batch of {self.batch_size} for each of "
                f"{self.processes} × {self.workers} workers: lower batch_size or loader_workers."
            )

    def set_epoch(self, epoch: int) -> None:
        """To be called before an epoch is iterated: its workers start with what is set then."""
        self.epoch = epoch

    def loader(self, pin_memory: bool = False) -> "StreamLoader":
        """Batches (uint8 [B, H, W, 3], int64 [B], B names) of this process."""
        return StreamLoader(self, pin_memory)

    @property
    def batches(self) -> int:
        """Batches that this process sees in an epoch (fewer of an evaluation that skips images)."""
        if self.training:
            images = sum(shard.images for shard in self.shards)
            return images // (self.processes * self.workers * self.batch_size) * self.workers
        dealt = (self._dealt(self.shards, worker, self.workers) for worker in range(self.workers))
        return sum(math.ceil(sum(shard.images for shard in shards) / self.batch_size) for shards in dealt)

    def _dealt(self, shards: list[Shard], worker: int, workers: int) -> list[Shard]:
        """The shards of one worker of this process."""
        return shards[self.rank * workers + worker :: self.processes * workers]

    def __iter__(self) -> Iterator[tuple[np.ndarray, int, str]]:
        worker, workers = loader_worker()
        if not self.training:
            return self._decoded(read_shards(self._dealt(self.shards, worker, workers)))
        order = random.Random(f"{self.seed}-{self.epoch}").sample(self.shards, len(self.shards))
        rng = random.Random(f"{self.seed}-{self.epoch}-{self.rank * workers + worker}")
        return self._trained(self._dealt(order, worker, workers), rng)

    def _trained(self, shards: list[Shard], rng: random.Random) -> Iterator[tuple[np.ndarray, int, str]]:
        quota, number = self.batches // self.workers * self.batch_size, 0
        endless = chain.from_iterable(read_shards(shards) for _ in count())
        samples = chain(shuffled(islice(endless, quota), BUFFER, rng), islice(endless, quota))  # then, what stands in
        for number, sample in enumerate(islice(self._decoded(samples), quota), 1):  # noqa: B007
            yield sample
        if number < quota:
            raise WorkbookFileError(f"More than half of the images cannot be read in {shards[0].url} and its like.")

    def _decoded(self, samples: Iterable[dict]) -> Iterator[tuple[np.ndarray, int, str]]:
        for sample in samples:
            name, encoded, label = self._unpacked(sample)
            try:
                image = decode(NamedBytes(encoded, name), self.size)
            except WorkbookFileError as error:
                refuse_unreadable([str(error)], self.skip_unreadable)
                continue
            yield image, label, f"{sample['__url__'].rpartition('/')[2].removesuffix('.tar')}/{sample['__key__']}"

    def _unpacked(self, sample: dict) -> tuple[str, bytes, int]:
        """What messages call an image, its file, and its label."""
        name = f"{sample['__url__']}, image {sample['__key__']!r}"
        images = [value for kind, value in sample.items() if is_image(f"image.{kind}")]
        classes = [value for kind, value in sample.items() if f".{kind}".endswith(".cls")]
        for what, files in (("image file", images), (".cls file with its class", classes)):
            if len(files) != 1:
                raise WorkbookFileError(
                    f"{name} has {len(files) or 'no'} {what}{'s' * (len(files) > 1)}; a shard holds <key>.jpg and <key>.cls for "
                    "each image, and a key ends at its first dot."
                )
        encoded, label = images[0], classes[0].decode(errors="replace").strip()
        if not label.isdecimal():
            raise WorkbookFileError(f"{name}: its .cls file holds {label!r}, not the number of a class.")
        if int(label) >= self.classes:
            raise WorkbookFileError(
                f"{name}: its .cls file holds {label}, but the {self.classes} classes beside the shards are numbered from 0 "
                f"to {self.classes - 1}; complete classes.txt."
            )
        return name, encoded, int(label)


class StreamLoader:
    """Batches of a stream. Lightning looks for `dataset`, and calls the sampler's `set_epoch` before each epoch."""

    def __init__(self, stream: ShardStream, pin_memory: bool = False) -> None:
        self.dataset = self.sampler = stream
        self.pin_memory = pin_memory

    def __len__(self) -> int:
        return self.dataset.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, list[str]]]:
        # A generator of its own: what a loader draws from the global one would shift the model's random numbers.
        loader = DataLoader(
            self.dataset,
            self.dataset.batch_size,
            num_workers=self.dataset.workers,
            pin_memory=self.pin_memory,
            collate_fn=_batch,
            generator=torch.Generator(),
        )
        try:
            yield from loader
        except WorkbookError as error:  # a worker's, wrapped in its traceback
            error.__traceback__ = None  # a reference cycle, which would keep the workers alive
            own = f"{type(error).__module__}.{type(error).__qualname__}: "
            raise type(error)(str(error).rpartition(own)[2].strip()) from None


def _batch(samples: list[tuple[np.ndarray, int, str]]) -> tuple[Tensor, Tensor, list[str]]:
    images, labels, names = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels), list(names)


class NamedBytes(io.BytesIO):
    """A file in memory that tells its name in `decode`'s messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name

    def __str__(self) -> str:
        return self.name


def read_shards(shards: Iterable[Shard]) -> Iterator[dict]:
    """WebDataset's samples, {'__key__', '__url__', 'jpg', 'cls'}, shard by shard.

    Raises:
        InputLost: a shard is missing or damaged, or holds fewer images than it should.
    """
    for shard in shards:
        number = 0
        try:
            files = webdataset().tariterators.tarfile_samples([{"url": shard.url}], select_files=is_member)
            for number, sample in enumerate(files, 1):  # noqa: B007
                yield sample
        except (tarfile.TarError, OSError, ValueError) as error:
            raise unreadable(shard.url, error) from error
        if number < shard.images:
            raise InputLost(
                f"The shard {shard.url} ends after {number} of {shard.images} images: fetch it again, or correct sizes.json."
            )


@contextmanager
def explain_dead_worker() -> Iterator[None]:
    """A loader worker that was killed, which torch tells at once and in the middle of anything, as an InputLost."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        told = str(error).strip().rstrip(".")
        raise InputLost(f"{told}. Where memory does not suffice, lower loader_workers or batch_size.") from error


def shuffled(samples: Iterator[dict], size: int, rng: random.Random) -> Iterator[dict]:
    """All samples, each exchanged with a random one of those in a buffer of `size`."""
    buffer = list(islice(samples, size))
    for sample in samples:
        place = rng.randrange(size)
        yield buffer[place]
        buffer[place] = sample
    rng.shuffle(buffer)
    yield from buffer


def loader_worker() -> tuple[int, int]:
    """(number of this loader worker, workers), (0, 1) in the main process."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
