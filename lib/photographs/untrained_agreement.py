"""GAttANet on a brought network before any training: where it starts from, and what a strength given by hand would change."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lib.cnn.stages import stages_of
from lib.errors import WorkbookValueError
from lib.gattanet import GAttANet

STAGES = 3  # the last ones of the network, as `lib.gattanet` takes them of any backbone
DIM = 64


def frozen_gatta(net: nn.Module, image: Tensor, seed: int = 0) -> GAttANet | None:
    """GAttANet of two passes on `net`, frozen, in eval mode; None where it cannot be cut at its last stages.

    Args:
        image: float [1, 3, H, W], whose size tells the layers' shapes.
        seed: of the queries and keys, which are drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            layers = stages_of(net, type(net).__name__).ends[-STAGES:]
            return GAttANet(net, layers, DIM, 2, None, True, tuple(image.shape[1:])).eval()
        except WorkbookValueError:
            return None


@torch.inference_mode()
def answers_by_alpha(gatta: GAttANet, images: Tensor, alphas: Sequence[float]) -> np.ndarray:
    """Probabilities [A, N, K] of `images` where every layer has the strength α; the network's own α are put back."""
    kept = [part.alpha.detach().clone() for part in gatta.agreement]
    answers = []
    for alpha in alphas:
        for part in gatta.agreement:
            part.alpha.fill_(alpha)
        answers.append(gatta(images).softmax(1).numpy())
    for part, alpha in zip(gatta.agreement, kept, strict=True):
        part.alpha.copy_(alpha)
    return np.stack(answers)
