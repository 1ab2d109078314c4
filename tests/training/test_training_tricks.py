"""What can be added to any recipe (mixup, CutMix, averaged weights, accumulated gradients, views, SyncBN): each against its formula."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import SyncBatchNorm

from lib import hardware
from lib.data import VIEWS
from lib.data.mixing import build_mixing
from lib.errors import WorkbookValueError
from lib.evaluation.transfer import transfer
from lib.predict import main as predict_command
from lib.report.tables.run_tables import recipe_text
from lib.training import RunConfig, RunStore, fit, prepare, profile_config, trainer
from lib.training import classifier as module_file
from lib.training.build_model import build_model
from lib.training.classifier import Classifier
from lib.training.inference import over_views, predict_rows, probabilities
from lib.training.losses import LOSSES, build_loss
from lib.training.settings import ADDED
from lib.training.trainer import classifier as module_of

ALL = {
    "mixup": 0.4,
    "cutmix": 1.0,
    "ema_decay": 0.8,
    "accumulate_grad_batches": 2,
    "test_time_augmentation": "symmetries",
}
BIRDS = {"dataset": "phantom-birds", "backbone": "test_vit"}


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run with all of them, uninterrupted; the weights after each of its steps."""
    config, steps = tiny.replace(**ALL, batch_size=8), []
    step = Classifier.optimizer_step

    def watched(self, *arguments, **options):
        step(self, *arguments, **options)
        steps.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classifier, "optimizer_step", watched)
        run = fit(config, tmp_path_factory.mktemp("tricks") / "runs")
    return run, steps


@pytest.mark.parametrize("loss_type", LOSSES)
def test_a_loss_of_shares_is_the_sum_of_the_classes_losses_by_their_shares(loss_type):
    generator = torch.Generator().manual_seed(0)
    logits, first, second = torch.randn(16, 3, generator=generator), torch.arange(16) % 3, torch.arange(16) % 2
    loss = build_loss(loss_type, [5, 6, 7])
    shares = 0.3 * torch.eye(3)[first] + 0.7 * torch.eye(3)[second]
    torch.testing.assert_close(loss(logits, shares), 0.3 * loss(logits, first) + 0.7 * loss(logits, second))
    torch.testing.assert_close(loss(logits, torch.eye(3)[first]), loss(logits, first))


def mixed(seed=0, mixup=0.0, cutmix=0.0):
    torch.manual_seed(seed)
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    return images, *build_mixing(mixup, cutmix, classes=3)(images, labels)


def test_mixup_blends_images_and_labels_by_one_share():
    images, blended, shares = mixed(mixup=1.0)
    share = shares[1, 1]  # of the second image's own class
    assert 0.01 < share < 0.99
    torch.testing.assert_close(shares[1], torch.tensor([1 - share, share, 0.0]))
    torch.testing.assert_close(blended, share * images + (1 - share) * images.roll(1, 0))


def test_cutmix_pastes_a_rectangle_whose_area_is_the_other_class_share():
    images, pasted, shares = mixed(seed=1, cutmix=1.0)
    other = (pasted == images.roll(1, 0)).all(dim=1)
    assert ((pasted == images).all(dim=1) ^ other).all()  # each pixel is of one of the two
    area = other[1].float().mean()
    assert 0.01 < area < 0.99
    torch.testing.assert_close(shares[1], torch.tensor([area, 1 - area, 0.0]))


def test_with_both_a_coin_decides_for_each_batch_and_without_either_nothing_is_mixed():
    cut = [bool((pasted == images).any()) for images, pasted, _ in (mixed(s, mixup=1.0, cutmix=1.0) for s in range(12))]
    assert {True, False} == set(cut)
    assert build_mixing(0.0, 0.0, classes=3) is None


