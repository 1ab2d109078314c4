"""A finished run as a folder for the Hub: a card that a reader can act on, weights that load, an ONNX file that agrees."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lib.errors import WorkbookError, WorkbookFileError
from lib.publish import onnx_file
from lib.publish.__main__ import main
from lib.publish.folder import publish
from lib.publish.licences import licence_of
from lib.training import RunConfig, RunStore
from lib.training.build_model import build_model


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """What the command writes of a finished run."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    target = tmp_path_factory.mktemp("published")
    assert main([str(finished.path), "--to", str(target)]) == 0
    return target


def test_the_card_tells_metrics_with_intervals_data_licence_and_where_it_is_from(finished, folder):
    card = (folder / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "cc-by-nc-4.0"  # HAM10000's
    results = {each["type"]: each["value"] for each in head["model-index"][0]["results"][0]["metrics"]}
    assert results == finished.metrics["test"]
    low, high = finished.metrics["intervals"]["accuracy"]
    assert f"| accuracy | {results['accuracy']:.3f} | [{low:.3f}, {high:.3f}] |" in card
    for told in (finished.provenance["commit"][:7], finished.provenance["data_fingerprint"], "![A test image", "onnx"):
        assert told in card


def test_no_path_of_the_machine_is_given_away(finished, folder):
    told = (folder / "README.md").read_text() + (folder / "config.json").read_text()
    assert finished.config.data_root not in told


def test_the_weights_are_those_of_the_config(finished, folder):
    config = json.loads((folder / "config.json").read_text())
    model = build_model(RunConfig.from_dict(config["settings"]), len(config["classes"]), pretrained=False)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    images = torch.randn(2, 3, *config["image_size"])
    assert torch.equal(model.eval()(images), finished.model()(images))


def test_the_onnx_file_answers_as_the_network_for_any_number_of_images(finished, folder):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert json.loads((folder / "config.json").read_text())["onnx"] == {"images": None, "tolerance": 1e-4}
    for number in (1, 5):
        images = torch.randn(number, 3, *finished.config.size)
        with torch.no_grad():
            wanted = finished.model()(images).numpy()
        assert np.allclose(session.run(None, {"images": images.numpy()})[0], wanted, rtol=1e-4, atol=1e-5)


def test_an_onnx_file_that_answers_otherwise_is_refused(finished, folder):
    model = finished.model()
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    with pytest.raises(WorkbookError, match="answers otherwise than the network"):
        onnx_file.check_onnx(model, torch.randn(2, 3, *finished.config.size), folder / "model.onnx")


def test_a_package_that_is_missing_is_named_before_anything_is_exported(finished, monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_file, "NEEDED", ("onnx_of_nobody",))
    with pytest.raises(WorkbookError, match=r"onnx_of_nobody: pip install -e '\.\[publish\]'"):
        publish(finished, tmp_path)


def test_a_run_that_is_not_finished_is_not_published(tiny, tmp_path):
    with pytest.raises(WorkbookFileError, match=r"fit\(config\)"):
        publish(RunStore(tmp_path).run(tiny), tmp_path / "published")
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize(
    ("dataset", "built_in", "licence"),
    [("phantom-lesions", True, "mit"), ("oxford-iiit-pet", False, "cc-by-sa-4.0"), ("imagefolder", False, "other")],
)
def test_a_licence_follows_the_data(dataset, built_in, licence):
    assert licence_of(dataset, built_in) == licence


def test_nothing_is_written_over_but_what_was_published(finished, folder, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine")
    (tmp_path / "file").touch()
    before = {path: path.read_bytes() for path in sorted(finished.path.iterdir())}
    for place in (finished.path, tmp_path / "notes", tmp_path / "file"):
        with pytest.raises(
            WorkbookFileError, match="holds something else than a published run.*new or an empty folder"
        ):
            publish(finished, place, onnx=False)
    assert before == {path: path.read_bytes() for path in sorted(finished.path.iterdir())}
    assert (tmp_path / "notes" / "README.md").read_text() == "mine"


def test_an_interrupted_publication_is_begun_anew(finished, tmp_path, monkeypatch):
    def stopped(*given):
        raise KeyboardInterrupt

    place = tmp_path / "published"
    monkeypatch.setattr("lib.publish.folder.write_maps", lambda *given: False)
    for step in ("save_whole", "model_card"):
        with monkeypatch.context() as patched:
            patched.setattr(f"lib.publish.folder.{step}", stopped)
            with pytest.raises(KeyboardInterrupt):
                publish(finished, place, onnx=False)
        assert not (place / "README.md").exists()
    publish(finished, place, onnx=False)
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_a_published_folder_is_written_anew_with_nothing_of_before(finished, folder, tmp_path, monkeypatch):
    again = shutil.copytree(folder, tmp_path / "again")
    (again / "LICENSE").write_text("somebody's own")
    monkeypatch.setattr("lib.publish.folder.write_maps", lambda *given: False)
    publish(finished, again, onnx=False)
    assert sorted(path.name for path in again.iterdir()) == ["LICENSE", "README.md", "config.json", "model.safetensors"]
