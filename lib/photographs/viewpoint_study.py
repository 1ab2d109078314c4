"""How much an answer, and a map, depend on the viewpoint from which a photograph is shown."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from lib.explain.scores.map_similarity import rank_correlation
from lib.photographs.photographs import Photographs
from lib.photographs.viewpoints import VIEWPOINTS


def answers_from(photographs: Photographs, probabilities: np.ndarray) -> pd.DataFrame:
    """A row a photograph and viewpoint: `photograph`, `viewpoint`, `probability` of the class that is answered as the
    photograph is usually shown, and whether it is the answer from there, too (`same`).

    Args:
        photographs: of each the view "as shown", and others.
        probabilities: [N, K], in their order.
    """
    usual = {
        name: row.argmax()
        for name, viewpoint, row in zip(photographs.names, photographs.viewpoints, probabilities, strict=True)
        if viewpoint == "as shown"
    }
    rows = [
        {
            "photograph": name,
            "viewpoint": viewpoint,
            "probability": row[usual[name]],
            "same": row.argmax() == usual[name],
        }
        for name, viewpoint, row in zip(photographs.names, photographs.viewpoints, probabilities, strict=True)
    ]
    return pd.DataFrame(rows)


def moved_maps(photographs: Photographs, maps: Mapping[str, Tensor]) -> pd.DataFrame:
    """Rank correlation of each view's map with that of the usual view, on the pixels that both show: a row a photograph,
    other viewpoint and `method`, NaN where one of the two is even. 1: the map moves with the picture.

    Args:
        photographs: of each the view "as shown", and others.
        maps: [N, h, w] by method, in their order.
    """
    usual = {name: i for i, name in enumerate(photographs.names) if photographs.viewpoints[i] == "as shown"}
    rows = []
    for i, (name, viewpoint) in enumerate(zip(photographs.names, photographs.viewpoints, strict=True)):
        if viewpoint == "as shown":
            continue
        seen, whole = VIEWPOINTS[viewpoint], photographs.whole[i].shape[:2]
        for method, of_method in maps.items():
            pair = seen.shared(of_method[usual[name]], of_method[i], whole)
            alike = rank_correlation(*(part[None] for part in pair))[0]
            rows.append({"photograph": name, "viewpoint": viewpoint, "method": method, "correlation": alike})
    return pd.DataFrame(rows, columns=["photograph", "viewpoint", "method", "correlation"])


def steadiness(moved: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Mean, least and greatest correlation of each method over photographs and viewpoints (`moved_maps`)."""
    return moved.groupby("method")["correlation"].agg(["mean", "min", "max"]).reindex(list(methods))
