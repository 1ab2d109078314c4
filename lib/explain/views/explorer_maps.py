"""The explorer of whatever networks show of themselves (`lib.mapped`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from lib.data.augmentation import centre_view
from lib.errors import WorkbookValueError
from lib.explain.methods.explain import told_of_size
from lib.explain.views.explorer import CAPTION, DIMENSIONS, Layer, array_layer, explorer
from lib.explain.views.packing import checked_images, checked_map
from lib.explain.views.view import View
from lib.mapped import CLASS_TOKEN, Every, Kind, Map, MapInfo, Query, mode, shown_by
from lib.training.inference import network_input


def explorer_of(
    models: Mapping[str, nn.Module],
    pixels: np.ndarray,
    augmentation: str = "none",
    names: Sequence[str] | None = None,
    caption: str = CAPTION,
    phantom: bool = False,
) -> View:
    """`explore` with all that networks show of `pixels`, uint8 [N, H, W, 3], in eval mode; their own modes stay.

    `augmentation` is the one that the networks were trained with (`lib.training.inference.augmentation_of`); the others
    are `explore`'s. Four images are plenty. They are shown to the networks as they are: give them at the size of training.

    Raises:
        WorkbookValueError: the pixels are no images, or a network has no maps of its own.
    """
    pixels = np.array(checked_images(pixels))  # may be written, as torch wants it
    seen = centre_view(rearrange(torch.from_numpy(pixels), "b y x c -> b c y x"), augmentation)
    layers: list[Layer] = []
    for name, model in models.items():
        like = next(model.parameters(), torch.zeros(()))
        layers += network_layers(
            str(name), model, network_input(model, pixels, augmentation, like.device).to(like.dtype)
        )
    return explorer(rearrange(seen, "b c y x -> b y x c").numpy(), layers, names, caption, phantom)


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
    with mode(model, training=False), told_of_size(model, images):
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
        yield array_layer(name, title, layer, values.float().cpu().numpy(), images)


def _queried_layer(name: str, shown_map: Map, of_queries: Callable[..., dict]) -> Layer:
    """The layer of an attention that any position may be the query of."""
    info, heads = shown_map.info, shown_map.shape[1] if shown_map.info.along == "heads" else 1
    title = title_of(info) + " of a patch" * (info.query == CLASS_TOKEN)
    return Layer(
        name,
        title,
        info.layer,
        heads,
        info.queries,
        shown_map.shape[-2:],
        lambda every, count: of_queries(every, count)[info.layer, info.name],
    )


def _checked(shown_map: Map, images: Tensor) -> np.ndarray:
    values = shown_map.float().cpu().numpy().reshape(len(images), -1, *shown_map.shape[-4:])
    return checked_map(title_of(shown_map.info), values, images, DIMENSIONS)
