"""What a network costs beside its bare backbone: parameters, MACs, throughput, latency, memory.

Model and backbone take turns in one process, so that a ratio is of one machine at one time. The training step is the
trainer's (its precision, memory format, loss, optimiser and clipping) on random images, without loading, augmentation
and metrics; inference is `lib.training.inference`'s, from uint8 images to probabilities.
"""

import contextlib
import hashlib
import json
import logging
import os
import statistics
import time
import timeit
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from lib import hardware
from lib.errors import positive
from lib.files import from_json, write_text
from lib.training.build_model import build_model, build_structure, count_macs
from lib.training.config import RunConfig
from lib.training.inference import normalise, predict_batch, statistics_of, to_unit
from lib.training.logs import explain_out_of_memory
from lib.training.optimisers import build_optimisation
from lib.training.run_digest import run_digests

log = logging.getLogger(__name__)
MIB = 2**20

Work = Callable[[], object]
Spread = tuple[float, float, float]  # median, lowest and highest of the rounds


@dataclass(frozen=True)
class Efficiency:
    """The cost of one network. Ratios are its time over the bare backbone's: median, lowest, highest round."""

    parameters: dict[str, int]  # by part, and 'total'
    macs: int  # multiply-accumulates of one image's forward
    train_images_per_s: float  # medians, as the latency is
    inference_images_per_s: float
    latency_ms: float  # inference of a single image
    peak_memory_mib: float  # of one training step, beyond weights, optimiser state and images
    train_ratio: Spread
    inference_ratio: Spread
    latency_ratio: Spread
    image_size: int  # pixels
    batch_size: int
    device: str
    threads: int
    precision: str  # of training; inference is in float32


def measure_efficiency(
    config: RunConfig, classes: int, folder: Path, rounds: int = 5, seconds: float = 6.0, force: bool = False
) -> Efficiency:
    """Measure the network of `config`, or read what `folder` keeps of an earlier measurement on this machine.

    Each of three measurements (training, inference, latency) takes `rounds` turns of model and backbone. Together they
    last about `seconds`, or longer where a single call a turn takes longer: `2 * rounds` training steps at the least.

    Raises:
        WorkbookValueError: the config's device or precision cannot be had here, its loss has weights for another number
            of classes, or `rounds` is not a positive number.
        WorkbookError: a GPU's memory does not suffice.
    """
    positive(rounds=rounds, classes=classes)
    conditions = _conditions(config, classes)
    path = Path(folder) / _file_name(config, conditions)
    efficiency = None if force else _read(path)
    if efficiency is None:
        with explain_out_of_memory(config):
            efficiency = _measure(config, classes, rounds, seconds, conditions)
        kept = {"conditions": conditions, "efficiency": asdict(efficiency)}
        write_text(path, json.dumps({**kept, "digest": _digest(kept["efficiency"])}, indent=1))
    return efficiency


def _conditions(config: RunConfig, classes: int) -> dict[str, object]:
    """All that a measurement depends on, and the file's name with it."""
    where = hardware.device(config.device)
    return {
        **config.cost,
        "classes": classes,
        "precision": hardware.lightning_precision(config.precision, where),
        "device": f"{where.type}: {hardware.device_name(where)}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "code": run_digests(config, build_structure(config, classes))["model code"],
    }


def _file_name(config: RunConfig, conditions: dict[str, object]) -> str:
    parts = [config.backbone, config.attention]
    if config.uses("fusion_strategy"):
        parts += [config.fusion_strategy, config.residual_strategy]
    return "-".join([*parts, f"{config.image_size}px", _digest(conditions)]) + ".json"


