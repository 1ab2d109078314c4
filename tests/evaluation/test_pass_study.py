"""What passes change is counted against the first one, and a study holds what its networks did."""

import numpy as np
import pytest
import torch

from lib.evaluation.pass_study import pass_changes, study_passes
from lib.models import create_model
from lib.report.study.gattanet_conclusions import agreement_figures, passes_text
from lib.statistics.estimates import Comparison
from lib.training import RunConfig
from tests.evaluation.made_images import images_of


def logits_saying(*answers, classes=3):
    """[P, B, K] whose largest logit is the answer of that pass to that image."""
    return 2.0 * np.eye(classes)[np.array(answers)]


def test_changes_are_counted_against_the_first_pass():
    labels = np.array([0, 1, 2, 0])
    found = pass_changes(logits_saying([0, 2, 1, 1], [0, 1, 2, 2], [1, 2, 1, 1]), labels)
    assert found.loc[1].tolist() == [0.25, 0, 0, 0, 0]
    assert found.loc[2, ["accuracy", "changed", "repaired", "spoiled"]].tolist() == [0.75, 0.75, 0.5, 0]
    assert found.loc[3, ["accuracy", "changed", "repaired", "spoiled"]].tolist() == [0, 0.25, 0, 0.25]
    share = (np.e**2 - 1) / (np.e**2 + 2)  # of the probability of one answer that goes to the other
    assert found.loc[2, "moved"] == pytest.approx(0.75 * share)


def test_pass_changes_survive_large_logits():
    found = pass_changes(1e4 * logits_saying([0, 1], [1, 1]), np.array([0, 1]))
    assert found.loc[2, "moved"] == pytest.approx(0.5)


def networks(alpha, seeds=2):
    """GAttANets of five layers as they are drawn, but for α."""
    made = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        made.append(create_model("toynet", num_classes=2, attn_type="gatta", dim=8).eval())
        for part in made[-1].agreement:
            part.alpha.data.fill_(alpha)
    return made


@pytest.fixture
def images(tmp_path):
    return images_of(tmp_path, RunConfig(attention="gatta", backbone="toynet", image_size=32))


def test_nothing_changes_without_agreement(images):
    study = study_passes(networks(0.0), images)
    assert len(study.running) == 2
    assert study.mean.index.tolist() == [1, 2, 3, 4]
    assert (study.mean["changed"] == 0).all()
    assert study.widest == 0
    assert (study.alphas == 0).all()


def test_what_agreement_does_is_told(images):
    study = study_passes(networks(50.0), images)
    assert study.last["moved"] > 0.01
    assert study.widest > 0.01
    assert {len(values) % (2 * len(images)) for values in study.gains.values()} == {0}  # of both seeds
    same, other = study.cosines
    assert -1 <= other <= same <= 1
    figures = agreement_figures(
        study, Comparison("accuracy", -0.02, -0.05, 0.01, 0.2, 0.1, "g", "t", seeds=3, images=4), "1.1 × …"
    )
    assert len(figures) <= 6
    assert figures["accuracy, GAttANet − backbone"] == "−2.0 points [−5.0, +1.0], 3 seeds"
    assert f"{100 * study.last.changed:.1f} % of the answers" in passes_text(study)
