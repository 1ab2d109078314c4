"""DCAL's tasks on the common trainer: fine-grained recognition and re-identification, each trained, resumed and tested."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib import evaluate
from lib.data import load_dataset
from lib.dcal import create_dcal_model
from lib.errors import WorkbookValueError
from lib.retrieval.ranking import RETRIEVAL_METRICS, retrieval_scores
from lib.train import test_lines as lines_of
from lib.training import RunStore, fit, profile_config
from lib.training import fitting as fitting_file
from lib.training.fine_grained import FineGrained
from lib.training.identities import embedded, trained_identities
from lib.training.inference import embeddings, network_input, predict_rows
from lib.training.metrics import Resampled
from lib.training.reidentification import ReIdentification
from lib.training.testing import query_and_gallery
from lib.training.training_data import prepare
from lib.training.triplet import BatchHardTriplet

VIT = {
    "backbone": "vit_tiny_patch16_224",
    "patch_size": 16,
    "depth": 2,
    "loss_type": "cross_entropy",
    "sampler": "none",
}


def birds(**settings):
    values = {"dataset": "phantom-birds", "attention": "DCAL", "split": "official", "limit_images": 120} | settings
    return profile_config("smoke", **(VIT | {"batch_size": 16, "image_size": 32} | values))


def people(**settings):
    values = {
        "dataset": "phantom-people",
        "task": "reid",
        "attention": "DCAL",
        "split": "official",
        "val_fraction": 0.2,
    }
    sizes = {"image_size": 64, "image_width": 32, "batch_size": 8, "images_per_identity": 2, "limit_images": 300}
    return profile_config("smoke", **(VIT | values | sizes | settings))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return RunStore(tmp_path_factory.mktemp("tasks") / "runs")


@pytest.fixture(scope="module")
def bird_run(store):
    return fit(birds(), store)


@pytest.fixture(scope="module")
def people_run(store):
    return fit(people(rerank=True), store)


def test_each_branch_is_validated_and_tested(bird_run):
    assert {"val_accuracy", "val_accuracy_sa", "val_accuracy_glca"} <= set(bird_run.log.columns)
    test, table = bird_run.metrics["test"], bird_run.predictions
    assert bird_run.metrics["best_epoch"] == bird_run.log["epoch"][bird_run.log["val_accuracy"].idxmax()]
    for name in ("sa", "glca"):
        right = (table[f"prediction_{name}"] == table["label"]).mean()
        assert test[f"accuracy_{name}"] == pytest.approx(right, abs=1e-5)
        low, high = bird_run.metrics["intervals"][f"accuracy_{name}"]
        assert low <= right <= high


def test_the_probabilities_are_the_mean_of_sa_and_glca(bird_run, store):
    images, pixels, parts = prepare(bird_run.config, store)
    rows = np.flatnonzero(parts == "test")[:4]
    model = bird_run.model()
    with torch.inference_mode():
        found = model.branches(network_input(model, pixels[rows], "fine_grained"))
    mean = (found.sa.softmax(1) + found.glca.softmax(1)) / 2
    kept = bird_run.predictions.set_index("image_id").loc[images.rows["image_id"].iloc[rows]]
    assert np.allclose(kept.filter(like="prob_"), mean, atol=1e-4)


def module(**settings):
    config = birds(drop_path=0.0, **settings)
    model = fitting_file.build_model(config, 10)
    return FineGrained(config, model, [str(i) for i in range(10)], [1] * 10)


def test_all_three_branches_reach_the_loss():
    trained = module().train()
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])  # of two, each is the other's partner
    loss, _ = trained.losses(images, labels)
    found = trained.model.branches(images, torch.tensor([1, 0]))
    terms = [nn.functional.cross_entropy(x, labels).item() for x in (found.sa, found.glca, found.pwca)]
    assert loss.item() == pytest.approx(0.5 * sum(terms), rel=1e-5)  # the uncertainties start at 0
    loss.backward()
    assert trained.model.weighting.w.grad.tolist() == pytest.approx([0.5 * (1 - t) for t in terms], rel=1e-4)


@pytest.mark.parametrize(
    ("attention", "glca", "pwca"), [("SA", 0, 0), ("SA+GLCA", 1, 0), ("SA+PWCA", 0, 1), ("DCAL", 1, 1)]
)
def test_the_ablation_switches_build_what_they_say(attention, glca, pwca):
    model = fitting_file.build_model(birds(attention=attention), 10)
    assert (model.glca is not None, model.pwca) == (glca, pwca)
    assert module(attention=attention).losses(torch.randn(4, 3, 32, 32), torch.arange(4))[0].isfinite()


@pytest.mark.parametrize("pairs", ["random", "inter_class", "intra_class", "hard"])
def test_every_pair_strategy_trains(pairs):
    assert module(pairs=pairs).losses(torch.randn(4, 3, 32, 32), torch.tensor([0, 0, 1, 1]))[0].isfinite()


@pytest.mark.parametrize("shown", [torch.tensor([7, 7, 7, 5]), ["a", "a", "a", "b"]])
def test_an_image_that_was_drawn_twice_is_no_partner_of_itself(shown, monkeypatch):
    trained, asked = module(), []
    branches = trained.model.branches
    monkeypatch.setattr(
        trained.model, "branches", lambda x, draw: asked.append(draw(x.mean(1))) or branches(x, asked[0])
    )
    trained.losses(torch.randn(4, 3, 32, 32), torch.tensor([0, 0, 0, 1]), shown)
    assert asked[0][:3].tolist() == [3, 3, 3]


@pytest.mark.parametrize("make", [birds, people])
def test_resumed_runs_equal_uninterrupted_ones(make, tmp_path, monkeypatch, bird_run, people_run):
    whole = {birds: bird_run, people: people_run}[make]
    config = whole.config
    stop = {"after": 1}

    def interrupt(self, *args, **kwargs):
        kept(self, *args, **kwargs)
        if len(self.rows) == stop["after"]:
            stop["after"] = 0
            raise KeyboardInterrupt

    from lib.training.recorder import Recorder

    kept = Recorder.on_train_epoch_end
    monkeypatch.setattr(Recorder, "on_train_epoch_end", interrupt)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(config, tmp_path / "runs")
    again = fit(config, tmp_path / "runs")
    assert "resuming after epoch 1" in (again.path / "train.log").read_text()
    pd.testing.assert_frame_equal(again.log, whole.log)
    assert again.metrics == whole.metrics


def test_a_query_is_never_answered_by_who_was_trained_on(people_run, store):
    images, _, parts = prepare(people_run.config, store)
    classes, labels = trained_identities(images, parts)
    assert people_run.classes == classes
    identities = images.rows["identity"]
    assert set(identities[parts == "train"]).isdisjoint(identities[(parts != "train") & (identities > 0)])
    assert (labels[parts == "train"] >= 0).all()
    assert (labels[parts != "train"] == -1).all()
    assert sorted(set(labels[parts == "train"])) == list(range(len(classes)))


def test_retrieval_is_that_of_the_best_weights(people_run, store):
    images, pixels, parts = prepare(people_run.config, store)
    asked = query_and_gallery(people_run.model(), people_run.config, images, pixels, parts)
    for part, found in zip(("query", "gallery"), asked, strict=True):
        rows = np.flatnonzero(parts == part)
        vectors = predict_rows(people_run.model(), people_run.config, pixels, rows, embeddings)
        assert np.allclose(found.vectors, vectors, atol=1e-4)
        assert np.array_equal(found.identities, images.rows["identity"].iloc[rows])
        assert np.array_equal(found.cameras, images.rows["camera"].iloc[rows])
    turned_over = np.ascontiguousarray(pixels[:, :, ::-1])
    other = query_and_gallery(people_run.model(), people_run.config, images, turned_over, parts)
    both = query_and_gallery(people_run.model(), people_run.config.replace(flip_test=True), images, pixels, parts)
    for mean, seen, turned in zip(both, asked, other, strict=True):
        assert np.allclose(mean.vectors, (seen.vectors + turned.vectors) / 2, atol=1e-4)
        assert not np.allclose(mean.vectors, seen.vectors, atol=1e-4)
    found = retrieval_scores(*asked, skip_unmatched=True)
    assert people_run.metrics["test"]["map"] == pytest.approx(found.metrics()["map"], abs=1e-4)
    assert len(people_run.retrieval.queries) == people_run.metrics["queries"] == len(asked[0])
    assert people_run.retrieval.metrics() == pytest.approx(
        {m: people_run.metrics["test"][m] for m in RETRIEVAL_METRICS}, abs=1e-5
    )
    assert {f"{name}_reranked" for name in RETRIEVAL_METRICS} <= set(people_run.metrics["test"])
    assert people_run.metrics["best_epoch"] == people_run.log["epoch"][people_run.log["val_map"].idxmax()]
    for name in RETRIEVAL_METRICS:
        low, high = people_run.metrics["intervals"][name]
        assert low <= people_run.metrics["test"][name] <= high


def test_identities_are_resampled_whole():
    resampled = Resampled([1, 1, 2], resamples=200)
    assert set(np.round(resampled.mean([1, 1, 0]), 3)) == {0.0, 0.667, 1.0}


def test_triplets_are_part_of_each_branchs_loss():
    config = people(drop_path=0.0, attention="SA+GLCA")
    model = fitting_file.build_model(config, 2).eval()
    trained = ReIdentification(config, model, ["1", "2"], [2, 2], pd.DataFrame())
    images, labels = torch.randn(4, 3, 64, 32), torch.tensor([0, 0, 1, 1])
    found, triplet = model.branches(images), BatchHardTriplet()
    terms = [
        nn.functional.cross_entropy(logits, labels) + triplet(token, labels)
        for logits, token in ((found.sa, found.sa_token), (found.glca, found.glca_token))
    ]
    assert trained.losses(images, labels)[0].item() == pytest.approx(0.5 * sum(terms).item(), rel=1e-5)  # w starts at 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "CBAM", "backbone": "resnet18"}, "task='reid' needs a network that embeds"),
        ({"batch_size": 9}, "batch_size=9 must be a multiple of images_per_identity=2"),
        ({"distance": "cosin"}, "Unknown distance 'cosin'. Did you mean 'cosine'"),
        ({"images_per_identity": 1}, "images_per_identity=1 must be at least 2"),
        ({"top_ratio": 1.5}, "top_ratio=1.5 must be above 0 and at most 1"),
        ({"pairs": "rndom"}, "Unknown pairs 'rndom'. Did you mean 'random'"),
        ({"glca_readout": "clas"}, "Unknown glca_readout 'clas'. Did you mean 'class'"),
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(WorkbookValueError, match=message):
        people(**settings)


def test_a_backbone_that_timm_does_not_know_is_named(tmp_path):
    with pytest.raises(WorkbookValueError, match="deit_tiny_patch16_224"):
        fit(birds().replace(backbone="deit_tiny_patch16_22"), tmp_path)


def test_a_set_without_identities_is_an_error(tmp_path):
    with pytest.raises(WorkbookValueError, match="digits shows no identities .* such as phantom-people"):
        fit(people(dataset="digits", limit_images=None), tmp_path)


def test_a_split_with_one_identity_is_an_error():
    with pytest.raises(WorkbookValueError, match="one identity"):
        retrieval_scores(*[embedded(np.eye(4), pd.DataFrame({"identity": [1] * 4, "camera": [1, 2, 3, 4]}))] * 2)


def test_settings_of_other_networks_do_not_change_a_run():
    assert (
        birds(attention="SA").hash
        == birds(attention="SA", top_ratio=0.5, pairs="hard", fusion_strategy="cross_attn").hash
    )
    assert birds().hash != birds(top_ratio=0.5).hash
    assert birds().hash == birds(images_per_identity=8, num_heads=4).hash
    assert birds().bare == birds(attention="SA")


def test_what_glcas_head_reads_is_a_setting_of_glca():
    mean = birds(glca_readout="mean")
    assert fitting_file.build_model(mean, 10).glca_readout == "mean"
    assert mean.hash != birds().hash == birds(glca_readout="class").hash
    assert mean.bare.hash == birds().bare.hash


RECIPES = {  # the paper, section 4.1
    "fgvc": {
        "size": (448, 448),
        "optimizer": "AdamW",
        "weight_decay": 0.05,
        "lr": 5e-4 / 512 * 16,
        "batch_size": 16,
        "max_epoch": 100,
        "top_ratio": 0.1,
    },
    "reid": {
        "size": (256, 128),
        "optimizer": "SGD",
        "weight_decay": 1e-4,
        "lr": 0.008,
        "batch_size": 64,
        "images_per_identity": 4,
        "triplet_margin": None,
        "max_epoch": 120,
        "top_ratio": 0.3,
    },
}
OF_BOTH = {"attention": "DCAL", "pretrained": True, "drop_path": 0.1, "pairs": "random", "selection": "rollout"}
OF_BOTH |= {"loss_type": "cross_entropy", "lr_scheduler": "CosineWarmup", "split": "official"}


@pytest.mark.parametrize("name", RECIPES)
def test_the_papers_recipes(name):
    config = profile_config(name)
    assert {field: getattr(config, field) for field in RECIPES[name] | OF_BOTH} == RECIPES[name] | OF_BOTH
    assert json.loads(json.dumps(config.to_dict()))


def test_another_backbone_comes_with_its_own_patches():
    assert profile_config("fgvc-quick").patch_size == 2
    assert profile_config("fgvc-quick", backbone="deit_tiny_patch16_224").patch_size is None
    assert profile_config("fgvc-quick", backbone="deit_tiny_patch16_224", patch_size=8).patch_size == 8


def test_vehicles_are_shown_as_squares_and_people_upright():
    assert profile_config("reid", dataset="VeRi-776").size == (256, 256)
    assert profile_config("reid", dataset="VeRi-776", image_width=192).size == (256, 192)
    assert profile_config("reid", dataset="MSMT17").size == (256, 128)


def test_the_size_reaches_the_network():
    model = create_dcal_model("vit_tiny_patch16_224", 3, img_size=(64, 32), depth=1).eval()
    assert model(torch.randn(2, 3, 64, 32)).shape == (2, 3)
    assert people().size == (64, 32)


def test_a_run_searches_another_sets_gallery(people_run, store, capsys, monkeypatch):
    """Of its own set, which stands for another one, it says what its own test says."""
    images = load_dataset("phantom-people", people_run.config.data_root, people_run.config.limit_images)
    monkeypatch.setattr("lib.evaluate.load_dataset", lambda *_: images)
    assert evaluate.main([str(people_run.path), "--dataset", "Market-1501"]) == 0
    told, own = capsys.readouterr().out, people_run.metrics
    assert f"{own['queries']} queries" in told
    assert all(line in told for line in lines_of(own))
