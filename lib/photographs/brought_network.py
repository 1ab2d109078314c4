"""A classifier that somebody brings, from timm or torchvision with a file of weights, and how it wants to be shown pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from PIL import Image
from timm.data import ImageNetInfo, resolve_model_data_config
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from lib.backbones import head_of
from lib.errors import WorkbookFileError, WorkbookValueError, choose, positive
from lib.paths import given_path
from lib.weights.checkpoint_file import read_weights
from lib.weights.sources import weights_file
from lib.weights.starting_weights import start_from

IMAGENET = 1000  # classes of ImageNet-1k, whose names timm knows


@dataclass(frozen=True)
class BroughtNetwork:
    """A network in eval mode, on the CPU; it carries the `statistics` that its images are normalised by."""

    net: nn.Module
    name: str
    classes: tuple[str, ...]
    size: tuple[int, int]  # height and width in pixels of what it is shown
    shorter_side: int  # pixels, to which pictures are resized before they are cropped to `size`
    interpolation: str

    def resized(self, picture: np.ndarray) -> np.ndarray:
        """A picture, uint8 [H, W, 3], at the scale of which the network is shown a crop, as in timm's evaluation."""
        image = resize(Image.fromarray(picture), self.shorter_side, InterpolationMode(self.interpolation))
        return np.asarray(image)

    def _repr_markdown_(self) -> str:
        return f"{self.name}: {len(self.classes)} classes, pictures of {self.size[0]} × {self.size[1]} pixels."


def bring_network(
    backbone: str, weights: str | Path, classes: str | Path | None = None, image_size: int | None = None
) -> BroughtNetwork:
    """The classifier `backbone` with the weights of a file.

    Args:
        backbone: its name in torchvision, else in timm.
        weights: of it, with their head, which tells the number of classes: see `lib.weights.sources`.
        classes: a text file with a name a line, in the order of the head; None are ImageNet's where there are 1000, else
            numbers.
        image_size: pixels, the side of what it is shown; None is what the weights of that name are made for.

    Raises:
        WorkbookValueError: an unknown backbone, weights of another network, or another number of names than of classes.
        WorkbookFileError: a file that is not there or cannot be read.
    """
    net = load_classifier(backbone, str(weights))
    usual = _torchvisions(backbone) if _of_torchvision(backbone) else _timms(net)
    side = usual["side"] if image_size is None else image_size
    positive(image_size=side)
    net.statistics = (tuple(usual["mean"]), tuple(usual["std"]))
    names = _names(classes, len(net.get_submodule(head_of(net)).weight))
    shorter = int(usual["shorter"] * side / usual["side"])
    return BroughtNetwork(net.eval(), backbone, names, (side, side), max(shorter, side), usual["interpolation"])


def load_classifier(backbone: str, weights: str) -> nn.Module:
    """The network `backbone` with as many classes as the head in `weights` has.

    Raises:
        WorkbookValueError: an unknown backbone, weights of another network, or weights without a head.
        WorkbookFileError: see `lib.weights.sources.weights_file`.
    """
    build = _builder(backbone)
    with torch.device("meta"):
        head = head_of(build())
    tensors, _ = read_weights(weights_file(weights))
    number = next((len(tensor) for name, tensor in tensors.items() if f".{name}".endswith(f".{head}.weight")), None)
    if number is None:
        net = build()
        start_from(weights, net, net, backbone, [net.get_submodule(head)])  # says so where they are of another network
        raise WorkbookValueError(
            f"The weights {weights} have no head {head!r} of {backbone}, so that they tell no classes: give weights of a "
            "classifier, and the backbone that they are of."
        )
    if number == 1:
        raise WorkbookValueError(
            f"The weights {weights} have a head of a single answer, which is no choice between classes: give a head of two, such as "
            "one whose other logit is 0."
        )
    net = build(num_classes=number)
    start_from(weights, net, net, backbone, [])  # of that size, so that the head has to be there whole
    return net


def _builder(backbone: str) -> Callable[..., nn.Module]:
    """A name that both libraries have is torchvision's, as in `lib.backbones`; with a tag ("resnet18.a1_in1k") it is timm's."""
    if _of_torchvision(backbone):
        return partial(torchvision.models.get_model, backbone, weights=None)
    if not timm.is_model(backbone):
        choose("backbone", backbone, [*timm.list_models(), *torchvision.models.list_models(module=torchvision.models)])
    return partial(timm.create_model, backbone)


def _of_torchvision(backbone: str) -> bool:
    return backbone in torchvision.models.list_models(module=torchvision.models)


def _timms(net: nn.Module) -> dict:
    """How timm shows pictures to a network of its own."""
    config = resolve_model_data_config(net)
    side = config["input_size"][1]
    return {**config, "side": side, "shorter": int(side / config["crop_pct"])}


def _torchvisions(name: str) -> dict:
    """How torchvision shows pictures to its network of that name."""
    shown = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    sizes = {"side": shown.crop_size[0], "shorter": shown.resize_size[0]}
    return {**sizes, "mean": shown.mean, "std": shown.std, "interpolation": shown.interpolation.value}


def _names(classes: str | Path | None, number: int) -> tuple[str, ...]:
    if classes is not None:
        file = given_path(classes, "classes")
        try:
            names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise WorkbookFileError(f"{file} cannot be read as a text file with a class a line ({error}).") from error
        if len(names) != number:
            raise WorkbookValueError(
                f"{file} names {len(names)} classes, and the weights have {number}: give a line for each."
            )
        return names
    if number == IMAGENET:
        info = ImageNetInfo()
        return tuple(info.index_to_description(index).split(",")[0] for index in range(number))
    return tuple(f"class {index}" for index in range(number))
