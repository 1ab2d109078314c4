"""Random logit (Sixt et al., ICML 2020, arXiv 1912.09818): is it another map for another class?

A map that is the same whichever class it explains tells of the image, not of the answer. So is one of a method that knows
no class, whose score is 1.
"""

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError, choose
from lib.explain.methods.explain import explained
from lib.explain.methods.targets import Targets
from lib.explain.scores.image_draws import generator_of
from lib.explain.scores.map_similarity import SIMILARITIES
from lib.explain.scores.perturbed_inference import BATCH, PerturbedInference


def random_logit(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: str = "grad-cam",
    *,
    similarity: str = "ssim",
    seed: int = 0,
    batch_size: int = BATCH,
    precision: str = "32",
) -> np.ndarray:
    """[N]: how like the map of `method` is that of another class, drawn for each image; less is better.

    Equal to Quantus' with the same similarity and class. By itself Quantus takes the structural similarity of the pixels in
    a row, row below row, where neighbours are those to the left and right only; here it is that of pictures, as in the paper.

    Args:
        similarity: a name in `SIMILARITIES`.
        seed: of the classes.
        model, images, targets, method, batch_size, precision: see `explain`.

    Raises:
        WorkbookValueError: what `explain` raises, an unknown similarity, targets that are no classes, or a network with one
            class.
    """
    compare = SIMILARITIES[choose("similarity", similarity, SIMILARITIES)]
    inference = PerturbedInference(model, images, targets, batch_size, precision)
    if inference.classes is None:
        raise WorkbookValueError(
            "random logit compares the map of a class with that of another, and what is explained here is no class: leave it "
            "out, or give classes as targets."
        )
    if inference.classes < 2:
        raise WorkbookValueError(
            f"This {type(model).__name__} has one class, and no other whose map could differ: leave random-logit out."
        )
    steps = [int(torch.randint(1, inference.classes, (), generator=generator_of(image, seed))) for image in images]
    others = (inference.targets + torch.tensor(steps)) % inference.classes
    maps = [
        explained(model, images, of, method, batch_size=batch_size, precision=precision)[1]
        for of in (inference.targets, others)
    ]
    return compare(*maps)
