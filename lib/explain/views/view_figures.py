"""What views show, drawn by matplotlib: the calls that their buttons "Copy Python" tell."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from lib.errors import WorkbookValueError, choose
from lib.explain.views.network_answers import NetworkAnswers
from lib.explain.views.networks import Networks
from lib.explain.views.pictures import LARGEST, Pictures
from lib.explain.views.view import View, plain
from lib.report.figures.style import figure, mark_query, panels, picture
from lib.training import Run
from lib.training.training_data import load_images

COLUMN = 90 / 25.4  # inches, of a text in two columns
PANEL = 2.2  # inches


def map_figure(
    run: Run | str | Path,
    image: str | Path,
    method: str,
    target: str | int = "answer",
    layer: str = "",
    head: int = 0,
    at: Sequence[int] | None = None,
    colours: str = "inferno",
    opacity: float = 0.6,
    zoom: float = 1,
    middle: Sequence[float] = (0.5, 0.5),
) -> Figure:
    """What the live explorer shows: an image under one map of a run's network, with its scale.

    Args:
        run: a finished run, or its folder.
        image: an id of the run's data set, or a file of one's own.
        method, target, layer, head: see `NetworkAnswers`.
        at: row and column of the query position, and how many of both there are.
        zoom, middle: how much is enlarged, and around what, (y, x) as shares of the image.

    Raises:
        WorkbookError: there is no such run, image, method, class, layer or head.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    answers = NetworkAnswers(Networks(run), Pictures(load_images(run.config)))
    if (file := Path(image)).is_file():
        image = answers.pictures.bring(file.name, file.read_bytes())
    name = run.path.name
    chosen = {"image": str(image), "network": name, "method": method, "target": target}
    *_, (told, levels) = answers.show_map(**chosen, layer=layer, head=head, at=at)
    shown, heat = (
        answers.pictures.shown(str(image), run.config, LARGEST),
        np.frombuffer(levels, np.uint8).reshape(told["grid"]),
    )
    of = run.classes[told["target"]] if "target" in told else ""
    title = " · ".join(filter(None, [str(image), method, of, layer, f"head {head}" if head else ""]))
    query = at and ((at[0], at[1]), (at[2], at[3]))
    ends, phantom = (told["low"], told["high"]), bool(run.provenance["is_phantom"])
    fig = _one(shown, heat, ends, title, query, colours, opacity, phantom)
    _enlarge(fig.axes[0], zoom, middle)
    return fig


def explorer_figure(
    view: View,
    image: str,
    model: str,
    kind: str,
    layer: str,
    head: str = "",
    at: Sequence[int] | None = None,
    colours: str = "inferno",
    opacity: float = 0.6,
) -> Figure:
    """What a view of `explore` or `explorer_of` shows, all chosen by the names that stand in it; `at` is the row and column
    of the query position.

    Raises:
        WorkbookValueError: the view has no such image, model, map, layer, head or query position.
    """
    number, shown = _image(view, image)
    kinds = _named("model", model, view.data["models"])["kinds"]
    place = _named("layer", layer, _named("map", kind, kinds)["layers"])
    heads = place["heads"]
    index = number * len(heads) + heads.index(choose("head", head, heads))
    query = None
    if queries := place["queries"]:
        rows, columns = queries["rows"], queries["columns"]
        if at is None or at[0] not in rows or at[1] not in columns:
            raise WorkbookValueError(
                f"The view has no query position {at}: it has the rows {rows} and columns {columns}."
            )
        index = (index * len(rows) + rows.index(at[0])) * len(columns) + columns.index(at[1])
        query = tuple(at), tuple(queries["of"])
    heat, ends = _map(view, place, index)
    title = " · ".join(filter(None, [image, model, kind, layer, head]))
    return _one(shown, heat, ends, title, query, colours, opacity, view.phantom)


