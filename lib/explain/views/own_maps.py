"""What a network shows of itself (`lib.mapped`) of one image: which maps there are, and any one of them."""

from typing import Any

import numpy as np
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.explain.views.explorer_maps import shown_over_positions, title_of
from lib.mapped import CLASS_TOKEN, Map, Query

OF_CLASS_TOKEN, OF_PATCH = " of the class token", " of a patch"


def own_kinds(model: nn.Module, image: Tensor) -> dict[str, list[dict[str, Any]]]:
    """By kind of map its layers, [{name, heads, queries: [rows, columns] or None}], of images like `image` [1, 3, H, W]."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for shown in shown_over_positions(model, image):
        info, title = shown.info, title_of(shown.info)
        heads = shown.shape[1] if info.along == "heads" else 1
        of_class_token = info.query == CLASS_TOKEN and info.queries is not None
        if of_class_token:
            kinds.setdefault(title + OF_CLASS_TOKEN, []).append({"name": info.layer, "heads": heads, "queries": None})
        for layer in _layers(shown):
            kinds.setdefault(title + OF_PATCH * of_class_token, []).append(
                {"name": layer, "heads": heads, "queries": info.queries and [*info.queries]}
            )
    return kinds


def own_map(model: nn.Module, image: Tensor, kind: str, layer: str, head: int = 0, at: Query = None) -> np.ndarray:
    """[h, w]: the map `kind` of `layer`; head 0 is the mean of all heads, `at` is whose attention is shown. Of `Every`
    position [rows, columns, h, w].

    Raises:
        WorkbookValueError: the network shows no such map.
    """
    suffix = OF_CLASS_TOKEN if at is None else OF_PATCH
    for shown in shown_over_positions(model, image, at):
        layers = _layers(shown)
        if kind.removesuffix(suffix) == title_of(shown.info) and layer in layers:
            heads = layers[layer]  # [1, h, w], or [1, heads or channels, h, w]; of every position two axes more
            plane = heads if heads.ndim % 2 else heads[:, head - 1] if head else heads.mean(1)
            return plane.float().cpu().numpy()[0]
    raise WorkbookValueError(f"{type(model).__name__} has no map {kind!r} of {layer or 'any layer'}: choose another.")


def _layers(shown: Map) -> dict[str, Tensor]:
    """The map by layer; of several passes one each."""
    if shown.info.along != "passes":
        return {shown.info.layer: shown.detach()}
    return {f"{shown.info.layer}, pass {n}": values for n, values in enumerate(shown.unbind(1), 2)}
