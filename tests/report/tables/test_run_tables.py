"""Comparisons are paired on the same images, and the verdict says no more than the interval."""

import json
import shutil

import numpy as np
import pytest

from lib.data import load_dataset
from lib.errors import WorkbookValueError
from lib.report.figures import data_figures, run_figures
from lib.report.figures.style import PHANTOM_NOTE, figure
from lib.report.tables import run_tables
from lib.report.tables.verdicts import verdict_of_runs
from lib.statistics.estimates import compare
from lib.statistics.metric_names import METRICS
from lib.training import Run, RunStore, prepare
from lib.training.metrics import Resampled, intervals, measure
from tests.helpers import unsealed


def with_probabilities(finished, folder, probabilities):
    """A copy of a finished run that answered otherwise."""
    unsealed(shutil.copytree(finished.path, folder))
    table = finished.predictions.copy()
    table[[f"prob_{c}" for c in finished.classes]] = probabilities
    table["prediction"] = np.array(finished.classes)[probabilities.argmax(axis=1)]
    table.sample(frac=1, random_state=0).to_csv(folder / "predictions.csv", index=False)  # another order of rows
    samples = Resampled(table["group"]).measure(probabilities, finished.labels, finished.classes)
    test = measure(probabilities, finished.labels, finished.classes)
    (folder / "metrics.json").write_text(json.dumps({"best_epoch": 1, "test": test, "intervals": intervals(samples)}))
    return Run(folder)


@pytest.fixture
def perfect(finished, tmp_path):
    return with_probabilities(finished, tmp_path / "perfect", np.eye(7)[finished.labels] * 0.9 + 0.1 / 7)


@pytest.fixture
def wrong(finished, tmp_path):
    return with_probabilities(finished, tmp_path / "wrong", np.eye(7)[(finished.labels + 1) % 7] * 0.9 + 0.1 / 7)


def test_a_run_against_itself_differs_by_nothing(finished):
    table = run_tables.test_table({"A": finished, "B": Run(finished.path)})
    assert set(table["A − B"]) == {"+0.000 [+0.000, +0.000]"}


def test_the_difference_of_two_runs_is_that_of_compare(finished, perfect):
    table = run_tables.test_table({"A": finished, "B": perfect})
    for metric, name in METRICS.items():
        comparison = compare([finished], [perfect], metric)
        text = f"{comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"
        assert table.loc[name, "A − B"] == text.replace("-", "−")


def test_key_figures_are_those_of_one_run_or_two(perfect, wrong):
    both = run_tables.key_figures_of_runs({"A": perfect, "B": wrong})
    assert both["difference"] == "+1.000 [+1.000, +1.000]"
    assert list(both) == ["balanced accuracy, A", "balanced accuracy, B", "difference", "macro AUROC, A", "parameters"]
    assert list(run_tables.key_figures_of_runs({"A": perfect})) == [
        "balanced accuracy, A",
        "macro AUROC, A",
        "parameters",
    ]
    back = run_tables.key_figures_of_runs({"B": wrong, "A": perfect})
    assert back["difference"] == "−1.000 [−1.000, −1.000]"


def test_a_model_card_tells_the_share_of_each_part(finished):
    table = run_tables.model_card(finished.model()).data
    assert table.loc["total", "share"] == "100.0%"
    assert table.loc["total", "parameters"] == f"{finished.provenance['parameters']:,}"
    assert "Training took: A " in run_tables.training_facts({"A": finished})


def test_images_that_are_shown_are_right_in_several_classes_and_wrong(finished, perfect, wrong):
    table = perfect.predictions.set_index("image_id")
    assert len(set(table.loc[run_figures.right_and_wrong(perfect), "label"])) == 3  # of three classes, none is wrong
    assert len(run_figures.right_and_wrong(wrong)) == 2


def test_verdicts(perfect, wrong):
    assert "A is ahead of B by +100.0 points" in verdict_of_runs({"A": perfect, "B": wrong})
    assert "A is behind B: −100.0 points" in verdict_of_runs({"A": wrong, "B": perfect})
    assert "No difference between A and B is shown" in verdict_of_runs({"A": perfect, "B": perfect})
    assert "one seed" in verdict_of_runs({"A": perfect, "B": perfect})


def test_the_table_holds_values_intervals_and_differences(perfect, wrong):
    table = run_tables.test_table({"A": perfect, "B": wrong})
    assert table.loc["balanced accuracy"].tolist() == [
        "1.000 [1.000, 1.000]",
        "0.000 [0.000, 0.000]",
        "+1.000 [+1.000, +1.000]",
    ]


def test_runs_on_other_images_cannot_be_paired(finished, perfect):
    table = perfect.predictions
    table.loc[0, "image_id"] = "another"
    with pytest.raises(WorkbookValueError, match="tested on different images"):
        run_tables.test_table({"A": finished, "B": perfect})


def test_every_figure_of_a_run_draws(finished, shared_ham):
    runs = {"A": finished}
    images = load_dataset("HAM10000", shared_ham)
    for fig in (
        run_figures.curves(runs),
        run_figures.confusion(finished, "title"),
        run_figures.recalls(runs),
        run_figures.reliability(runs),
        run_figures.hardest(finished, prepare(finished.config, RunStore(finished.path.parent))),
        data_figures.class_balance(images),
        data_figures.examples(images),
        data_figures.repeated_views(images),
    ):
        fig.canvas.draw()
        axes = [ax for ax in fig.axes if ax.axison and ax.get_label() != "<colorbar>"]
        assert all(ax.get_title(loc="left") and ax.get_xlabel() for ax in axes)


def test_the_confusion_matrix_counts_the_test_images(finished):
    fig = run_figures.confusion(finished, "title")
    counts = [int(t.get_text().split("\n")[0]) for t in fig.axes[0].texts]
    assert sum(counts) == len(finished.predictions)
    assert (
        sum(counts[i * 8] for i in range(7))
        == (finished.predictions["label"] == finished.predictions["prediction"]).sum()
    )


def test_figures_on_phantoms_say_so():
    with figure(3, 2, phantom=True) as fig:
        fig.subplots()
    assert fig.get_supxlabel() == PHANTOM_NOTE
    with figure(3, 2) as fig:
        fig.subplots()
    assert fig.get_supxlabel() == ""
