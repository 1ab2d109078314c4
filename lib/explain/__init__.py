"""Explanations and what they are worth: maps of where a network looks, and scores of those maps.

A name is loaded when it is first used: the methods know every model, the scores need only arrays.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "View": "lib.explain.views.view",
    "explorer_of": "lib.explain.views.explorer_maps",
    "explore": "lib.explain.views.explorer",
    "explore_networks": "lib.explain.views.live_explorer",
    "choose_methods": "lib.explain.methods.explain",
    "choose_scores": "lib.explain.scores.score_maps",
    "forget": "lib.explain.scores.parameter_randomisation",
    "compare_networks": "lib.explain.views.live_comparison",
    "compare_maps": "lib.explain.views.map_comparison",
    "browse_runs": "lib.explain.views.run_browser",
    "map_figure": "lib.explain.views.view_figures",
    "REFERENCE_MAPS": "lib.explain.methods.explain",
    "Classes": "lib.explain.methods.target_objects",
    "DetectedBox": "lib.explain.methods.target_objects",
    "DetectedMask": "lib.explain.methods.target_objects",
    "Similarity": "lib.explain.methods.target_objects",
    "METHODS": "lib.explain.methods.explain",
    "Method": "lib.explain.methods.explain",
    "SCORES": "lib.explain.scores.score_maps",
    "agreement": "lib.explain.scores.map_similarity",
    "deletion": "lib.explain.scores.deletion_insertion",
    "entropy": "lib.explain.scores.complexity",
    "explain": "lib.explain.methods.explain",
    "infidelity": "lib.explain.scores.infidelity",
    "insertion": "lib.explain.scores.deletion_insertion",
    "leaderboard": "lib.explain.scores.leaderboard",
    "local_lipschitz": "lib.explain.scores.robustness",
    "max_sensitivity": "lib.explain.scores.robustness",
    "methods_of": "lib.explain.methods.explain",
    "rank_methods": "lib.explain.scores.method_ranks",
    "random_logit": "lib.explain.scores.random_logit",
    "randomisation_check": "lib.explain.scores.parameter_randomisation",
    "road": "lib.explain.scores.road",
    "score_maps": "lib.explain.scores.score_maps",
    "sparseness": "lib.explain.scores.complexity",
}
FORMER = {"league_table": "leaderboard", "FLOORS": "REFERENCE_MAPS"}  # names in the first notebooks of users
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    name = FORMER.get(name, name)
    if name not in HOMES:
        raise AttributeError(f"module 'lib.explain' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
