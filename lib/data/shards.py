"""Images streamed from tar shards (WebDataset's layout), for a set too large for a disk or for a list in memory.

A shard is a tar file that holds, for each image, `<key>.jpg` (or .jpeg, .png) and `<key>.cls`, the class's number as
text. Reading goes through `webdataset`, so a shard may be a file or a URL; only a shuffle buffer is ever in memory.

    stream = ShardStream("imagenet-train-{0000..0146}.tar", size=224, images=1_281_167, batch_size=128, workers=8)
    for epoch in range(epochs):
        stream.set_epoch(epoch)
        for images, labels in stream.loader():  # uint8 [B, H, W, 3], int64 [B]
            ...
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import distributed
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lib.data.imageset import IMAGE_SUFFIXES
from lib.data.pixels import Size, decode
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError, positive


class ShardStream(IterableDataset):
    """(image uint8 [height, width, 3], label) one by one, shuffled anew each epoch by (seed, epoch) alone.

    Shards are dealt to the processes of a distributed run and to their loader workers. In training every worker yields
    the same number of whole batches, so that no process waits for another at the end of an epoch: one whose shards run
    out begins them again, one with more leaves the rest. With `training=False` every image comes once, in order.

    Args:
        shards: a pattern with braces, a folder of .tar files, or a list of files and URLs.
        size: what images are resized to, see `decode`.
        images: number of images in all shards; None counts them, which reads every (local) shard's headers once.
        batch_size, workers: of `loader`; workers are for each process.
        seed: of the order of shards and images.
        buffer: images held for shuffling, encoded.
        training: see above.

    Raises:
        WorkbookError: `webdataset` is not installed.
        WorkbookFileError: a shard is not there, or what a shard holds cannot be used.
        WorkbookValueError: too few shards to deal out, or a size that is not a positive whole number.
    """

    def __init__(
        self,
        shards: str | Path | Iterable[str | Path],
        size: Size,
        images: int | None = None,
        batch_size: int = 64,
        workers: int = 1,
        seed: int = 0,
        buffer: int = 5000,
        training: bool = True,
    ) -> None:
        super().__init__()
        positive(batch_size=batch_size, workers=workers, buffer=buffer)
        self.shards, self.size = list_shards(shards), size
        self.images = count_images(self.shards) if images is None else images
        positive(images=self.images)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.buffer, self.training, self.epoch = buffer, training, 0

    def set_epoch(self, epoch: int) -> None:
        """To be called before an epoch's loader is iterated: its workers start with what is set then."""
        self.epoch = epoch

    def loader(self, pin_memory: bool = False) -> DataLoader:
        """Batches (uint8 [B, H, W, 3], int64 [B]) for this process."""
        return DataLoader(self, self.batch_size, num_workers=self.workers, pin_memory=pin_memory)

    @property
    def batches(self) -> int:
        """Batches a process sees in an epoch of training.

        Raises:
            WorkbookValueError: there are not enough images for one batch a worker.
        """
        processes = process()[1]
        each = self.images // (processes * self.workers * self.batch_size)
        if not each:
            raise WorkbookValueError(
                f"{self.images} images are less than one batch of {self.batch_size} for each of {processes} × {self.workers} "
                "workers: lower batch_size or workers."
            )
        return each * self.workers

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        (rank, processes), (worker, workers) = process(), loader_worker()
        number, parts = rank * workers + worker, processes * workers
        if self.training and len(self.shards) < parts:
            raise WorkbookValueError(
                f"{len(self.shards)} shards cannot be dealt to {processes} processes with {workers} workers each: lower "
                "workers, or pack the images into more shards."
            )
        if not self.training:
            return map(self.decoded, read_shards(self.shards[number::parts]))
        order = random.Random(f"{self.seed}-{self.epoch}").sample(self.shards, len(self.shards))
        rng = random.Random(f"{self.seed}-{self.epoch}-{number}")
        endless = chain.from_iterable(read_shards(order[number::parts]) for _ in count())
        samples = islice(endless, self.batches // self.workers * self.batch_size)
        return map(self.decoded, shuffled(samples, self.buffer, rng))

    def decoded(self, sample: dict) -> tuple[np.ndarray, int]:
        name = f"{sample['__url__']}, image {sample['__key__']!r}"
        encoded = next((value for key, value in sample.items() if f".{key.lower()}" in IMAGE_SUFFIXES), None)
        if encoded is None or "cls" not in sample:
            what = "no image file" if encoded is None else "no .cls file with its class"
            raise WorkbookFileError(f"{name} has {what}; a shard holds <key>.jpg and <key>.cls for each image.")
        label = sample["cls"].decode(errors="replace").strip()
        if not label.isdecimal():
            raise WorkbookFileError(f"{name}: its .cls file holds {label!r}, not the number of a class.")
        return decode(NamedBytes(encoded, name), self.size), int(label)


class NamedBytes(io.BytesIO):
    """A file in memory that tells its name in `decode`'s messages."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name

    def __str__(self) -> str:
        return self.name


def list_shards(shards: str | Path | Iterable[str | Path]) -> list[str]:
    """Shards as file names and URLs.

    Raises:
        WorkbookError: `webdataset` is not installed. WorkbookFileError: there are none, or a file is missing.
    """
    expand = webdataset().shardlists.expand_urls
    if isinstance(shards, (str, Path)):
        folder = Path(shards)
        found = sorted(map(str, folder.glob("*.tar"))) if folder.is_dir() else expand(str(shards))
    else:
        found = [str(shard) for shard in shards]
    if not found:
        raise WorkbookFileError(f"There is no .tar file in {str(shards)!r}; give the folder that holds the shards.")
    for shard in found:
        if not is_remote(shard) and not Path(shard).is_file():
            raise WorkbookFileError(f"There is no shard {shard!r}; check the pattern, folder or list of shards.")
    return found


def is_remote(shard: str) -> bool:
    return "://" in shard or shard.startswith("pipe:")


def count_images(shards: list[str]) -> int:
    """Images in local shards, from their headers.

    Raises:
        WorkbookValueError: a shard is remote. WorkbookFileError: one is not a tar file.
    """
    remote = next(filter(is_remote, shards), None)
    if remote:
        raise WorkbookValueError(f"The images of {remote!r} are not counted over a network: give images=NUMBER.")
    total = 0
    for shard in shards:
        try:
            with tarfile.open(shard) as archive:
                total += sum(Path(member.name).suffix == ".cls" for member in archive)
        except tarfile.TarError as error:
            raise WorkbookFileError(f"{shard} is not a whole tar file ({error}). Fetch it again.") from error
    if not total:
        raise WorkbookFileError(f"The shards hold no .cls file: {shards[0]!r} and {len(shards) - 1} more.")
    return total


def read_shards(shards: list[str]) -> Iterator[dict]:
    """WebDataset's samples, {'__key__', '__url__', 'jpg', 'cls'}, shard by shard.

    Raises:
        WorkbookFileError: a shard is missing or damaged.
    """
    try:
        yield from webdataset().tariterators.tarfile_samples({"url": shard} for shard in shards)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise WorkbookFileError(f"A shard cannot be read: {error}. Fetch it again.") from error


def shuffled(samples: Iterator[dict], size: int, rng: random.Random) -> Iterator[dict]:
    """All samples, each exchanged with a random one of those in a buffer of `size`."""
    buffer = list(islice(samples, size))
    for sample in samples:
        place = rng.randrange(size)
        yield buffer[place]
        buffer[place] = sample
    rng.shuffle(buffer)
    yield from buffer


def process() -> tuple[int, int]:
    """(rank, number of processes) of a distributed run, (0, 1) without one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def loader_worker() -> tuple[int, int]:
    """(number of this loader worker, workers), (0, 1) in the main process."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def webdataset() -> ModuleType:
    try:
        import webdataset
    except ImportError as error:
        raise WorkbookError(
            "Tar shards are read by webdataset: pip install -e '.[shards]', or use a folder of images."
        ) from error
    return webdataset