def test_the_average_of_the_weights_is_kept_and_the_training_goes_on_with_the_weights(trained):
    run, steps = trained
    batches = len(range(0, (prepare(run.config, RunStore(run.path.parent)).parts == "train").sum() - 7, 8))
    steps_per_epoch = -(-batches // 2)  # two batches a step, and what is left at the end of an epoch
    assert len(steps) == 2 * steps_per_epoch
    average = steps[0]
    for weights in steps[1 : steps_per_epoch * run.metrics["best_epoch"]]:
        average = {name: 0.8 * average[name] + 0.2 * weights[name] for name in average}
    kept = load_file(run.path / "best.safetensors")
    for name in (name for name in kept if kept[name].is_floating_point()):
        torch.testing.assert_close(kept[name], average[name], rtol=1e-4, atol=1e-6)
    assert not any(torch.equal(kept[name], steps[-1][name]) for name in kept if name.endswith("weight"))


def test_each_network_can_be_averaged_and_learn_shares():
    """The copy computes with its own weights, also where hooks or generated code read the network."""
    for settings in ({}, {"attention": "gatta"}, {"attention": "SA+GLCA", "backbone": "test_vit", "depth": 1}):
        config = RunConfig(**{"backbone": "toynet", "image_size": 32, "ema_decay": 0.9, **settings})
        model = build_model(config, 3)
        module, images = module_of(config)(config, model, "abc", [1, 1, 1]), torch.randn(2, 3, 32, 32)
        kept, labels = module.kept.eval(), torch.tensor([2, 0])
        of_shares, of_labels = (module.losses(images, y)[0] for y in (torch.eye(3)[labels], labels))
        torch.testing.assert_close(of_shares, of_labels)
        kept.load_state_dict(model.state_dict())  # whose running statistics have moved
        torch.testing.assert_close(kept(images), model.eval()(images))
        with torch.no_grad():
            [parameter.zero_() for parameter in model.parameters()]
        assert kept(images).abs().max() > 0
        assert not any(parameter.requires_grad for parameter in kept.parameters())


class Killed(BaseException):
    """Stands for a kill."""


def test_an_interrupted_run_with_all_of_them_goes_on_to_the_same_result(trained, tmp_path, monkeypatch):
    whole, step = trained[0], module_file.Classifier.training_step

    def killed(self, batch, i):
        if self.current_epoch == 1 and i == 1:
            raise Killed
        return step(self, batch, i)

    with monkeypatch.context() as broken:
        broken.setattr(module_file.Classifier, "training_step", killed)
        with pytest.raises(Killed):
            fit(whole.config, tmp_path / "runs")
    resumed = fit(whole.config, tmp_path / "runs")
    for name in ("training_log.csv", "predictions.csv", "metrics.json", "config.json"):
        assert (resumed.path / name).read_text() == (whole.path / name).read_text()
    assert ALL.items() <= json.loads((whole.path / "config.json").read_text()).items()


def test_it_is_refitted_and_a_finished_run_is_found(trained):
    run, steps = trained[0], len(trained[1])
    refitted = fit(run.config, run.path.parent, refit=True)
    assert len(refitted.log) == run.metrics["best_epoch"]
    assert refitted.config == run.config.replace(refit="val")
    assert len(trained[1]) == steps  # the first training was found, not repeated


def test_accumulated_gradients_are_those_of_the_whole_batch(shared_ham, tmp_path):
    """Without batch statistics, augmentation and dropout, the batch is all that counts."""
    config = profile_config(
        "smoke", dataset="HAM10000", data_root=str(shared_ham), backbone="test_vit", attention="SA", depth=1, patch_size=16,
        drop_path=0.0, augmentation="none", precision="32", optimizer="SGD", batch_size=28, max_epoch=1, gradient_clip=1.0,
    )  # fmt: skip
    whole = fit(config, tmp_path / "runs")
    shown = (prepare(config, RunStore(tmp_path / "runs")).parts == "train").sum()
    assert (shown // 28, shown // 14) == (2, 4)  # as many steps
    parts = fit(config.replace(batch_size=14, accumulate_grad_batches=2), tmp_path / "runs")
    weights = [load_file(run.path / "best.safetensors") for run in (whole, parts)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-4, atol=1e-5)


def test_the_answers_are_means_over_the_views(trained, shared_ham, tmp_path):
    run = trained[0]
    decoded = prepare(run.config, RunStore(run.path.parent))
    rows = np.flatnonzero(decoded.parts == "test")
    turned = [
        predict_rows(run.model(), run.config, np.ascontiguousarray(np.rot90(pixels, k, (1, 2))), rows)
        for pixels in (decoded.pixels, decoded.pixels[:, :, ::-1])
        for k in range(4)
    ]
    assert np.allclose(run.probabilities, np.mean(turned, axis=0), atol=1e-5)
    assert not np.allclose(run.probabilities, turned[0], atol=1e-4)
    words = [run.path, shared_ham / "HAM10000_images_part_1", "--output", tmp_path / "table.csv"]
    assert predict_command([*map(str, words)]) == 0
    there = transfer(run, "HAM10000", str(shared_ham), store=RunStore(run.path.parent))
    tested = run.predictions.set_index("image_id").filter(like="prob_")
    for table in (pd.read_csv(tmp_path / "table.csv"), there.predictions):
        told = table.set_index("image_id").filter(like="prob_")
        same = told.index.intersection(tested.index)
        assert len(same) > 3
        assert np.allclose(told.loc[same], tested.loc[same], atol=1e-5)


@pytest.mark.parametrize(("views", "number"), [("none", 1), ("mirror", 2), ("symmetries", 8)])
def test_an_answer_does_not_depend_on_the_view_that_is_given(views, number):
    model = build_model(RunConfig(backbone="toynet", attention="none"), 3).eval()
    answer, images = over_views(probabilities, RunConfig(test_time_augmentation=views)), torch.randn(2, 3, 32, 32)
    seen = [view(images) for view in VIEWS[views]]
    assert len({view.numpy().tobytes() for view in seen}) == number
    for view in seen:
        torch.testing.assert_close(answer(model, view), answer(model, images))


def test_batch_normalisation_is_lightnings_synchronised_one(tiny, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(trainer.pl, "Trainer", lambda **options: asked.update(options))
    config = tiny.replace(devices=2, sync_batchnorm=True)
    run = RunStore(tmp_path).run(config)
    trainer._trainer(config, run, [])
    assert (asked["sync_batchnorm"], asked["devices"]) == (True, 2)
    model = build_model(config, 7).eval()
    synchronised, images = SyncBatchNorm.convert_sync_batchnorm(model), torch.randn(2, 3, 32, 32)
    plain = build_model(config, 7).eval()
    plain.load_state_dict(synchronised.state_dict())  # as a finished run's network is loaded
    torch.testing.assert_close(plain(images), synchronised(images))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_that_share_their_statistics_give_the_numbers_of_one(tiny, tmp_path):
    config = tiny.replace(augmentation="none", precision="32", optimizer="SGD", device="cuda")
    one = fit(config, tmp_path / "one" / "runs")
    two = fit(config.replace(devices=2, sync_batchnorm=True), tmp_path / "two" / "runs")
    assert np.allclose(two.log, one.log, rtol=1e-3, atol=2e-4)


def test_switched_off_they_are_in_no_name_and_switched_on_in_each():
    plain = RunConfig()
    assert {*ALL, "sync_batchnorm"} == {*ADDED}
    assert recipe_text(plain).endswith(", lr 0.001")
    assert recipe_text(plain.replace(mixup=0.4, ema_decay=0.9)).endswith(", lr 0.001, mixup 0.4, ema_decay 0.9")
    for name, value in ALL.items():
        assert plain.replace(**{name: RunConfig.__dataclass_fields__[name].default}).hash == plain.hash
        assert plain.replace(**{name: value}).hash != plain.hash


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixup": -1.0}, "mixup=-1.0 must be finite and not negative"),
        ({"ema_decay": 1.0}, "ema_decay=1.0 must be at least 0 and below 1"),
        ({"accumulate_grad_batches": 0}, "accumulate_grad_batches=0 must be at least 1"),
        ({"test_time_augmentation": "miror"}, "Did you mean 'mirror'"),
        ({**BIRDS, "attention": "DCAL", "mixup": 1.0}, r"mixup=1.0 blends .*PWCA's pairs .*attention='SA\+GLCA'"),
        ({"task": "reid", "attention": "SA", **BIRDS, "cutmix": 1.0}, "triplets are chosen by whole ones: leave out cutmix"),
        ({"task": "reid", "attention": "SA", **BIRDS, "test_time_augmentation": "mirror"}, "take flip_test=True"),
        ({"test_time_augmentation": "symmetries", "image_width": 96}, "these are of 224×96 pixels: take 'mirror'"),
        ({"sync_batchnorm": True}, "this run is on one device alone: leave it out"),
        ({"sync_batchnorm": True, "devices": 2, "device": "cpu"}, "the CPU, where PyTorch has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_together_is_told(settings, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig(**settings)


def test_synchronised_statistics_without_gpus_are_told_before_any_work(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(WorkbookValueError, match="sync_batchnorm=True needs GPUs"):
        hardware.check_devices("auto", 2, sync_batchnorm=True)
