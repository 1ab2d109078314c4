"""The probabilities that a network gives to many perturbed images at once."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import positive
from lib.explain.methods.eval_guards import undisturbed
from lib.explain.methods.explain import checked_images, size_errors
from lib.explain.methods.logits import logits_of
from lib.explain.methods.target_objects import Scored, Target
from lib.explain.methods.targets import Targets, chosen, given_objects, given_targets, in_their_places, strengths
from lib.hardware import mixed_precision

BATCH = 32  # perturbed images at once: a CPU is fastest with 16 to 32


class PerturbedInference:
    """What `model` answers about each image, whatever is done to it: the probability of one class, or, of what is no class, the
    number that the target makes of the answer, the probability's place in all that follows.

    Args:
        model: a classifier in eval mode, or a network that `targets` can be asked of.
        images: float [N, 3, H, W] as the network is shown them.
        targets: what is asked about, see `lib.explain.explain`; None the classes predicted for the images as they are.
        batch_size: perturbed images at once.
        precision: see `lib.explain.explain`; half precision is faster and less exact.

    Attributes:
        targets: the class [N] of each image, or a list of N targets that are no classes.
        classes: how many there are; None where no class is asked about.

    Raises:
        WorkbookValueError: images or targets that cannot be, or a model in training mode.
    """

    def __init__(
        self, model: nn.Module, images: Tensor, targets: Targets, batch_size: int = BATCH, precision: str = "32"
    ) -> None:
        positive(batch_size=batch_size)
        checked_images(images)
        self.model, self.images, self.batch_size = model, images, batch_size
        self.like = next(model.parameters(), torch.zeros(()))
        self.precision = mixed_precision(precision, self.like.device)
        self._whole: dict[str, np.ndarray] = {}
        objects = given_objects(targets, len(images))
        with undisturbed(model), size_errors(model, images):  # checks the mode, too
            if objects is None:
                self.targets, self.classes = self._given_classes(targets)
            else:
                self.targets, self.classes = in_their_places(objects), None
                for target, places in objects:
                    self._answers(Scored(model, target), images[places[:1]])

    def _given_classes(self, targets: Targets) -> tuple[Tensor, int]:
        """The class of each image, and how many there are."""
        classes = given_targets(targets, len(self.images))
        if classes is None:
            logits = torch.cat([self._answers(self.model, part) for part in self.images.split(self.batch_size)])
            return logits.argmax(1).cpu(), logits.shape[1]
        logits = self._answers(self.model, self.images[:1])
        chosen(logits, classes)
        return classes, logits.shape[1]

    def targets_of(self, image: Tensor) -> Tensor | list[Target]:
        """What is asked about each of the images numbered in `image`, as `explain` takes it."""
        return [self.targets[i] for i in image.tolist()] if self.classes is None else self.targets[image]

    def probabilities(self, perturbed: Callable[[Tensor], Tensor], image: Tensor) -> np.ndarray:
        """[rows]: the probability of each perturbed image's class, or the number that its target makes.

        `perturbed` makes a batch of images [b, 3, H, W] of its row numbers [b]; `image` [rows] tells which of the N
        images each row is made from.
        """
        batches = torch.arange(len(image)).split(self.batch_size)
        return torch.cat([self._values(perturbed(rows), image[rows]) for rows in batches]).cpu().numpy()

    def _values(self, pictures: Tensor, image: Tensor) -> Tensor:
        """[b], of pictures [b, 3, H, W] that are made from the images numbered in `image` [b]."""
        if self.classes is not None:
            answers = strengths(self._answers(self.model, pictures))
            return answers.gather(1, self.targets[image].to(answers.device).unsqueeze(1))[:, 0]
        values = torch.empty(len(pictures), device=self.like.device)
        for target, places in given_objects(self.targets_of(image), len(image)):
            places = self.on_device(places)
            values[places] = self._answers(Scored(self.model, target), pictures.to(places.device)[places])[:, 0]
        return values

    def of_whole(self, name: str, change: Callable[[Tensor], Tensor] = lambda images: images) -> np.ndarray:
        """[N]: the probability of each image's class after `change` of all of the image. Asked once for each `name`,
        however many maps are scored."""
        if name not in self._whole:
            every = torch.arange(len(self.images))
            self._whole[name] = self.probabilities(lambda rows: change(self.on_device(self.images[rows])), every)
        return self._whole[name]

    def on_device(self, tensor: Tensor) -> Tensor:
        """`tensor` on the model's device."""
        return tensor.to(self.like.device)

    @torch.inference_mode()
    def _answers(self, model: nn.Module, images: Tensor) -> Tensor:
        """Logits, or a single number each, float32"""
        # channels last in memory: a fifth faster on a CPU
        images = images.to(self.like.device, self.like.dtype, memory_format=torch.channels_last)
        with self.precision:
            return logits_of(model, images).float()
