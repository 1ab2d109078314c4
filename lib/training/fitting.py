"""`fit(config)`: a finished run is returned at once, an interrupted one resumed, a missing or outdated one trained."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib.claims import Claim
from lib.data import ImageSet, load_dataset, load_pixels, split_rows
from lib.errors import WorkbookFileError, WorkbookValueError
from lib.files import write_text
from lib.inputs import wrote
from lib.progress import duration
from lib.training import hardware
from lib.training.code import code_of
from lib.training.config import RunConfig
from lib.training.inference import decoded_size
from lib.training.logs import run_log
from lib.training.people import trained_identities
from lib.training.provenance import provenance
from lib.training.store import Run, RunStore, build_model
from lib.training.testing import test

log = logging.getLogger(__name__)

Prepared = tuple[ImageSet, np.ndarray, pd.Series]  # images, pixels [n, height, width, 3], part of each row


def fit(config: RunConfig, store: RunStore | str | Path | None = None) -> Run:
    """Train, test and keep the run of `config`; what is there already is not computed again.

    A run that was begun with other data or other code is set aside (in `superseded/`) and trained anew. Where the data
    cannot be read, a finished run is taken as it is.

    Raises:
        WorkbookError: anything wrong with the data, the settings or the disk; the run can be resumed afterwards.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    run = store.run(config)
    try:
        images = _load(config)
    except WorkbookFileError:
        if run.finished:
            log.warning("%s is taken as it is: its data are not here to be compared", run.path.name)
            return run
        raise
    basis = {"data": images.fingerprint(), **code_of(config, len(images.classes))}
    if run.finished and run.basis == basis:
        return run
    device = hardware.device(config.device)  # a missing GPU is found before any work
    prepared = _pixels_and_parts(config, store, images)  # so are images that cannot be read
    with _alone(run) as claim:
        if not (run.finished and run.basis == basis):  # another process may have been at it
            _set_aside(run, basis)
            _train_and_test(config, run, prepared, basis, device, claim)
    wrote(run.path / "metrics.json")
    return Run(run.path)


def _train_and_test(
    config: RunConfig, run: Run, prepared: Prepared, basis: dict, device: torch.device, claim: Claim
) -> None:
    from lib.training.trainer import train  # Lightning takes seconds to import, and finished runs do not need it

    images, pixels, parts = prepared
    run.path.mkdir(parents=True, exist_ok=True)
    with run_log(run.path / "train.log"):
        log.info("run %s", run.path.name)
        log.debug("config %s", json.dumps(config.to_dict()))
        log.debug("%s: %s", images.name, images.counts.to_dict())
        torch.manual_seed(config.seed)
        classes = trained_identities(images, parts)[0] if config.task == "reid" else images.classes
        model = build_model(config, len(classes))
        write_text(run.path / "config.json", json.dumps(config.to_dict(), indent=1))
        write_text(run.path / "basis.json", json.dumps(basis, indent=1))
        began = time.monotonic()
        seconds = train(config, run, model, images, pixels, parts, claim.check)
        facts = provenance(config, images, parts, classes, device, seconds, model)
        write_text(run.path / "provenance.json", json.dumps(facts, indent=1))
        test(run, images, pixels, parts, device)
        metric = config.monitor.removeprefix("val_")
        log.info(
            "finished after %s: test %s %.3f",
            duration(time.monotonic() - began),
            metric.replace("_", " "),
            run.metrics["test"][metric],
        )


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[Claim]:
    """Claim the run: another process that wants the same one waits, and then finds it finished."""
    claim = Claim(run.path.parent / ".claims" / run.path.name)
    claim.wait(lambda owner: log.warning("%s is being trained by %s; waiting for it", run.path.name, owner))
    try:
        yield claim
    finally:
        claim.release()


def _set_aside(run: Run, basis: dict) -> None:
    """Move a run that was begun on another basis out of the way; nothing of it is lost."""
    changed = [name for name, value in basis.items() if run.basis.get(name) != value]
    if not (run.path.exists() and changed):
        return
    shelf = run.path.parent / "superseded"
    shelf.mkdir(exist_ok=True)
    place = next(p for n in itertools.count(1) if not (p := shelf / f"{run.path.name}-{n}").exists())
    log.warning(
        "%s was begun with other %s: training it again, the old one is in %s", run.path.name, ", ".join(changed), place
    )
    run.path.rename(place)


def prepare(config: RunConfig, store: RunStore) -> Prepared:
    """The data of a run: the image set, its pixels [n, height, width, 3] and the part of each row."""
    return _pixels_and_parts(config, store, _load(config))


def _load(config: RunConfig) -> ImageSet:
    images = load_dataset(config.dataset, config.data_root, config.limit_images, config.skip_unreadable)
    if config.task == "reid" and not images.is_reid:
        raise WorkbookValueError(
            f"{images.name} shows no identities that cameras have seen: task='reid' needs a re-identification set, such as "
            "phantom-people or Market-1501."
        )
    return images


def _pixels_and_parts(config: RunConfig, store: RunStore, images: ImageSet) -> Prepared:
    images, pixels = load_pixels(images, decoded_size(config), store.root.parent / "cache", config.skip_unreadable)
    parts = split_rows(images, config.split, config.val_fraction, config.test_fraction, config.split_seed)
    return images, pixels, parts
