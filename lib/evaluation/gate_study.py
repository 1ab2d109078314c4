"""Whether LESA's gate knows which images need the context: ω on some images against ω on others, and what is lost on them
when a term is taken away."""

from collections.abc import Collection, Sequence

import numpy as np

from lib import hardware
from lib.errors import WorkbookValueError
from lib.evaluation.part_accuracy import compare_on, images_of
from lib.evaluation.term_ablation import ablated_answers
from lib.evaluation.test_images import TestImages, select_images
from lib.lesa import term_statistics, without
from lib.statistics.estimates import Comparison, difference_of
from lib.statistics.resampling import mean_samples
from lib.training.store import Run, RunStore
from lib.training.training_data import prepare


def gates_of(runs: Sequence[Run], images: TestImages) -> np.ndarray:
    """ω of each network on each image, the mean over channels, positions and layers: [S, N] for S runs, one a seed."""
    gates = []
    for run in runs:
        model = run.model().to(hardware.device()).eval()
        layers = term_statistics(model, images.batches(model)).values()
        gates.append(np.mean([layer["gate"].mean(1).cpu().numpy() for layer in layers], axis=0))
    return np.stack(gates)


def compare_gates(runs: Sequence[Run], first: Collection[str], second: Collection[str]) -> Comparison:
    """ω on the test images of the classes `first` minus ω on those of `second`, in the same networks.

    Raises:
        WorkbookValueError: no runs, or no image of one of the sides.
    """
    images = _tested(runs)
    gates, labels = gates_of(runs, images), np.array(images.names())
    chosen = [np.isin(labels, list(classes)) for classes in (first, second)]
    if not all(side.any() for side in chosen):
        raise WorkbookValueError(f"{images.images.name} has no test image of {first} or of {second}: name its classes.")
    sides = [mean_samples(gates[:, side], images.groups[side]) for side in chosen]
    return difference_of("gate", *sides, paired=False, same_networks=True)


def compare_term(runs: Sequence[Run], term: str, classes: Collection[str]) -> Comparison:
    """Accuracy on the test images of `classes`: the networks minus the same networks without a term, "local" or "context".

    Raises:
        WorkbookValueError: no runs, an unknown term or class.
    """
    images, ablated = _tested(runs), []
    for run in runs:
        model = run.model().to(hardware.device()).eval()
        with without(model, term):
            ablated.append(ablated_answers(model, images))
    return compare_on(runs, ablated, images_of(runs[0], classes), same_networks=True)


def _tested(runs: Sequence[Run]) -> TestImages:
    if not runs:
        raise WorkbookValueError("There are no networks to look at: give runs, one a seed; fit(config) makes them.")
    return select_images(runs[0].config, prepare(runs[0].config, RunStore(runs[0].path.parent)))
