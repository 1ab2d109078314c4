"""Statistics against SciPy, statsmodels and closed forms."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests

from lib.errors import WorkbookValueError
from lib.statistics import resampling
from lib.statistics.estimates import (
    compare,
    compare_unpaired,
    difference_of,
    estimate,
    hedges_g,
    holm,
)
from lib.statistics.intervals import Uncertainty, uncertainty
from lib.statistics.mcnemar import mcnemar
from lib.statistics.resampling import MetricSamples
from lib.training.metrics import Resampled, intervals, measure

CLASSES = ("a", "b", "c")
IMAGES = 240


def run(seed, skill=1.0, images=IMAGES, views=2, data=0):
    """What a network of `seed` leaves of its test on the images of `data`."""
    world, own = np.random.default_rng(data), np.random.default_rng([data, seed])
    lesion = np.arange(images) // views
    y = world.choice(3, images, p=[0.6, 0.3, 0.1])[lesion * views]
    logits = world.normal(size=(images, 3)) + own.normal(size=(images, 3)) + (skill + own.normal() / 5) * np.eye(3)[y]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame({"image_id": [f"{data}-{i:04}" for i in range(images)], "group": lesion.astype(str)})
    table["label"], table["prediction"] = np.array(CLASSES)[y], np.array(CLASSES)[p.argmax(axis=1)]
    table[[f"prob_{c}" for c in CLASSES]] = p
    return SimpleNamespace(predictions=table, classes=CLASSES, metrics={"test": measure(p, y, CLASSES)})


def shuffled(tested):
    return SimpleNamespace(**{**vars(tested), "predictions": tested.predictions.sample(frac=1, random_state=0)})


@pytest.fixture(scope="module")
def plain():
    return [run(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def better():
    return [run(seed, skill=2.0) for seed in range(10, 13)]


# limits


def test_without_image_noise_the_interval_is_students():
    values = np.array([0.61, 0.64, 0.66, 0.60])
    samples = np.tile(values, (100, 1))
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert uncertainty([values], [samples]).interval(values.mean()) == pytest.approx(expected)


@pytest.mark.parametrize("second", [[0.70, 0.66, 0.71], [0.70, 0.66, 0.71, 0.60]])
def test_without_image_noise_the_comparison_is_students_test_or_welchs(second):
    a, b = np.array([0.61, 0.64, 0.66]), np.array(second)
    found = uncertainty([a, b], [np.tile(a, (100, 1)), np.tile(b, (100, 1))])
    expected = stats.ttest_ind(a, b, equal_var=len(a) == len(b))
    assert found.p_value(a.mean() - b.mean()) == pytest.approx(expected.pvalue)
    assert found.interval(a.mean() - b.mean()) == pytest.approx(tuple(expected.confidence_interval()))


def test_seeds_that_do_not_differ_leave_the_bootstrap_of_the_images():
    right = np.random.default_rng(0).random(400) < 0.8
    samples = Resampled(np.arange(400), 4000).weights[1:] @ right / 400
    low, high = uncertainty([np.full(3, right.mean())], [np.tile(samples[:, None], 3)]).interval(right.mean())
    assert (low, high) == pytest.approx(np.percentile(samples, [2.5, 97.5]), abs=1e-3)
    assert (low, high) == pytest.approx(stats.binomtest(right.sum(), 400).proportion_ci(method="wilson"), abs=0.01)


def test_variances_of_images_and_seeds_add_up():
    """Known components: Var = C + s²/S, and the degrees of freedom."""
    rng = np.random.default_rng(0)
    values = np.array([0.5, 0.56, 0.62])
    shared, own = 0.02 * rng.normal(size=(50_000, 1)), 0.03 * rng.normal(size=(50_000, 3))
    found = uncertainty([values], [values + shared + own])
    seeds = values.var(ddof=1) / 3
    assert found.lower == pytest.approx(math.sqrt(0.02**2 + seeds), rel=0.02)
    assert found.upper == pytest.approx(found.lower, rel=0.03)
    assert found.freedom == pytest.approx(2 * (0.02**2 + seeds) / seeds, rel=0.03)


def test_a_skewed_bootstrap_leaves_a_skewed_interval():
    values, shared = np.array([0.90, 0.91]), -np.random.default_rng(0).exponential(0.02, (5000, 1))
    found = uncertainty([values], [values + shared])
    assert found.lower > 2 * found.upper


def test_seeds_that_agree_by_chance_leave_an_interval_with_a_width():
    samples = 0.7 + 0.05 * np.random.default_rng(0).normal(size=(1000, 3))
    low, high = uncertainty([np.full(3, 0.7)], [samples]).interval(0.7)
    assert high - low > 0.05


def test_resamples_that_lack_a_class_are_left_out():
    values, rng = np.array([0.5, 0.6]), np.random.default_rng(0)
    samples = values + rng.normal(size=(100, 2))
    holes = np.vstack([samples, [[math.nan, 0.3], [0.3, math.nan], [math.nan, math.nan]]])
    assert uncertainty([values], [holes]) == uncertainty([values], [samples])


def test_p_is_below_five_percent_exactly_where_the_interval_excludes_zero():
    found = Uncertainty(lower=0.01, upper=0.02, freedom=5.0)
    for difference in np.linspace(-0.08, 0.08, 101):
        low, high = found.interval(difference)
        assert (found.p_value(difference) < 0.05) == (low > 0 or high < 0)


def test_nothing_and_certainty():
    assert Uncertainty(0.0, 0.0, math.inf).p_value(0.0) == 1
    assert Uncertainty(0.0, 0.0, math.inf).p_value(0.1) == 0


# McNemar, Holm, effect sizes


@pytest.mark.parametrize("images", [60, 600])
def test_mcnemar_is_statsmodels_for_single_views(images):
    rng = np.random.default_rng(0)
    first, second = rng.random(images) < 0.9, rng.random(images) < 0.8
    b, c = (first & ~second).sum(), (second & ~first).sum()
    found = mcnemar(first, second, np.arange(images))
    expected = statsmodels_mcnemar([[0, b], [c, 0]], exact=True)
    assert (found.b, found.c, found.p) == (b, c, pytest.approx(expected.pvalue))
    assert found.cohens_g == pytest.approx(b / (b + c) - 0.5)


def test_mcnemar_of_few_lesions_is_the_permutation_test():
    ahead = [3, 2, -1, 2, 1]  # by lesion
    groups = np.repeat(np.arange(5), np.abs(ahead))
    first = np.repeat(np.array(ahead) > 0, np.abs(ahead))
    expected = stats.permutation_test(
        (np.array(ahead), np.zeros(5)), lambda x, y: (x - y).sum(), permutation_type="samples", n_resamples=np.inf
    )
    assert mcnemar(first, ~first, groups).p == pytest.approx(expected.pvalue)


def test_mcnemar_of_many_lesions_by_hand():
    ahead = np.tile([2, -2, 1], 20)
    groups, first = np.repeat(np.arange(60), np.abs(ahead)), np.repeat(ahead > 0, np.abs(ahead))
    far = abs(ahead.sum()) - 1  # sums are two apart
    normal = 2 * stats.norm.sf(far / math.sqrt((ahead**2).sum()))
    assert mcnemar(first, ~first, groups).p == pytest.approx(normal, rel=0.02)


def test_mcnemar_of_several_seeds_counts_mean_pairs():
    rng = np.random.default_rng(0)
    first, second, groups = rng.random((300, 3)) < 0.8, rng.random((300, 2)) < 0.7, np.arange(300)
    pairs = [mcnemar(first[:, i], second[:, j], groups) for i in range(3) for j in range(2)]
    found = mcnemar(first, second, groups)
    assert found.b == pytest.approx(np.mean([pair.b for pair in pairs]))
    assert found.c == pytest.approx(np.mean([pair.c for pair in pairs]))
    assert mcnemar(np.tile(first[:, :1], 3), second[:, 0], groups) == mcnemar(first[:, 0], second[:, 0], groups)


def test_mcnemar_without_discordance():
    found = mcnemar(np.ones(5), np.ones(5), np.arange(5))
    assert (found.p, found.cohens_g) == (1, 0)


def test_holm_is_statsmodels_and_leaves_gaps():
    p = [0.01, 0.04, 0.03, 0.005]
    expected = multipletests(p, method="holm")[1].tolist()
    assert holm(p) == expected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([p[0], None, *p[1:]]) == [expected[0], None, *expected[1:]]
    assert str(holm([math.nan, None, 0.02, 0.03])) == "[nan, None, 0.04, 0.04]"
    assert holm([]) == []


@pytest.mark.filterwarnings("error")
def test_hedges_g_by_hand():
    assert hedges_g(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(-2 / math.sqrt(2.5) * (1 - 3 / 15))
    assert math.isinf(hedges_g(np.ones(2), np.zeros(2)))
    assert math.isnan(hedges_g(np.ones(2), np.ones(2)))
    assert math.isnan(hedges_g(np.ones(1), np.ones(2)))


# runs


def test_an_estimate_of_three_seeds(plain):
    found = estimate(plain, "balanced_accuracy")
    values = [r.metrics["test"]["balanced_accuracy"] for r in plain]
    assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert found.low < found.mean < found.high
    assert (found.seeds, found.images, found.groups) == (3, IMAGES, IMAGES // 2)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "ece", "recall_c"])
def test_one_seed_has_the_interval_of_its_images_and_supports_no_claim(plain, better, metric):
    found = estimate(plain[:1], metric)
    table = plain[0].predictions
    labels = table["label"].map(CLASSES.index).to_numpy()
    resampled = Resampled(table["group"], strata=labels)
    samples = resampled.measure(table[[f"prob_{c}" for c in CLASSES]], labels, CLASSES)[metric]
    shift = np.nanmean(samples[1:]) - found.mean  # the bootstrap's bias, of which the interval is freed
    assert math.isnan(found.sd)
    assert (found.low, found.high) == pytest.approx(np.nanpercentile(samples[1:], [2.5, 97.5]) - shift)
    assert (found.low, found.high) == pytest.approx(intervals({metric: samples})[metric])
    comparison = compare(plain[:1], better[:1], metric)
    assert comparison.p is None
    assert "no claim" in comparison.test
    assert comparison.low < comparison.difference < comparison.high


def test_the_interval_of_an_estimate_stays_within_zero_and_one(plain):
    wild = [
        SimpleNamespace(**{**vars(r), "metrics": {"test": {"accuracy": a}}})
        for r, a in zip(plain[:2], (0.2, 0.9), strict=True)
    ]
    assert (estimate(wild, "accuracy").low, estimate(wild, "accuracy").high) == (0, 1)


def test_comparisons_turn_their_sign(plain, better):
    ahead, behind = compare(better, plain, "macro_f1"), compare(plain, better, "macro_f1")
    assert ahead.low > 0
    assert ahead.p < 0.05
    assert (ahead.difference, ahead.p, ahead.effect) == pytest.approx((-behind.difference, behind.p, -behind.effect))
    assert (ahead.low, ahead.high) == pytest.approx((-behind.high, -behind.low))
    assert (ahead.effect_name, ahead.seeds, ahead.images) == ("Hedges' g over seeds", 3, IMAGES)


def test_a_configuration_against_itself_differs_by_nothing(plain):
    found = compare(plain, plain, "accuracy")
    assert (found.difference, found.p, found.effect) == (0, 1, 0)


def test_pairing_the_images_narrows_the_interval(plain, better):
    paired = compare(plain, better, "balanced_accuracy")
    apart = compare_unpaired(plain, better, "balanced_accuracy")
    assert apart.high - apart.low > 1.1 * (paired.high - paired.low)
    assert apart.images == 2 * IMAGES


def test_accuracy_has_the_seeds_test_and_mcnemars_beside_it(plain, better):
    found = compare(plain, better, "accuracy")
    sides = [
        np.column_stack([r.predictions["label"] == r.predictions["prediction"] for r in s]) for s in (plain, better)
    ]
    assert found.networks == mcnemar(*sides, plain[0].predictions["group"])
    steady = [
        SimpleNamespace(**{**vars(r), "metrics": {"test": {"accuracy": a}}})
        for r, a in zip(plain, (0, 0, 0.0), strict=True)
    ]
    other = compare(steady, plain, "accuracy")  # the same answers under other values: McNemar's has no part in p
    assert other.networks.p == pytest.approx(1)
    assert other.p < 0.05
    assert (other.effect, other.effect_name) == (
        hedges_g(np.zeros(3), np.array([r.metrics["test"]["accuracy"] for r in plain])),
        "Hedges' g over seeds",
    )
    assert compare(plain, better, "macro_f1").networks is None
    assert compare_unpaired(plain, better, "accuracy").networks is None


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_p_is_below_five_percent_exactly_where_the_printed_interval_excludes_zero(plain, metric):
    for skill in np.linspace(0.8, 1.6, 9):
        found = compare(plain, [run(s, skill=skill) for s in range(10, 13)], metric)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_the_interval_of_a_difference_stays_within_one(plain):
    wild = [
        SimpleNamespace(**{**vars(r), "metrics": {"test": {"accuracy": a}}})
        for r, a in zip(plain[:2], (0.1, 0.9), strict=True)
    ]
    found = compare(wild, plain[:2], "accuracy")
    assert (found.low, found.high) == (-1, 1)


def test_the_same_networks_on_two_test_sets_are_compared_seed_by_seed(plain):
    """Without image noise: the paired t test of the seeds' differences."""
    a, b = np.array([0.9, 0.5, 0.7]), np.array([0.85, 0.47, 0.64])
    sides = [MetricSamples(values, np.tile(values, (50, 1)), 50, 50) for values in (a, b)]
    found = difference_of("accuracy", *sides, paired=False, same_networks=True)
    expected = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    elsewhere = [run(s, data=1) for s in range(3)]
    assert compare_unpaired(plain, elsewhere, "accuracy", same_networks=True).test.startswith(
        "Student's t over each seed's own difference"
    )
    with pytest.raises(WorkbookValueError, match="3 networks on one side and 2 on the other"):
        compare_unpaired(plain, elsewhere[:2], "accuracy", same_networks=True)
    with pytest.raises(WorkbookValueError, match="3 networks on one side and 2 on the other"):
        compare(plain, plain[:2], "accuracy", same_networks=True)


