"""Starting weights that ship with the workbook: small networks that were trained on drawn images of other kinds.

`python -m lib.weights` lists them, `python -m lib.weights NAME` trains one anew.
"""

from lib.weights.starting_weights import NO_WEIGHTS, Shipped, export, one_start, shipped, shipped_names, start_from

__all__ = ["NO_WEIGHTS", "Shipped", "export", "one_start", "shipped", "shipped_names", "start_from"]
