"""What notebook 08 concludes of searches: six key figures at most, and sentences that follow from the intervals.

`scores` are the searches of each network, one a seed, SA and DCAL among them; `again` the same re-ranked, by the names of
the networks with ", re-ranked"; `pixels` the one search that compares raw pixels.
"""

from collections.abc import Mapping, Sequence

from lib.report.tables.verdicts import comparison_text, estimate_text, verdict
from lib.retrieval.ranking import RETRIEVAL_METRICS, RetrievalScores
from lib.statistics.estimates import Comparison
from lib.statistics.retrieval_estimates import compare_retrieval, estimate_retrieval

Searches = Mapping[str, Sequence[RetrievalScores]]


def key_figures(
    scores: Searches, again: Searches, pixels: Sequence[RetrievalScores], chance: float
) -> dict[str, str | dict[str, str]]:
    """mAP and CMC-1 of networks and of what has learned nothing, DCAL's gains over both, re-ranking, and how many queries
    there were; `chance` is the mAP of a gallery in random order."""
    sides = {**scores, "pixels": pixels}
    figures: dict[str, str | dict[str, str]] = {
        RETRIEVAL_METRICS[metric]: {
            name: estimate_text(estimate_retrieval(each, metric)) for name, each in sides.items()
        }
        for metric in ("map", "cmc_1")
    }
    figures["mAP"] |= {"chance": f"{chance:.2f}"}
    first = scores["DCAL"][0]
    return figures | {
        "DCAL − SA": comparison_text(compare_retrieval(scores["DCAL"], scores["SA"])),
        "DCAL − pixels": comparison_text(_beyond(pixels, scores["DCAL"])),
        "re-ranking of DCAL": comparison_text(reranking_gain(scores, again)),
        "queries": f"{len(first.matched):,}, and {first.skipped} that no other camera has seen",
    }


def sentences(scores: Searches, again: Searches, pixels: Sequence[RetrievalScores]) -> list[str]:
    """The verdict on DCAL against SA, on both against raw pixels, and on re-ranking."""
    beyond = [_beyond_pixels(scores, pixels, metric) for metric in ("map", "cmc_1")]
    words = ("better than", "worse than")
    return [
        verdict(compare_retrieval(scores["DCAL"], scores["SA"]), "DCAL", "SA"),
        f"In {'; in '.join(beyond)}.",
        verdict(reranking_gain(scores, again), "DCAL with re-ranking", "DCAL without", words),
    ]


def reranking_gain(scores: Searches, again: Searches) -> Comparison:
    """What re-ranking changes of DCAL's mAP."""
    return compare_retrieval(again["DCAL, re-ranked"], scores["DCAL"], same_networks=True)


def _beyond_pixels(scores: Searches, pixels: Sequence[RetrievalScores], metric: str) -> str:
    """'mAP SA and DCAL find more than a comparison of pixels', or that no network is shown to."""
    beyond = [name for name, of_network in scores.items() if _beyond(pixels, of_network, metric).low > 0]
    find = "find" if len(beyond) > 1 else "finds"
    found = f"{' and '.join(beyond)} {find}" if beyond else "no network is shown to find"
    return f"{RETRIEVAL_METRICS[metric]} {found} more than a comparison of pixels"


def _beyond(
    pixels: Sequence[RetrievalScores], of_network: Sequence[RetrievalScores], metric: str = "map"
) -> Comparison:
    """A network minus raw pixels, which have no seeds: the same search stands beside each of the network's."""
    return compare_retrieval(of_network, [*pixels] * len(of_network), metric)
