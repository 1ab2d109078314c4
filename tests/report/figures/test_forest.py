"""Forest plots: each interval in its row, its group's colour and marker, hollow or filled, and what is missing."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection

from lib.report.figures.forest import Interval, forest, forest_figure, forest_height, with_intervals
from lib.report.figures.style import NOTHING, figure
from lib.report.study.study import Missing
from lib.statistics.estimates import Comparison, Estimate


@pytest.fixture
def ax():
    with figure(4, 3) as fig:
        return fig.subplots()


def dots(ax):
    return [artist for artist in ax.collections if isinstance(artist, PathCollection)]


def spans(ax):
    lines = (artist.get_segments() for artist in ax.collections if isinstance(artist, LineCollection))
    return [segment[:, 0].tolist() for segments in lines for segment in segments]


def words(ax):
    return {text.get_text(): text.xy for text in ax.texts if text.get_text()}


def test_an_interval_is_that_of_an_estimate_or_of_a_difference_in_per_cent():
    estimate = Estimate(mean=0.5, sd=0.1, low=0.4, high=0.7, seeds=3, images=10, groups=5)
    assert Interval.of(estimate) == Interval(50, 40, 70)
    assert Interval.of(estimate, 1, note="x") == Interval(0.5, 0.4, 0.7, note="x")
    difference = Comparison("accuracy", 0.25, -0.5, 0.75, 0.04, 1.0, "g", "t", 3, 10)
    assert Interval.of(difference, filled=False) == Interval(25, -50, 75, filled=False)
    assert Interval.of(Missing("no run")) is None
    assert Interval.of(None) is None


def test_rows_stand_from_the_top_down(ax):
    places = forest(ax, ["a", "b"], {"": [Interval(1, 0, 2), Interval(4, 3, 5, note="four")]}, reference=0)
    assert places.tolist() == [1, 0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    (drawn,) = dots(ax)
    assert drawn.get_offsets().tolist() == [[1, 1], [4, 0]]
    assert spans(ax) == [[0, 2], [3, 5]]
    assert words(ax) == {"four": (5, 0)}
    assert ax.lines[0].get_xdata() == [0, 0]
    assert ax.get_legend_handles_labels() == ([], [])


def test_groups_of_one_row_stand_below_each_other_and_differ_without_colour(ax):
    forest(ax, ["a", "b"], {"first": [Interval(1, 0, 2)] * 2, "second": [Interval(3, 2, 4), None]})
    first, second = dots(ax)
    assert first.get_offsets()[0, 1] > 1 > second.get_offsets()[0, 1] > first.get_offsets()[1, 1]
    assert len(second.get_offsets()) == 1
    assert first.get_facecolors().tolist() != second.get_facecolors().tolist()
    assert not np.array_equal(first.get_paths()[0].vertices, second.get_paths()[0].vertices)
    assert ax.get_legend_handles_labels()[1] == ["first", "second"]


def test_groups_that_share_no_row_stand_in_the_middle_of_theirs(ax):
    forest(ax, ["a", "b"], {"first": [Interval(1, 0, 2), None], "second": [None, Interval(3, 2, 4)]})
    assert [drawn.get_offsets()[0, 1] for drawn in dots(ax)] == [1, 0]


def test_a_group_keeps_its_colour_whether_others_are_there_or_not(ax):
    forest(ax, ["a"], {"reference": [None], "other": [Interval(1, 0, 2)]})
    (other,) = dots(ax)
    with figure(4, 3) as fig:
        both = fig.subplots()
    forest(both, ["a"], {"reference": [Interval(1, 0, 2)], "other": [Interval(1, 0, 2)]})
    assert np.array_equal(other.get_facecolors(), dots(both)[1].get_facecolors())
    assert other.get_offsets()[0, 1] == 0


def test_what_is_not_significant_is_hollow_and_a_colour_of_its_own_wins(ax):
    forest(ax, ["a", "b"], {"": [Interval(1, 0, 2, filled=False), Interval(1, 0, 2, colour="black")]})
    hollow, black = dots(ax)[0].get_facecolors().tolist()
    assert hollow == [1, 1, 1, 1]
    assert black == [0, 0, 0, 1]
    assert dots(ax)[0].get_edgecolors()[0].tolist() != hollow


def test_a_row_without_a_value_says_so_on_the_reference(ax):
    forest(ax, ["a", "b"], {"x": [None, Interval(60, 50, 70)], "y": [None, None]}, reference=50)
    assert words(ax) == {"missing": (50, 1)}


@pytest.mark.parametrize("groups", [{}, {"x": [None, None]}])
def test_where_nothing_is_known_the_panel_says_so(ax, groups):
    forest(ax, ["a", "b"], groups)
    assert [text.get_text() for text in ax.texts] == [NOTHING]


def test_a_figure_is_as_high_as_its_rows_need_and_its_legend_is_off_the_data():
    rows = {"first": [Interval(1, 0, 2)] * 5, "second": [Interval(3, 2, 4)] * 5}
    names = list("abcde")
    fig = forest_figure(names, rows, phantom=True, title="t", xlabel="x")
    fig.canvas.draw()
    (ax,), (legend,) = fig.axes, fig.legends
    assert not legend.get_window_extent().overlaps(ax.get_window_extent())
    assert fig.get_figheight() == forest_height(names, 2) > forest_height(names, 1)
    assert forest_height(["a\nb\nc"] * 5) > forest_height(names)
    apart = {"first": [Interval(1, 0, 2), None], "second": [None, Interval(3, 2, 4)]}
    assert forest_figure(["a", "b"], apart, phantom=False).get_figheight() == forest_height(["a", "b"], 1)


def test_over_numbers_intervals_stand_upright(ax):
    with_intervals(ax, [3, 5], [Interval(1, 0, 3), Interval(2, 2, 2.5)], 1, "x", "-")
    (line,) = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert line.get_xydata().tolist() == [[3, 1], [5, 2]]
    assert (line.get_marker(), line.get_color(), ax.get_legend_handles_labels()[1]) == ("s", "C1", ["x"])
    assert [segment.tolist() for segment in ax.collections[0].get_segments()] == [[[3, 0], [3, 3]], [[5, 2], [5, 2.5]]]
