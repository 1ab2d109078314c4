"""What a claim's networks are to be seen against: chance, and readers that cannot know what the claim is about."""

from lib.claims.trial import Trial
from lib.evaluation.classification_baselines import linear_probe
from lib.evaluation.retrieval_baselines import pixel_scores
from lib.retrieval.ranking import RETRIEVAL_METRICS
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