def test_sides_may_differ_in_seeds_and_unpaired_sides_in_images(plain):
    assert compare(plain, [run(s) for s in range(20, 25)], "accuracy").seeds == 3
    other = [run(s, data=1, images=100) for s in range(2)]
    found = compare_unpaired(plain, other, "accuracy")
    assert (found.seeds, found.images) == (2, IMAGES + 100)


def test_the_order_of_rows_does_not_matter(plain, better):
    mixed = [shuffled(r) for r in better]
    for metric in ("accuracy", "macro_auroc"):
        assert compare(plain, mixed, metric) == compare(plain, better, metric)
        assert estimate(mixed, metric) == estimate(better, metric)


@pytest.mark.parametrize(("metric", "value"), [("balanced_accuracy", 1 / 3), ("recall_a", 1.0), ("recall_c", 0.0)])
def test_a_constant_answer_is_known_without_error(metric, value):
    """Balanced accuracy 1/K by definition, however few lesions a class has."""
    table = run(0, images=60).predictions.assign(prob_a=1.0, prob_b=0.0, prob_c=0.0, prediction="a")
    labels = table["label"].map(CLASSES.index).to_numpy()
    constant = SimpleNamespace(predictions=table, classes=CLASSES)
    constant.metrics = {"test": measure(table[["prob_a", "prob_b", "prob_c"]].to_numpy(), labels, CLASSES)}
    assert (table.groupby("label")["group"].nunique() < 6).any()
    found = estimate([constant] * 3, metric)
    assert (found.mean, found.low, found.high) == pytest.approx((value, value, value), abs=1e-6)


