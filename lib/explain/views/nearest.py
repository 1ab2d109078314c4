"""What a network that searches for identities finds: the nearest images of the gallery."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from lib.explain.views.live import PART, Answer
from lib.explain.views.networks import MOST_LOADED, Networks
from lib.explain.views.pictures import Pictures
from lib.explain.views.view import as_webp
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import rankings
from lib.training.identities import embedded
from lib.training.inference import decoded_size, embeddings, mirrored_embeddings, predict_rows

FOUND = 6  # images that are shown
BLOCK = 64  # gallery images that are embedded at once
NO_CAMERA = -1  # that took none of the gallery's images


class Nearest:
    """Finds images in the gallery of a set, by the rules of the test (`lib.retrieval.ranking`) but for its re-ranking; in all
    of a set that has no gallery, where those of the same class are right."""

    def __init__(self, networks: Networks, pictures: Pictures) -> None:
        self.networks, self.pictures = networks, pictures
        self.by_identity = pictures.images.is_reid
        rows = self._identified(pictures.images.rows)
        in_gallery = rows["part"] == "gallery"
        self.gallery = rows[in_gallery] if in_gallery.any() else rows
        self.vector = lru_cache(64)(self._vector)
        self._blocks = lru_cache(MOST_LOADED)(lambda network: [])  # of the gallery as it sees it, those that are done

    def find(self, image: str, network: str) -> Iterator[Answer]:
        """The nearest images to `image`, each with whether it is right (None: nobody knows); before, how much of the gallery
        has been looked at, which is done once."""
        blocks, count = self._blocks(network), len(self.gallery)
        while (seen := len(blocks) * BLOCK) < count:
            yield {"images": [], "seen": seen, "of": count, PART: True}, b""
            blocks.append(self._embed(network, self.gallery.iloc[seen : seen + BLOCK]))
        others = np.flatnonzero(self.gallery["image_id"] != image)
        gallery = embedded(np.concatenate(blocks)[others], self.gallery.iloc[others])
        query = self._query(image, network)
        ranking = rankings(query, gallery, [0], FOUND, self.networks[network].config.distance)[0]
        known = query.identities[0] != self._nobody
        found = [
            self._told(others[place], distance, bool(right) if known else None)
            for place, right, distance in zip(ranking.gallery, ranking.right, ranking.distances, strict=True)
        ]
        yield {"images": found, "seen": count, "of": count}, b""

    def similarity(self, image: str, other: str, network: str) -> float:
        """The cosine of the angle between what the network makes of two images, from −1 to 1."""
        one, two = (self.vector(each, network) for each in (image, other))
        return float(one @ two / max(np.linalg.norm(one) * np.linalg.norm(two), 1e-12))

    def _told(self, place: int, distance: float, right: bool | None) -> dict[str, Any]:
        row = self.gallery.iloc[place]
        name = f"{row['image_id']}: {self.pictures.images.classes[row['label']]}, at {distance:.2g}"
        src = as_webp(Image.fromarray(self.pictures.thumbnail(row["image_id"])))
        return {"id": row["image_id"], "name": name, "src": src, "right": right}

    def _identified(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows if self.by_identity else rows.assign(identity=rows["label"] + 1)

    @property
    def _nobody(self) -> int:
        """An identity that the gallery does not have."""
        return int(self.gallery["identity"].max()) + 1

    def _query(self, image: str, network: str) -> Embedded:
        """The image as a query; where nobody knows who is on it, of nobody."""
        row = self._identified(self.pictures.set_of(image).rows).iloc[0]
        identity = row["identity"] if row["identity"] > 0 else self._nobody
        camera = row["camera"] if self.by_identity and row["identity"] > 0 else NO_CAMERA
        return Embedded(self.vector(image, network)[None], np.array([identity]), np.array([camera]))

    def _vector(self, image: str, network: str) -> np.ndarray:
        """[D]"""
        seen = self.pictures.one(image, self.networks[network].config)
        return self._predicted(network, seen.stored, seen.rows)[0]

    def _embed(self, network: str, rows: pd.DataFrame) -> np.ndarray:
        """[len(rows), D]"""
        size, images = decoded_size(self.networks[network].config), self.pictures.images
        pixels = np.stack([images.decode(row, size) for row in rows.itertuples()])
        return self._predicted(network, pixels, np.arange(len(rows)))

    def _predicted(self, network: str, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        config = self.networks[network].config
        output = mirrored_embeddings if config.flip_test else embeddings
        return predict_rows(self.networks.model(network), config, pixels, rows, output)
