"""The figures and the table of notebook 04, and what a trained network answers when GLCA selects otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib.data import Truth
from lib.evaluation.attention_measures import NAMES, coverage, reference_maps
from lib.evaluation.attention_study import AttentionMaps, compare_attention, estimate_attention, measure_attention
from lib.evaluation.glca_selection import answers_by_selection
from lib.report.figures import rollout_figures as figures
from lib.report.figures.style import PHANTOM_NOTE
from lib.report.tables.measures_table import measures_table
from lib.report.tables.method_table import ONE_SEED
from lib.report.tables.verdicts import verdict
from lib.statistics.estimates import holm
from lib.training import RunConfig
from lib.training.build_model import build_model
from tests.evaluation.made_images import images_of

N, GRID = 12, (4, 4)


@pytest.fixture
def images(tmp_path):
    boxes = np.tile([0.25, 0.25, 0.75, 0.75], (N, 1))
    boxes[1] = np.nan
    places = np.random.default_rng(0).uniform(0.2, 0.8, (N, 2, 2))
    places[2] = np.nan
    config = RunConfig(dataset="phantom-birds", image_size=32)
    return images_of(tmp_path, config, Truth(boxes, ("crown", "tail"), places), count=N)


def some_maps(seed):
    rng = np.random.default_rng(seed)
    rollouts = rng.random((2, N, *GRID))
    return AttentionMaps(rollouts, rng.random((2, N, 2, *GRID)), rollouts[-1] > 0.8, rng.random((N, *GRID)))


def looks_of(images, seeds, offset=0.0):
    return measure_attention([some_maps(seed).rollout + offset for seed in seeds], images)


def titles(fig):
    return [ax.get_title() for ax in fig.axes]


def test_every_figure_of_maps_has_its_columns_and_says_what_is_drawn(images):
    maps, other = some_maps(0), some_maps(1)
    layers = figures.rollout_layers(images[:3], maps.of(slice(3)))
    heads = figures.single_heads(images, maps)
    chosen = figures.selected_tokens(images[:2], maps)
    both = figures.side_by_side(images[:2], {"SA": maps.rollout[:2], "DCAL": other.rollout[:2]})
    assert [len(fig.axes) for fig in (layers, heads, chosen, both)] == [9, 4, 8, 6]
    assert titles(layers)[0] == "A Bird"
    assert titles(layers)[2].startswith("after layer 2\nup to ")
    assert titles(heads)[3].startswith("layer 2, head 2")
    assert titles(chosen)[2] == f"selected: {int(maps.selected[0].sum())} of 16"
    assert f"\ncoverage {coverage(maps.rollout, images.truth.boxes)[0]:.2f}\nin the box" in titles(both)[1]
    assert "coverage" not in titles(both)[4]  # the second image has no box
    assert "box" not in titles(both)[4]
    for fig in (layers, heads, chosen, both):
        fig.canvas.draw()
        assert fig.get_supxlabel() == PHANTOM_NOTE


def test_a_head_that_leaves_nothing_to_the_patches_is_told(images):
    maps = some_maps(0)
    maps.heads[1, 0, 0] = 0  # all of it is on the class token
    assert titles(figures.single_heads(images, maps))[2] == "layer 2, head 1\nnothing on patches"


def test_figures_of_measures_draw_what_is_estimated(images):
    looks = {"SA": looks_of(images, (0, 1)), "DCAL": looks_of(images, (2, 3), 1.0)}
    ground = {name: measure_attention([each] * 2, images) for name, each in reference_maps(*GRID, N).items()}
    bars = figures.measure_bars(looks, ground, phantom=True)
    found = estimate_attention(looks["DCAL"], "entropy")
    assert f"{found.mean:.2f}" in [text.get_text() for text in bars.axes[0].texts]
    assert [ax.get_title(loc="left") for ax in bars.axes if ax.axison] == [name.capitalize() for name in NAMES]
    drawn = [
        bars,
        figures.by_layer(
            {"SA": [looks["SA"]] * 2, "DCAL": [looks["DCAL"]] * 2}, ["entropy", "in the box"], ground, True
        ),
        figures.part_shares(looks, ("crown", "tail"), phantom=True),
    ]
    for fig in drawn:
        fig.canvas.draw()
        assert fig.get_supxlabel() == PHANTOM_NOTE
    line = next(line for line in drawn[1].axes[0].lines if line.get_marker() == "s")
    assert line.get_ydata() == pytest.approx([found.mean] * 2)


def test_the_table_holds_each_measure_and_corrects_over_all_of_them(images):
    looks = {"SA": looks_of(images, (0, 1, 2)), "DCAL": looks_of(images, (3, 4, 5), 1.0)}
    ground = {name: measure_attention([each] * 3, images) for name, each in reference_maps(*GRID, N).items()}
    table = measures_table("looks", "A table.", looks, ground)
    numbers = table.numbers
    assert numbers["network"].tolist() == ["SA", "DCAL", "even map", "centre map"] * 5
    assert numbers["measure"].unique().tolist() == list(NAMES.values())
    found = [compare_attention(looks["DCAL"], looks["SA"], m) for m in NAMES]
    assert numbers["minus SA (points) difference"][1::4].tolist() == pytest.approx([100 * c.difference for c in found])
    assert numbers["p (Holm)"][1::4].tolist() == pytest.approx(holm([c.p for c in found]))
    assert numbers["value (%) mean"][2] == pytest.approx(100)  # the entropy of the even map
    assert ONE_SEED not in table.notes
    one = {name: looks_of(images, (0,)) for name in ("SA", "DCAL")}
    assert ONE_SEED in measures_table("looks", "A table.", one, {}).notes


def test_the_sentence_on_attention_has_words_of_its_own(images):
    even, uneven = looks_of(images, (3, 4, 5), 1.0), looks_of(images, (0, 1, 2))
    said = verdict(compare_attention(even, uneven, "entropy"), "DCAL", "SA", ("more even than", "less even than"))
    assert said.startswith("DCAL is more even than SA: +")
    assert "points of normalised entropy" in said
    said = verdict(compare_attention(uneven, even, "entropy"), "DCAL", "SA", ("more even than", "less even than"))
    assert said.startswith("DCAL is less even than SA: −")


def small_run(readout):
    config = RunConfig(
        dataset="phantom-birds", attention="DCAL", backbone="test_vit", depth=2, patch_size=8, image_size=32,
        split="official", glca_readout=readout, top_ratio=0.25,
    )  # fmt: skip
    torch.manual_seed(0)
    model = build_model(config, 2, pretrained=False).eval()
    with torch.no_grad():  # queries and keys that tell patches apart, and heads that differ
        for parameter in model.parameters():
            parameter.mul_(3)
    return SimpleNamespace(config=config, classes=("a", "b"), model=lambda: model)


def test_another_selection_changes_answers_only_where_the_selected_are_read(images):
    told = {readout: answers_by_selection(small_run(readout), images) for readout in ("class", "mean")}
    for found in told.values():
        assert found["patches"].tolist() == [4, 4, 4, 16]
        assert found["own"]["rollout"] == 1
        assert found["own"]["all patches"] == pytest.approx(0.25)
        assert found["own"]["random"] < 1
        assert found.loc["rollout", ["changed", "moved"]].tolist() == [0, 0]
    assert told["class"]["changed"].max() == 0
    assert told["class"]["moved"].max() < 1e-5
    assert told["mean"]["moved"].drop("rollout").min() > 1e-4
