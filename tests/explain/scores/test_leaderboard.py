"""Planted explanations, the scores of all methods together, and who beats the reference maps."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest

from lib.data.phantoms.lesion_drawing import draw_lesion
from lib.data.phantoms.lesions import PHANTOM_CLASSES
from lib.errors import WorkbookValueError
from lib.explain import (
    REFERENCE_MAPS,
    SCORES,
    choose_scores,
    explain,
    infidelity,
    leaderboard,
    max_sensitivity,
    random_logit,
    score_maps,
)
from lib.explain.scores.leaderboard import MARK, means_of, readable
from lib.explain.scores.score_maps import OF_TRUTH
from lib.statistics.estimates import holm
from tests.explain.models import images, model_of

N = 40


def phantom_masks():
    """Masks of phantom lesions at 32 pixels."""
    rng, masks = np.random.default_rng(0), []
    for name in list(PHANTOM_CLASSES)[:5]:
        for _, mask in draw_lesion(*PHANTOM_CLASSES[name], 2, rng):
            masks.append(
                torch.nn.functional.interpolate(torch.from_numpy(mask)[None, None].float(), (32, 32))[0, 0] > 127
            )
    return torch.stack(masks)


def test_a_planted_mask_wins_and_a_shuffled_one_loses():
    masks = phantom_masks()
    x, planted = images(len(masks)), masks.float()
    shuffled = planted.flatten(1)[:, torch.randperm(1024, generator=torch.Generator().manual_seed(0))].view_as(planted)
    model = model_of("lesa")
    maps = {"planted": planted, "shuffled": shuffled}
    maps |= {name: explain(model, x, method=name) for name in REFERENCE_MAPS}
    scores = ["pointing game", "energy inside", "overlap"]
    scored = score_maps(model, x, maps, masks=masks.numpy(), scores=scores)
    table = leaderboard(scored, groups=np.arange(len(masks)))
    for score in scores:
        best = table[table["score"] == score].set_index("method")
        assert best.loc["planted", "mean"] == 1
        assert best["mean"].idxmax() == "planted"
        assert best.loc["planted", "beats"] or best.loc["centre", "mean"] == 1  # drawn lesions are in the middle
        assert not best.loc["shuffled", "beats"]
        assert best.loc["shuffled", "mean"] < best.loc["centre", "mean"]


def test_scores_are_those_of_the_single_functions():
    model, x = model_of("lesa"), images(3)
    maps = {"grad-cam": explain(model, x), "random": explain(model, x, method="random")}
    masks = np.zeros((3, 32, 32), bool)
    masks[:2, 8:20, 8:20] = True
    found = score_maps(model, x, maps, masks=masks, steps=4)
    assert list(found) == ["grad-cam", "random"]
    assert list(found["random"]) == [name for name, score in SCORES.items() if score.criterion in OF_TRUTH]
    assert all(each.shape == (3,) for of in found.values() for each in of.values())
    assert np.isnan(found["random"]["overlap"]).tolist() == [False, False, True]
    assert not {name for name, score in SCORES.items() if score.needs_masks} & set(
        score_maps(model, x, maps, steps=4)["random"]
    )
    only = score_maps(model, x, maps, scores=["deletion"], steps=4)
    np.testing.assert_array_equal(only["random"]["deletion"], found["random"]["deletion"])


def test_scores_are_chosen_by_comma():
    assert choose_scores("Deletion, max_sensitivity") == ["deletion", "max-sensitivity"]
    assert choose_scores() == choose_scores("") == ["sparseness", "entropy"]
    with pytest.raises(WorkbookValueError, match="Unknown score 'iou'"):
        choose_scores("iou")


def test_scores_that_explain_anew_are_those_of_the_single_functions():
    model, x = model_of("lesa"), images(2)
    maps = {name: explain(model, x, method=name) for name in ("grad-cam", "centre")}
    found = score_maps(model, x, maps, scores=["Max_Sensitivity", "local Lipschitz", "random logit", "infidelity"])
    assert list(found["centre"]) == ["max-sensitivity", "local Lipschitz", "random logit", "infidelity"]
    for name, of in found.items():
        np.testing.assert_allclose(of["max-sensitivity"], max_sensitivity(model, x, method=name), rtol=1e-3)
        np.testing.assert_allclose(of["random logit"], random_logit(model, x, method=name), rtol=1e-3)
        np.testing.assert_allclose(of["infidelity"], infidelity(model, x, maps[name]), rtol=1e-3)
    table = leaderboard({**found, "better": {name: v / 2 + 7 for name, v in found["grad-cam"].items()}}, range(2))
    row = table[(table["method"] == "better") & (table["score"] == "max-sensitivity")].iloc[0]
    assert row["low"] <= row["mean"] <= row["high"]  # more than 1


def made_up(seed=0, better=0.0, spread=0.1, networks=None):
    """Scores around 0.5 that share what is hard about an image."""
    rng = np.random.default_rng(seed)
    shape = (N,) if networks is None else (networks, N)
    return 0.5 + better + 0.1 * np.random.default_rng(99).standard_normal(N) + spread * rng.standard_normal(shape)


def scored(**methods):
    return {name: {"insertion": v, "deletion": 1 - v} for name, v in methods.items()}


def test_who_is_better_beats_the_better_reference_whichever_way_is_better():
    given = scored(
        good=made_up(1, 0.2), same=made_up(2), bad=made_up(3, -0.2), random=made_up(4), centre=made_up(5, 0.05)
    )
    table = leaderboard(given, groups=[f"lesion {i // 2}" for i in range(N)]).set_index(["method", "score"])
    assert (table["reference"] == "centre").all()
    for score in ("insertion", "deletion"):
        assert table.loc[("good", score), "beats"] is True
        assert table.loc[("same", score), "beats"] is False
        assert table.loc[("bad", score), "beats"] is False
        assert table.loc[("bad", score), "p_holm"] < 0.05  # worse, and surely so
        assert table.loc[("bad", score), "gain"] < 0
        assert table.loc[("random", score), "beats"] is None
        good = given["good"]["insertion"] - given["centre"]["insertion"]
        assert table.loc[("good", score), "gain"] == pytest.approx(good.mean())
        assert table.loc[("good", score), "gain_low"] > 0
    known = table["p"].dropna()
    assert len(known) == 6
    assert table["p_holm"].dropna().tolist() == holm(known.tolist())
    assert (table["p_holm"].dropna() > known).any()


def test_intervals_and_p_are_students_where_networks_differ():
    networks = scored(
        good=made_up(1, 0.1, networks=3), random=made_up(4, networks=3), centre=made_up(5, -0.1, networks=3)
    )
    table = leaderboard(networks, groups=range(N)).set_index(["method", "score"])
    row = table.loc[("good", "insertion")]
    assert row["low"] < row["mean"] < row["high"]
    assert row["reference"] == "random"
    assert row["p"] < 0.05
    one = leaderboard({m: {s: v[0] for s, v in of.items()} for m, of in networks.items()}, groups=range(N))
    assert one.set_index(["method", "score"]).loc[("good", "insertion"), "images"] == N


def test_only_images_that_every_method_knows_count():
    given = scored(good=made_up(1), random=made_up(2), centre=made_up(3))
    given["good"]["insertion"] = given["good"]["insertion"].copy()
    given["good"]["insertion"][:7] = np.nan
    table = leaderboard(given, groups=range(N))
    assert set(table[table["score"] == "insertion"]["images"]) == {N - 7}
    assert table[table["method"] == "random"].iloc[0]["mean"] == pytest.approx(given["random"]["insertion"][7:].mean())


def test_the_leaderboard_to_read_marks_what_beats_no_reference():
    given = scored(good=made_up(1, 0.2), same=made_up(2), random=made_up(4), centre=made_up(5))
    wide = readable(leaderboard(given, groups=range(N)))
    assert list(wide.columns) == ["insertion ↑", "deletion ↓"]
    assert list(wide.index) == ["good", "same", "random", "centre"]
    assert not wide.loc["good", "insertion ↑"].endswith(MARK)
    assert wide.loc["same", "deletion ↓"].endswith(f"]\N{NO-BREAK SPACE}{MARK}")
    assert not wide.loc["random"].str.contains(MARK).any()


def test_small_scores_are_told_in_a_power_of_ten():
    given = scored(good=made_up(1, 0.2), random=made_up(4), centre=made_up(5))
    table = leaderboard({name: {s: v * 1e-6 for s, v in of.items()} for name, of in given.items()}, groups=range(N))
    wide = readable(table)
    (head,) = (name for name in wide if name.startswith("deletion"))
    first = table[(table["method"] == "good") & (table["score"] == "deletion")].iloc[0]
    assert head == "deletion ↓ (1e-07)"
    assert wide.loc["good", head].startswith(f"{first['mean'] * 1e7:.3f} [{first['low'] * 1e7:.3f},")


def test_noise_of_single_pixels_does_not_beat_the_references():
    model, x = model_of("vgg"), images(24)
    single = torch.rand(24, 32, 32, generator=torch.Generator().manual_seed(5))
    maps = {"noise of single pixels": single, "about the middle": single * explain(model, x, method="centre")}
    maps |= {name: explain(model, x, method=name) for name in REFERENCE_MAPS}
    table = leaderboard(score_maps(model, x, maps, steps=5), groups=range(24))
    assert not table["beats"].fillna(False).any()


def test_hits_alone_are_not_certain():
    """Wilson's interval where all or none are hits, whose resamples all agree; of a gain, too."""
    ones, noughts = np.ones(N), np.zeros(N)
    given = {"good": ones, "same": ones, "centre": ones, "bad": noughts}
    given = {name: {"pointing game": v, "overlap": made_up(i)} for i, (name, v) in enumerate(given.items())}
    for groups, trials in ((np.arange(N), N), (np.arange(N) // 2, N // 2)):  # views of one lesion are one trial
        table = leaderboard(given, groups).set_index(["method", "score"]).xs("pointing game", level="score")
        for name, hits in (("good", trials), ("bad", 0)):
            wilson = binomtest(hits, trials).proportion_ci(method="wilson")
            assert table.loc[name, ["low", "high"]].tolist() == pytest.approx([wilson.low, wilson.high])
        assert table.loc["same", "gain_low"] == pytest.approx(table.loc["good", "low"] - 1)
        assert table.loc["same", "gain_high"] == pytest.approx(1 - table.loc["good", "low"])
        assert table.loc["bad", "gain_low"] == pytest.approx(-1)
        assert -1 < table.loc["bad", "gain_high"] < -0.7
        assert table.loc["centre", "gain_low"] == table.loc["centre", "gain_high"] == 0  # it is the reference itself


def test_an_interval_of_hits_is_no_narrower_than_that_of_resamples():
    rng = np.random.default_rng(0)
    drawn = {name: (rng.random((3, N)) < share).astype(float) for name, share in (("good", 0.6), ("centre", 0.3))}
    table = leaderboard({name: {"pointing game": v, "overlap": v} for name, v in drawn.items()}, range(N))
    hits, others = (table[table["score"] == name].iloc[0] for name in ("pointing game", "overlap"))
    for side in ("", "gain_"):
        assert hits[f"{side}low"] <= others[f"{side}low"] < others[f"{side}high"] <= hits[f"{side}high"]
    assert hits["p"] == others["p"]


def test_a_score_may_be_written_otherwise():
    table = leaderboard({name: {"Pointing_Game": made_up(i)} for i, name in enumerate(("good", "centre"))}, range(N))
    assert list(readable(table).columns) == ["pointing game ↑"]


def test_a_few_images_that_agree_are_not_sure():
    ones, noughts = np.ones(4), np.zeros(4)
    given = {name: {"overlap": v} for name, v in (("good", ones), ("random", noughts), ("centre", noughts))}
    row = leaderboard(given, groups=range(4)).iloc[0]
    assert row["gain"] == 1
    assert row["p"] == 1 / 8
    assert row["beats"] is False


def test_a_gain_of_hits_is_no_more_than_all():
    won, lost = np.array([1.0] * 7 + [0]), np.array([0.0] * 7 + [1])
    given = {name: {"pointing game": v} for name, v in (("good", won), ("random", lost), ("centre", lost))}
    row = leaderboard(given, groups=range(8)).iloc[0]
    assert -1 <= row["gain_low"] <= row["gain"] <= row["gain_high"] <= 1


def test_hits_may_be_told_as_truth():
    hits = {name: {"pointing game": np.arange(8) % n == 0} for n, name in ((2, "a"), (4, "random"), (8, "centre"))}
    numbers = {name: {s: v.astype(float) for s, v in of.items()} for name, of in hits.items()}
    pd.testing.assert_frame_equal(leaderboard(hits, range(8)), leaderboard(numbers, range(8)))


@pytest.mark.parametrize(("known", "groups", "kept"), [(0, N, False), (1, N, False), (4, N // 4, False), (2, N, True)])
def test_a_score_that_too_few_images_have_is_left_out_and_told(known, groups, kept, caplog):
    """As those on masks are where few images, or few lesions, have one."""
    overlap = np.where(np.arange(N) < known, made_up(), np.nan)
    by_method = {name: {"insertion": made_up(), "overlap": overlap} for name in ("good", "random", "centre")}
    table = leaderboard(by_method, np.arange(N) * groups // N)
    assert set(table["score"]) == {"insertion", *["overlap"] * kept}
    assert set(table.query("score == 'overlap'")["images"]) == ({known} if kept else set())
    assert (f"'overlap' is known for {known} of {N} images" in caplog.text) == (not kept)
    assert len(readable(table)) == 3


def test_methods_without_scores():
    with pytest.raises(WorkbookValueError, match="No score is given"):
        leaderboard({"a": {}, "random": {}}, groups=range(8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: leaderboard(scored(good=made_up()), range(N)), "No reference map is among the methods scored"),
        (
            lambda: leaderboard(scored(random=made_up(), centre=made_up()), range(3)),
            r"shapes \[1, 40\].* groups of 3 images",
        ),
        (
            lambda: leaderboard(scored(random=made_up(networks=2), centre=made_up(networks=3)), range(N)),
            r"\[2, 40\], \[3, 40\]",
        ),
        (lambda: leaderboard({"random": {"inserting": made_up()}}, range(N)), "Unknown score .*mean 'insertion'"),
        (
            lambda: leaderboard({"random": {"insertion": made_up()}, "good": {"overlap": made_up()}}, range(N)),
            "'good' has the scores overlap, other methods insertion",
        ),
        (
            lambda: leaderboard(scored(random=made_up(), centre=made_up()), ["a"] * N),
            "No score is known for images of two groups",
        ),
        (lambda: score_maps(model_of("lesa"), images(), {}), "no maps to score"),
        (
            lambda: score_maps(model_of("lesa"), images(), {"a": torch.rand(3, 32, 32)}, scores=["overlap"]),
            "needs masks",
        ),
        (lambda: score_maps(model_of("lesa"), images(), {"a": torch.rand(3, 32, 32)}, scores=["iou"]), "Unknown score"),
        (
            lambda: score_maps(model_of("lesa"), images(), {"a": torch.rand(3, 32, 32)}, scores=["random logit"]),
            "'random logit' makes further maps, and 'a' is no method",
        ),
    ],
)
def test_what_cannot_be_compared(call, message):
    with pytest.raises(WorkbookValueError, match=message):
        call()


def test_of_a_single_case_means_can_be_told():
    scored = {
        name: {"deletion": np.array([0.1, np.nan, 0.3]) + n, "insertion": np.ones(3)} for n, name in enumerate("ab")
    }
    assert means_of(scored).round(6).to_dict() == {"deletion ↓": {"a": 0.2, "b": 1.2}, "insertion ↑": {"a": 1, "b": 1}}
