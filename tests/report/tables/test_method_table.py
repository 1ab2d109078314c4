"""Methods beside a reference: what the table, the figure and the sentence say is what `compare` and `estimate` find."""

from dataclasses import replace

import numpy as np
import pytest

from lib.report.figures.method_figures import by_seed
from lib.report.tables.cells import Cell, points_text
from lib.report.tables.method_table import ONE_SEED, methods_table
from lib.report.tables.table import html_of
from lib.report.tables.verdicts import comparison_text, verdict
from lib.statistics.estimates import Comparison, Estimate, compare, estimate, holm
from lib.statistics.metric_names import TESTED_METRICS
from lib.training import RunConfig


@pytest.fixture
def methods(written):
    """A reference, a network like it and a better one, three seeds each."""
    names = {"bare": ("none", 0.7), "gatta": ("gatta", 0.7001), "CBAM": ("CBAM", 0.97)}
    return {
        name: [written.finish(RunConfig(dataset="phantom-lesions", attention=a, seed=s), right) for s in range(3)]
        for name, (a, right) in names.items()
    }


def test_the_table_holds_estimates_differences_and_corrected_p(methods):
    table = methods_table("t", "A table.", methods).numbers
    found = {name: compare(methods[name], methods["bare"], "accuracy") for name in ("gatta", "CBAM")}
    corrected = holm([each.p for each in found.values()])
    assert list(table["network"]) == list(methods)
    assert table["accuracy (%) mean"].tolist() == pytest.approx(
        [100 * estimate(runs, "accuracy").mean for runs in methods.values()]
    )
    assert table["difference (points) difference"].tolist() == [
        "",
        *(pytest.approx(100 * each.difference) for each in found.values()),
    ]
    assert table["p (Holm)"].tolist() == ["", *(pytest.approx(p) for p in corrected)]
    assert max(found["CBAM"].p, corrected[1]) < 0.05 < corrected[0]


def test_one_seed_is_no_claim(methods):
    alone = {name: runs[:1] for name, runs in methods.items()}
    assert ONE_SEED in methods_table("t", "A table.", alone).notes
    assert "no claim" in html_of(methods_table("t", "A table.", alone))
    found = compare(alone["CBAM"], alone["bare"], "accuracy")
    said = verdict(found, "CBAM", "bare")
    assert said.startswith("CBAM is ahead of bare on these test images: +")
    assert said.endswith("over test images, one training each). Another training may say otherwise.")


def test_the_sentence_follows_the_interval(methods):
    better = compare(methods["CBAM"], methods["bare"], "accuracy")
    equal = compare(methods["gatta"], methods["bare"], "accuracy")
    assert verdict(better, "CBAM", "bare").startswith("CBAM is ahead of bare: +")
    assert verdict(compare(methods["bare"], methods["CBAM"], "accuracy"), "bare", "CBAM").startswith("bare is behind")
    assert verdict(equal, "gatta", "bare").startswith("No difference between gatta and bare is shown")
    fixed = replace(equal, difference=-0.0123, low=-0.05, high=0.026, p=0.3014)
    assert comparison_text(fixed) == "−1.2 points of accuracy (95 % interval −5.0 to +2.6; p = 0.301; 3 seeds a side)"


def test_the_figure_has_a_dot_a_seed_and_an_interval_a_metric(methods):
    left, right = by_seed(methods).axes
    dots = [line for line in left.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [3, 3, 3]
    means, differences = (
        [a.get_offsets()[:, 0] for a in ax.collections if a.get_label()[0] != "_"] for ax in (left, right)
    )
    expected = [100 * estimate(runs, "accuracy").mean for runs in methods.values()]
    assert np.concatenate(means).tolist() == pytest.approx(expected)
    assert len(differences) == 2
    gains = [compare(methods["CBAM"], methods["bare"], metric).difference for metric in TESTED_METRICS]
    assert differences[1].tolist() == pytest.approx([100 * gain for gain in gains])
    by_seed({name: runs[:1] for name, runs in methods.items()})


def difference(low, high, seeds=3):
    return Comparison("accuracy", (low + high) / 2, low, high, 0.01 if seeds > 1 else None, 1.0, "g", "t", seeds, 30)


def test_a_difference_that_is_none_is_written_so_and_a_small_one_is_not():
    assert points_text(difference(-0.031, 0.051)) == "+1.0 [−3.1, +5.1]"
    assert points_text(difference(-1e-5, 3e-5)) == "0.0 [0.0, 0.0]"  # nothing is claimed of it
    assert points_text(difference(0.02, 0.04)) == "+3.0 [+2.0, +4.0]"
    assert points_text(difference(1e-5, 3e-5)) == "+0.002 [+0.001, +0.003]"
    assert points_text(difference(-0.03, -4e-4)) == "−1.52 [−3.00, −0.04]"
    assert points_text(difference(0, 0)) == "0.0 [0.0, 0.0]"
    assert points_text(difference(1e-12, 1e-11)) == "0.000000 [0.000000, 0.000000]"
    said = verdict(difference(1e-5, 3e-5, seeds=1), "A", "B")
    assert said.startswith(
        "A is ahead of B on these test images: +0.002 points of accuracy (95 % interval +0.001 to +0.003"
    )


def test_a_result_tells_its_images_and_of_how_many_groups_they_are():
    several, each_its_own = (Cell.percent(Estimate(0.5, 0.1, 0.4, 0.6, 2, 1200, groups)) for groups in (900, 1200))
    assert several.note == "2 seeds, 1,200 images of 900 groups"
    assert each_its_own.note == "2 seeds, 1,200 images"
    assert Cell.quantity(-0.004, 2, -0.3, 0.2).text == "0.00"
