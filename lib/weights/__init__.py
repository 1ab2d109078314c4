"""Starting weights: of anybody's file, of the Hub, of another run, or of those that ship.

Those that ship are small networks that were trained on drawn images of other kinds: `python -m lib.weights` lists them,
`python -m lib.weights NAME` trains one anew.
"""

from lib.weights.shipped_files import NO_WEIGHTS, Shipped, export, shipped, shipped_names
from lib.weights.sources import known_start, start_digest
from lib.weights.starting_weights import one_start, start_from

__all__ = [
    "NO_WEIGHTS",
    "Shipped",
    "export",
    "known_start",
    "one_start",
    "shipped",
    "shipped_names",
    "start_digest",
    "start_from",
]
