"""Explanations and what they are worth: maps of where a network looks, and scores of those maps.

A name is loaded when it is first used: the methods know every model, the scores need only arrays.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "View": "lib.explain.view",
    "explorer_of": "lib.explain.own_maps",
    "explore": "lib.explain.explorer",
    "compare_maps": "lib.explain.comparison",
    "browse_runs": "lib.explain.run_browser",
    "FLOORS": "lib.explain.methods",
    "METHODS": "lib.explain.methods",
    "Method": "lib.explain.methods",
    "SCORES": "lib.explain.scores",
    "agreement": "lib.explain.similarity",
    "deletion": "lib.explain.perturbation",
    "explain": "lib.explain.methods",
    "insertion": "lib.explain.perturbation",
    "league_table": "lib.explain.league",
    "methods_of": "lib.explain.methods",
    "randomisation_check": "lib.explain.randomisation",
    "road": "lib.explain.remove_and_debias",
    "score_maps": "lib.explain.scores",
}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'lib.explain' has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
