"""A network is filled with starting weights: strictly, but for heads, which are kept where their size is the same.

A file names tensors as the network does that it was saved from; what stood around that network (`module.`, `backbone.`,
Lightning's `model.`) is in front of the names, and other parts of it, such as DINO's projection, stand beside. So the names
are told apart by what most of them are: those of the whole network here (another run's), or of its backbone alone. What
timm's own networks were called and shaped before, timm converts: position tables and patch embeddings of another size
are interpolated by its functions.
"""

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from lib.errors import WorkbookFileError, WorkbookValueError, warn_once
from lib.weights.architectures import nearest_network
from lib.weights.checkpoint_file import Tensors, read_weights, told
from lib.weights.shipped_files import NO_WEIGHTS, shipped, shipped_names, shipped_tensors
from lib.weights.sources import RUN_FILE, known_start, weights_file

log = logging.getLogger(__name__)

Size = tuple[int, int]
SHOWN = 3  # strays that an error names
COUNTER = "num_batches_tracked"  # of BatchNorm, which older files do not have


@dataclass(frozen=True)
class Start:
    """What starting weights hold and say of themselves."""

    name: str
    tensors: Tensors
    keys: list[str] = field(default_factory=list)  # that were wrapped around the tensors
    size: Size | None = None  # of the images that they were trained with, where that is known
    ships: bool = False


@dataclass(frozen=True)
class Place:
    """A module that weights may be of, by the names of its tensors."""

    module: nn.Module
    heads: tuple[str, ...] = ()  # names of modules in it that depend on the number of classes
    replaced: frozenset[str] = frozenset()  # tensors that the bare backbone has and this one has not
    added: frozenset[str] = frozenset()  # tensors that the bare backbone has not

    @property
    def names(self) -> set[str]:
        """The names that tensors for it may have: those of `module`, and those that are `replaced`."""
        return {*self.module.state_dict(), *self.replaced}

    def of_head(self, name: str) -> bool:
        """Whether a tensor belongs to one of `heads`."""
        return any(name.startswith(f"{head}.") for head in self.heads)


def one_start(pretrained: bool, weights: str) -> None:
    """Raise a WorkbookValueError where a network is to start from two things at once."""
    if pretrained and weights != NO_WEIGHTS:
        raise WorkbookValueError(
            f"pretrained=True and weights={weights!r} are two beginnings: leave one of them out (pretrained=False, or "
            "weights='none')."
        )


def start_from(
    weights: str,
    model: nn.Module,
    net: nn.Module,
    network: str,
    heads: Iterable[nn.Module],
    before: Iterable[str] | None = None,
    fitted: Callable[[Tensors, Size | None], Tensors] | None = None,
    partial: bool = False,
) -> None:
    """Fill `model`, or of it `net`, the backbone called `network`, with starting weights: see `lib.weights.sources`.

    "none" leaves everything as it was. Everything else has to fit, both ways: nothing is left over, and nothing but heads of
    another size is left as it was. What is, is said; `model.started_from` tells how much was loaded and which parts are drawn.

    Args:
        heads: the modules of `model` that depend on the number of classes.
        before: the names of the backbone's tensors before attention replaced some of its layers; None where none did.
        fitted: gives tensors, trained with images of the size (height, width) where that is known, the names and shapes that
            they have in `net`; None where they have them.
        partial: take what fits, and leave the rest as it was.

    Raises:
        WorkbookValueError: unknown weights, or weights of another network; what does not fit is named.
        WorkbookFileError: they cannot be had, are damaged, or are no weights.
    """
    if weights == NO_WEIGHTS:
        return
    start = _opened(weights, network)
    whole, bare = _places(model, net, list(heads), before)
    place = max((bare, whole), key=lambda place: _hits(start.tensors, place.names))
    tensors, others = _own(start.tensors, place)
    if place is bare:
        tensors = _as_timm_has_it(fitted(tensors, start.size) if fitted else tensors, net, start.name)
    strays = [*_strays(tensors, place, start.ships)]
    if strays and not (partial and len(strays) < len(place.names)):
        raise WorkbookValueError(_misfit(start, place, network, tensors, strays))
    taken = _taken(tensors, place)
    wild = [name for name, tensor in taken.items() if not tensor.isfinite().all()]
    if wild:
        raise WorkbookFileError(
            f"The weights {start.name} hold numbers that are not finite ({told(wild)}), as those of a training that diverged: give "
            "weights of an earlier epoch."
        )
    place.module.load_state_dict(taken, strict=False)
    model.started_from = f"{start.name}, {_filled(model, place.module, taken)}"
    if not start.ships:
        _say(start, place, taken, others, len(strays))


