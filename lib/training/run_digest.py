"""What decides what a run computes, as digests: a run whose code or images have changed is trained again.

Of the code: of the files that the model's classes stand in, and of those that they import, everything counts but other networks'
layers and the registries of classes: a new fusion strategy makes no other strategy's runs stale. Of the rest, the whole
files do.
"""

import ast
import functools
import hashlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from torch import nn

from lib.code_digest import imported, statements, statements_of
from lib.data.pixels import content_digest
from lib.data.shards import ShardSet
from lib.data.shards.content import content_digest as content_of_shards
from lib.training.config import RunConfig
from lib.training.settings import BRANCHES
from lib.training.training_data import TrainingData

DECIDING = (
    "lib.data.augmentation",
    "lib.data.decoding",
    "lib.data.imageset",
    "lib.data.pixels",
    "lib.data.sampling",
    "lib.data.splits",
    "lib.training.inference",
    "lib.training.losses",
    "lib.training.metrics",
    "lib.training.classifier",
    "lib.training.optimisers",
    "lib.training.recorder",
    "lib.training.testing",
    "lib.training.trainer",
)
STREAMED = ("lib.data.shards.stream", "lib.training.training_data")
DISTRIBUTED = ("lib.training.distributed",)
MIXED = ("lib.data.mixing",)
FINE_GRAINED = ("lib.training.fine_grained",)
REIDENTIFICATION = (
    "lib.retrieval.distances",
    "lib.training.identity_sampling",
    "lib.training.identities",
    "lib.retrieval.ranking",
    "lib.training.reidentification",
    "lib.retrieval.reranking",
    "lib.training.triplet",
)
NOT_OURS = {"torch", "torchvision", "timm", "einops", *sys.stdlib_module_names}  # versions are in the provenance
# In a run's basis: what is decoded of the images, and how to know it at a glance.
CONTENT, STAMP = "images", "image files"
# Of what a model's files import: what it says and shows, not what it computes.
ASIDE = {"lib", "lib.errors", "lib.paths", "lib.progress"}


def run_digests(config: RunConfig, model: nn.Module) -> dict[str, str]:
    """{'model code': digest, 'training code': digest} of the code that `config` and its network run with now."""
    names = DECIDING + FINE_GRAINED * (config.attention in BRANCHES) + REIDENTIFICATION * (config.task == "reid")
    names += STREAMED * config.streams + DISTRIBUTED * (config.processes > 1)
    names += MIXED * (config.uses("mixup") or config.uses("cutmix"))
    return {"model code": _digest(_model_code(model)), "training code": _digest(map(statements_of, names))}


def seen(training_data: TrainingData, cache: Path) -> dict[str, str]:
    """{CONTENT: digest, STAMP: digest} of the images; nothing of shards of which only names and sizes are known.

    `cache` is the folder in which the digests of shards are kept, so that each is read once.
    """
    if not isinstance(training_data, ShardSet):
        return {CONTENT: content_digest(training_data.pixels), STAMP: training_data.images.stamp()}
    content = content_of_shards(training_data, cache)
    return {CONTENT: content, STAMP: training_data.stamp()} if content else {}


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What is other `now` than in the basis that a run was begun with; those of earlier builds do not tell the content."""
    aside = {STAMP} if CONTENT in then else {STAMP, CONTENT}
    other = [name for name, value in now.items() if name not in aside and then.get(name) != value]
    return [name for name in other if name != CONTENT or "data" not in other]  # other data have other images


def _model_code(model: nn.Module) -> Iterator[str]:
    classes = {base for module in model.modules() for base in type(module).__mro__ if _is_ours(base)}
    files = {cls.__module__ for cls in classes if cls.__module__.split(".")[0] == "lib"}
    for name in sorted((imported(files) | {"lib.models"}) - ASIDE):
        yield _deciding(name, statements_of(name), frozenset(classes))
    for cls in sorted(classes, key=lambda c: (c.__module__, c.__qualname__)):  # a user's own
        if cls.__module__ not in files:
            yield _source(cls)
    for name in sorted({cls.__module__ for cls in classes} - files - {"__main__"}):
        functions = inspect.getmembers(sys.modules[name], inspect.isfunction)
        yield from (_source(function) for _, function in functions if function.__module__ == name)


def _is_ours(cls: type) -> bool:
    """Whether a class is the workbook's or the user's own."""
    return cls.__module__.split(".")[0] not in NOT_OURS


@functools.lru_cache(maxsize=256)  # a notebook trains many runs of a few networks
def _deciding(name: str, text: str, classes: frozenset[type]) -> str:
    """The statements `text` of a module without imports, registries of classes and the layers that are not of `classes`."""
    tree = ast.parse(text)
    # One that is imported late, in a function, may not be loaded yet; which of its classes are layers must not hang on that.
    module = importlib.import_module(name)

    def decides(node: ast.stmt) -> bool:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return False
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            return not any(_is_aside(module, target.id) for target in targets if isinstance(target, ast.Name))
        cls = getattr(module, getattr(node, "name", ""), None)
        return not (isinstance(cls, type) and issubclass(cls, nn.Module) and cls not in classes)

    return "\n".join(ast.unparse(node) for node in tree.body if decides(node))


def _is_aside(module: ModuleType, name: str) -> bool:
    """Whether a module's variable only lists names or classes: those that a run uses are counted themselves."""
    value = getattr(module, name, None)
    return name == "__all__" or (isinstance(value, dict) and any(isinstance(entry, type) for entry in value.values()))


def _source(what: type | FunctionType) -> str:
    try:
        return statements(textwrap.dedent(inspect.getsource(what)))
    except (OSError, TypeError):  # defined where no file holds it, such as a notebook's cell
        methods = vars(what).values() if isinstance(what, type) else [what]
        return "\n".join(_byte_code(m.__code__) for m in methods if isinstance(m, FunctionType))


def _byte_code(code: CodeType) -> str:
    constants = [_byte_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {constants}"


def _digest(texts: Iterator[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