def comparison_figure(
    view: View, image: str, colours: str = "inferno", opacity: float = 0.6, outline: bool = True
) -> Figure:
    """What a view of `compare_maps` shows of an image, by its name there: a panel a map, with the object's outline.

    Raises:
        WorkbookValueError: the view has no such image.
    """
    number, shown = _image(view, image)
    maps = [panel for panel in view.data["panels"] if "place" in panel]
    columns = min(4, len(maps))
    height = PANEL * shown.shape[0] / shown.shape[1] + 0.4
    with figure(PANEL * columns, height * -(-len(maps) // columns) + 0.4, view.phantom) as fig:
        for ax, panel in zip(panels(fig, len(maps), columns), maps, strict=True):
            _under(ax, shown, _map(view, panel["place"], number)[0], plain(panel["name"]), colours, opacity)
            if outline and view.data["outlines"]:
                _outline(ax, shown, view.data["outlines"][number])
        fig.suptitle(plain(image, 80), fontsize=10)
    return fig


def _one(
    shown: np.ndarray,
    heat: np.ndarray,
    ends: tuple[float, float],
    title: str,
    query: tuple | None,
    colours: str,
    opacity: float,
    phantom: bool,
) -> Figure:
    with figure(COLUMN, COLUMN * shown.shape[0] / shown.shape[1] + 0.9, phantom) as fig:
        ax = fig.subplots()
        drawn = _under(ax, shown, heat, plain(title, 50), colours, opacity)
        if query:
            mark_query(ax, shown.shape[:2], query[1], query[0])
        bar = fig.colorbar(
            drawn, ax=ax, orientation="horizontal", ticks=[heat.min(), heat.max()], fraction=0.05, pad=0.03
        )
        bar.ax.set_xticklabels([f"{end:.3g}" for end in ends])
    return fig


def _enlarge(ax: Axes, zoom: float, middle: Sequence[float]) -> None:
    """Show that part of what is drawn."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    across, down = (right - left) / 2 / zoom, (bottom - top) / 2 / zoom
    y, x = top + middle[0] * (bottom - top), left + middle[1] * (right - left)
    ax.set(xlim=(x - across, x + across), ylim=(y + down, y - down))


def _under(ax: Axes, shown: np.ndarray, heat: np.ndarray, title: str, colours: str, opacity: float) -> Any:
    """An image under a map that has the positions which it has."""
    picture(ax, shown, title)
    extent = (-0.5, shown.shape[1] - 0.5, shown.shape[0] - 0.5, -0.5)
    return ax.imshow(heat, cmap=colours, alpha=opacity, interpolation="nearest", extent=extent)


def _outline(ax: Axes, shown: np.ndarray, pieces: Sequence[Sequence[float]]) -> None:
    lines = np.array(pieces).reshape(-1, 2, 2) * [shown.shape[1], shown.shape[0]] - 0.5
    for colour, width in (("black", 2.5), ("white", 1.2)):
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=width))


def _named(what: str, name: str, things: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first of `things` of that name."""
    by_name = {thing["name"]: thing for thing in reversed(things)}
    return by_name[choose(what, name, by_name)]


def _image(view: View, name: str) -> tuple[int, np.ndarray]:
    """The number of a view's image, and its pixels [H, W, 3]."""
    images = view.data["images"]
    chosen = _named("image", name, images)
    with Image.open(io.BytesIO(base64.b64decode(chosen["src"].partition(",")[2]))) as image:
        return images.index(chosen), np.asarray(image.convert("RGB"))


def _map(view: View, place: dict[str, Any], index: int) -> tuple[np.ndarray, tuple[float, float]]:
    """The levels [h, w] of the map `index` of those at `place` in a view's numbers, and its least and greatest value."""
    height, width = place["grid"]
    ranges = np.frombuffer(view.numbers, "<f4", 2 * view.data["maps"]).reshape(-1, 2)
    begin = ranges.nbytes + place["level"] + index * height * width
    levels = np.frombuffer(view.numbers, np.uint8, height * width, begin)
    return levels.reshape(height, width), tuple(map(float, ranges[place["map"] + index]))