def _digest(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def _read(path: Path) -> Efficiency | None:
    """What `path` keeps; None, and a warning, where it is damaged."""
    if not path.exists():
        return None
    try:
        read = from_json(path.read_text(encoding="utf-8"))
        kept = read["efficiency"]
        if read.get("digest", _digest(kept)) != _digest(kept):  # earlier builds wrote none
            raise ValueError("these are not the numbers that were written")
        return Efficiency(**{name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%s: %s); measuring again", path, type(error).__name__, error)
        return None


def _measure(config: RunConfig, classes: int, rounds: int, seconds: float, conditions: dict) -> Efficiency:
    model = _Subject(config, classes)
    bare = _Subject(config.bare, classes) if config.attention != config.bare.attention else None
    log.info("measuring the efficiency of %s %s at %d px", config.backbone, config.attention, config.image_size)
    inference = _alternate(model.infer, bare and bare.infer, rounds, seconds / 4)
    latency = _alternate(model.infer_one, bare and bare.infer_one, rounds, seconds / 4)
    for network in filter(None, (model, bare)):
        network.prepare_training()
    with _deterministic_on_gpu(model.where):
        train = _alternate(model.train, bare and bare.train, rounds, seconds / 2)
        peak = model.peak_memory()
    return Efficiency(
        parameters=model.model.count_parameters(),
        macs=count_macs(config, classes),
        train_images_per_s=config.batch_size / statistics.median(train[0]),
        inference_images_per_s=config.batch_size / statistics.median(inference[0]),
        latency_ms=1e3 * statistics.median(latency[0]),
        peak_memory_mib=peak / MIB,
        train_ratio=_spread(*train),
        inference_ratio=_spread(*inference),
        latency_ratio=_spread(*latency),
        **{name: conditions[name] for name in ("image_size", "batch_size", "device", "threads", "precision")},
    )


class _Subject:
    """One network with a batch of random images: its training step and its inference, as the workbook does them."""

    def __init__(self, config: RunConfig, classes: int) -> None:
        self.config, self.where = config, hardware.device(config.device)
        self.precision = hardware.lightning_precision(config.precision, self.where)
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (config.batch_size, *config.size, 3), dtype=np.uint8)
        self.labels = torch.from_numpy(rng.integers(0, classes, config.batch_size)).to(self.where)
        self.model = build_model(config, classes, pretrained=False).to(self.where).eval()
        self.classes = [str(i) for i in range(classes)]

    def infer(self) -> None:
        predict_batch(self.model, self.pixels)

    def infer_one(self) -> None:
        predict_batch(self.model, self.pixels[:1])

    def prepare_training(self) -> None:
        from lib.training.trainer import classifier  # Lightning takes seconds to import

        module = classifier(self.config)(self.config, self.model, self.classes, [1] * len(self.classes))
        self.losses = module.to(self.where).train().losses
        if hardware.channels_last_helps(self.config.precision, self.where):
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = build_optimisation(self.model, **self.config.arguments("optimisation") | {"scheduler": "none"})
        self.scaler = torch.amp.GradScaler(self.where.type, enabled=self.precision == "16-mixed")
        self.images = torch.from_numpy(self.pixels).to(self.where)

    def train(self) -> None:
        """One step, in the order of Lightning's: old gradients go after the forward."""
        images = normalise(to_unit(self.images), statistics_of(self.model))
        with hardware.mixed_precision(self.config.precision, self.where):
            loss, _ = self.losses(images, self.labels)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def peak_memory(self) -> int:
        """Bytes of one step; gradients count, the optimiser's state (there since the first step) does not."""
        self.optimizer.zero_grad()
        return peak_bytes(self.train, self.where)


@contextlib.contextmanager
def _deterministic_on_gpu(where: torch.device) -> Iterator[None]:
    """The trainer's kernels: on a GPU the deterministic ones where there are some, which can be slower."""
    if where.type != "cuda":
        yield
        return
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*deterministic")  # training warns of it
            yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _alternate(first: Work, second: Work | None, rounds: int, seconds: float) -> list[list[float]]:
    """Seconds a call, in each round, of one or two kinds of work that take turns; about `seconds` in all."""
    works = [work for work in (first, second) if work is not None]
    for work in works:
        work()  # the first call allocates and chooses kernels
    calls = max(1, round(seconds / rounds / sum(_seconds(work, 1) for work in works)))
    taken = [[_seconds(work, calls) for work in works] for _ in range(rounds)]
    return [list(times) for times in zip(*taken, strict=True)]


def _seconds(work: Work, calls: int) -> float:
    """Mean seconds of a call."""
    return timeit.timeit(work, number=calls, timer=_clock) / calls


def _clock() -> float:
    """The time when a GPU has done all that it was given to do."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def _spread(model: list[float], bare: list[float] | None = None) -> Spread:
    """Median, lowest and highest ratio of the rounds; the bare backbone beside itself is 1."""
    if bare is None:
        return 1.0, 1.0, 1.0
    ratios = [ours / theirs for ours, theirs in zip(model, bare, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def peak_bytes(work: Work, where: torch.device) -> int:
    """The most that PyTorch held at one moment of `work`, beyond what it held before.

    On a CPU this is the peak of the running sum of its allocator's gives and takes, as the profiler records them; what
    libraries such as oneDNN allocate for themselves is not in it.
    """
    if where.type == "cuda":
        torch.cuda.synchronize(where)
        torch.cuda.reset_peak_memory_stats(where)
        before = torch.cuda.memory_allocated(where)
        work()
        torch.cuda.synchronize(where)
        return torch.cuda.max_memory_allocated(where) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler complains on stderr that there is no GPU
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(accumulate((e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())), initial=0))
