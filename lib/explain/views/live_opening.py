"""How a live view of networks opens: what it asks at first, and the static picture of that."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image

from lib.data import ImageSet
from lib.errors import WorkbookValueError
from lib.evaluation.test_images import TestImages
from lib.explain.views.live import Answer, Wish
from lib.explain.views.network_answers import NetworkAnswers
from lib.explain.views.networks import Given, Networks
from lib.explain.views.pictures import Pictures

STILL, GAP = 320, 12  # pixels: the width of each of the static picture's parts, and between them
TOURED = 4  # images of a page that no person explores before it is saved
SLOW = {"ablation-cam", "integrated-gradients"}  # methods that such a page is not kept waiting for

Choice = tuple[str, str]  # network, method
Look = Callable[[Wish], Iterator[Answer]]


def answers_about(networks: Given, images: TestImages | ImageSet, device: str) -> NetworkAnswers:
    """Answers of those networks about those images.

    Raises:
        WorkbookValueError: there are no networks, or no images.
    """
    images = images.images if isinstance(images, TestImages) else images
    if images.rows.empty:
        raise WorkbookValueError("There are no images to look at: give at least one.")
    return NetworkAnswers(Networks(networks, device), Pictures(images))


def quick_methods(answers: NetworkAnswers, network: str) -> list[str]:
    """The methods of a network that take no time to speak of, the one to open with first."""
    methods = answers.methods(network)
    return [name for name, method in methods.items() if method.by_default and name not in SLOW]


def map_wish(image: str, network: str, method: str, layer: dict[str, Any] | None = None) -> Wish:
    """A wish for a map, of a `layer` as the network's description has it, as the scripts write it: of the middle position
    where a position is asked for, of all heads."""
    name, queries = (layer["name"], layer["queries"]) if layer else ("", None)
    at = queries and [queries[0] // 2, queries[1] // 2, *queries]
    what = {"what": "map", "image": image, "network": network, "method": method}
    return {**what, "target": "answer", "layer": name, "head": 0, "at": at}


def positions_wish(image: str, network: str, kind: str, layer: str) -> Wish:
    """A wish for the maps of many query positions at once, which a page has for those who have no kernel."""
    return {"what": "positions", "image": image, "network": network, "method": kind, "layer": layer, "head": 0}


def shown_wishes(answers: NetworkAnswers, image: str, choices: Iterable[Choice]) -> Iterator[Wish]:
    """All that has to be known to show the image under some maps, of their last layer."""
    for network, method in choices:
        yield {"what": "network", "network": network}
        yield {"what": "image", "image": image, "network": network}
        yield map_wish(image, network, method, answers.own_kinds(network).get(method, [None])[-1])


def still(answers: NetworkAnswers, image: str, choices: Sequence[Choice], look: Look) -> Image.Image:
    """The image, and beside it the image under each of the maps, which `look` answers."""
    plain = Image.fromarray(answers.pictures.shown(image, answers.networks[choices[0][0]].config, STILL))
    wishes = [wish for wish in shown_wishes(answers, image, choices) if wish["what"] == "map"]
    parts = [plain, *(_covered(plain, *next(look(wish))) for wish in wishes)]
    picture = Image.new("RGB", (len(parts) * (plain.width + GAP) - GAP, plain.height), "white")
    for place, part in enumerate(parts):
        picture.paste(part, (place * (plain.width + GAP), 0))
    return picture


def _covered(plain: Image.Image, told: dict, levels: bytes) -> Image.Image:
    coloured = mpl.colormaps["inferno"](np.frombuffer(levels, np.uint8).reshape(told["grid"]), bytes=True)[..., :3]
    return Image.blend(plain, Image.fromarray(coloured).resize(plain.size, Image.Resampling.BILINEAR), 0.55)
