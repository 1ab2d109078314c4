"""What a network answers, in whatever its logits are wrapped."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

from torch import Tensor, nn

from lib.errors import WorkbookValueError


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """[B, K]: the logits of images [B, 3, H, W], one a class; a network with a single answer [B] has one class.

    A network may give a tensor, or wrap one: a dict, a dataclass or another object names it `logits`, or has no other of
    that shape; so has a tuple or a list.

    Raises:
        WorkbookValueError: there is no such tensor, or more than one.
    """
    answer = model(images)
    named = _parts(answer)
    fitting = {name: part for name, part in named.items() if _is_logits(part, len(images))}
    if "logits" in named:  # else, where they are another thing, features would be taken for them
        fitting = {name: part for name, part in fitting.items() if name == "logits"}
    if len(fitting) != 1:
        told = ", ".join(f"{name}: {_kind(part)}" if name else _kind(part) for name, part in named.items())
        what = f"{len(fitting)} tensors that may be its logits" if fitting else "no logits [B, classes]"
        raise WorkbookValueError(
            f"This {type(model).__name__} answers {len(images)} images with {what} ({told or type(answer).__name__}): "
            "wrap it in a module whose forward gives them alone, or calls them logits."
        )
    return next(iter(fitting.values())).reshape(len(images), -1)


def differentiable(answer: Tensor) -> Tensor:
    """`answer`, if a gradient leads from it to the image.

    Raises:
        WorkbookValueError: none does.
    """
    if not answer.requires_grad:
        raise WorkbookValueError(
            "No gradient leads from what is explained back to the image: the network, or the target, computes it under no_grad, "
            "detached, or by steps that have none, such as argmax. Take a method that needs none, such as rise."
        )
    return answer


def answers_of(model: nn.Module, images: Tensor) -> Sequence[object]:
    """An answer for each of images [B, 3, H, W], of a network that may be no classifier: the parts of a list, as detectors
    give, or the rows of its `logits`, its `out` (torchvision's name for maps of scores) or of its only tensor.

    Raises:
        WorkbookValueError: it cannot be told what is answered for each image.
    """
    answer = model(images)
    if isinstance(answer, list) and len(answer) == len(images) and all(isinstance(each, Mapping) for each in answer):
        return answer
    named = {name: part for name, part in _parts(answer).items() if _is_for_each(part, len(images))}
    name = next((name for name in ("logits", "out") if name in named), None)
    if name is None and len(named) != 1:
        raise WorkbookValueError(
            f"This {type(model).__name__} answers {len(images)} images with {len(named)} tensors, none of them called logits "
            "or out: wrap it in a module whose forward gives one."
        )
    return named[next(iter(named)) if name is None else name]


def _parts(answer: object) -> dict[str, object]:
    """What an answer consists of, by name; by number in a sequence."""
    if isinstance(answer, Tensor):
        return {"": answer}
    if isinstance(answer, Mapping):
        return {str(name): part for name, part in answer.items()}
    if is_dataclass(answer):
        return {field.name: getattr(answer, field.name) for field in fields(answer)}
    if isinstance(answer, (tuple, list)):
        return dict(zip(getattr(answer, "_fields", map(str, range(len(answer)))), answer, strict=True))
    return dict(getattr(answer, "__dict__", {}))


def _is_logits(part: object, images: int) -> bool:
    """Whether `part` is a number an image and class, [B], [B, K] or [B, K, 1, …]."""
    return _is_for_each(part, images) and part.shape[2:].numel() == 1


def _is_for_each(part: object, images: int) -> bool:
    """Whether `part` is a tensor of numbers with a row an image."""
    return isinstance(part, Tensor) and part.is_floating_point() and part.ndim > 0 and len(part) == images


def _kind(part: object) -> str:
    return str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__
