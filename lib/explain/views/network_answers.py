"""What a person asks of networks and images, answered: see `NetworkAnswers`."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from lib.errors import WorkbookFileError, WorkbookValueError, choose
from lib.evaluation.test_images import TestImages
from lib.explain.methods.explain import REFERENCE_MAPS, explain, methods_of
from lib.explain.views.live import Answer, Wish
from lib.explain.views.networks import Networks
from lib.explain.views.own_maps import own_kinds, own_map
from lib.explain.views.packing import SHOWN, Packed
from lib.explain.views.pictures import Pictures
from lib.explain.views.view import as_webp
from lib.mapped import At
from lib.training.inference import network_input

LASTING = ("network", "image", "map")  # kinds of wishes whose answers stay true
WHOLE = {"name": "", "heads": 1, "queries": None}  # the layer of a method that knows none
PAGE = 24  # images that a search shows at once
BEST = 5  # classes with the greatest probability
ANSWERED = {  # by what a network answered; the images of which that is not known are in the first alone
    "all": lambda table: table,
    "right": lambda table: table[table["answer"] == table["truth"]],
    "wrong": lambda table: table[table["answer"].notna() & (table["answer"] != table["truth"])],
}
ORDERS = {
    "as stored": lambda table: table,
    "least sure first": lambda table: table.sort_values("confidence", kind="stable"),
    "surest first": lambda table: table.sort_values("confidence", ascending=False, kind="stable"),
}


class NetworkAnswers:
    """Answers wishes by their kind, each a method whose arguments are the rest of the wish (`lib.explain.views.live`).

    Ids of images are those of the set and those of files that were brought; `target` is "answer", "truth" or a class's
    number; a method is one of `methods_of`, or a kind of map that the network shows of itself.
    """

    def __init__(self, networks: Networks, pictures: Pictures) -> None:
        self.networks, self.pictures = networks, pictures
        self.kinds: dict[str, Callable[..., Iterator[Answer]]] = {
            "networks": self.list_networks,
            "network": self.describe_network,
            "image": self.show_image,
            "map": self.show_map,
            "find": self.find,
            "bring": self.bring,
        }
        self._parts: list[bytes] = []
        self.probabilities = lru_cache(64)(self._probabilities)
        self.tested = lru_cache(4)(self._tested)

    def __call__(self, wish: Wish, buffer: bytes = b"") -> Iterator[Answer]:
        kind = choose("wish", wish["what"], self.kinds)
        rest = {name: value for name, value in wish.items() if name != "what"}
        return self.kinds[kind](**rest, **({"content": buffer} if buffer else {}))

    def list_networks(self) -> Iterator[Answer]:
        yield {"names": self.networks.names}, b""

    def describe_network(self, network: str) -> Iterator[Answer]:
        """Its classes, and the methods that it has: [{name, by_class, layers: [{name, heads, queries}]}]."""
        run, model = self.networks[network], self.networks.model(network)
        named = {name: (method.by_class, [WHOLE]) for name, method in methods_of(model).items()}
        references = {name: named.pop(name) for name in REFERENCE_MAPS if name in named}
        own = {kind: (False, layers) for kind, layers in self.own_kinds(network).items()}
        methods = [
            {"name": name, "by_class": by_class, "layers": layers}
            for name, (by_class, layers) in {**named, **own, **references}.items()
        ]
        yield {"classes": list(run.classes), "methods": methods}, b""

    def show_image(self, image: str, network: str, longest: int = SHOWN) -> Iterator[Answer]:
        """What the network is shown of the image, the true class where it is known, and the likeliest answers."""
        p, truth = self.probabilities(image, network), self.truth(image, network)
        best = np.argsort(-p, kind="stable")[:BEST].tolist()
        if truth is not None and truth not in best:
            best[-1] = truth
        picture = Image.fromarray(self.pictures.shown(image, self.networks[network].config, longest))
        ranked = [[k, round(float(p[k]), 4)] for k in best]
        yield {"src": as_webp(picture), "size": [*picture.size], "truth": truth, "ranked": ranked}, b""

    def show_map(
        self,
        image: str,
        network: str,
        method: str,
        target: str | int = "answer",
        layer: str = "",
        head: int = 0,
        at=None,
    ) -> Iterator[Answer]:
        """Levels 0 to 255 of the map, row by row, with its grid and its least and greatest value."""
        model, seen = self.networks.model(network), self.seen(image, network)
        batch = network_input(model, seen.pixels, seen.augmentation)
        methods = methods_of(model)
        if method in methods:
            k = self.target(image, network, target)
            precision = seen.config.precision if batch.is_cuda else "32"
            values = explain(model, batch, k, method, precision=precision)[0].numpy()
            told = {"target": k} if methods[method].by_class else {}
        else:
            row, column, rows, columns = at or (0, 0, 1, 1)
            where = At((row + 0.5) / rows, (column + 0.5) / columns) if at else None
            values, told = own_map(model, batch, method, layer, head, where), {}
        yield levels_of(values, **told)

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
            held = [
                text.casefold() in f"{i} {c}".casefold() for i, c in zip(table["image"], table["truth"], strict=True)
            ]
            table = table[held]
        page = table.iloc[start : start + PAGE]
        images = [
            {"id": row.image, "name": _title(row), "src": as_webp(Image.fromarray(self.pictures.thumbnail(row.image)))}
            for row in page.itertuples()
        ]
        yield {"count": len(table), "start": start, "images": images}, b""

    def bring(self, name: str, part: int, parts: int, content: bytes = b"") -> Iterator[Answer]:
        """Take one part of a file; with the last one the image is there."""
        self._parts = [*(self._parts if part else []), content]
        done = part == parts - 1
        yield {"image": self.pictures.bring(name, b"".join(self._parts)) if done else None}, b""

    def own_kinds(self, network: str) -> dict[str, list[dict[str, Any]]]:
        """What the network shows of itself, of images of its size; see `lib.explain.views.own_maps`."""
        model, size = self.networks.model(network), self.networks[network].config.size
        return own_kinds(model, network_input(model, np.zeros((1, *size, 3), np.uint8)))

    def seen(self, image: str, network: str) -> TestImages:
        """The image as the network is tested on it."""
        return self.pictures.one(image, self.networks[network].config)

    def truth(self, image: str, network: str) -> int | None:
        """The true class's number among the network's classes, where it is known."""
        images, classes = self.pictures.set_of(image), self.networks[network].classes
        label = int(images.rows["label"].iloc[0])
        name = images.classes[label] if 0 <= label < len(images.classes) else None
        return classes.index(name) if name in classes else None

    def target(self, image: str, network: str, target: str | int) -> int:
        """The number of the class that is explained."""
        if target == "answer":
            return int(self.probabilities(image, network).argmax())
        if target != "truth":
            return int(target)
        truth = self.truth(image, network)
        if truth is None:
            raise WorkbookValueError(f"Nobody has said what {image!r} is: explain the answer, or choose a class.")
        return truth

    def _probabilities(self, image: str, network: str) -> np.ndarray:
        """[K]"""
        return self.seen(image, network).probabilities(self.networks.model(network))[0]

    def _tested(self, network: str) -> pd.DataFrame:
        """A row an image of the set: image, truth (its class); and where the run was tested on it, answer and confidence."""
        rows, classes = self.pictures.images.rows, np.array([*self.pictures.images.classes, ""], dtype=object)
        table = pd.DataFrame({"image": rows["image_id"].to_numpy(), "truth": classes[rows["label"].to_numpy()]})
        try:
            run = self.networks[network]
            answers = pd.DataFrame(
                {
                    "image": run.predictions["image_id"],
                    "answer": run.predictions["prediction"],
                    "confidence": run.probabilities.max(axis=1),
                }
            )
        except WorkbookFileError:
            return table.assign(answer=None, confidence=np.nan)
        return table.merge(answers, how="left", on="image")


def levels_of(values: np.ndarray, **told: Any) -> Answer:
    """A map [h, w] as the script draws it."""
    packed = Packed()
    place = packed.add(values[None])
    low, high = map(float, packed.ranges[0][0])
    return {"grid": place["grid"], "low": low, "high": high, **told}, packed.levels[0].tobytes()


def _title(row: Any) -> str:
    answer = f" → {row.answer} ({row.confidence:.0%})" if isinstance(row.answer, str) else ""
    return f"{row.image}: {row.truth}{answer}"
