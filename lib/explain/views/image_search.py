"""Images of a set found by id, by class, and by what a network answered in its test."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from lib.errors import WorkbookFileError
from lib.explain.views.live import Answer
from lib.explain.views.networks import Networks
from lib.explain.views.pictures import THUMBNAIL, Pictures
from lib.explain.views.view import as_webp
from lib.training import Run

PAGE = 24  # images that a search shows at once
Step = Callable[[pd.DataFrame], pd.DataFrame]
# By what a network answered; images of which that is not known are in the first alone.
ANSWERED: Mapping[str, Step] = {
    "all": lambda table: table,
    "right": lambda table: table[table["right"] == 1],
    "wrong": lambda table: table[table["right"] == 0],
}
ORDERS: Mapping[str, Step] = {
    "as stored": lambda table: table,
    "least sure first": lambda table: table.sort_values("confidence", kind="stable"),
    "surest first": lambda table: table.sort_values("confidence", ascending=False, kind="stable"),
}


class ImageSearch:
    """Pages of images, with thumbnails; what a network answered is read from its run, not computed."""

    def __init__(self, networks: Networks, pictures: Pictures) -> None:
        self.networks, self.pictures = networks, pictures
        self.tested = lru_cache(4)(self._tested)

    def find(
        self,
        network: str,
        text: str = "",
        label: str = "",
        answered: str = "all",
        order: str = "as stored",
        start: int = 0,
    ) -> Iterator[Answer]:
        """A page of the images whose id or class holds `text`, of the class `label`, that the network answered so."""
        table = ORDERS[order](ANSWERED[answered](self.tested(network)))
        if label:
            table = table[table["truth"] == label]
        if text:
            words = table["image"].str.cat(table["truth"], " ").str.casefold()
            table = table[words.str.contains(text.casefold(), regex=False)]
        page = table.iloc[start : start + PAGE]
        images = [
            {"id": row.image, "name": _title(row), "src": self._thumbnail(row.image)} for row in page.itertuples()
        ]
        yield {"count": len(table), "start": start, "images": images}, b""

    def _thumbnail(self, image: str) -> str:
        """A data URI; grey where the file cannot be read, which is told when it is chosen."""
        try:
            return as_webp(Image.fromarray(self.pictures.thumbnail(image)))
        except WorkbookFileError:
            return as_webp(Image.new("RGB", (THUMBNAIL, THUMBNAIL), "grey"))

    def _tested(self, network: str) -> pd.DataFrame:
        """A row an image of the set: image, truth (its class); and where the run was tested on it, whether it was right (a
        query: at once), what was answered, and confidence (of a query: its average precision)."""
        rows, classes = self.pictures.images.rows, np.array([*self.pictures.images.classes, ""], dtype=object)
        table = pd.DataFrame({"image": rows["image_id"].to_numpy(), "truth": classes[rows["label"].to_numpy()]})
        try:
            answers = (_searched if self.networks.searches(network) else _classified)(self.networks[network])
        except WorkbookFileError:
            return table.assign(right=np.nan, answer=None, confidence=np.nan)
        return table.merge(answers, how="left", on="image")


def _classified(run: Run) -> pd.DataFrame:
    tested = run.predictions
    right, sure = (tested["label"] == tested["prediction"]).astype(float), pd.Series(run.probabilities.max(axis=1))
    answer = tested["prediction"] + sure.map(" ({:.0%})".format)
    return pd.DataFrame({"image": tested["image_id"], "right": right, "answer": answer, "confidence": sure})


def _searched(run: Run) -> pd.DataFrame:
    tested = run.retrieval.matched
    right, sure = (tested["first_match"] == 1).astype(float), tested["average_precision"]
    answer = "average precision " + sure.map("{:.2f}".format)
    return pd.DataFrame({"image": tested["image_id"], "right": right, "answer": answer, "confidence": sure})


def _title(row: Any) -> str:
    answer = f" → {row.answer}" if isinstance(row.answer, str) else ""
    return f"{row.image}: {row.truth}{answer}"
