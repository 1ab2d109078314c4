"""The Python that makes a map again, to be copied out of a view."""

from pathlib import Path

CALL = """\
from lib.data.decoding import decode
{imported}
from lib.training import Run
from lib.training.inference import augmentation_of, decoded_size, network_input

run = Run({run!r})
model = run.model()
picture = decode({path!r}, decoded_size(run.config), {banner})
image = network_input(model, picture[None].copy(), augmentation_of(run.config))
{call}"""


def explain_call(run: Path, path: str, banner: int, k: int, method: str) -> str:
    """The map of a method for class `k`, of the image file at `path` without its lowest `banner` rows."""
    imported, call = "from lib.explain import explain", f"explain(model, image, {k}, {method!r})[0]"
    return CALL.format(imported=imported, run=str(run), path=path, banner=banner, call=call)


def own_map_call(run: Path, path: str, banner: int, kind: str, layer: str, head: int, at: object) -> str:
    """A map that the network shows of itself; see `lib.explain.views.own_maps.own_map`."""
    imported = "from lib.explain.views.own_maps import own_map\n" + "from lib.mapped import At" * (at is not None)
    call = f"own_map(model, image, {kind!r}, {layer!r}, {head}, {at!r})"
    return CALL.format(imported=imported.strip(), run=str(run), path=path, banner=banner, call=call)
