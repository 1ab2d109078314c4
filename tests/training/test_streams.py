"""fit on tar shards: the numbers of the same images in memory, resumable, and never all of them in memory."""

import json
import os
import re
import shutil
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib import check, evaluate
from lib.data import EpochBatches
from lib.data.shards import content, stream, write_shards
from lib.disk.manifest import entry
from lib.errors import InputLost, WorkbookFileError, WorkbookValueError
from lib.training import RunConfig, RunStore, fit, prepare, profile_config, trainer
from lib.training import classifier as module_file
from lib.training.build_model import build_model
from lib.training.training_data import load_images

pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Three classes of 24 images, told by their colour, in class folders."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for label, name in enumerate(("red", "green", "blue")):
        (root / name).mkdir()
        for number in range(24):
            pixels = rng.integers(0, 120, (32, 32, 3))
            pixels[:, :, label] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02d}.png")
    settings = {"dataset": "imagefolder", "data_root": str(root), "backbone": "toynet", "attention": "none"}
    return profile_config("smoke", **settings, sampler="none", max_epoch=2, batch_size=8)


@pytest.fixture(scope="module")
def streamed(listed, tmp_path_factory):
    """The same images in the same order, in shards."""
    root = tmp_path_factory.mktemp("packed")
    images, _, parts = prepare(listed, RunStore(root / "runs"))
    write_shards(images, parts, root / "shards", seed=None)
    return listed.replace(dataset="shards", data_root=str(root / "shards"), limit_images=None)


@pytest.fixture
def in_order(monkeypatch):
    """No shuffling, neither in memory nor of a stream."""
    in_turn = lambda self: iter(np.arange(len(self) * self.batch_size).reshape(len(self), -1).tolist())  # noqa: E731
    monkeypatch.setattr(EpochBatches, "__iter__", in_turn)
    monkeypatch.setattr(stream, "BUFFER", 1)


def test_a_stream_gives_the_numbers_of_the_same_images_in_memory(listed, streamed, in_order, tmp_path):
    store = RunStore(tmp_path / "runs")
    memory, shards = fit(listed, store), fit(streamed, store)
    assert (shards.path / "training_log.csv").read_text() == (memory.path / "training_log.csv").read_text()
    assert shards.metrics == memory.metrics
    assert np.array_equal(shards.probabilities, memory.probabilities)
    assert np.array_equal(shards.labels, memory.labels)
    assert shards.predictions["image_id"].iloc[0] == "test-00000/000000"


def test_no_image_of_a_stream_is_kept_and_its_shards_are_on_record(streamed, listed, tmp_path, capsys):
    run = fit(streamed, tmp_path / "runs")
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.suffix == ".json"  # digests of the shards
    with pytest.raises(WorkbookValueError, match="have no list of images"):
        prepare(streamed, RunStore(tmp_path / "runs"))
    assert evaluate.main([str(run.path), "--dataset", "imagefolder", "--data_root", listed.data_root]) == 0
    assert f"{run.path.name} on 72 images of imagefolder, not compared with its shards" in capsys.readouterr().out
    facts = run.provenance
    assert facts["tested_on"] == "test"
    assert (facts["images"], facts["classes"]) == (72, ["blue", "green", "red"])
    assert [(s["url"], s["images"]) for s in facts["shards"]["val"]] == [(f"{streamed.data_root}/val-00000.tar", 6)]
    assert facts["shards"]["train"][0]["size"] > 10_000
    assert fit(streamed, tmp_path / "runs").path == run.path
    assert len(run.log) == 2


def put_another(shard: Path) -> None:
    """`shard` is another now, of the same size, in which the first image is of another class."""
    packed = bytearray(shard.read_bytes())
    label = packed.index(b"000000.cls") + tarfile.BLOCKSIZE
    packed[label] ^= 1
    shard.write_bytes(packed)


def test_a_shard_in_whose_place_another_of_the_same_size_was_put_is_found(streamed, tmp_path, caplog, capsys):
    shards = shutil.copytree(streamed.data_root, tmp_path / "shards")
    config, store = streamed.replace(data_root=str(shards), max_epoch=1), RunStore(tmp_path / "runs")
    first = fit(config, store).provenance
    for shard in shards.glob("*.tar"):
        os.utime(shard)  # copied, say
    assert fit(config, store).provenance == first
    assert check.main([str(store.root)]) == 0
    put_another(shards / "train-00000.tar")
    assert check.main([str(store.root)]) == 1
    assert "its images are others than it has seen" in capsys.readouterr().out
    fit(config, store)
    assert "was begun with other images: it is trained again" in caplog.text


