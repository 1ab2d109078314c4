"""`fit(config)`: a finished run is returned at once, an interrupted one resumed, a missing or outdated one trained."""

import contextlib
import gc
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from lib import hardware
from lib.data import ImageSet
from lib.data.shards import ShardSet, explain_dead_worker
from lib.disk.file_claims import FileClaim
from lib.errors import InputLost, WorkbookFileError, WorkbookValueError
from lib.files import write_text
from lib.inputs import wrote
from lib.launch import launch
from lib.progress import duration
from lib.threads import Threads, threads_beside_others
from lib.training.build_model import build_model, build_structure
from lib.training.config import RunConfig
from lib.training.distributed import broadcast, is_member, join_group, rank_of
from lib.training.identities import trained_identities
from lib.training.logs import explain_out_of_memory, run_log, tell_what_is_trained
from lib.training.provenance import provenance
from lib.training.run_digest import STAMP, changed, run_digests, seen
from lib.training.settings import NO_REFIT
from lib.training.store import Run, RunStore
from lib.training.testing import evaluate
from lib.training.trackers import track, tracking
from lib.training.training_data import TrainingData, load_images, load_training_data

log = logging.getLogger(__name__)

Structures = dict[RunConfig, nn.Module]  # on the `meta` device


def fit(config: RunConfig, store: RunStore | str | Path | None = None, refit: bool = False) -> Run:
    """Train, test and keep the run of `config`; what is there already is not computed again.

    With `refit` the run is one that is meant for use (`config.refit="val"`): the number of epochs is chosen on the
    validation part, by the run of `config`, and a second one is trained for as many epochs on its images too. With
    `config.refit="all"` that is on all images, and nothing is left to test it on.

    A run that was begun with other data or other code, or whose files are damaged, is set aside (in `superseded/`) and
    trained anew; where only results of its test are damaged, it is tested again. Where the data cannot be read, a finished
    run is taken as it is.

    What a run reads may go while it is read (a shard, a cached array, a loader worker): that is tried once more.

    Raises:
        WorkbookError: anything wrong with the data, the settings or the disk; the run can be resumed afterwards.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    return _fit_or_again(config.replace(refit="val") if refit and not config.refits else config, store, {})


def _fit_or_again(config: RunConfig, store: RunStore, structures: Structures) -> Run:
    try:
        return _fit(config, store, structures)
    except InputLost as error:
        if is_member(config) or _has_other_data(config, store):
            raise  # members begin again together; and what is left of a set is another set
        log.warning("%s Trying once more, from the last finished epoch.", error)
    return _fit(config, store, structures)


def _has_other_data(config: RunConfig, store: RunStore) -> bool:
    """Whether the data are not there, or not those that the run was begun with."""
    then = store.run(config).basis.get("data")
    try:
        now = load_images(config).fingerprint()
    except WorkbookFileError:
        return True
    return then not in (None, now)


def _fit(config: RunConfig, store: RunStore, structures: Structures) -> Run:
    run = store.run(config)
    try:
        images = load_images(config)
    except WorkbookFileError:
        if run.finished:
            run.refuse_damaged()
            log.warning("%s is taken as it is: its data are not here to be compared", run.path.name)
            track(config, run)
            return run
        raise
    if config.refits:
        fit(config.replace(refit=NO_REFIT), store)  # which chooses the number of epochs
    member = is_member(config)  # of several processes all have to see it at one moment
    if not member and _up_to_date(config, store, images, structures):
        track(config, run)
        return run
    device = hardware.check_devices(config.device, config.devices, config.sync_batchnorm)  # found before any work
    if member:
        join_group(device)
        _fit_together(config, store, images, device)
    elif config.processes > 1:
        launch(fit, config, store.root, devices=config.devices)
    else:
        _fit_alone(config, store, images, device)
    wrote(run.path / "metrics.json")
    run = Run(run.path)
    track(config, run)  # what another process has trained meanwhile
    return run


def fit_all(configs: Iterable[RunConfig], store: RunStore | str | Path | None = None) -> dict[RunConfig, Run]:
    """The finished run of each of `configs`, in their order; see `fit`.

    A run that another process is training at the moment is left to it until nothing else is left to do: processes that
    want the same runs, as two notebooks of one report do, share them out.

    Raises:
        WorkbookError: as `fit`, of the first run that cannot be trained.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    configs, structures = list(dict.fromkeys(configs)), {}
    runs = {
        config: _fit_or_again(config, store, structures)
        for config in configs
        if claim_of(store.run(config)).is_free()  # by now
    }
    return {config: runs.get(config) or _fit_or_again(config, store, structures) for config in configs}


def _up_to_date(config: RunConfig, store: RunStore, images: ImageSet | ShardSet, structures: Structures) -> bool:
    """Whether the run is finished and whole, and its data and code are what they were; `structures` keeps the network, which
    runs of other seeds have, too."""
    run = store.run(config)
    if not run.finished or run.damage():
        return False
    then = run.basis
    of_every_seed = config.replace(seed=0)
    if of_every_seed not in structures:
        structures[of_every_seed] = build_structure(of_every_seed, len(images.classes))
    if changed(then, _basis(config, store, images, structures[of_every_seed])):
        return False
    if STAMP not in then or then[STAMP] == images.stamp():
        return True
    return not changed(
        then, seen(load_training_data(config, store, images), store.cache)
    )  # copies of the same images, or others?


def _basis(config: RunConfig, store: RunStore, images: ImageSet | ShardSet, model: nn.Module) -> dict[str, str]:
    chosen = {"number of epochs": str(len(_followed(config, store)))} if config.refits else {}
    return {"data": images.fingerprint(), **run_digests(config, model), **chosen}


