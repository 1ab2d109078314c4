"""Two to six networks or methods on one image, live: side by side, their difference, their curves, and a brush."""

from collections.abc import Iterator, Sequence
from functools import partial

from lib.data import ImageSet
from lib.errors import WorkbookValueError, choose
from lib.evaluation.test_images import TestImages
from lib.explain.views import packing
from lib.explain.views.brush import FILLS
from lib.explain.views.live import LiveView, Wish
from lib.explain.views.live_explorer import offered
from lib.explain.views.live_opening import TOURED, Choice, answers_about, quick_methods, shown_wishes, still
from lib.explain.views.network_answers import LASTING, PERTURBATIONS, NetworkAnswers
from lib.explain.views.networks import Given

FEWEST, MOST = 2, 6  # panels
STEPS = 32  # of a curve
CAPTION = "One image under several maps: link them, subtract them, take away what they name, or paint a part of it out."


def compare_networks(
    networks: Given,
    images: TestImages | ImageSet,
    panels: Sequence[Choice] | None = None,
    caption: str = CAPTION,
    device: str = "auto",
) -> LiveView:
    """A view that holds maps of one image against each other while a kernel runs; saved it has what was looked at.

    ::

        compare_networks({"CBAM": run, "bare": other}, nb.images(), [("CBAM", "grad-cam"), ("bare", "grad-cam")])

    Args:
        panels: two to six (network, method), which can be changed in the view; None for the first method of the first
            two networks, or the first two methods of a single one.
        networks, images, caption, device: see `explore_networks`.

    Raises:
        WorkbookValueError: see `explore_networks`; fewer or more panels, or one of an unknown network or method.
    """
    answers = answers_about(networks, images, device)
    shown, panels = answers.pictures.images, _checked(answers, panels)
    ids = shown.rows["image_id"].tolist()
    chosen = [{"network": network, "method": method} for network, method in panels]
    asked = list(dict.fromkeys(network for network, _ in panels))
    data = {
        "now": {"image": ids[0], "panels": chosen},
        "networks": asked,
        "fills": list(FILLS),
        "curves": list(PERTURBATIONS),
    }
    return LiveView(
        "save chart finder zoom lens live_comparison",
        data | {"steps": STEPS, "most": MOST, "signed": packing.stops_of("RdBu_r"), **offered(answers)},
        answers,
        partial(still, answers, ids[0], panels),
        caption,
        lasting=LASTING,
        first=shown_wishes(answers, ids[0], panels),
        tour=_tour(answers, ids[:TOURED], panels),
        phantom=shown.is_phantom,
    )


def _tour(answers: NetworkAnswers, ids: Sequence[str], panels: Sequence[Choice]) -> Iterator[Wish]:
    """The panels of a few images, and the curves of the first, where a class is answered."""
    for image in ids:
        yield from shown_wishes(answers, image, panels)
    panels = [panel for panel in panels if not answers.networks.searches(panel[0])]
    maps = [wish for wish in shown_wishes(answers, ids[0], panels) if wish["what"] == "map"]
    yield from ({**wish, "what": "curve", "kind": kind, "steps": STEPS} for wish in maps for kind in PERTURBATIONS)


def _checked(answers: NetworkAnswers, panels: Sequence[Choice] | None) -> list[Choice]:
    names = answers.networks.names
    if panels is None and len(names) == 1:
        panels = [(names[0], method) for method in quick_methods(answers, names[0])[:FEWEST]]
    elif panels is None:
        panels = [(name, quick_methods(answers, name)[0]) for name in names[:FEWEST]]
    if not FEWEST <= len(panels) <= MOST:
        raise WorkbookValueError(f"A comparison has {FEWEST} to {MOST} panels, not {len(panels)}.")
    panels = [(choose("network", network, names), method) for network, method in panels]
    return [(network, answers.method_of(network, method)) for network, method in panels]
