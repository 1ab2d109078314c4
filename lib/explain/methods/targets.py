"""What a map is to explain: which class of each image, or which target (`lib.explain.methods.target_objects`)."""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

from lib.errors import WorkbookValueError
from lib.explain.methods.logits import differentiable
from lib.explain.methods.target_objects import Target

Targets = None | int | Sequence[int] | Tensor | Target | Sequence[Target]


def given_objects(targets: Targets, images: int) -> list[tuple[Target, Tensor]] | None:
    """Each target that is no class and the places of the images it is for, int64; None where `targets` are classes.

    Raises:
        WorkbookValueError: another number of targets than of images, or classes among them.
    """
    if callable(targets):
        return [(targets, torch.arange(images))]
    if isinstance(targets, Tensor) or not isinstance(targets, Sequence) or not any(map(callable, targets)):
        return None
    if len(targets) != images or not all(map(callable, targets)):
        raise WorkbookValueError(
            f"There are {images} images: give one target for all, or {images} targets, no classes among them."
        )
    distinct = {id(target): target for target in targets}
    places = {key: [place for place, target in enumerate(targets) if id(target) == key] for key in distinct}
    return [(target, torch.tensor(places[key])) for key, target in distinct.items()]


def in_their_places(objects: list[tuple[Target, Tensor]]) -> list[Target]:
    """One target an image, of what `given_objects` gives."""
    by_place = {place: target for target, places in objects for place in places.tolist()}
    return [by_place[place] for place in sorted(by_place)]


def given_targets(targets: Targets, images: int) -> Tensor | None:
    """One class an image, int64 [images]; a single number is for all of them, None the class that is predicted.

    Raises:
        WorkbookValueError: no whole numbers, or another number of them than of images.
    """
    if targets is None:
        return None
    try:
        classes = targets.cpu() if isinstance(targets, Tensor) else torch.tensor(targets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WorkbookValueError(f"targets must be whole numbers, the classes to explain, not {targets!r}.") from error
    if classes.is_floating_point() or classes.dtype == torch.bool or classes.is_complex():
        raise WorkbookValueError(f"targets must be whole numbers, the classes to explain, not {classes.dtype}.")
    if isinstance(targets, Integral) or classes.ndim == 0:
        return classes.long().reshape(()).expand(images)
    if classes.shape != (images,):
        raise WorkbookValueError(
            f"There are {images} images and targets of shape {list(classes.shape)}: give one each."
        )
    return classes.long()


def chosen(logits: Tensor, targets: Tensor | None) -> Tensor:
    """The class of each row of logits [B, K] that is explained, [B]: its target, or the greatest.

    Raises:
        WorkbookValueError: the model has no such class.
    """
    if targets is None:
        return logits.argmax(dim=1)
    for target in targets.tolist():
        in_range(target, logits.shape[1])
    return targets.to(logits.device, copy=True)  # autograd saves it, and would refuse what inference_mode has made


def in_range(target: int, classes: int) -> int:
    """`target`, if it is one of the model's classes; else a WorkbookValueError."""
    if not 0 <= target < classes:
        raise WorkbookValueError(f"There is no class {target}: the model has classes 0 to {classes - 1}.")
    return target


def strengths(logits: Tensor) -> Tensor:
    """[B, K]: how sure the network is of each class, its probability; of a single answer, that answer itself."""
    return logits.softmax(1) if logits.shape[1] > 1 else logits


def scores(logits: Tensor, targets: Tensor | None) -> Tensor:
    """[B]: the logit that is explained, of each row of logits [B, K], to be differentiated.

    Raises:
        WorkbookValueError: the model has no such class, or the logits have no gradient.
    """
    logits = differentiable(logits)
    return logits.gather(1, chosen(logits, targets).unsqueeze(1)).squeeze(1)
