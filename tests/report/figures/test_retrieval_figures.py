"""The figures on re-identification draw, say what they show, and mark right and wrong without colours."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.legend import Legend
from PIL import Image

from lib.data import ImageSet
from lib.report.figures.retrieval_figures import cmc_curves, query_by_query, ranked_galleries, score_bars
from lib.report.figures.style import PHANTOM_NOTE
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import COLUMNS, RETRIEVAL_METRICS, RetrievalScores, rankings, retrieval_scores


def scores(seed, skill=0.0):
    """Scores of 40 identities with two queries each."""
    rng = np.random.default_rng(seed)
    ap = 1 / (1 + np.exp(-skill - rng.normal(size=80)))
    columns = (np.arange(80) // 2, np.arange(80) % 2, np.full(80, 5), ap, ap**2, np.ceil(1 / ap))
    return RetrievalScores(pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))))


@pytest.fixture(scope="module")
def models():
    return {"DeiT": [scores(s) for s in range(3)], "DCAL": [scores(s, 0.5) for s in range(10, 12)]}


def drawn(fig, phantom=True):
    fig.canvas.draw()
    assert fig.get_supxlabel() == (PHANTOM_NOTE if phantom else "")
    return fig.axes


def test_scores_and_curves_are_labelled(models):
    for draw in (cmc_curves, score_bars, query_by_query):
        fig = draw(models, phantom=True)
        (ax,) = drawn(fig)
        assert ax.get_title(loc="left")
        assert ax.get_xlabel()
        assert any("DCAL" in text.get_text() for text in fig.findobj(Legend)[0].get_texts())
    drawn(cmc_curves(models), phantom=False)


def test_every_score_is_written_beside_its_interval(models):
    (ax,) = drawn(score_bars(models), phantom=False)
    means = [np.mean([s.per_query(m) for s in seeds]) for seeds in models.values() for m in RETRIEVAL_METRICS]
    assert [text.get_text() for text in ax.texts] == [f"{mean:.2f}" for mean in means]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["mAP", "mINP", "CMC-1", "CMC-5", "CMC-10"]


def test_the_curve_is_the_mean_over_seeds_within_its_band(models):
    (ax,) = drawn(cmc_curves(models, ranks=7), phantom=False)
    for line, seeds in zip(ax.lines, models.values(), strict=True):
        ranks = [[s.metrics([f"cmc_{k}"])[f"cmc_{k}"] for k in range(1, 8)] for s in seeds]
        assert line.get_ydata() == pytest.approx(np.mean(ranks, axis=0))
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_queries_are_counted_on_their_side(models):
    (ax,) = drawn(query_by_query(models), phantom=False)
    ap = [np.mean([s.per_query("map") for s in seeds], axis=0) for seeds in models.values()]
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert f"DCAL is better ({(ap[1] > ap[0]).sum()})" in said
    assert f"DeiT is better ({(ap[1] < ap[0]).sum()})" in said


def shown(folder: Path, identities, cameras) -> pd.DataFrame:
    rows = []
    for i, (identity, camera) in enumerate(zip(identities, cameras, strict=True)):
        Image.new("RGB", (16, 32), (40 * max(identity, 0), 99, 99)).save(folder / f"{len(identities)}_{i}.png")
        rows.append((str(folder / f"{len(identities)}_{i}.png"), identity, camera))
    return pd.DataFrame(rows, columns=["path", "identity", "camera"])


def test_ranked_galleries_mark_what_is_right(tmp_path):
    queries, gallery = shown(tmp_path, [1, 2], [1, 1]), shown(tmp_path, [1, 2, 1, -1, 0, 2], [1, 2, 3, 2, 2, 2])
    images = ImageSet("people", ("1", "2"), pd.concat([queries, gallery]), is_phantom=True)
    query, given = (
        Embedded(np.stack([t["identity"], t["camera"]], axis=1), t["identity"], t["camera"]) for t in (queries, gallery)
    )
    answers = rankings(query, given, [0, 1], top=3)
    assert retrieval_scores(query, given).skipped == 0
    axes = drawn(ranked_galleries(images, queries, gallery, {"DeiT": answers, "DCAL": answers}))
    assert len(axes) == 2 * 2 * 4
    titles = [ax.get_title() for ax in axes]
    assert [t for t in titles if t.startswith("query")] == ["query c1"] * 2
    for answer, row in zip(answers, (titles[1:4], titles[9:12]), strict=True):
        marks = ["✓" if right else "✗" for right in answer.right]
        found = gallery["camera"].iloc[answer.gallery]
        assert row == [f"{i} {m} c{c}" for i, (m, c) in enumerate(zip(marks, found, strict=True), start=1)]
    for ax, right in zip(axes[1:4], answers[0].right, strict=True):
        assert (ax.patches[-1].get_linestyle() in ("-", "solid")) == right
    labels = {text.get_text() for ax in axes for text in ax.texts}
    assert {"DeiT", "DCAL"} <= labels
    assert len(drawn(ranked_galleries(images, queries, gallery, {"DCAL": answers[:1]}))) == 4
