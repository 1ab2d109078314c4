"""What notebook 06 concludes of LESA's networks: six key figures, and sentences that follow from the intervals.

`methods` are the runs, one a seed, of the plain network, of self-attention and of LESA, in this order; `terms` is what
`lib.lesa.term_statistics` gives for each LESA network, `lost` what `lib.evaluation.term_ablation.compare_without` does.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from pandas.io.formats.style import Styler
from torch import Tensor

from lib.evaluation.efficiency import Efficiency
from lib.lesa import context_share
from lib.report.tables.cells import points_text
from lib.report.tables.verdicts import ablation_verdict, comparison_text, estimate_text, verdict
from lib.statistics.estimates import Comparison, compare, estimate
from lib.training.build_model import build_model, count_macs
from lib.training.config import RunConfig
from lib.training.store import Run

Methods = Mapping[str, Sequence[Run]]
Terms = Sequence[Mapping[str, Mapping[str, Tensor]]]
TAKEN_AWAY = "taken away after training (points of accuracy)"
PAPERS = {"ResNet50": "none", "with self-attention": "self_attention", "LESA_ResNet50": "lesa"}


def paper_sizes(config: RunConfig) -> Styler:
    """Parameters and multiply-accumulates of the paper's networks, 1,000 classes and 224×224 pixels, which are not run."""
    paper = config.replace(
        backbone="resnet50", image_size=224, image_width=None, lesa_position="classification", weights="none"
    )
    sizes = {}
    for name, attention in PAPERS.items():
        of_network = paper.replace(attention=attention)
        with torch.device("meta"):
            parameters = build_model(of_network, 1000, pretrained=False).count_parameters()["total"]
        sizes[name] = {"parameters (M)": parameters / 1e6, "GMACs": count_macs(of_network, 1000) / 1e9}
    caption = "ResNet50 halves its maps before layer4, the others do not"
    return pd.DataFrame(sizes).T.style.format("{:.2f}").set_caption(caption)


def key_figures(
    methods: Methods, terms: Terms, lost: Mapping[str, Sequence[Comparison]], costs: Mapping[str, Efficiency]
) -> dict[str, str | dict[str, str]]:
    """Accuracy, what LESA gains over both others, what a term taken away costs, where context is let in, and the price."""
    plain, attention, lesa = methods
    return {
        "accuracy": {name: estimate_text(estimate(runs, "accuracy")) for name, runs in methods.items()},
        **{f"{lesa} − {other}": comparison_text(_gain(methods, other)) for other in (plain, attention)},
        TAKEN_AWAY: {f"the {term} term": points_text(found[0]) for term, found in lost.items()},
        "context's share of the length": {
            block: f"{100 * share:.0f} %" for block, share in context_share(terms).items()
        },
        f"cost against {plain}": (
            f"{costs[lesa].macs / costs[plain].macs:.2f} × the multiply-accumulates, "
            f"{costs[lesa].train_ratio[0]:.2f} × the training step"
        ),
    }


def sentences(
    methods: Methods,
    terms: Terms,
    shares: Sequence[Mapping[str, Mapping[str, float]]],
    lost: Mapping[str, Sequence[Comparison]],
) -> list[str]:
    """The verdict; `shares` is what `lib.lesa.gate_variance` gives for each network and block."""
    plain, attention, lesa = methods
    told = [verdict(_gain(methods, other), lesa, other) for other in (attention, plain)]
    told += [ablation_verdict(found[0], f"the {term} term") for term, found in lost.items()]
    gates = {block: np.mean([float(of[block]["gate"].mean()) for of in terms]) for block in terms[0]}
    steady = np.mean([of_block["channels"] for of in shares for of_block in of.values()])
    if len(gates) > 1:
        told.append(
            f"Its gate lets in most context in {max(gates, key=gates.get)}, least in {min(gates, key=gates.get)}."
        )
    told.append(f"{100 * steady:.0f} % of ω's variance is between channels, the same for every image.")
    return told


def _gain(methods: Methods, other: str) -> Comparison:
    """LESA minus one of the others."""
    *_, lesa = methods
    return compare(methods[lesa], methods[other], "accuracy")
