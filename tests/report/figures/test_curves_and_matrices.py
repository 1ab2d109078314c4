"""What is drawn of trained runs is what their logs and predictions hold."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.report.figures import run_figures as figures

LOG = {
    "epoch": [1, 2, 3],
    "train_loss": [3.0, 2.0, 1.0],
    "val_loss": [3.5, 2.5, 2.0],
    "train_accuracy": [0.2, 0.4, 0.8],
    "val_accuracy": [0.1, 0.3, 0.5],
    "val_balanced_accuracy": [0.15, 0.25, 0.35],
}


@pytest.fixture
def run():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    recalls = {"balanced_accuracy": 5 / 6, "recall_a": 1.0, "recall_b": 0.5, "recall_c": 1.0}
    metrics = {"best_epoch": 2, "test": recalls, "intervals": {name: [0.25, 1.0] for name in recalls}}
    facts = {"metrics": metrics, "provenance": {"is_phantom": True}, "classes": ("a", "b", "c")}
    facts["config"] = SimpleNamespace(dataset="made")
    return SimpleNamespace(log=pd.DataFrame(LOG), probabilities=probabilities, labels=np.array([0, 1, 1, 2]), **facts)


def test_curves_are_those_of_the_log_training_dashed_and_the_best_epoch_dotted(run):
    other = SimpleNamespace(**vars(run) | {"log": run.log.iloc[:2], "metrics": {"best_epoch": 1}})
    fig = figures.curves({"GLSA": run, "bare": other})
    fig.canvas.draw()
    loss, accuracy, balanced = fig.axes
    curves = {line.get_linestyle(): line.get_ydata().tolist() for line in loss.lines if len(line.get_ydata()) == 3}
    assert curves == {"--": LOG["train_loss"], "-": LOG["val_loss"]}
    assert [line.get_ydata().tolist() for line in balanced.lines[:2]] == [
        LOG["val_balanced_accuracy"],
        LOG["val_balanced_accuracy"][:2],
    ]
    assert [line.get_xdata()[0] for line in accuracy.lines if line.get_linestyle() == ":"] == [2, 1]
    (legend,) = fig.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("network", "GLSA", "bare", "part", "training", "validation")
    ]


def test_of_a_training_that_goes_on_there_are_the_epochs_so_far_and_of_a_refit_no_validation():
    log = pd.DataFrame(LOG)
    log = log.drop(columns="val_balanced_accuracy")
    first, refit = log[:1], log[["epoch", "train_loss", "train_accuracy"]]
    fig = figures.log_curves({"first": first, "refit": refit}, {"refit": 3}, phantom=False)
    loss, accuracy = fig.axes  # no panel of balanced accuracy without a balanced accuracy
    assert [line.get_marker() for line in loss.lines if len(line.get_ydata()) == 1 and line.get_ydata()[0] == 3.0] == [
        "o"
    ]
    assert [(line.get_xdata()[0], line.get_color()) for line in accuracy.lines if line.get_linestyle() == ":"] == [
        (3, "C1")
    ]


def test_the_matrix_tells_counts_and_shares_of_the_true_class(run):
    ax = figures.confusion(run, "title").axes[0]
    told = np.array([text.get_text() for text in ax.texts]).reshape(3, 3)
    assert told[1].tolist() == ["1\n50 %", "1\n50 %", "0\n0 %"]
    assert ax.collections[0].get_array().ravel().tolist() == [1, 0, 0, 0.5, 0.5, 0, 0, 0, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]


def test_a_class_without_test_images_has_an_empty_row(run):
    run.labels = np.array([0, 0, 0, 0])
    ax = figures.confusion(run, "title").axes[0]
    assert [text.get_text() for text in ax.texts] == ["2\n50 %", "1\n25 %", "1\n25 %"]  # other rows are empty


def test_recalls_tell_how_many_images_they_rest_on(run):
    ax = figures.recalls({"GLSA": run}).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        *("balanced accuracy", "a (n = 1)", "b (n = 2)", "c (n = 1)")
    ]
    assert [text.get_text() for text in ax.texts] == ["0.83", "1.00", "0.50", "1.00"]
