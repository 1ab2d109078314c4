"""Random changes to a training batch, on the batch's own device, one draw per image.

Images are float [B, 3, H, W] in [0, 1] before and after; they may leave the range a little and are not clipped. All
keep the size but `fine_grained`, which crops: images are then kept larger (`stored_size`), and `centre_view` is what
evaluation sees of them.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CROP = 448 / 550  # side of the fine-grained recipe's crop: images of 550×550 pixels are cropped to 448×448
PADDING = 10 / 256  # of the person recipe, in heights: 10 pixels round an image of 256×128
ERASED = (0.485, 0.456, 0.406)  # ImageNet's mean colour, which becomes 0 when a network's input is normalised


def affine(images: Tensor, degrees: float, scale: tuple[float, float], shift: float, flip: bool) -> Tensor:
    """Rotate by up to ±`degrees`, zoom by a factor in `scale`, move by up to ±`shift` of the side, mirror half of them.

    One resampling for all of it; what comes from outside the picture is its mirror image.
    """
    batch, device = len(images), images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(batch, device=device).uniform_(low, high)

    angle, zoom = uniform(-degrees, degrees) * (math.pi / 180), 1 / uniform(*scale)
    mirror = uniform(0, 1).lt(0.5).float() * -2 + 1 if flip else torch.ones(batch, device=device)
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = [cos * mirror, -sin, uniform(-shift, shift) * 2, sin * mirror, cos, uniform(-shift, shift) * 2]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(batch, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def dihedral(images: Tensor) -> Tensor:
    """One of the eight symmetries of the square for each image: no pixel is interpolated."""
    images = mirror(images)
    images = torch.where(_half(images), images.flip(2), images)
    return torch.where(_half(images), images.transpose(2, 3), images)


def jitter(images: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """Scale each image's brightness, contrast (about its mean) and saturation (about its grey) by 1 ± the strength."""

    def factor(strength: float) -> Tensor:
        return 1 + torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(-strength, strength)

    grey = images.mean(dim=1, keepdim=True)
    images = grey + factor(saturation) * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return factor(brightness) * mean + factor(contrast) * (images - mean)


def mirror(images: Tensor) -> Tensor:
    """Half of the images, mirrored left to right."""
    return torch.where(_half(images), images.flip(3), images)


def _half(images: Tensor) -> Tensor:
    """bool [B, 1, 1, 1]: a coin for each image."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5


def random_crop(images: Tensor, height: int, width: int) -> Tensor:
    """A window of `height`×`width` pixels at a place drawn for each image; no pixel is interpolated."""

    def window(whole: int, part: int) -> Tensor:  # [B, part]: rows or columns
        start = torch.randint(whole - part + 1, (len(images), 1), device=images.device)
        return start + torch.arange(part, device=images.device)

    y, x = window(images.shape[2], height), window(images.shape[3], width)
    image = torch.arange(len(images), device=images.device)
    return images.permute(0, 2, 3, 1)[image[:, None, None], y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def erase(images: Tensor, chance: float, area: tuple[float, float], aspect: float) -> Tensor:
    """Random erasing (Zhong et al., AAAI 2020): a rectangle in `chance` of the images becomes the mean colour.

    It covers a share of the image in `area`, its height is between 1/`aspect` and `aspect` of its width (drawn evenly
    in the logarithm), and it is cut to the image where it would be larger, where the paper draws again.
    """
    batch, device, (height, width) = len(images), images.device, images.shape[2:]
    share = torch.empty(batch, device=device).uniform_(*area)
    tall = torch.empty(batch, device=device).uniform_(-math.log(aspect), math.log(aspect)).exp()
    sides = ((share * height * width * tall).sqrt(), (share * height * width / tall).sqrt())

    def inside(side: Tensor, whole: int) -> Tensor:  # [B, whole]: which rows or columns
        side = side.clamp(max=whole)
        start = torch.rand(batch, device=device) * (whole - side)
        place = torch.arange(whole, device=device) + 0.5
        return (place >= start[:, None]) & (place < (start + side)[:, None])

    hole = inside(sides[0], height)[:, None, :, None] & inside(sides[1], width)[:, None, None, :]
    hole &= torch.rand(batch, 1, 1, 1, device=device) < chance
    colour = torch.tensor(ERASED, device=device, dtype=images.dtype).view(1, 3, 1, 1)
    return torch.where(hole, colour, images)


def stored_size(size: int, augmentation: str) -> int:
    """The side, in pixels, at which images are kept so that a network of that `augmentation` gets `size` pixels."""
    return round(size / CROP) if augmentation == "fine_grained" else size


def centre_view(images: Tensor, augmentation: str) -> Tensor:
    """What a network trained with `augmentation` is shown in evaluation: the middle where training crops, or all."""
    (top, height), (left, width) = (_middle(side, augmentation) for side in images.shape[2:])
    return (
        images if (height, width) == tuple(images.shape[2:]) else images[:, :, top : top + height, left : left + width]
    )


def in_centre_view(points: np.ndarray, size: tuple[int, int], augmentation: str) -> np.ndarray:
    """Where points of the whole picture lie in `centre_view`: [..., 2], x and y, as shares of either, which are below 0
    or above 1 outside. `size` is the (height, width) that the network sees."""
    kept = np.array([stored_size(side, augmentation) for side in size[::-1]])
    start, length = np.transpose([_middle(side, augmentation) for side in kept])
    return (points * kept - start) / length


def _middle(side: int, augmentation: str) -> tuple[int, int]:
    """Start and length, in pixels, of what evaluation sees of a side that is kept."""
    length = round(side * CROP) if augmentation == "fine_grained" else side
    return (side - length) // 2, length


def _fine_grained(images: Tensor) -> Tensor:
    height, width = (round(side * CROP) for side in images.shape[2:])
    return mirror(random_crop(images, height, width))


def _person(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    pad = max(1, round(PADDING * height))
    images = random_crop(F.pad(images, (pad, pad, pad, pad)), height, width)  # black borders, as in the recipe
    return erase(mirror(images), chance=0.5, area=(0.02, 0.4), aspect=1 / 0.3)


def _as_it_is(images: Tensor) -> Tensor:
    return images


def _left_to_right(images: Tensor) -> Tensor:
    return images.flip(3)


def _turned(quarters: int, before: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda images: before(images).rot90(quarters, (2, 3))


# The views of an image that a test may average over, each a symmetry: no pixel is interpolated, nothing is drawn.
VIEWS: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "none": (_as_it_is,),
    "mirror": (_as_it_is, _left_to_right),
    "symmetries": tuple(
        _turned(quarters, mirrored) for mirrored in (_as_it_is, _left_to_right) for quarters in range(4)
    ),
}

AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda images: images,
    # A lesion has no upright, and its texture is fine: symmetries, no interpolation.
    "dermoscopy": lambda images: jitter(dihedral(images), 0.1, 0.1, 0.1),
    # Photographs: upright, either hand.
    "natural": lambda images: jitter(affine(images, 15, (0.8, 1.25), shift=0.1, flip=True), 0.2, 0.2, 0.2),
    # Characters: neither mirrored nor turned far.
    "shift": lambda images: affine(images, 8, (0.9, 1.1), shift=0.08, flip=False),
    "fine_grained": _fine_grained,  # DCAL's recipe for birds, cars, aircraft: either hand, a crop, no change of scale
    "person": _person,  # DCAL's recipe for re-identification, of people and vehicles: cut-outs that are never quite true
}
