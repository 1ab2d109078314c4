"""The folder that is given away: README.md (the card), config.json, model.safetensors, model.onnx, maps.png."""

import logging
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lib.data import DATASETS
from lib.errors import WorkbookError, WorkbookFileError
from lib.evaluation.test_images import select_images
from lib.explain.methods.explain import choose_methods, explain
from lib.file_tree import data_in
from lib.files import from_json, is_free, json_text, make_folder, save_whole, write_text
from lib.publish.licences import licence_of
from lib.publish.model_card import model_card
from lib.publish.onnx_file import TOLERANCE, export_onnx
from lib.report.figures.explanation_figures import methods_side_by_side, worth_a_look
from lib.training import Run, RunStore, prepare
from lib.training.inference import statistics_of

log = logging.getLogger(__name__)
AT_HOME = {"data_root", "device", "loader_workers", "wandb_project", "wandb_run"} | {
    "mlflow_experiment",
    "tensorboard",
}  # of the machine, not of the network


class Embedding(nn.Module):
    """A network for re-identification as a function of images alone: what it is searched by."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, D]"""
        return self.model.embed(images)


def publish(run: Run, folder: Path, licence: str | None = None, onnx: bool = True) -> Path:
    """Write all that is given away of `run` into `folder`, the card last, and return it. A folder that was written so before, or
    that an interrupted publication has begun, is written anew: its config.json tells it, and comes first.

    Maps are left out, and that is logged, where the run's data are not there any more.

    Raises:
        WorkbookFileError: the run is not finished, or `folder` holds something else, such as the run itself.
        WorkbookError: the folder cannot be written, or what `export_onnx` raises.
    """
    if not run.finished:
        raise WorkbookFileError(
            f"The run {run.path.name} is not finished; finish it with fit(config), then publish it."
        )
    _refuse_other(folder)
    model, config = run.model(), published_config(run)
    config |= dict(zip(("mean", "std"), map(list, statistics_of(model)), strict=True))
    make_folder(folder)
    write_text(folder / "config.json", json_text(config))
    for name in ("README.md", "model.onnx", "maps.png"):  # of before, where they are not written now, or not to the end
        (folder / name).unlink(missing_ok=True)
    save_whole(folder / "model.safetensors", lambda scratch: shutil.copyfile(run.path / "best.safetensors", scratch))
    if onnx:
        network = Embedding(model) if run.config.task == "reid" else model
        config["onnx"] = {
            "images": export_onnx(network, run.config.size, folder / "model.onnx"),
            "tolerance": TOLERANCE,
        }
        write_text(folder / "config.json", json_text(config))
    maps = write_maps(run, model, folder / "maps.png")
    licence = licence or licence_of(run.config.dataset, DATASETS[run.config.dataset].built_in)
    write_text(folder / "README.md", model_card(run, config, licence, maps))
    return folder


def _refuse_other(folder: Path) -> None:
    """Raise a WorkbookFileError for a folder in which anything lies that `publish` has not written."""
    if is_free(folder) or (folder.is_dir() and not data_in(folder)):
        return
    try:
        known = {"settings", "build"} <= from_json((folder / "config.json").read_text(encoding="utf-8")).keys()
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise WorkbookFileError(
            f"{folder} holds something else than a published run, whose files would be written over: give a new or an empty "
            "folder (--to)."
        )


def published_config(run: Run) -> dict[str, Any]:
    """What config.json says: the run's settings but those of a machine, its classes, how its images are prepared."""
    settings = {name: value for name, value in run.config.to_dict().items() if name not in AT_HOME}
    classes = list(run.classes)
    return {
        "settings": settings,
        "classes": classes,
        "image_size": list(run.config.size),
        "build": f"build_model(RunConfig.from_dict(config['settings']), {len(classes)}, pretrained=False)",
    }


def write_maps(run: Run, model: nn.Module, path: Path) -> bool:
    """Draw a test image under several methods; False, and a line in the log, where the data are not to be had."""
    try:
        images = select_images(run.config, prepare(run.config, RunStore(run.path.parent)), 1, "classes in turn")
    except WorkbookError as error:
        log.warning("no maps on the card: %s", error)
        return False
    batch, names = images.batch(model), worth_a_look(choose_methods(model))
    maps = {name: explain(model, batch, method=name).numpy() for name in names}
    save_whole(path, lambda scratch: methods_side_by_side(images, maps).savefig(scratch, format="png", dpi=110))
    return True
