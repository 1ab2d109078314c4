"""The trackers themselves, each by Lightning's logger for it: where it is, what it is told at the end, how it is closed.

Keys come from the environment (`WANDB_API_KEY`, MLflow's own) and are written nowhere.
"""

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path

from lib.errors import WorkbookError
from lib.training.config import RunConfig
from lib.training.trackers.tracked_runs import numbers, settings_of

log = logging.getLogger(__name__)

ANSWER_S = 5.0  # without an answer from Weights & Biases, and a run is recorded offline
UPLOAD_S = 60.0  # that the end of a run waits for what it has not got yet


class Destination:
    """One tracker, open for one run in `folder`; `logger` is Lightning's."""

    setting, package, extra = "", "", ""  # that asks for it; what it needs; what brings that

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        if find_spec(self.package) is None:
            raise WorkbookError(
                f"{self.setting} is set but {self.package} is not installed: pip install -e '.[{self.extra}]', or leave "
                f"{self.setting} out."
            )
        self.logger = self.open()

    def open(self):  # -> pytorch_lightning.loggers.Logger, which takes seconds to import
        """Begin a run there, with its settings."""
        raise NotImplementedError

    def epoch(self, row: Mapping[str, float]) -> None:
        """A line of the log."""
        self.logger.log_metrics(numbers(row), step=int(row["epoch"]))

    def conclude(self, best: Mapping[str, float], facts: Mapping[str, float]) -> None:
        """The best epoch's line, and what is known of the finished run."""
        self.logger.log_metrics(
            {f"best_{name}": value for name, value in best.items()} | facts, step=int(best["epoch"])
        )

    def close(self, finished: bool) -> None:
        """End the run there, as `finished` or as failed."""
        self.logger.finalize("success" if finished else "failed")


class WeightsAndBiases(Destination):
    """A project at Weights & Biases; without WANDB_API_KEY, or without an answer, recorded offline, for `wandb sync`."""

    setting, package, extra = "wandb_project", "wandb", "wandb"

    def open(self):
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        given = {"project": project_of(self.config), "name": self.config.wandb_name, "save_dir": self.folder}
        given["config"] = settings_of(self.config)
        if os.environ.get("WANDB_API_KEY"):
            try:
                _ask(wandb.setup().settings.base_url)
                logger = WandbLogger(**given, settings=wandb.Settings(init_timeout=ANSWER_S, finish_timeout=UPLOAD_S))
                _ = logger.experiment  # asks the server for the run
                return logger
            except (OSError, HTTPException, wandb.Error) as error:
                reason = " ".join(str(getattr(error, "reason", error)).split())
                log.warning(
                    "Weights & Biases does not answer (%s): this run is recorded offline in %s, and `wandb sync` sends it later",
                    reason,
                    self.folder / "wandb",
                )
        else:
            log.info("WANDB_API_KEY is not set: Weights & Biases records offline in %s", self.folder / "wandb")
        return WandbLogger(
            **given, mode="offline"
        )  # Lightning's `offline` would hold for all further runs of this process

    def conclude(self, best: Mapping[str, float], facts: Mapping[str, float]) -> None:
        self.logger.experiment.summary.update(dict(best) | dict(facts))  # else it were the last epoch's

    def close(self, finished: bool) -> None:
        import wandb

        wandb.finish(exit_code=0 if finished else 1)  # else the next run of this process would log into this one


class MLflow(Destination):
    """An experiment of MLflow, at MLFLOW_TRACKING_URI, else in `mlflow.db` beside the store of runs."""

    setting, package, extra = "mlflow_experiment", "mlflow", "mlflow"

    def open(self):
        for name in (
            "mlflow",
            "pytorch_lightning.loggers.mlflow",
        ):  # which tell of tables and experiments that they make
            logging.getLogger(name).setLevel(logging.ERROR)
        from pytorch_lightning.loggers import MLFlowLogger

        beside = self.folder.resolve().parent.parent / "mlflow.db"
        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside}"
        logger = MLFlowLogger(experiment_of(self.config), self.config.wandb_name, tracking_uri=place)
        logger.log_hyperparams(settings_of(self.config))
        return logger


class TensorBoard(Destination):
    """Event files in the run's folder, for `tensorboard --logdir outputs/runs`."""

    setting, package, extra = "tensorboard", "tensorboard", "tensorboard"

    def open(self):
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(self.folder, name="tensorboard", version="", default_hp_metric=False)

    def conclude(self, best: Mapping[str, float], facts: Mapping[str, float]) -> None:
        super().conclude(best, facts)
        told = {f"best_{name}": value for name, value in best.items() if name.startswith("val_")}
        told |= {name: value for name, value in facts.items() if name.startswith("test_")}
        self.logger.log_hyperparams(settings_of(self.config), told)  # a table of all runs


def _ask(url: str) -> None:
    """Raise an OSError if nothing answers at `url`: wandb itself would go on asking for minutes."""
    try:
        urllib.request.urlopen(url, timeout=ANSWER_S).close()
    except urllib.error.HTTPError as answer:
        answer.close()  # a page that is not there is an answer, too


def destinations(config: RunConfig) -> dict[str, type[Destination]]:
    """{what a run's `tracked.json` says where it was told: the tracker}, of those that are asked for."""
    project, experiment = project_of(config), experiment_of(config)
    wanted = {
        f"wandb {project}/{config.wandb_name}": (WeightsAndBiases, project),
        f"mlflow {experiment}/{config.wandb_name}": (MLflow, experiment),
        "tensorboard": (TensorBoard, config.tensorboard),
    }
    return {place: kind for place, (kind, asked) in wanted.items() if asked}


def project_of(config: RunConfig) -> str | None:
    """At Weights & Biases: the setting's, or the environment's, so that every notebook and sweep is told as well."""
    return config.wandb_project or os.environ.get("WANDB_PROJECT")


def experiment_of(config: RunConfig) -> str | None:
    """Of MLflow, likewise."""
    return config.mlflow_experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME")