def _followed(config: RunConfig, store: RunStore) -> pd.DataFrame | None:
    """Of a refit the epochs of the log that it follows: up to the one that validation has chosen."""
    if not config.refits:
        return None
    choosing = store.run(config.replace(refit=NO_REFIT))
    return choosing.log[: choosing.metrics["best_epoch"]]


def _fit_alone(
    config: RunConfig,
    store: RunStore,
    images: ImageSet | ShardSet,
    device: torch.device,
    tell: Callable[[bool], object] = lambda wanted: None,
) -> None:
    """Claim the run and train it, unless another process has; `tell` hears whether it will be trained."""
    run = store.run(config)
    _refuse_no_utf8(run.path)
    training_data = load_training_data(config, store, images)  # what cannot be read is found here
    classes = images.classes
    if config.task == "reid":
        classes, _ = trained_identities(training_data.images, training_data.parts)
    with _alone(run) as claim:
        torch.manual_seed(config.seed)
        model = build_model(config, len(classes))
        basis = _basis(config, store, images, model) | seen(training_data, store.cache)
        wanted = not run.sound
        if why := _unusable(run, basis):
            wanted, run = True, store.set_aside(run, why)
        tell(wanted and not run.trained)
        if wanted:
            with run_log(run.path), explain_dead_worker():
                if not run.trained:
                    write_text(run.path / "config.json", json.dumps(config.to_dict(), indent=1))
                    write_text(run.path / "basis.json", json.dumps(basis, indent=1))
                followed = _followed(config, store)
                with threads_beside_others(device, config.processes) as threads:
                    _train_and_evaluate(config, run, model, classes, training_data, device, claim, followed, threads)


def _refuse_no_utf8(path: Path) -> None:
    """Raise a WorkbookValueError for a folder from which safetensors could not read the weights after the training."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise WorkbookValueError(
            f"{path} has a name that is no UTF-8, under which weights cannot be read back: rename the folder, or choose another."
        ) from error


def _fit_together(config: RunConfig, store: RunStore, images: ImageSet | ShardSet, device: torch.device) -> None:
    """One of several processes: the chief sees to everything, the others train beside it."""
    run = store.run(config)
    if rank_of(config) == 0 and _up_to_date(config, store, images, {}):
        broadcast(False)
    elif rank_of(config) == 0:
        _fit_alone(config, store, images, device, broadcast)
    elif broadcast():
        from lib.training.trainer import train

        training_data = load_training_data(config, store, images)  # from the cache, which the chief has filled
        torch.manual_seed(config.seed)
        model = build_model(config, len(images.classes), pretrained=False)  # it gets the chief's weights
        train(config, run, model, training_data, Threads(fixed=True))
    broadcast()  # they leave when the run is finished


def _train_and_evaluate(
    config: RunConfig,
    run: Run,
    model: nn.Module,
    classes: Sequence[str],
    training_data: TrainingData,
    device: torch.device,
    claim: FileClaim,
    followed: pd.DataFrame | None,
    threads: Threads,
) -> None:
    from lib.training.trainer import train  # Lightning takes seconds to import, and finished runs do not need it

    log.info("run %s", run.path.name)
    log.debug("config %s", json.dumps(config.to_dict()))
    tell_what_is_trained(config, model, classes, training_data)
    began = time.monotonic()
    recipe = config
    if followed is not None:  # the rate falls over the chosen epochs as it would have over all
        recipe = config.replace(max_epoch=len(followed), early_stopping_patience=None)
    if not run.trained:
        with tracking(config, run) as tracked:
            seconds = train(recipe, run, model, training_data, threads, claim.check, followed, tracked.follow)
            gc.collect()  # Lightning's objects hold each other, and with them the optimiser's state: runs would add up
            facts = provenance(config, training_data, classes, device, seconds, model, threads.numbers)
            write_text(run.path / "provenance.json", json.dumps(facts, indent=1))
            _test(config, run, model, training_data, device)
            tracked.conclude()
    else:
        _test(config, run, model, training_data, device)
    metric = config.monitor.removeprefix("val_")
    taken, tested = duration(time.monotonic() - began), run.metrics["test"]
    result = (
        f"test {metric.replace('_', ' ')} {tested[metric]:.3f}" if tested else "trained on all images, no test is left"
    )
    log.info("finished after %s: %s", taken, result)


def _test(config: RunConfig, run: Run, model: nn.Module, training_data: TrainingData, device: torch.device) -> None:
    model.to(memory_format=torch.contiguous_format)  # as it is when somebody loads it
    with explain_out_of_memory(config):
        evaluate(run, run.load_best(model), training_data, device)
    (run.path / "last.ckpt").unlink(missing_ok=True)  # three times the size of the weights, and no longer of use


def claim_of(run: Run) -> FileClaim:
    """The claim of the process that trains `run`, in the store's `.claims`."""
    return FileClaim(
        run.path.parent / ".claims" / run.path.name / "run"
    )  # a folder each: a claim lists the one it is in


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[FileClaim]:
    """Claim the run: another process that wants the same one waits, and then finds it finished."""
    claim = claim_of(run)
    claim.wait(lambda owner: log.warning("%s is being trained by %s; waiting for it", run.path.name, owner))
    try:
        yield claim
    finally:
        claim.release()


def _unusable(run: Run, basis: dict[str, str]) -> str | None:
    """Why what is there of a run cannot be gone on with; None where it can, as where only its test is to be done again."""
    if not run.begun:
        return None
    if (damage := run.damage()) and not run.trained:
        return f"is damaged ({'; '.join(f'{name}: {what}' for name, what in damage.items())})"
    other = changed(run.basis, basis)
    return f"was begun with other {', '.join(other)}" if other else None