def test_a_shard_is_read_once_for_its_digest_and_large_sets_are_not(streamed, tmp_path, monkeypatch):
    shards, read = load_images(streamed), []
    monkeypatch.setattr(content, "entry", lambda path: read.append(path.name) or entry(path))
    digest = content.content_digest(shards, tmp_path)
    assert sorted(read) == sorted(path.name for path in Path(streamed.data_root).glob("*.tar"))
    assert content.content_digest(shards, tmp_path) == digest
    assert len(read) == 3
    (kept,) = tmp_path.iterdir()
    kept.write_text('{"x": [')
    assert content.content_digest(shards, tmp_path) == content.content_digest(shards) == digest
    assert len(read) == 9
    monkeypatch.setattr(content, "MOST_BYTES", 1000)
    assert content.content_digest(shards, tmp_path) is None


class Killed(BaseException):
    """Stands for a kill: nothing in the code may catch it."""


def test_an_interrupted_stream_goes_on_to_the_same_result(streamed, tmp_path, monkeypatch):
    config = streamed.replace(max_epoch=3)
    whole = fit(config, tmp_path / "whole" / "runs")
    step = module_file.Classifier.training_step

    def killed_in_epoch_2(self, batch, i):
        if self.current_epoch == 1 and i == 1:
            raise Killed
        return step(self, batch, i)

    with monkeypatch.context() as broken:
        broken.setattr(module_file.Classifier, "training_step", killed_in_epoch_2)
        with pytest.raises(Killed):
            fit(config, tmp_path / "broken" / "runs")
    resumed = fit(config, tmp_path / "broken" / "runs")
    for name in ("training_log.csv", "predictions.csv", "metrics.json"):
        assert (resumed.path / name).read_text() == (whole.path / name).read_text()


@pytest.fixture(scope="module")
def quiet(streamed, tmp_path_factory):
    """The run of `streamed` that nothing disturbed."""
    return fit(streamed, tmp_path_factory.mktemp("quiet") / "runs")


def disturb(monkeypatch, tmp_path, deed):
    """Let the first loader worker of the second epoch do `deed` before it reads."""
    read, marker = stream.ShardStream.__iter__, tmp_path / "disturbed"

    def disturbed(self):
        if self.epoch == 1 and self.training and not marker.exists():
            marker.touch()
            deed()
        return read(self)

    monkeypatch.setattr(stream.ShardStream, "__iter__", disturbed)


def assert_equal(run, quiet):
    for name in ("training_log.csv", "predictions.csv", "metrics.json", "best.safetensors"):
        assert (run.path / name).read_bytes() == (quiet.path / name).read_bytes()


