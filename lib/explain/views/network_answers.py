"""What a person asks of networks and images, answered: see `NetworkAnswers`."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from lib.errors import WorkbookValueError, choose
from lib.evaluation.test_images import TestImages
from lib.explain.methods.explain import REFERENCE_MAPS, Method, explain, methods_of, scaled
from lib.explain.scores.deletion_insertion import deletion, insertion
from lib.explain.views.image_search import ImageSearch
from lib.explain.views.live import PART, Answer, Wish
from lib.explain.views.nearest import Nearest
from lib.explain.views.networks import Networks
from lib.explain.views.own_maps import own_kinds, own_map
from lib.explain.views.packing import SHOWN, Packed
from lib.explain.views.pictures import LARGEST, Pictures
from lib.explain.views.view import as_webp
from lib.mapped import At, Every, is_even
from lib.training.inference import network_input

LASTING = ("network", "image", "map", "positions", "curve", "nearest")  # kinds of wishes whose answers stay true
WHOLE = {"name": "", "heads": 1, "queries": None}  # the layer of a method that knows none
BEST = 5  # classes with the greatest probability
MOST_POSITIONS = 8  # rows and columns of query positions whose maps a page has
PERTURBATIONS = {"deletion": deletion, "insertion": insertion}
Target = str | int  # "answer", "truth", or a class's number


class NetworkAnswers:
    """Answers wishes by their kind, each a method whose arguments are the rest of the wish (`lib.explain.views.live`).

    Ids of images are those of the set and those of files that were brought; `target` is "answer", "truth" or a class's
    number; a method is one of `methods`, or a kind of map that the network shows of itself. A network that searches for
    identities answers no class: its images have neighbours in the gallery instead.
    """

    def __init__(self, networks: Networks, pictures: Pictures) -> None:
        self.networks, self.pictures, self.nearest = networks, pictures, Nearest(networks, pictures)
        self.kinds: dict[str, Callable[..., Iterator[Answer]]] = {
            "networks": self.list_networks,
            "network": self.describe_network,
            "image": self.show_image,
            "sharp": self.show_pixels,
            "map": self.show_map,
            "positions": self.show_positions,
            "find": ImageSearch(networks, pictures).find,
            "nearest": self.nearest.find,
            "bring": self.bring,
            "curve": self.curve,
            "paint": self.paint,
        }
        self._parts: list[bytes] = []
        self.probabilities = lru_cache(64)(self._probabilities)
        self.own_kinds = lru_cache(16)(self._own_kinds)
        self.methods = lru_cache(16)(self._methods)  # found by trying what the network does

    def __call__(self, wish: Wish, buffer: bytes = b"") -> Iterator[Answer]:
        kind = choose("wish", wish["what"], self.kinds)
        rest = {name: value for name, value in wish.items() if name != "what"}
        return self.kinds[kind](**rest, **({"content": buffer} if buffer else {}))

    def list_networks(self) -> Iterator[Answer]:
        """{names}: the networks that may be asked."""
        yield {"names": self.networks.names}, b""

    def describe_network(self, network: str) -> Iterator[Answer]:
        """Its classes, and the methods that it has: [{name, by_class, layers: [{name, heads, queries}]}]."""
        run, searches = self.networks[network], self.networks.searches(network)
        named = {name: (method.by_class, [WHOLE]) for name, method in self.methods(network).items()}
        references = {name: named.pop(name) for name in REFERENCE_MAPS if name in named}
        own = {kind: (False, layers) for kind, layers in self.own_kinds(network).items()}
        methods = [
            {"name": name, "by_class": by_class, "layers": layers}
            for name, (by_class, layers) in {**named, **own, **references}.items()
        ]
        yield {"classes": [] if searches else list(run.classes), "methods": methods, "searches": searches}, b""

    def _methods(self, network: str) -> dict[str, Method]:
        """Those of `methods_of`; of a network that answers no class those that explain none."""
        methods, searches = methods_of(self.networks.model(network)), self.networks.searches(network)
        return {name: method for name, method in methods.items() if not (searches and method.by_class)}

    def show_image(self, image: str, network: str) -> Iterator[Answer]:
        """What the network is shown of the image, the true class where it is known, and the likeliest answers."""
        shown = {"src": self._picture(image, network, SHOWN), "before": self.before(image, network)}
        if self.networks.searches(network):
            yield shown | {"truth": None, "ranked": []}, b""
            return
        p, truth = self.probabilities(image, network), self.truth(image, network)
        best = np.argsort(-p, kind="stable")[:BEST].tolist()
        if truth is not None and truth not in best:
            best[-1] = truth
        yield shown | {"truth": truth, "ranked": [[k, round(float(p[k]), 4)] for k in best]}, b""

    def show_pixels(self, image: str, network: str) -> Iterator[Answer]:
        """What the network is shown of the image, in as many pixels as its file has there."""
        yield {"src": self._picture(image, network, LARGEST)}, b""

    def _picture(self, image: str, network: str, longest: int) -> str:
        """A data URI"""
        return as_webp(Image.fromarray(self.pictures.shown(image, self.networks[network].config, longest)))

    def before(self, image: str, network: str) -> dict[str, Any] | None:
        """Of an image that was painted on: the answer before, its probability then and now; or, where no class is answered, how
        similar it still is to what it was."""
        origin = self.pictures.origins.get(image)
        if origin is None:
            return None
        if self.networks.searches(network):
            return {"similarity": round(self.nearest.similarity(image, origin, network), 4)}
        then, now = self.probabilities(origin, network), self.probabilities(image, network)
        k = int(then.argmax())
        return {"class": k, "then": round(float(then[k]), 4), "now": round(float(now[k]), 4)}

    def show_map(self, **chosen: Any) -> Iterator[Answer]:
        """Levels 0 to 255 of the map, row by row, with its grid and its least and greatest value; see `heat`."""
        values, told = self.heat(**chosen)
        yield levels_of(values, **told)

    def show_positions(self, image: str, network: str, method: str, layer: str, head: int) -> Iterator[Answer]:
        """Maps of query positions, row by row, some of them evenly where there are many: levels, and the ends of each."""
        queries = next(each["queries"] for each in self.own_kinds(network)[method] if each["name"] == layer)
        every = Every(-(-max(queries) // MOST_POSITIONS))
        maps = own_map(self.networks.model(network), self.batch(image, network), method, layer, head, every)
        packed, kept = Packed(), [list(every.of(side)) for side in queries]
        grid = packed.add(maps)["grid"]
        told = {"rows": kept[0], "columns": kept[1], "of": queries, "grid": grid, "ranges": packed.ranges[0].tolist()}
        yield told | self._source(image, network), packed.levels[0].tobytes()

    def heat(
        self, image: str, network: str, method: str, target: Target, layer: str, head: int, at: Sequence[int] | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The map [h, w]; the class that it explains, where it does that, and what `map_figure` draws it from.

        Args:
            method: one of `methods`, or a kind of map that the network shows of itself.
            layer, head: of the latter; head 0 is the mean of all.
            at: row and column of the query position, of how many rows and columns; None where there is none.
        """
        model, batch = self.networks.model(network), self.batch(image, network)
        methods, run = self.methods(network), self.networks[network]
        source = self._source(image, network)
        if method not in methods:
            where = At((at[0] + 0.5) / at[2], (at[1] + 0.5) / at[3]) if at else None
            return own_map(model, batch, method, layer, head, where), source
        k = self.target(image, network, target) if methods[method].by_class else None
        precision, told = run.config.precision if batch.is_cuda else "32", source | ({} if k is None else {"target": k})
        return explain(model, batch, k, method, precision=precision)[0].numpy(), told

    def _source(self, image: str, network: str) -> dict[str, Any]:
        run = self.networks[network]
        return {"source": [run.shown_path, self.pictures.source(image, run.config)]}

    def curve(self, kind: str, steps: int, **chosen: Any) -> Iterator[Answer]:
        """What becomes of the class as the map's pixels go, or come: probabilities at even shares, finer in each part."""
        perturbation = PERTURBATIONS[choose("curve", kind, PERTURBATIONS)]
        values, told = self.heat(**chosen)
        image, network = chosen["image"], chosen["network"]
        k = told["target"] if "target" in told else self.target(image, network, "answer")
        batch = self.batch(image, network)
        maps = scaled(torch.from_numpy(values)[None], batch.shape[2:])
        for fineness in (8, 4, 2, 1):
            curves = perturbation(self.networks.model(network), batch, maps, k, steps=steps // fineness)
            points = [round(float(p), 4) for p in curves.probabilities[0]]
            yield {"points": points, "area": float(curves.area[0]), "target": k, PART: fineness > 1}, b""

    def paint(self, image: str, network: str, fill: str, grid: Sequence[int], content: bytes = b"") -> Iterator[Answer]:
        """A new image: the old one with something else where the mask, a byte a position of `grid`, is not 0."""
        missing = np.frombuffer(content, np.uint8).reshape(grid) > 0
        yield {"image": self.pictures.paint(image, self.networks[network].config, missing, fill)}, b""

    def bring(self, name: str, part: int, parts: int, content: bytes = b"") -> Iterator[Answer]:
        """Take one part of a file; with the last one the image is there."""
        self._parts = [*(self._parts if part else []), content]
        done = part == parts - 1
        yield {"image": self.pictures.bring(name, b"".join(self._parts)) if done else None}, b""

    def method_of(self, network: str, method: str) -> str:
        """The method, or kind of map, of the network that `method` means; a WorkbookValueError where it has none."""
        return choose("method", method, [*self.methods(network), *self.own_kinds(network)])

    def _own_kinds(self, network: str) -> dict[str, list[dict[str, Any]]]:
        """What the network shows of itself, of images of its size; see `lib.explain.views.own_maps`."""
        model, size = self.networks.model(network), self.networks[network].config.size
        return own_kinds(model, network_input(model, np.zeros((1, *size, 3), np.uint8)))

    def batch(self, image: str, network: str) -> torch.Tensor:
        """[1, 3, H, W]: the image as the network is shown it, where it is."""
        seen = self.seen(image, network)
        return network_input(self.networks.model(network), seen.pixels, seen.augmentation)

    def seen(self, image: str, network: str) -> TestImages:
        """The image as the network is tested on it."""
        return self.pictures.one(image, self.networks[network].config)

    def truth(self, image: str, network: str) -> int | None:
        """The true class's number among the network's classes, where it is known."""
        images, classes = self.pictures.set_of(image), self.networks[network].classes
        label = int(images.rows["label"].iloc[0])
        name = images.classes[label] if 0 <= label < len(images.classes) else None
        return classes.index(name) if name in classes else None

    def target(self, image: str, network: str, target: Target) -> int:
        """The number of the class that is explained.

        Raises:
            WorkbookValueError: the network answers no class, or the true one is not known.
        """
        if self.networks.searches(network):
            raise WorkbookValueError(
                f"{network} searches for identities and answers no class, so that it has no curve of one: look at its maps."
            )
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


def levels_of(values: np.ndarray, **told: Any) -> Answer:
    """A map [h, w] as the script draws it."""
    packed = Packed()
    place = packed.add(values[None])
    low, high = map(float, packed.ranges[0][0])
    described = {"grid": place["grid"], "low": low, "high": high, "even": is_even(low, high), **told}
    return described, packed.levels[0].tobytes()
