"""What else than a class can be explained: whatever can be told as one number of what a network answers an image.

A target is a callable, answer to one image → number, as in pytorch_grad_cam.utils.model_targets, whose targets fit here,
too. The answer is a row of logits [K], or what a network gives for an image that is no classifier: a map of scores
[K, H, W], a detector's dict. A target that asks the network otherwise has a method `ask(model, images)`, which gives an
answer an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from lib.errors import WorkbookValueError
from lib.explain.methods.logits import answers_of
from lib.glsa.attention import at_least_float32

Target = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Classes:
    """Several classes at once, of a network whose classes do not exclude each other: the sum of their logits.

    Raises:
        WorkbookValueError: they are no whole numbers, or one of them is told twice.
    """

    classes: Sequence[int]

    def __post_init__(self) -> None:
        told = self.classes.tolist() if isinstance(self.classes, (Tensor, np.ndarray)) else self.classes
        classes = list(told) if isinstance(told, Iterable) else [told]
        whole = all(isinstance(k, Integral) and not isinstance(k, bool) for k in classes)
        if not whole or len(set(classes)) < len(classes):
            raise WorkbookValueError(
                f"Classes are different whole numbers, such as Classes([1, 4]), not {self.classes!r}."
            )
        object.__setattr__(self, "classes", tuple(map(int, classes)))

    def __call__(self, logits: Tensor) -> Tensor:
        """[K] → []"""
        if not isinstance(logits, Tensor) or logits.ndim != 1:
            raise WorkbookValueError(
                f"Classes are of a network that answers an image with logits [K], not with {_told(logits)}."
            )
        wrong = [k for k in self.classes if not 0 <= k < len(logits)]
        if wrong or not len(self.classes):
            what = f"no class {wrong[0]}" if wrong else "nothing to explain in no class at all"
            raise WorkbookValueError(f"There is {what}: the model has classes 0 to {len(logits) - 1}.")
        return logits[list(self.classes)].sum()


@dataclass(frozen=True, eq=False)  # one that holds a tensor is itself, and equal to no other
class Similarity:
    """How like `query` [D] a picture is to the network: the cosine of their embeddings (`embeddings_of`)."""

    query: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.query, Tensor) or self.query.ndim != 1:
            raise WorkbookValueError(
                f"A query is an embedding, a tensor [D], not {_told(self.query)}: Similarity.to(model, image) makes one."
            )
        if not (self.query.isfinite().all() and self.query.any()):
            raise WorkbookValueError(
                f"The query has {'no direction' if self.query.isfinite().all() else 'numbers that are not finite'}, so that nothing "
                "is like it: embed a picture that the network answers, Similarity.to(model, image)."
            )

    @classmethod
    @torch.no_grad()
    def to(cls, model: nn.Module, image: Tensor) -> Similarity:
        """To a picture, [3, H, W] as `model` (in eval mode) is shown it.

        Raises:
            WorkbookValueError: it is none, or the network gives no embedding of it.
        """
        if not isinstance(image, Tensor) or image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
            raise WorkbookValueError(
                f"What is searched by is one picture, a float tensor [3, H, W], not {_told(image)}: of a batch take images[i]."
            )
        like = next(model.parameters(), image)
        return cls(embeddings_of(model, image.unsqueeze(0).to(like.device, like.dtype))[0])

    def __call__(self, embedding: Tensor) -> Tensor:
        """[D] → []"""
        if embedding.shape != self.query.shape:
            raise WorkbookValueError(
                f"The query is an embedding of shape {list(self.query.shape)}, the network's are of shape "
                f"{list(embedding.shape)}: embed both with one network, as Similarity.to(model, image) does."
            )
        return F.cosine_similarity(embedding, self.query.to(embedding), dim=0)

    def ask(self, model: nn.Module, images: Tensor) -> Tensor:
        """[B, D]: the embeddings of images [B, 3, H, W]; see `embeddings_of`."""
        return embeddings_of(model, images)


@dataclass(frozen=True, eq=False)
class DetectedBox:
    """A box (x₁, y₁, x₂, y₂), in pixels of the image, in which a detector of torchvision's sees class `label`: the greatest
    IoU · score of its detections of that class (D-RISE, arXiv 2006.03204, eq. 3, with hard labels).

    Raises:
        WorkbookValueError: it is no box, or no label.
    """

    box: Sequence[float] | Tensor
    label: int

    def __post_init__(self) -> None:
        _check_label(self.label)
        try:
            left, top, right, bottom = map(float, self.box)
            proper = left < right and top < bottom
        except (TypeError, ValueError):
            proper = False
        if not proper:
            raise WorkbookValueError(
                f"A box is its corners (x₁, y₁, x₂, y₂), numbers with x₁ < x₂ and y₁ < y₂, not {self.box!r}."
            )

    def __call__(self, detections: dict[str, Tensor]) -> Tensor:
        boxes = _detected(detections, "boxes")
        return _greatest(detections, self.label, box_iou(boxes, torch.as_tensor(self.box).to(boxes)[None])[:, 0])


@dataclass(frozen=True, eq=False)
class DetectedMask:
    """The `mask` [H, W] of an object of class `label` that a Mask R-CNN of torchvision's sees: as `DetectedBox`, with the
    IoU of the masks, Σ min ÷ Σ max."""

    mask: Tensor
    label: int

    def __post_init__(self) -> None:
        _check_label(self.label)
        if not isinstance(self.mask, Tensor):
            raise WorkbookValueError(f"A mask is a tensor [H, W], not {_told(self.mask)}: torch.as_tensor makes one.")

    def __call__(self, detections: dict[str, Tensor]) -> Tensor:
        found = _detected(detections, "masks")[:, 0]
        if self.mask.shape != found.shape[1:]:
            raise WorkbookValueError(
                f"The mask has the shape {list(self.mask.shape)}, and the image is of {list(found.shape[1:])} pixels, as a mask has to be."
            )
        mask = self.mask.to(found).expand_as(found)
        iou = torch.minimum(found, mask).sum((1, 2)) / torch.maximum(found, mask).sum((1, 2)).clamp(min=1)
        return _greatest(detections, self.label, iou)


def _check_label(label: object) -> None:
    whole = isinstance(label, Tensor) and label.numel() == 1 and not label.is_floating_point()
    if not (whole or isinstance(label, Integral)) or isinstance(label, bool):
        raise WorkbookValueError(f"A detector's classes are whole numbers, such as label=1, not {label!r}.")


def _detected(detections: object, what: str) -> Tensor:
    """What a detector has found in an image, its "boxes" or "masks".

    Raises:
        WorkbookValueError: the answer is no detector's, or has none of these.
    """
    if not isinstance(detections, Mapping) or what not in detections:
        raise WorkbookValueError(
            f"Detected {what} are of a network that answers an image with a dict of {what}, labels and scores, as torchvision's "
            f"detectors do, not with {_told(detections)}."
        )
    return detections[what]


def _told(answer: object) -> str:
    """What something is: a tensor's shape, the keys of a dict, else its type."""
    if isinstance(answer, Tensor):
        return f"a tensor {list(answer.shape)}"
    return f"a dict of {', '.join(map(str, answer))}" if isinstance(answer, Mapping) else f"{type(answer).__name__}"


