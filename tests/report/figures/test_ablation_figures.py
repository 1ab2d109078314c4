"""Every figure of notebooks 03 and 09 draws, with runs and without; gates are read from the networks."""

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from safetensors.torch import save_file

from lib.evaluation import learned_gates
from lib.report.figures import ablation_figures, paper_figures
from lib.report.figures.style import NOTHING, PHANTOM_NOTE
from lib.report.study.comparisons import comparisons, pairs_of
from lib.training.build_model import build_model
from tests.evaluation.made_images import images_of, prepared_of

WHITE = (1, 1, 1, 1)
FUSIONS = {"original": 0.7, "learnable_gate": 0.95, "weighted_add": 0.72}


def figures(study):
    return {
        "cost": ablation_figures.metric_against_cost(study, study.rows("fusion")),
        "recall": ablation_figures.recall_by_class(pairs_of(study, "fusion")),
        "curves": ablation_figures.convergence({t: study.rows(t) for t in ("fusion", "residual")}),
        "gates": ablation_figures.gate_spread([], phantom=False),
        "forest": paper_figures.differences(study, ["attention", "fusion", "residual"]),
        "backbones": paper_figures.backbones_against_cost(study),
        "transfer": paper_figures.transfer_lines(study),
        "leak": paper_figures.leak_inflation(study),
    }


def dots_of(ax):
    return [artist for artist in ax.collections if isinstance(artist, PathCollection)]


def said(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts]


@pytest.fixture
def study(written, transferred):
    written.finish_table("backbones", {"resnet18": 0.7, "resnet34": 0.8})
    written.finish_table("attention", {"resnet18": 0.7, "resnet34": 0.8})
    written.finish_table("fusion", FUSIONS)
    written.finish_table("residual", {"original": 0.8, "progressive": 0.8}, curve=(0.2, 0.4))
    written.finish_table("transfer", {"phantom-lesions": 0.9, "phantom-clinic": 0.9})
    written.finish_table("leak", {"lesion": 0.7, "image": 0.9})
    return written.study()


def test_every_figure_draws_and_is_labelled(study):
    for name, fig in figures(study).items():
        fig.canvas.draw()
        assert all(ax.get_title(loc="left") and ax.get_xlabel() for ax in fig.axes), name
        assert any(ax.get_ylabel() for ax in fig.axes), name
        assert fig.get_supxlabel() == (PHANTOM_NOTE if name != "gates" else ""), name
        notes = [text.get_window_extent() for text in fig.findobj(Text) if text.get_text() == PHANTOM_NOTE]
        assert not any(note.overlaps(legend.get_window_extent()) for note in notes for legend in fig.legends), name
        if name != "gates":
            assert NOTHING not in said(fig), name


def test_without_runs_they_draw_too_and_say_so(written):
    for name, fig in figures(written.study()).items():
        fig.canvas.draw()
        assert any("yet" in text for text in said(fig)), name


def test_differences_are_filled_where_they_are_significant(study):
    (dots,) = dots_of(paper_figures.differences(study, ["fusion"]).axes[0])
    corrected = [pair.corrected for pair in comparisons(study, "fusion").of("accuracy")]
    assert corrected[0] < 0.05 < corrected[1]
    assert [tuple(face) == WHITE for face in dots.get_facecolors()] == [False, True]
    assert [x > 15 for x, _ in dots.get_offsets()] == [True, False]


def test_the_inflation_stands_beside_the_metric_that_it_is_of(study):
    left, right = paper_figures.leak_inflation(study).axes
    honest, leaky = dots_of(left)
    (inflation,) = dots_of(right)
    np.testing.assert_allclose(inflation.get_offsets()[:, 0], (leaky.get_offsets() - honest.get_offsets())[:, 0])
    assert len(left.get_yticklabels()) == 3


def test_recall_is_coloured_by_its_interval(study):
    (dots,) = dots_of(ablation_figures.recall_by_class(pairs_of(study, "fusion")).axes[0])
    assert len(dots.get_offsets()) == 3
    assert np.allclose(dots.get_edgecolors(), to_rgba(ablation_figures.BLUE))


def test_convergence_shows_the_mean_and_the_range(written):
    study = written.study()
    first, second, third = study.configs(study.rows("fusion")[0])
    for config, curve in ((first, (0.2, 0.4)), (second, (0.4, 0.6)), (third, (0.3, 0.2, 0.6))):
        written.finish(config, curve=curve)
    ax = ablation_figures.convergence({"fusion": written.study().rows("fusion")}).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [30, 40, 60])
    assert ax.collections[0].get_datalim(ax.transData).ymax == pytest.approx(60)


def test_gates_are_those_of_the_trained_weights(written, monkeypatch, tmp_path):
    monkeypatch.setattr(learned_gates, "prepare", lambda config, _: prepared_of(tmp_path, config, count=3))
    written.finish_table("fusion", FUSIONS)
    written.finish_table("residual", {"progressive": 0.8})
    study = written.study()
    tables = {"fusion": study.rows("fusion")[2:], "residual": study.rows("residual")[1:]}
    for run in [*tables["fusion"][0].runs, *tables["residual"][0].runs]:
        model = build_model(run.config, 3)
        with torch.no_grad():
            if run.config.fusion_strategy == "weighted_add":
                model.block.fusion.alpha.fill_(3.0)
            else:
                model.block.residual.logit.fill_(0.0)
        save_file(model.state_dict(), run.path / "best.safetensors")
    runs = {part: {row.name: row.finished for row in rows} for part, rows in tables.items()}
    found = {(gate.strategy, gate.name): gate for gate in learned_gates.learned_gates(runs, study.store)}
    assert set(found) == {
        *(("fusion weighted_add", f"fusion_weight_{name}") for name in ("global", "local", "product")),
        ("residual progressive", "residual_alpha"),
    }
    weight = found["fusion weighted_add", "fusion_weight_global"]
    assert weight.means == pytest.approx([0.75] * 3, abs=1e-3)
    assert weight.start == pytest.approx(0.5, abs=1e-3)
    alpha = found["residual progressive", "residual_alpha"]
    assert (alpha.start, *alpha.means) == pytest.approx([0.1, 0.5, 0.5, 0.5])
    fig = ablation_figures.gate_spread(list(found.values()), phantom=True)
    fig.canvas.draw()
    assert len(fig.axes[0].get_yticklabels()) == 4


def test_a_bare_backbone_has_no_gates(written, tmp_path):
    config = written.study().rows("backbones")[0].config
    assert learned_gates.gate_values(build_model(config, 3), images_of(tmp_path, config)) == {}