def test_a_killed_loader_worker_is_named_and_the_run_ends_as_if_nothing_had_happened(
    streamed, quiet, tmp_path, monkeypatch, caplog
):
    disturb(monkeypatch, tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert_equal(fit(streamed, tmp_path / "runs"), quiet)
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert re.match(r"DataLoader worker \(pid.*Where memory .* Trying once more, from the last finished epoch", warning)


def test_a_shard_that_comes_back_is_read_and_one_that_is_gone_is_named(streamed, quiet, tmp_path, monkeypatch):
    shards = tmp_path / "shards"
    shutil.copytree(streamed.data_root, shards)
    shard, aside = shards / "train-00000.tar", tmp_path / "aside"
    config = streamed.replace(data_root=str(shards))
    disturb(monkeypatch, tmp_path, lambda: shard.rename(aside))
    with pytest.raises(InputLost, match=r"train-00000\.tar cannot be read"):
        fit(config, tmp_path / "runs")
    assert len(RunStore(tmp_path / "runs").run(config).log) == 1
    aside.rename(shard)
    assert_equal(fit(config, tmp_path / "runs"), quiet)


@pytest.mark.parametrize(("part", "images"), [("train", 48), ("val", 6)])
def test_processes_see_each_image_once(listed, streamed, tmp_path, monkeypatch, part, images):
    """What two processes are given in an epoch, of shards as of images in memory."""
    listed_data = prepare(listed, RunStore(tmp_path / "runs"))
    write_shards(*listed_data[::2], tmp_path / "shards", images_per_shard=3)
    model = build_model(listed, 3)
    for config in (listed, streamed.replace(data_root=str(tmp_path / "shards"))):
        shards = load_images(config)
        seen = []
        for rank in range(2):
            monkeypatch.setattr(trainer, "rank_of", lambda config, rank=rank: rank)
            _, *batches = trainer._setup(config.replace(devices=2), model, shards if config.streams else listed_data)
            batches = list(batches[part == "val"])
            assert part != "train" or {len(batch[1]) for batch in batches} == {4}
            seen += [image.numpy().tobytes() for batch in batches for image in batch[0]]
        assert len(seen) == len(set(seen)) == images


def test_without_test_shards_the_validation_part_is_tested_and_that_is_said(streamed, listed, tmp_path):
    images, _, parts = prepare(listed, RunStore(tmp_path / "runs"))
    write_shards(images, parts.replace("test", "train"), tmp_path / "shards", images_per_shard=4)
    config = streamed.replace(data_root=str(tmp_path / "shards"), loader_workers=3, max_epoch=1)
    run = fit(config, tmp_path / "runs")
    assert run.provenance["tested_on"] == "val"
    assert "the test is on the validation part" in (run.path / "train.log").read_text()
    assert run.predictions["image_id"].tolist() == [*(f"val-00000/{n:06d}" for n in range(3)), *(f"val-00001/{n:06d}" for n in range(3))]  # fmt: skip
    assert run.metrics["test"]["accuracy"] == pytest.approx(run.log["val_accuracy"].iloc[-1], abs=1e-6)


def test_a_run_is_set_aside_when_its_shards_have_changed(listed, streamed, tmp_path, caplog):
    images, _, parts = prepare(listed, RunStore(tmp_path / "runs"))
    config = streamed.replace(data_root=str(tmp_path / "shards"), max_epoch=1)
    for number, fewer in enumerate((parts, parts.mask(parts.index == parts[parts == "train"].index[0], "unused"))):
        write_shards(images, fewer, tmp_path / "shards")
        assert fit(config, tmp_path / "runs").provenance["images"] == 72 - number
        (tmp_path / "shards").rename(tmp_path / f"old-{number}")
    assert "was begun with other data" in caplog.text
    assert fit(config, tmp_path / "runs").finished
    assert "its data are not here" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": "sqrt"}, "sampler='sqrt' needs a list of all images, which shards have not: take sampler='none'"),
        ({"limit_images": 100}, "take limit_images=None"),
        ({"loss_type": "class_balanced"}, "take loss_type='cross_entropy'"),
        ({"loss_type": "logit_adjusted"}, "take loss_type='cross_entropy'"),
        ({"loader_workers": 0}, "loader_workers=0 must be at least 1"),
        (
            {"task": "reid", "attention": "SA", "backbone": "test_vit"},
            "task='reid' needs a list of all images",
        ),
    ],
)
def test_what_a_stream_cannot_do_is_told(change, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig(**{"dataset": "shards", "sampler": "none", **change})


def test_the_split_is_the_shards_own_and_workers_count():
    config = RunConfig(dataset="shards", sampler="none")
    assert config.hash == config.replace(split="image", val_fraction=0.5, split_seed=3).hash
    assert config.hash != config.replace(loader_workers=2).hash
    other = RunConfig(sampler="none")
    assert other.hash == other.replace(loader_workers=2).hash
    assert RunConfig(dataset="shards", sampler="none", data_root="https://host/{train,val}-0.tar").data_root == (
        "https://host/{train,val}-0.tar"
    )


def test_too_few_shards_and_unreadable_images_are_told(streamed, listed, tmp_path):
    with pytest.raises(WorkbookValueError, match="1 shards cannot be dealt to 1 processes with 2 loader workers"):
        fit(streamed.replace(loader_workers=2), tmp_path / "runs")
    images, _, parts = prepare(listed, RunStore(tmp_path / "runs"))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    first = parts[parts == "train"].index[0]
    images.rows.loc[first, "path"] = str(broken)
    write_shards(images, parts, tmp_path / "shards", seed=None)
    config = streamed.replace(data_root=str(tmp_path / "shards"), max_epoch=1)
    with pytest.raises(WorkbookFileError, match=r"train-00000.tar, image '000000': corrupt or truncated"):
        fit(config, tmp_path / "runs")
    run = fit(config.replace(skip_unreadable=True), tmp_path / "runs")
    assert "image '000000': corrupt" in (run.path / "train.log").read_text()
    assert json.loads((run.path / "config.json").read_text())["skip_unreadable"]


def test_lesas_recipe_streams():
    config = profile_config("lesa-imagenet", dataset="shards", data_root="https://host/{train,val}-0.tar")
    assert config.streams
    assert profile_config("smoke", dataset="shards").sampler == "none"
    assert (config.loader_workers, config.lr * 512 / config.batch_size) == (8, pytest.approx(0.05))
    four = profile_config("lesa-imagenet", dataset="shards", devices=4, batch_size=512)
    assert (four.lr, four.batch_size, four.processes) == (pytest.approx(0.05), 512, 4)
    assert profile_config("lesa-imagenet", batch_size=512, lr=0.1).lr == 0.1
