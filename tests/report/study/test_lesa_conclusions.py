"""What notebook 06 concludes is what the comparisons say."""

from types import SimpleNamespace

import pytest
import torch

from lib.report.study.lesa_conclusions import TAKEN_AWAY, key_figures, paper_sizes, sentences
from lib.report.tables.cells import points_text
from lib.report.tables.verdicts import comparison_text
from lib.statistics.estimates import compare
from lib.training import RunConfig


@pytest.fixture
def methods(written):
    names = {"plain": ("none", 0.6), "self-attention": ("self_attention", 0.9), "LESA": ("lesa", 0.97)}
    config = RunConfig(dataset="phantom-lesions", backbone="resnet26_small")
    return {
        name: [written.finish(config.replace(attention=kind, seed=s), right) for s in range(3)]
        for name, (kind, right) in names.items()
    }


@pytest.fixture
def lost(methods):
    """Without the context the networks are as the plain ones, without the local term they answer as before."""
    return {
        "local": [compare(methods["LESA"], methods["LESA"], "accuracy", same_networks=True)],
        "context": [compare(methods["plain"], methods["LESA"], "accuracy", same_networks=True)],
    }


def term(gate, context):
    return {"gate": torch.full((4, 2), gate), "local": torch.full((4,), 3.0), "context_term": torch.full((4,), context)}


TERMS = [
    {"layer3.1": term(0.2, 1.0), "layer4.0": term(0.6, 1.0)},
    {"layer3.1": term(0.4, 1.0), "layer4.0": term(0.8, 3.0)},
]


def test_key_figures_are_six_at_most_and_those_of_the_comparisons(methods, lost):
    costs = {
        name: SimpleNamespace(macs=macs, train_ratio=(1.5, 1, 2))
        for name, macs in zip(methods, (10, 11, 12), strict=True)
    }
    figures = key_figures(methods, TERMS, lost, costs)
    assert len(figures) == 6
    assert figures["LESA − plain"] == comparison_text(compare(methods["LESA"], methods["plain"], "accuracy"))
    assert figures["context's share of the length"] == {"layer3.1": "25 %", "layer4.0": "38 %"}
    assert figures["cost against plain"] == "1.20 × the multiply-accumulates, 1.50 × the training step"
    assert figures[TAKEN_AWAY]["the context term"] == points_text(lost["context"][0])


def test_sentences_follow_the_intervals(methods, lost):
    shares = [{"layer3.1": {"channels": 0.25}, "layer4.0": {"channels": 0.75}}]
    told = " ".join(sentences(methods, TERMS, shares, lost))
    assert told.startswith("LESA is ahead of self-attention: +")
    assert "LESA is ahead of plain: +" in told
    assert "Without the context term these networks lose: −" in told
    assert "anything without the local term is not shown" in told
    assert "most context in layer4.0, least in layer3.1" in told
    assert told.endswith("50 % of ω's variance is between channels, the same for every image.")


def test_the_papers_networks_have_the_papers_sizes():
    html = paper_sizes(RunConfig(dataset="digits", backbone="resnet26_small", attention="lesa")).to_html()
    assert "23.78" in html  # million parameters of LESA_ResNet50, as published