def test_a_class_without_test_images_has_no_interval(plain):
    rows = plain[0].predictions["label"] != "c"
    less = [SimpleNamespace(**{**vars(r), "predictions": r.predictions[rows]}) for r in plain]
    assert math.isnan(estimate(less, "recall_c").low)
    assert 0.4 < estimate(less, "balanced_accuracy").low < 1


def test_each_run_is_resampled_once(plain, better, monkeypatch):
    resampling._metrics.cache_clear()
    for metric in ("accuracy", "macro_f1", "ece"):
        compare(plain, better, metric)
        estimate(plain, metric)
    assert resampling._metrics.cache_info().misses == 6


def test_mistakes_are_told(plain, tmp_path):
    other = SimpleNamespace(**vars(run(0, data=1)), path=tmp_path / "another-run")
    for mistake in (lambda: estimate([*plain, other], "accuracy"), lambda: compare(plain, [other], "accuracy")):
        with pytest.raises(WorkbookValueError, match=r"another-run were tested on different images.*unpaired"):
            mistake()
    with pytest.raises(WorkbookValueError, match="different images"):
        compare_unpaired([*plain, other], plain, "accuracy")
    with pytest.raises(WorkbookValueError, match=r"Unknown metric 'macro_f'\. Did you mean 'macro_f1'\?"):
        estimate(plain, "macro_f")
    for mistake in (lambda: estimate([], "accuracy"), lambda: compare(plain, [], "accuracy")):
        with pytest.raises(WorkbookValueError, match="no runs"):
            mistake()
