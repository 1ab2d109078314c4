"""The explorer of whatever networks show of themselves (`lib.mapped`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import WorkbookValueError
from lib.evaluation.test_images import TestImages, centred
from lib.explain.methods.explain import size_errors
from lib.explain.views.explorer import CAPTION, DIMENSIONS, Layer, array_layer, explorer
from lib.explain.views.packing import checked_map
from lib.explain.views.view import View
from lib.explain.views.view_images import checked_pixels, view_images
from lib.mapped import CLASS_TOKEN, Every, Kind, Map, MapInfo, Query, mode, shown_by
from lib.training.inference import network_input


def explorer_of(
    models: Mapping[str, nn.Module],
    images: TestImages | np.ndarray,
    augmentation: str | None = None,
    names: Sequence[str] | None = None,
    caption: str = CAPTION,
    phantom: bool | None = None,
) -> View:
    """`explore` with all that networks show of `images`, in eval mode; their own modes stay. Four images are plenty.

    Args:
        models: by name.
        images: `TestImages`, of which the rest follows, names with the answer of a single network too; or uint8
            [N, H, W, 3] at the size of training, which networks are shown as they are.
        augmentation: of plain images only: the one that the networks were trained with, if it crops.
        names, caption, phantom: see `explore`.

    Raises:
        WorkbookValueError: the images are none, or a network has no maps of its own.
    """
    if isinstance(images, TestImages):
        shown, pixels, augmentation = images, images.pixels, images.augmentation
    else:
        pixels = np.array(checked_pixels(images))  # may be written, as torch wants it
        shown = centred(pixels, augmentation := augmentation or "none")
    layers: list[Layer] = []
    for name, model in models.items():
        like = next(model.parameters(), torch.zeros(()))
        seen = network_input(model, pixels, augmentation).to(like.dtype)
        layers += network_layers(str(name), model, seen)
        if names is None and len(models) == 1 and isinstance(images, TestImages) and images.config.task != "reid":
            names = images.names(_answers(model, seen))
    return explorer(view_images(shown, names=names, phantom=phantom), layers, caption)


@torch.no_grad()
def _answers(model: nn.Module, images: Tensor) -> np.ndarray:
    """The class that `model` answers in eval mode to each of `images`, [N]."""
    with mode(model, training=False):
        return model(images).argmax(dim=1).cpu().numpy()


def network_layers(name: str, model: nn.Module, images: Tensor) -> Iterator[Layer]:
    """What `model` shows of `images` [B, 3, H, W], normalised; first what answers to a query position, of which only the
    rows that a view keeps are ever computed.

    Raises:
        WorkbookValueError: it shows nothing, or it takes no images of this size.
    """
    shown = shown_over_positions(model, images)
    if not shown:
        raise WorkbookValueError(
            f"{type(model).__name__} has no maps of its own: compute some with lib.explain.explain and give them to "
            "explore, or take a GLSA, DCAL, LESA or GAttANet network (this with at least 2 passes and a layer of maps)."
        )

    @lru_cache(maxsize=1)
    def of_queries(every: Every, count: int) -> dict[tuple[str, str], np.ndarray]:
        """By layer and name, [images, heads, rows, columns, h, w]"""
        maps = [m for m in shown_over_positions(model, images[:count], every) if m.info.queries]
        return {(m.info.layer, m.info.name): _checked(m, images[:count]) for m in maps}

    for shown_map in sorted(shown, key=lambda m: m.info.queries is None):
        info = shown_map.info
        if info.queries is None or info.query == CLASS_TOKEN:
            yield from _ready_layers(name, shown_map, images)
        if info.queries is not None:
            yield _queried_layer(name, shown_map, of_queries)


@torch.no_grad()
def shown_over_positions(model: nn.Module, images: Tensor, query: Query = None) -> list[Map]:
    """All maps over positions that `model` shows of `images` in eval mode."""
    with mode(model, training=False), size_errors(model, images):
        model(images)
        return [m for m in shown_by(model, query) if m.info.positional]


def title_of(info: MapInfo) -> str:
    """What a view calls a map of any layer."""
    title = info.title or info.name.replace("_", " ")
    return title if info.title or info.kind is not Kind.ATTENTION or "attention" in title else f"{title} attention"


def _ready_layers(name: str, shown_map: Map, images: Tensor) -> Iterator[Layer]:
    """The layer, or one a pass, of a map as it is, without query positions: single heads, the mean over channels."""
    info = shown_map.info
    maps = {info.layer: shown_map if info.along == "heads" else shown_map.plane()}
    if info.along == "passes":
        maps = {f"{info.layer}, pass {n}": values for n, values in enumerate(shown_map.unbind(1), 2)}
    title = title_of(info) + " of the class token" * (info.queries is not None)
    for layer, values in maps.items():
        yield array_layer(name, title, layer, values.float().cpu().numpy(), len(images))


def _queried_layer(name: str, shown_map: Map, of_queries: Callable[..., dict]) -> Layer:
    """The layer of an attention that any position may be the query of."""
    info, heads = shown_map.info, shown_map.shape[1] if shown_map.info.along == "heads" else 1
    title = title_of(info) + " of a patch" * (info.query == CLASS_TOKEN)

    def read(every: Every, count: int) -> np.ndarray:
        return of_queries(every, count)[info.layer, info.name]

    return Layer(name, title, info.layer, heads, info.queries, shown_map.shape[-2:], read)


def _checked(shown_map: Map, images: Tensor) -> np.ndarray:
    values = shown_map.float().cpu().numpy().reshape(len(images), -1, *shown_map.shape[-4:])
    return checked_map(title_of(shown_map.info), values, len(images), DIMENSIONS)
