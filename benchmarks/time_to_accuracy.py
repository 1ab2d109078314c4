"""How soon a recipe reaches a target on the test images: the first quick recipes against those of today, taking turns.

    python -m benchmarks.time_to_accuracy [--names lesions,birds,people] [--seeds 5] [--enough] [--ham10000 DIR]

After every few steps the clock stands still while the network is tested. Time is that of the processor for one thread,
which other work on the machine hardly changes, or the wall's on a GPU; drawing and decoding images do not count. Where a
recipe ends below the target, the time of the whole recipe stands for it, and the line says so. With `--enough` the former
recipe is given up as soon as it has taken as many times as long as is wanted, and the ratio is one at least.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmarks.program import run
from benchmarks.rows import Row, of_turns
from benchmarks.timing import duration
from lib import hardware
from lib.data import rows_of
from lib.errors import choose
from lib.mapped import mode
from lib.paths import OUTPUTS
from lib.retrieval.ranking import retrieval_scores
from lib.threads import Threads
from lib.training import RunConfig, RunStore, profile_config
from lib.training.build_model import build_model
from lib.training.classifier import Classifier
from lib.training.identities import trained_identities
from lib.training.inference import over_views, predict_rows, probabilities
from lib.training.testing import query_and_gallery
from lib.training.trainer import train
from lib.training.training_data import DecodedImages, prepare

_COSINE = {"optimizer": "AdamW", "weight_decay": 0.05, "lr_scheduler": "CosineWarmup"}
_GLSA = {"attention": "CBAM", "fusion_strategy": "learnable_gate"}
_SMALL_VIT = {
    **_COSINE,
    "attention": "DCAL",
    "split": "official",
    "sampler": "none",
    "loss_type": "cross_entropy",
    "early_stopping_patience": None,
    "depth": 3,
    "drop_path": 0.0,
    "lr": 2e-3,
}

# What the quick profiles were before networks started from weights that ship.
FORMER: dict[str, dict[str, Any]] = {
    "lesions": {
        **_COSINE,
        **_GLSA,
        "dataset": "phantom-lesions",
        "backbone": "resnet18",
        "image_size": 64,
        "loss_type": "label_smoothing",
        "max_epoch": 5,
        "batch_size": 64,
        "lr": 2e-3,
        "warmup_epochs": 0.5,
    },
    "birds": {
        **_SMALL_VIT,
        "dataset": "phantom-birds",
        "backbone": "vit_tiny_r_s16_p8_224",
        "patch_size": 2,
        "image_size": 64,
        "warmup_epochs": 0.5,
        "batch_size": 4,
        "max_epoch": 12,  # two epochs of 400 images ended at chance
    },
    "people": {
        **_SMALL_VIT,
        "task": "reid",
        "dataset": "phantom-people",
        "backbone": "test_vit",
        "image_size": 64,
        "image_width": 32,
        "patch_size": 4,
        "augmentation": "none",
        "warmup_epochs": 1.0,
        "batch_size": 16,
        "images_per_identity": 2,
        "precision": "32",
        "val_fraction": 0.2,
        "top_ratio": 0.3,
        "max_epoch": 5,
    },
    "ham10000": {
        **_COSINE,
        **_GLSA,
        "dataset": "HAM10000",
        "backbone": "resnet18",
        "image_size": 96,
        "loss_type": "label_smoothing",
        "max_epoch": 9,  # as README had it: five end below the target
        "batch_size": 64,
        "lr": 2e-3,
        "warmup_epochs": 0.5,
    },
}

# From scratch, too: what is known of skin is learned from these images alone.
HAM10000_TODAY = profile_config(
    "quick",
    dataset="HAM10000",
    weights="none",
    image_size=64,
    loss_type="logit_adjusted",
    max_epoch=12,
    lr=2e-3,
    **_GLSA,
)

STEP = Classifier.optimizer_step

Score = Callable[[torch.nn.Module, RunConfig, DecodedImages], float]


def of_classes(metric: Callable[[np.ndarray, np.ndarray], float]) -> Score:
    """A metric of the classes that a network answers for the test images."""

    def score(model: torch.nn.Module, config: RunConfig, decoded: DecodedImages) -> float:
        rows = rows_of(decoded.parts, "test")
        output = over_views(probabilities, config)
        answers = predict_rows(model, config, decoded.pixels, rows, output).argmax(axis=1)
        return metric(decoded.images.rows["label"].to_numpy()[rows], answers)

    return score


def mean_average_precision(model: torch.nn.Module, config: RunConfig, decoded: DecodedImages) -> float:
    """mAP of the test queries in the gallery."""
    query, gallery = query_and_gallery(model, config, *decoded)
    return retrieval_scores(query, gallery, config.distance, skip_unmatched=True).metrics()["map"]


@dataclass(frozen=True)
class Race:
    """Two recipes, and what they run for."""

    former: RunConfig
    today: RunConfig
    measure: str
    score: Score
    target: float
    wanted: float  # times sooner
    every: int  # images between two looks

    def at(self, seed: int) -> Iterator[tuple[str, RunConfig]]:
        yield "today", self.today.replace(seed=seed)
        yield "former", self.former.replace(seed=seed)


class Enough(Exception):
    """The target is reached, or the time is up."""


class Watch:
    """Looks at a network every few steps of its training; its own time does not count."""

    def __init__(self, race: Race, config: RunConfig, decoded: DecodedImages, limit: float) -> None:
        self.race, self.shown, self.limit = race, (config, decoded), limit
        self.every = max(1, race.every // config.batch_size)
        self.steps, self.paused, self.best = 0, 0.0, 0.0
        self.began = clock()

    def step(self, module: Classifier, *args: Any, **kwargs: Any) -> None:
        """A step of the optimiser, and every few steps a look at the network that would be kept."""
        STEP(module, *args, **kwargs)
        self.steps += 1
        if self.steps % self.every == 0:
            self.look(module.kept)

    def look(self, model: torch.nn.Module) -> None:
        """Test the network; raises Enough where it is good enough, or has taken long enough."""
        now = clock()
        with mode(model, training=False):
            self.best = max(self.best, self.race.score(model, *self.shown))
        self.paused += clock() - now
        if self.best >= self.race.target or self.seconds >= self.limit:
            raise Enough

    @property
    def seconds(self) -> float:
        return clock() - self.began - self.paused


def clock() -> float:
    """Seconds of this process's processor, or the wall's on a GPU."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def time_to_target(
    race: Race, config: RunConfig, decoded: DecodedImages, folder: Path, limit: float
) -> tuple[float, float]:
    """Seconds until the target is reached, or of the whole recipe, or above `limit`; and the best score seen."""
    classes = len(decoded.images.classes)
    if config.task == "reid":
        classes = len(trained_identities(decoded.images, decoded.parts)[0])
    torch.manual_seed(config.seed)
    model = build_model(config, classes).to(hardware.device(config.device))
    run = RunStore(folder).run(config)
    run.path.mkdir(parents=True)
    watch = Watch(race, config, decoded, limit)
    with (
        patch.object(Classifier, "optimizer_step", lambda *args, **kwargs: watch.step(*args, **kwargs)),
        suppress(Enough),
    ):
        train(config, run, model, decoded, Threads(fixed=True))
    return watch.seconds, watch.best


