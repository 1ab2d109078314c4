"""What a claim's networks are to be seen against: the images of its task, chance, and readers that cannot know what the
claim is about."""

from collections.abc import Sequence

from lib.claims.trial import Trial
from lib.evaluation.classification_baselines import linear_probe
from lib.evaluation.retrieval_baselines import pixel_scores
from lib.evaluation.test_images import TestImages, select_images
from lib.retrieval.ranking import RETRIEVAL_METRICS
from lib.training.config import RunConfig
from lib.training.store import RunStore
from lib.training.training_data import prepare


def reference_scores(trial: Trial, store: RunStore) -> dict[str, float]:
    """Scores in the claim's measure by name, fractions: chance and a linear probe of classification, raw pixels of
    retrieval. None where the claim has a measure of its own, or was not tried."""
    if not trial.levels:
        return {}
    config, metric = trial.arms[0][0].config, trial.claim.measure
    prepared = prepare(config, store)
    if metric in RETRIEVAL_METRICS:
        return {"raw pixels": pixel_scores(*prepared).metrics([metric])[metric]}
    return {"chance": 1 / len(prepared.images.classes), "linear probe": linear_probe(prepared)[metric]}


def task_images(trials: Sequence[Trial], store: RunStore, count: int = 6) -> dict[str, TestImages]:
    """Test images of each data set that was tried on, classes in turn; of re-identification, queries person by person."""
    configs = {trial.task: trial.arms[0][0].config for trial in trials if trial.arms}
    return {name: _images(config, store, count) for name, config in configs.items()}


def _images(config: RunConfig, store: RunStore, count: int) -> TestImages:
    prepared = prepare(config, store)
    if config.task != "reid":
        return select_images(config, prepared, count, "classes in turn")
    queries = prepared.images.rows[prepared.parts.to_numpy() == "query"].sort_values(["identity", "camera"])
    return select_images(config, prepared, ids=queries["image_id"].head(count).tolist())
