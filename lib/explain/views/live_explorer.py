"""The attention explorer that asks the networks of a store, live: any image, network, method, class, layer, head, position."""

from collections.abc import Iterator, Sequence
from functools import partial

from lib.data import ImageSet
from lib.errors import choose
from lib.evaluation.test_images import TestImages
from lib.explain.views import packing
from lib.explain.views.image_search import ANSWERED, ORDERS, PAGE
from lib.explain.views.live import LiveView, Wish
from lib.explain.views.live_opening import (
    TOURED,
    answers_about,
    map_wish,
    positions_wish,
    quick_methods,
    shown_wishes,
    still,
)
from lib.explain.views.network_answers import LASTING, NetworkAnswers
from lib.explain.views.networks import Given

CAPTION = "What a network looks at: choose or bring an image, and ask any network for any of its maps."


def explore_networks(
    networks: Given,
    images: TestImages | ImageSet,
    network: str | None = None,
    caption: str = CAPTION,
    device: str = "auto",
) -> LiveView:
    """A view that asks networks while a kernel runs; saved or exported it has what was looked at, or else a small tour.

    ::

        explore_networks(nb.store, nb.images(), run.path.name)

    Args:
        networks: a `RunStore`, of which any finished run can be chosen; runs; or runs by name.
        images: those that can be searched by id and class, and by what the network answered in its test. Files can be
            brought beside them. Networks that search for identities find the nearest ones of their gallery.
        network: the one that is asked first, by name; None for the first.
        caption: one sentence; the alternative text too.
        device: where networks compute: auto, cpu or cuda.

    Raises:
        WorkbookValueError: there are no networks, no images, or no network of that name.
    """
    answers = answers_about(networks, images, device)
    names, shown = answers.networks.names, answers.pictures.images
    ids, network = shown.rows["image_id"].tolist(), names[0] if network is None else choose("network", network, names)
    opening = [(network, quick_methods(answers, network)[0])]
    return LiveView(
        "save finder zoom lens live_explorer",
        {"now": {"image": ids[0], "network": network}, "networks": [network], **offered(answers)},
        answers,
        partial(still, answers, ids[0], opening),
        caption,
        lasting=LASTING,
        first=shown_wishes(answers, ids[0], opening),
        tour=_tour(answers, network, ids[:TOURED]),
        phantom=shown.is_phantom,
    )


def offered(answers: NetworkAnswers) -> dict:
    """What there is to choose from in any view of networks."""
    return {
        "classes": list(answers.pictures.images.classes),
        "answered": list(ANSWERED),
        "orders": list(ORDERS),
        "page": PAGE,
        "colours": packing.colour_stops(),
    }


def _tour(answers: NetworkAnswers, network: str, ids: Sequence[str]) -> Iterator[Wish]:
    """Every quick method on a few images, and what the network shows of itself in every layer."""
    for image in ids:
        yield from shown_wishes(answers, image, [(network, method) for method in quick_methods(answers, network)])
        if answers.networks.searches(network):
            yield {"what": "nearest", "image": image, "network": network}
        for kind, layers in answers.own_kinds(network).items():
            for layer in layers:
                yield map_wish(image, network, kind, layer)
                if layer["queries"]:
                    yield positions_wish(image, network, kind, layer["name"])