def races(ham10000: Path | None) -> dict[str, Race]:
    """What can be run here, by name; HAM10000 where its folder is given."""
    former = {name: RunConfig.from_dict(settings) for name, settings in FORMER.items()}
    lesions, accuracy = of_classes(balanced_accuracy_score), of_classes(accuracy_score)
    glsa = profile_config("quick", max_epoch=6, lr=1.5e-3, ema_decay=0.97, **_GLSA)  # not the two epochs of a report
    dcal, reid = profile_config("fgvc-quick"), profile_config("reid-quick")
    found = {
        "lesions": Race(former["lesions"], glsa, "balanced accuracy", lesions, 0.60, 3, 256),
        "birds": Race(former["birds"], dcal, "accuracy", accuracy, 0.60, 10, 200),
        "people": Race(former["people"], reid, "mAP", mean_average_precision, 0.50, 3, 160),
    }
    if ham10000:
        old, new = (config.replace(data_root=str(ham10000)) for config in (former["ham10000"], HAM10000_TODAY))
        found["ham10000"] = Race(old, new, "balanced accuracy", lesions, 0.57, 1.5, 2048)
    return found


def rows(
    quick: bool = False, names: str = "", seeds: int = 5, enough: bool = False, ham10000: Path | None = None
) -> Iterator[Row]:
    known = races(ham10000)
    for name in filter(None, names.split(",")) if names else known:
        race = known[choose("names", name, known)]
        with tempfile.TemporaryDirectory() as folder:
            turns = [timed_race(race, seed, Path(folder), enough) for seed in range(1 if quick else seeds)]
        note = " ÷ ".join(duration(np.median(taken)) for taken in zip(*turns, strict=True))
        what, ratios = f"{name}: {race.measure} {race.target} formerly", [former / today for former, today in turns]
        yield of_turns(what, "with today's recipe", ratios, note, at_least=float(race.wanted))


def timed_race(race: Race, seed: int, folder: Path, enough: bool) -> tuple[float, float]:
    """Seconds of the former side and of today's, which are told."""
    seconds: dict[str, float] = {}
    for side, config in race.at(seed):
        limit = race.wanted * seconds["today"] if enough and side == "former" else math.inf
        decoded = prepare(config, RunStore(OUTPUTS / "runs"))
        taken, best = time_to_target(race, config, decoded, folder / side, limit)
        seconds[side] = taken
        below = "given up" if taken >= limit else "the whole recipe: it ends"
        end = "" if best >= race.target else f", {below} below {race.target}"
        told = f"{config.dataset} seed {seed} {side:<6} {taken:6.1f} s, {race.measure} {best:.3f}{end}"
        print(told, file=sys.stderr, flush=True)
    return seconds["former"], seconds["today"]


if __name__ == "__main__":
    run(rows)
