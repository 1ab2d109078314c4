"""`python -m lib.evaluate RUN|CHECKPOINT`: test results with intervals, of a run of any task or of a network's checkpoint.

A run is told from its folder, or tested on another data set, without what it was trained on. A checkpoint is tested as
ImageNet's networks are: on the middle of each image, by top-1 and top-5 accuracy.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lib import hardware
from lib.data import DATASETS, ImageSet, load_dataset, load_pixels
from lib.data.decoding import decode
from lib.errors import CommandLine, WorkbookValueError, choose, run_command
from lib.evaluation.checkpoints import centre_crop, evaluate_network, load_network, top_metrics
from lib.evaluation.transfer import match_classes, transfer
from lib.lesa.checkpoint import find_checkpoint
from lib.models import NETWORKS
from lib.train import test_lines
from lib.training import Run, RunStore
from lib.training.inference import augmentation_of, decoded_size, over_views, predict_batch, probabilities
from lib.training.metrics import with_intervals
from lib.training.testing import retrieve
from lib.training.training_data import DecodedImages

EPILOG = """examples:
  python -m lib.evaluate RUN                                          its own test part
  python -m lib.evaluate RUN --dataset phantom-clinic                 another set of its classes
  python -m lib.evaluate results/lesa_resnet50 --data_root ILSVRC     the official LESA checkpoint on ImageNet's validation"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the results."""
    chosen = _parser().parse_args(arguments)
    place = Path(chosen.run)
    if place.exists() and not (place / "config.json").exists():
        title, results = _of_checkpoint(place, chosen)
    else:
        store = RunStore(f"{chosen.output_dir}/runs" if chosen.output_dir else None)
        title, results = _of_run(store.find(chosen.run), store, chosen)
    print("\n".join([title, *test_lines(results)]))
    return 0


def _parser() -> CommandLine:
    parser = CommandLine(prog="python -m lib.evaluate", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "run", help="a run's folder, its name in the store, or its hash; or a checkpoint, or a folder of one"
    )
    parser.add_argument("--dataset", help="data set to test on; of a run its own, of a checkpoint ImageNet-val")
    parser.add_argument("--data-root", "--data_root", help="folder of that data set (default: its place in data/)")
    parser.add_argument("--output-dir", "--output_dir", help="folder that holds the store of runs (default: outputs)")
    parser.add_argument("--skip-unreadable", "--skip_unreadable", action="store_true", help="go on without such images")
    of = parser.add_argument_group("of a checkpoint")
    of.add_argument(
        "--model", help="the network's name, as lib.create_model has it (default: that of the file or its folder)"
    )
    of.add_argument("--attention", default="none", help="attention beside the backbone (default: none)")
    of.add_argument("--image-size", "--image_size", type=int, default=224, help="pixels that it sees (default: 224)")
    of.add_argument("--test", action="store_true", help="as in LESA's own command line: it is what this one does")
    return parser


def _of_checkpoint(place: Path, chosen: Any) -> tuple[str, dict]:
    file = find_checkpoint(place)  # before its images: a folder that is no run's may hold none
    images = _tested(load_dataset(chosen.dataset or "ImageNet-val", chosen.data_root, None, chosen.skip_unreadable))
    model = load_network(place, chosen.model or _named_by(place), len(images.classes), chosen.attention)
    read = partial(centre_crop, size=(chosen.image_size, chosen.image_size))
    answer = partial(predict_batch, model.to(hardware.device()))
    results = evaluate_network(answer, images, read, np.arange(len(images.classes)), chosen.skip_unreadable)
    return f"{file} on {len(images.rows)} images of {images.name}", results


def _named_by(place: Path) -> str:
    """The network that a checkpoint's file, or a folder above it, is called by."""
    file = find_checkpoint(place).absolute()
    names = (file.name.split(".")[0], *(folder.name for folder in file.parents))
    found = next((name for name in names if name in NETWORKS), None)
    if found is None:
        raise WorkbookValueError(
            f"{place} does not say of which network it is: give its name with --model, such as {', '.join(NETWORKS)}."
        )
    return found


def _of_run(run: Run, store: RunStore, chosen: Any) -> tuple[str, dict]:
    if chosen.dataset is None:
        return f"{run.path.name} on {run.config.dataset}", _with_top5(run)
    dataset = choose("dataset", chosen.dataset, DATASETS)
    if run.config.task == "reid":
        return _retrieved(run, store, dataset, chosen)
    if run.config.streams:
        return _streamed(run, dataset, chosen)
    tested = transfer(run, dataset, chosen.data_root, store, skip_unreadable=chosen.skip_unreadable)
    left = tested.images - sum(tested.dropped.values())
    title = f"{run.path.name} on {tested.dataset}: {left} of {tested.images} test images, the others seen in training"
    return title, _with_top5(tested)


def _with_top5(run: Run) -> dict:
    """A run's metrics, with top-5 accuracy where it has more than five classes."""
    metrics, empty = run.metrics, {"test": {}, "intervals": {}}
    if run.config.task == "reid" or not metrics["test"]:
        return metrics
    named = dict(enumerate(run.classes))
    samples = top_metrics(run.probabilities, run.labels, named, run.predictions["group"])
    more = with_intervals({"top5": samples["top5"]}) if "top5" in samples else empty
    return {kind: metrics[kind] | more[kind] for kind in empty}


def _retrieved(run: Run, store: RunStore, dataset: str, chosen: Any) -> tuple[str, dict]:
    """Queries and gallery of another set, whose identities are none of the run's."""
    images = load_dataset(dataset, chosen.data_root, None, chosen.skip_unreadable)
    if not images.is_reid:
        raise WorkbookValueError(f"{run.path.name} searches for identities, and {images.name} shows none.")
    cache = store.root.parent / "cache"
    images, pixels = load_pixels(images, decoded_size(run.config), cache, chosen.skip_unreadable)
    decoded = DecodedImages(images, pixels, images.rows["part"])
    results, _ = retrieve(run.model().to(hardware.device()), run.config, decoded)
    return f"{run.path.name} on {images.name}: {results['queries']} queries", results


def _streamed(run: Run, dataset: str, chosen: Any) -> tuple[str, dict]:
    """A run whose images came in shards: which these were is not known one by one, so that none can be left out."""
    images = _tested(load_dataset(dataset, chosen.data_root, None, chosen.skip_unreadable))
    read = partial(decode, size=decoded_size(run.config), banner=images.banner)
    model, augmentation = run.model().to(hardware.device()), augmentation_of(run.config)
    answer = partial(predict_batch, model, augmentation=augmentation, output=over_views(probabilities, run.config))
    results = evaluate_network(answer, images, read, match_classes(run, images), chosen.skip_unreadable)
    return f"{run.path.name} on {len(images.rows)} images of {images.name}, not compared with its shards", results


def _tested(images: ImageSet) -> ImageSet:
    """The official test part of a set that has one, else all of it."""
    test = images.rows["part"] == "test"
    return replace(images, rows=images.rows[test].reset_index(drop=True)) if test.any() else images


if __name__ == "__main__":
    run_command(main)
