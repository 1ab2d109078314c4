"""`python -m lib.evaluate RUN|CHECKPOINT`: what a run or a network reached, on its own test part or elsewhere."""

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from lib import create_model
from lib.data import load_dataset
from lib.errors import WorkbookError, WorkbookFileError
from lib.evaluate import main
from lib.evaluation.checkpoints import centre_crop, top_metrics
from lib.train import test_lines as lines_of

SYNSETS = [f"n{number:08d}" for number in (3, 1, 2, 9, 8, 7)]


def shown(arguments, capsys):
    assert main([str(word) for word in arguments]) == 0
    return capsys.readouterr().out


def value(text, metric):
    return float(next(line for line in text.splitlines() if f"test {metric} " in line).split()[2])


def test_a_run_is_told_with_its_intervals(finished, capsys):
    text = shown([finished.path], capsys)
    low, high = finished.metrics["intervals"]["accuracy"]
    assert text.startswith(f"{finished.path.name} on HAM10000\n")
    assert f"{finished.metrics['test']['accuracy']:.3f}  [{low:.3f}, {high:.3f}]" in text
    best = np.sort(finished.probabilities, axis=1)[:, -5]
    of_true = finished.probabilities[np.arange(len(best)), finished.labels]
    assert value(text, "top5") == pytest.approx(np.mean(of_true >= best), abs=5e-4)


def test_on_its_own_images_nothing_is_left_to_test(finished, shared_ham, capsys):
    text = shown([finished.path, "--dataset", "HAM10000", "--data-root", shared_ham], capsys)
    assert "test images, the others seen in training" in text


def test_another_data_set_needs_classes_of_the_run(finished):
    with pytest.raises(WorkbookError, match="classes are among the run's"):
        main([str(finished.path), "--dataset", "digits"])


def test_what_no_image_tells_is_a_dash():
    metrics = {"test": {"auroc": math.nan}, "intervals": {"auroc": [math.nan, math.nan]}}
    assert lines_of(metrics) == [f"  test {'auroc':<20} –  [–, –]"]


@pytest.fixture(scope="module")
def validation(tmp_path_factory):
    """Twelve photographs as ImageNet's archive has them, all in one folder, beside a list of their synsets and of all."""
    root = tmp_path_factory.mktemp("ILSVRC")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(1, 13):
        pixels = rng.integers(0, 255, (50, 60 + number, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"ILSVRC2012_val_{number:08d}.JPEG")
    (root / "imagenet_2012_validation_synset_labels.txt").write_text("\n".join([*SYNSETS, *SYNSETS]))
    (root / "synset_words.txt").write_text("\n".join(f"{synset} some, words" for synset in [*SYNSETS, "n00000005"]))
    return root


def test_the_official_validation_images_have_their_synsets(validation, tmp_path):
    images = load_dataset("ImageNet-val", validation)
    assert images.classes == tuple(sorted([*SYNSETS, "n00000005"]))
    assert [images.classes[label] for label in images.rows["label"]] == [*SYNSETS, *SYNSETS]
    (tmp_path / "val").mkdir()
    for synset, path in zip(SYNSETS, images.rows["path"], strict=False):
        (tmp_path / "val" / synset).mkdir()
        shutil.copy(path, tmp_path / "val" / synset)
    folders = load_dataset("ImageNet-val", tmp_path)
    assert folders.classes == tuple(sorted(SYNSETS))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkbookError, match="no class folders named by synsets"):
        load_dataset("ImageNet-val", tmp_path / "empty")


def test_a_checkpoint_is_tested_as_imagenets_networks_are(validation, tmp_path, capsys):
    """Of another shape than the network sees, through the official code's wrapping, held against torchvision's transforms."""
    torch.manual_seed(0)
    model = create_model("toynet", num_classes=7, attn_type="none").eval()
    saved = {"net": {f"module.{name}": tensor for name, tensor in model.state_dict().items()}, "epoch": 3}
    (tmp_path / "results" / "toy").mkdir(parents=True)
    torch.save(saved, tmp_path / "results" / "toy" / "checkpoint.pth")
    flags = ["--model", "toynet", "--data_root", validation, "--image_size", 32, "--test"]
    text = shown([tmp_path / "results", *flags], capsys)
    usual = transforms.Compose([
        transforms.Resize(37), transforms.CenterCrop(32), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    images = load_dataset("ImageNet-val", validation)
    with torch.no_grad():
        batch = torch.stack([usual(Image.open(path)) for path in images.rows["path"]])
        order = model(batch).argsort(dim=1, descending=True)
    labels = torch.tensor(images.rows["label"].to_numpy())[:, None]
    assert value(text, "top1") == pytest.approx((order[:, :1] == labels).any(dim=1).float().mean().item(), abs=5e-4)
    assert value(text, "top5") == pytest.approx((order[:, :5] == labels).any(dim=1).float().mean().item(), abs=5e-4)
    assert f"recall_{SYNSETS[0]}" in text
    with pytest.raises(WorkbookError, match="does not say of which network it is"):
        main([str(tmp_path / "results"), "--data_root", str(validation)])


def test_the_middle_is_cut_out(validation):
    image = Image.open(validation / "images" / "ILSVRC2012_val_00000001.JPEG")
    ours = centre_crop(image.filename, (224, 224))
    theirs = transforms.CenterCrop(224)(transforms.Resize(256)(image))
    assert np.array_equal(ours, np.asarray(theirs))


def test_intervals_hold_their_values():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.random((60, 8)), np.arange(60) % 6
    samples = top_metrics(probabilities, labels, dict(enumerate("abcdefgh")), np.arange(60))
    assert samples["top5"][0] == np.mean(
        [label in row.argsort()[-5:] for row, label in zip(probabilities, labels, strict=True)]
    )
    assert samples["balanced_accuracy"][0] == pytest.approx(np.mean([samples[f"recall_{c}"][0] for c in "abcdef"]))
    assert "recall_g" not in samples


def test_a_folder_without_a_checkpoint_is_told_before_its_images_are_looked_for(tmp_path):
    with pytest.raises(WorkbookFileError, match="holds 0 checkpoints that may be meant"):
        main([str(tmp_path)])
