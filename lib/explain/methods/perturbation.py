"""What a network answers when parts of the picture are covered: occlusion and RISE.

Covered is a picture where it has the mean colour, which is 0 in what a network is shown.
"""

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from lib.explain.methods.extras import needed
from lib.explain.methods.logits import logits_of
from lib.explain.methods.targets import chosen, strengths

MASKS, CELLS, SHOWN = 1000, 7, 0.5  # RISE: pictures, cells a side, the share of cells that are shown
WINDOW, STRIDE = 7, 14  # occlusion: parts of a side


def occlusion(model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1) -> Tensor:
    """[B, H, W]: how much the class's logit falls where a window of a seventh of the picture covers it, the mean over the
    windows, half of one apart, that cover a pixel (Zeiler & Fergus, arXiv 1311.2901), by captum; a rise counts as 0.

    Raises:
        WorkbookError: captum is not installed.
    """
    attribute = needed("captum.attr").Occlusion(lambda x: logits_of(model, x).float()).attribute
    height, width = images.shape[2:]
    fall = attribute(
        images,
        (3, max(1, height // WINDOW), max(1, width // WINDOW)),
        (3, max(1, height // STRIDE), max(1, width // STRIDE)),
        baselines=0,
        target=chosen(logits_of(model, images), targets),
        perturbations_per_eval=max(1, at_once // len(images)),
    )
    return fall[:, 0].detach().clamp(min=0)  # the same of each colour


@torch.no_grad()
def rise(model: nn.Module, images: Tensor, targets: Tensor | None, at_once: int = 1) -> Tensor:
    """[B, H, W]: the mean of random masks, weighed by the class's probability in the picture that each leaves (RISE,
    Petsiuk et al., arXiv 1806.07421, eq. 6). The masks, of `MASKS` draws with a fixed seed, are the same for every image."""
    classes = chosen(logits_of(model, images), targets)
    total, size = torch.zeros(len(images), *images.shape[2:], device=images.device), max(1, at_once // len(images))
    for some in torch.arange(MASKS).split(size):
        masks = random_masks(*images.shape[2:], some).to(images)
        pictures = rearrange(einsum(masks, images, "m h w, b c h w -> m b c h w"), "m b c h w -> (m b) c h w")
        answers = strengths(logits_of(model, pictures).float())
        of_class = answers.gather(1, classes.repeat(len(masks)).unsqueeze(1)).view(len(masks), len(images))
        total += einsum(of_class, masks.float(), "m b, m h w -> b h w")
    return total / (MASKS * SHOWN)


def random_masks(height: int, width: int, numbers: Tensor) -> Tensor:
    """[m, height, width], from 0 to 1: those with these `numbers` [m] of the `MASKS` masks: `CELLS`² cells, each shown or
    covered, smoothly enlarged and shifted by a part of a cell."""
    generator = torch.Generator().manual_seed(0)
    cells = (torch.rand(MASKS, 1, CELLS + 1, CELLS + 1, generator=generator) < SHOWN).float()[numbers]
    shifts = torch.rand(MASKS, 2, generator=generator)[numbers]
    rows, columns = -(-height // CELLS), -(-width // CELLS)  # pixels of a cell
    whole = F.interpolate(cells, ((CELLS + 1) * rows, (CELLS + 1) * columns), mode="bilinear").squeeze(1)
    top, left = (shifts * torch.tensor([rows, columns])).long().unbind(1)
    return torch.stack([w[t : t + height, s : s + width] for w, t, s in zip(whole, top, left, strict=True)])
