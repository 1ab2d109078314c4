"""What notebook 04 concludes of DCAL's networks: six key figures, and sentences that follow from the intervals."""

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from lib.evaluation.attention_study import AttentionMeasures, compare_attention, estimate_attention
from lib.report.study.chance import chance_reached
from lib.report.tables.verdicts import comparison_text, estimate_text, verdict
from lib.statistics.estimates import compare, estimate
from lib.training.store import Run

Methods = Mapping[str, Sequence[Run]]  # the runs of each network, one a seed; SA and DCAL are among them
Measures = Mapping[str, AttentionMeasures]

# What attention may have more or less of, and how that is said.
WORDS = {
    "entropy": ("more even than", "less even than"),
    "coverage": ("spread over more of the object than", "spread over less of the object than"),
    "at the parts": ("more at the parts than", "less at the parts than"),
}
SELECTION_HEADS = {
    "own": "of them also selected by the network itself",
    "changed": "images answered otherwise",
    "moved": "a probability moves by up to",
}


def selections_table(selections: pd.DataFrame, readout: str) -> Styler:
    """`lib.evaluation.glca_selection.answers_by_selection` as a table; `readout` is what GLCA's head reads."""
    forms = {"patches": "{:.0f}", "own": "{:.0%}", "changed": "{:.1%}", "moved": "{:.1e}"}
    caption = f"GLCA's selection exchanged in the trained network (readout: {readout}; seed 0)"
    styled = selections.style.format(forms).format_index(lambda name: SELECTION_HEADS.get(name, name), axis=1)
    return styled.set_caption(caption)


def spread_by(measures: Measures) -> str:
    """The network that shows what PWCA does by itself: SA+PWCA, or, where that was not trained, DCAL."""
    return "SA+PWCA" if "SA+PWCA" in measures else "DCAL"


def key_figures(
    methods: Methods, measures: Measures, reference: Measures, selections: pd.DataFrame
) -> dict[str, str | dict[str, str]]:
    """Accuracy, where DCAL looks, what PWCA spreads, and what GLCA's selection changes; names to values, as read."""
    figures: dict[str, str | dict[str, str]] = {
        "accuracy": {name: estimate_text(estimate(runs, "accuracy")) for name, runs in methods.items()},
        "DCAL − SA": comparison_text(compare(methods["DCAL"], methods["SA"], "accuracy")),
    }
    for name in known_places(measures):
        sides = {who: estimate_attention(side, name) for who, side in (measures | reference).items()}
        figures[f"attention {name}"] = {who: f"{100 * found.mean:.0f} %" for who, found in sides.items()}
    if "coverage" in measures["SA"].values:
        by = spread_by(measures)
        figures[f"{by} − SA"] = comparison_text(compare_attention(measures[by], measures["SA"], "coverage"))
    figures["answers that another selection changes"] = f"{100 * selections['changed'].max():.1f} % at most"
    return figures


def known_places(measures: Measures) -> list[str]:
    """Of the measures that tell where attention lies, those that the data set's truth allows."""
    return [name for name in ("at the parts", "in the box") if name in measures["SA"].values]


def sentences(methods: Methods, measures: Measures) -> list[str]:
    """The verdict: accuracy first, then attention, and which networks tell nothing since they have learned nothing."""
    told = [verdict(compare(methods["DCAL"], methods["SA"], "accuracy"), "DCAL", "SA")]
    for name, words in WORDS.items():
        if name in measures["SA"].values:
            who = "DCAL" if name == "at the parts" else spread_by(measures)
            comparison = compare_attention(measures[who], measures["SA"], name)
            told.append(verdict(comparison, f"{who}'s attention", "SA's", words))
    unlearned = [
        f"{name} (seed {seed})"
        for name, runs in methods.items()
        for seed, run in enumerate(runs)
        if chance_reached([run])
    ]
    if unlearned:
        told.append(f"Not above chance, so that their maps may tell nothing: {', '.join(unlearned)}.")
    return told
