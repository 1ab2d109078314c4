"""What a live view is answered about a network that searches for identities."""

import numpy as np
import pytest
from PIL import Image

from lib.data import rows_of
from lib.errors import WorkbookValueError
from lib.explain import compare_networks, explore_networks
from lib.explain.views import nearest
from lib.explain.views.live_opening import answers_about
from lib.retrieval.ranking import rankings
from lib.training import RunStore, fit, prepare, profile_config
from lib.training.testing import query_and_gallery
from tests.explain.views.test_network_answers import answer, as_file, bring

SIZES = {"image_size": 32, "image_width": 32, "patch_size": 16, "limit_images": 300, "max_epoch": 1}


@pytest.fixture(scope="module")
def people(shared_root):
    """A finished run of re-identification."""
    return fit(profile_config("reid-smoke", **SIZES), shared_root / "people")


@pytest.fixture(scope="module")
def decoded(people):
    return prepare(people.config, RunStore(people.path.parent))


@pytest.fixture(scope="module")
def answers(people, decoded):
    return answers_about({"people": people}, decoded.images, "cpu")


@pytest.fixture(scope="module")
def queries(decoded):
    return decoded.images.rows.iloc[rows_of(decoded.parts, "query")]


def test_the_nearest_images_are_those_of_the_test(people, decoded, answers, queries, monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK", 50)
    images, pixels, parts = decoded
    query, gallery = query_and_gallery(people.model(), people.config, images, pixels, parts)
    stored, expected = images.rows.iloc[rows_of(parts, "gallery")], rankings(query, gallery, [0, 1], nearest.FOUND)
    for image, ranking in zip(queries["image_id"], expected, strict=False):
        *before, (told, _) = answers({"what": "nearest", "image": image, "network": "people"})
        assert [found["id"] for found in told["images"]] == stored["image_id"].iloc[ranking.gallery].tolist()
        assert [found["right"] for found in told["images"]] == ranking.right.tolist()
        assert [part["seen"] for part, _ in before] == (
            [*range(0, len(stored), 50)] if image == queries["image_id"].iloc[0] else []
        )


def test_a_picture_of_nobody_is_neither_right_nor_wrong_and_no_image_finds_itself(answers, decoded):
    mine = bring(answers, "mine.png", as_file("PNG", Image.new("RGB", (32, 32), "teal")))
    distractor = decoded.images.rows.query("part == 'gallery' and identity == 0")["image_id"].iloc[0]
    for image in (mine, distractor):
        told = answer(answers, "nearest", image=image, network="people")[0]["images"]
        assert [found["right"] for found in told] == [None] * nearest.FOUND
        assert image not in [found["id"] for found in told]


def test_it_offers_maps_that_explain_no_class_and_no_class(answers, queries):
    described, _ = answer(answers, "network", network="people")
    assert described["searches"]
    assert described["classes"] == []
    names = [method["name"] for method in described["methods"]]
    assert "rollout" in names
    assert not {"grad-cam", "gradient-rollout", "gradient-x-input"} & {*names}
    chosen = {"image": queries["image_id"].iloc[0], "network": "people", "layer": "", "head": 0, "at": None}
    for name in names[:2]:
        assert "target" not in answer(answers, "map", method=name, target="answer", **chosen)[0]
    with pytest.raises(WorkbookValueError, match="answers no class"):
        answer(answers, "curve", method="rollout", target="answer", kind="deletion", steps=8, **chosen)


def test_queries_are_found_by_how_well_they_were_answered(people, answers):
    table = people.retrieval.matched
    found = {
        answered: answer(answers, "find", network="people", answered=answered, order="least sure first")[0]
        for answered in ("right", "wrong")
    }
    right = table["first_match"] == 1
    assert (found["right"]["count"], found["wrong"]["count"]) == (right.sum(), (~right).sum())
    worst = table[~right].sort_values("average_precision", kind="stable")["image_id"]
    assert [each["id"] for each in found["wrong"]["images"]][:1] == worst.tolist()[:1]


def test_what_is_painted_is_as_similar_as_its_vector(people, answers, queries):
    image, hole = queries["image_id"].iloc[0], np.zeros((32, 32), np.uint8)
    hole[:16] = 1
    wish = {"image": image, "network": "people", "fill": "mean colour", "grid": [32, 32]}
    painted = answer(answers, "paint", hole.tobytes(), **wish)[0]["image"]
    told, _ = answer(answers, "image", image=painted, network="people")
    model = people.model()
    one, two = (model.embed(answers.batch(each, "people"))[0] for each in (image, painted))
    assert told["before"]["similarity"] == pytest.approx(((one @ two) / one.norm() / two.norm()).item(), abs=1e-3)
    assert (told["truth"], told["ranked"]) == (None, [])


def test_it_stands_beside_networks_that_answer_classes(people, finished, decoded):
    both = {"people": people, "toy": finished}
    view = explore_networks(both, decoded.images, "people")
    view.visit([*view.first, *view.tour])
    assert {"nearest", "map"} <= {each["wish"]["what"] for each in view.view().data["answers"]}
    comparison = compare_networks(both, decoded.images)
    comparison.visit([*comparison.first, *comparison.tour])
    curved = {each["wish"]["network"] for each in comparison.view().data["answers"] if each["wish"]["what"] == "curve"}
    assert curved == {"toy"}