def _greatest(detections: dict[str, Tensor], label: int, overlap: Tensor) -> Tensor:
    """The greatest overlap · score among the detections of a class; 0 where there is none."""
    scores = detections["scores"] * overlap * (detections["labels"] == label)
    return torch.cat([scores, scores.sum().unsqueeze(0) * 0]).max()


def embeddings_of(model: nn.Module, images: Tensor) -> Tensor:
    """[B, D]: how `model` describes images [B, 3, H, W]: by its own `embed`, as DCAL's networks and those of
    re-identification have, by what a network of timm's hands to its last layer, or else by what it answers."""
    if hasattr(model, "embed"):
        return model.embed(images)
    if hasattr(model, "forward_features") and hasattr(model, "forward_head"):
        return model.forward_head(model.forward_features(images), pre_logits=True)
    answers = answers_of(model, images)
    if not isinstance(answers, Tensor):
        raise WorkbookValueError(
            f"This {type(model).__name__} answers an image with {_told(answers[0])}, which is no embedding: give the part of it that "
            "makes one, or a module whose `embed(images)` does."
        )
    return answers


class Scored(nn.Module):
    """`model`, as a network of a single answer, what `target` makes of each image's: [B, 3, H, W] → [B, 1]."""

    def __init__(self, model: nn.Module, target: Target) -> None:
        super().__init__()
        self.model, self.target = model, target
        self.ask = getattr(target, "ask", answers_of)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] → [B, 1], in float32 at least.

        Raises:
            WorkbookValueError: the target makes something else than a tensor of one number of an answer.
        """
        scores = [self.target(answer) for answer in self.ask(self.model, images)]
        for score in scores:
            if not isinstance(score, Tensor) or score.numel() != 1:
                shape = list(score.shape) if isinstance(score, Tensor) else type(score).__name__
                raise WorkbookValueError(
                    f"{type(self.target).__name__} makes {shape} of an image's answer; a target makes a single number, "
                    "a tensor, of it."
                )
        scores = torch.stack([score.reshape(1) for score in scores])
        return scores.to(at_least_float32(scores.dtype))
