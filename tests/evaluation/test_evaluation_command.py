"""`python -m lib.evaluation RUN`: what a run reached, on its own test part or elsewhere."""

import math

import pytest

from lib.errors import WorkbookError
from lib.evaluation.__main__ import main
from lib.train import test_lines as lines_of


def test_a_run_is_told_with_its_intervals(finished, capsys):
    assert main([str(finished.path)]) == 0
    shown = capsys.readouterr().out
    low, high = finished.metrics["intervals"]["accuracy"]
    assert shown.startswith(f"{finished.path.name} on HAM10000\n")
    assert f"{finished.metrics['test']['accuracy']:.3f}  [{low:.3f}, {high:.3f}]" in shown


def test_on_its_own_images_nothing_is_left_to_test(finished, shared_ham, capsys):
    assert main([str(finished.path), "--dataset", "HAM10000", "--data-root", str(shared_ham)]) == 0
    assert "test images, the others seen in training" in capsys.readouterr().out


def test_another_data_set_needs_classes_of_the_run(finished):
    with pytest.raises(WorkbookError, match="classes are among the run's"):
        main([str(finished.path), "--dataset", "digits"])


def test_what_no_image_tells_is_a_dash():
    metrics = {"test": {"auroc": math.nan}, "intervals": {"auroc": [math.nan, math.nan]}}
    assert lines_of(metrics) == [f"  test {'auroc':<20} –  [–, –]"]
