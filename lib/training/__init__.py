"""Training: configs, the store of runs, and `fit`. Knows data and models."""

from lib.training.config import RunConfig
from lib.training.fitting import fit, fit_all
from lib.training.profiles import PROFILES, config_of, profile_config
from lib.training.store import Run, RunStore
from lib.training.training_data import prepare

__all__ = ["PROFILES", "Run", "RunConfig", "RunStore", "config_of", "fit", "fit_all", "prepare", "profile_config"]