def _opened(weights: str, network: str) -> Start:
    name = known_start(weights)
    if name in shipped_names():
        said = shipped(name)
        said.check_network(network)
        return Start(name, _in_full(shipped_tensors(name)), size=said.size, ships=True)
    file = weights_file(name)
    tensors, keys = read_weights(file)
    return Start(weights, _in_full(tensors), keys, _size_of_run(file))


def _in_full(tensors: Tensors) -> Tensors:
    """In single precision, in which tables are interpolated."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _size_of_run(file: Path) -> Size | None:
    """Height and width of the images of the run whose weights `file` is."""
    if file.name == RUN_FILE:
        with suppress(OSError, ValueError, KeyError, TypeError):  # a file that is only called so
            settings = json.loads((file.parent / "config.json").read_text(encoding="utf-8"))
            return settings["image_size"], settings.get("image_width") or settings["image_size"]
    return None


def _places(
    model: nn.Module, net: nn.Module, heads: list[nn.Module], before: Iterable[str] | None
) -> tuple[Place, Place]:
    """The whole network, and its backbone alone."""
    now = frozenset(net.state_dict())
    then = now if before is None else frozenset(before)
    return Place(model, _named(model, heads)), Place(net, _named(net, heads), then - now, now - then)


def _named(module: nn.Module, parts: list[nn.Module]) -> tuple[str, ...]:
    return tuple(name for name, part in module.named_modules() if any(part is wanted for wanted in parts))


def _prefixes(names: Iterable[str], known: set[str]) -> Counter[str]:
    """What stands in front of the known names in `names`, and before how many of them."""
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        found.update(".".join([*parts[:i], ""]) for i in range(len(parts)) if ".".join(parts[i:]) in known)
    return found


def _hits(tensors: Tensors, known: set[str]) -> int:
    return max(_prefixes(tensors, known).values(), default=0)


def _own(tensors: Tensors, place: Place) -> tuple[Tensors, list[str]]:
    """The tensors of `place`, by its names for them, and the names of others."""
    found = _prefixes(tensors, place.names)
    prefix = max(found, key=lambda prefix: (found[prefix], -len(prefix)), default="")
    if not prefix or found[prefix] < len(place.names) / 2:  # names of another kind, which timm may know
        return tensors, []
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return own, [name for name in tensors if not name.startswith(prefix)]


def _as_timm_has_it(tensors: Tensors, net: nn.Module, weights: str) -> Tensors:
    """The tensors with the names and shapes that timm gives them in its network `net`; of another one as they are."""
    module = sys.modules[type(net).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None) if module.__name__.startswith("timm.") else None
    if convert is None:
        return tensors
    options = {"adapt_layer_scale": True} if module.__name__.endswith("deit") else {}
    try:
        return convert(tensors, net, **options)
    except Exception as error:  # written for timm's own files
        reason = (str(error) or type(error).__name__).splitlines()[0][:150]
        raise WorkbookValueError(
            f"timm cannot make weights of {type(net).__name__} of {weights} ({reason}). Give weights of that network."
        ) from error


def _strays(tensors: Tensors, place: Place, headless: bool) -> Iterator[str]:
    """What does not fit: a phrase for each tensor."""
    wanted = place.module.state_dict()
    for name in wanted:
        if name not in tensors and name not in place.added and not place.of_head(name) and not name.endswith(COUNTER):
            yield f"{name} is not there"
    for name, tensor in tensors.items():
        if name in place.replaced or name.endswith(COUNTER) or (place.of_head(name) and not headless):
            continue
        if name not in wanted:
            yield f"{name} has no place"
        elif tensor.shape != wanted[name].shape:
            yield f"{name} is {list(tensor.shape)}, not {list(wanted[name].shape)}"
        elif not _fits(tensor, wanted[name]):
            yield f"{name} is of whole numbers ({tensor.dtype}), perhaps a quantised network's"


def _taken(tensors: Tensors, place: Place) -> Tensors:
    """The tensors that fill `place`: those that fit, and of a head all or none."""
    state = place.module.state_dict()
    fitting = {name: tensor for name, tensor in tensors.items() if name in state and _fits(tensor, state[name])}
    drawn = [name for name in state if name not in fitting and not name.endswith(COUNTER)]
    left = tuple(f"{head}." for head in place.heads if any(name.startswith(f"{head}.") for name in drawn))
    return {name: tensor for name, tensor in fitting.items() if not name.startswith(left)}


def _fits(tensor: Tensor, wanted: Tensor) -> bool:
    return tensor.shape == wanted.shape and tensor.is_floating_point() == wanted.is_floating_point()


def _misfit(start: Start, place: Place, network: str, tensors: Tensors, strays: list[str]) -> str:
    more = f" and {len(strays) - SHOWN} more" if len(strays) > SHOWN else ""
    if start.ships:
        settings = shipped(start.name).provenance.get("settings", {})
        return (
            f"The weights {start.name!r} are of another {network}: {'; '.join(strays[:SHOWN])}{more}. Build the network as it "
            f"was trained ({settings}), or train from scratch (weights='none')."
        )
    nearest = nearest_network(tensors, network)
    found = " Build the network that they are of"
    if nearest:
        is_it = nearest == network
        found = " Give a whole file" if is_it else f" They look like those of {nearest}: take it as the backbone"
    return (
        f"The weights {start.name} do not fit {network} ({type(place.module).__name__}): {'; '.join(strays[:SHOWN])}{more}."
        f"{found}, or take what fits with partial_weights=True."
    )


def _filled(model: nn.Module, module: nn.Module, taken: Tensors) -> str:
    """How many numbers of `model` were loaded, into `module` of it, and what is drawn, in short."""
    prefix = next(f"{name}." if name else "" for name, part in model.named_modules() if part is module)
    loaded = {f"{prefix}{name}" for name in taken}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    drawn = _shortest({name for name in sizes if name not in loaded}, loaded & sizes.keys())
    number = sum(size for name, size in sizes.items() if name in loaded)
    return f"{number:,} of {sum(sizes.values()):,} parameters are loaded" + f"; drawn: {', '.join(drawn)}" * bool(drawn)


def _shortest(names: set[str], others: set[str]) -> list[str]:
    """Names of modules that hold all of `names` and none of `others`, as few as that takes: 'net.layer4.0.conv2'."""
    found = set()
    for name in names:
        parts = name.split(".")
        heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
        found.add(next(head for head in heads if not any(f"{other}.".startswith(f"{head}.") for other in others)))
    return sorted(found)


def _say(start: Start, place: Place, taken: Tensors, others: list[str], strays: int) -> None:
    """What was not taken of the file, or stays as it was drawn."""
    state = place.module.state_dict()
    heads = [head for head in place.heads if any(name not in taken for name in state if name.startswith(f"{head}."))]
    parts = [f"{'.'.join(start.keys)} of the file is taken"] if start.keys else []
    if heads:
        parts.append(f"{' and '.join(heads)} stays as drawn, since the file has none of that size, or none whole")
    if others:
        parts.append(f"{told(others)} of the file are parts of another network")
    if strays:
        parts.append(f"{strays} tensors do not fit and are left out, {len(taken)} of {len(state)} are taken")
    if parts:
        warn_once(log, f"{start.name}: {'; '.join(parts)}.")
