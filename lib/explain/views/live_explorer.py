"""The attention explorer that asks the networks of a store, live: any image, network, method, class, layer, head, position."""

from collections.abc import Iterator, Sequence

import matplotlib as mpl
import numpy as np
from PIL import Image

from lib.data import ImageSet
from lib.errors import WorkbookValueError, choose
from lib.evaluation.test_images import TestImages
from lib.explain.methods.explain import methods_of
from lib.explain.views import packing
from lib.explain.views.live import LiveView, Wish
from lib.explain.views.network_answers import ANSWERED, LASTING, ORDERS, NetworkAnswers
from lib.explain.views.networks import Given, Networks
from lib.explain.views.pictures import Pictures

CAPTION = "What a network looks at: choose or bring an image, and ask any network for any of its maps."
TOURED = 6  # images of a page that no person explores before it is saved
STILL, GAP = 320, 12  # pixels, of the static picture's halves and between them
SLOW = {"ablation-cam", "integrated-gradients"}  # methods that such a page is not kept waiting for


def explore_networks(
    networks: Given,
    images: TestImages | ImageSet,
    network: str | None = None,
    caption: str = CAPTION,
    device: str = "auto",
) -> LiveView:
    """A view that asks networks while a kernel runs; saved or exported it has what was looked at, or else a small tour.

    ::

        explore_networks(nb.store, nb.images(), network=run.path.name)

    Args:
        networks: a `RunStore`, of which any finished run that tells classes apart can be chosen; runs; or runs by name.
        images: those that can be searched by id and class, and by what the network answered in its test. Files can be
            brought beside them.
        network: the one that is asked first, by name; None for the first.
        caption: one sentence; the alternative text too.
        device: where networks compute.

    Raises:
        WorkbookValueError: there are no networks, or no images.
    """
    answers = NetworkAnswers(Networks(networks, device), Pictures(image_set(images)))
    ids = answers.pictures.images.rows["image_id"].tolist()
    network = answers.networks.names[0] if network is None else choose("network", network, answers.networks.names)
    data = {
        "now": {"image": ids[0], "network": network},
        "networks": answers.networks.names,
        "classes": list(answers.pictures.images.classes),
        "answered": list(ANSWERED),
        "orders": list(ORDERS),
        "colours": packing.colour_stops(),
    }
    return LiveView(
        "finder live_explorer",
        data,
        answers,
        lambda: _still(answers, network, ids[0]),
        caption,
        lasting=LASTING,
        first=_opening(answers, network, ids[0]),
        tour=_tour(answers, network, ids[:TOURED]),
        phantom=answers.pictures.images.is_phantom,
    )


def image_set(images: TestImages | ImageSet) -> ImageSet:
    """The set of those images; a WorkbookValueError where there are none."""
    images = images.images if isinstance(images, TestImages) else images
    if images.rows.empty:
        raise WorkbookValueError("There are no images to look at: give at least one.")
    return images


def _opening(answers: NetworkAnswers, network: str, image: str) -> Iterator[Wish]:
    """What the view shows at first: one map of one image."""
    yield {"what": "network", "network": network}
    yield {"what": "image", "network": network, "image": image}
    yield _wish(network, image, next(iter(methods_of(answers.networks.model(network)))))


def _tour(answers: NetworkAnswers, network: str, ids: Sequence[str]) -> Iterator[Wish]:
    """Every quick method on a few images, and what the network shows of itself in every layer."""
    model = answers.networks.model(network)
    for image in ids:
        yield {"what": "image", "network": network, "image": image}
        yield from (_wish(network, image, name) for name in methods_of(model) if name not in SLOW)
        for kind, layers in answers.own_kinds(network).items():
            for layer in layers:
                at = layer["queries"] and [layer["queries"][0] // 2, layer["queries"][1] // 2, *layer["queries"]]
                yield {**_wish(network, image, kind), "layer": layer["name"], "at": at}


def _wish(network: str, image: str, method: str) -> Wish:
    """For a map, as the script writes it."""
    what = {"what": "map", "network": network, "image": image, "method": method}
    return {**what, "target": "answer", "layer": "", "head": 0, "at": None}


def _still(answers: NetworkAnswers, network: str, image: str) -> Image.Image:
    """The image, and beside it the map that the view opens with over it."""
    seen = answers.pictures.shown(image, answers.networks[network].config, STILL)
    method = next(iter(methods_of(answers.networks.model(network))))
    told, levels = next(answers(_wish(network, image, method)))
    heat = Image.fromarray(
        mpl.colormaps["inferno"](np.frombuffer(levels, np.uint8).reshape(told["grid"]), bytes=True)[..., :3]
    )
    plain = Image.fromarray(seen)
    covered = Image.blend(plain, heat.resize(plain.size, Image.Resampling.BILINEAR), 0.55)
    still = Image.new("RGB", (2 * plain.width + GAP, plain.height), "white")
    still.paste(plain, (0, 0))
    still.paste(covered, (plain.width + GAP, 0))
    return still
