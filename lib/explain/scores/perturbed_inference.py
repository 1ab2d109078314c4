"""The probabilities that a network gives to many perturbed images at once."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import positive
from lib.explain.methods.eval_guards import undisturbed
from lib.explain.methods.explain import checked_images, size_errors
from lib.explain.methods.logits import logits_of
from lib.explain.methods.targets import Targets, chosen, given_targets
from lib.hardware import mixed_precision

BATCH = 32  # perturbed images at once: a CPU is fastest with 16 to 32


class PerturbedInference:
    """The probability that `model` gives to one class of each image, whatever is done to the images.

    Args:
        model: a classifier in eval mode.
        images: float [N, 3, H, W] as the network is shown them.
        targets: the classes, see `lib.explain.explain`; None the ones predicted for the images as they are.
        batch_size: perturbed images at once.
        precision: see `lib.explain.explain`; half precision is faster and less exact.

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
        self.targets = given_targets(targets, len(images))
        with undisturbed(model), size_errors(model, images):  # checks the mode, too
            if targets is None:
                logits = torch.cat([self._logits(part) for part in images.split(batch_size)])
                self.targets = logits.argmax(1).cpu()
            else:
                logits = self._logits(images[:1])
                chosen(logits, self.targets)
        self.classes = logits.shape[1]

    def probabilities(self, perturbed: Callable[[Tensor], Tensor], image: Tensor) -> np.ndarray:
        """[rows]: the probability of each perturbed image's class.

        `perturbed` makes a batch of images [b, 3, H, W] of its row numbers [b]; `image` [rows] tells which of the N
        images each row is made from.
        """
        batches = []
        for rows in torch.arange(len(image)).split(self.batch_size):
            probabilities = self._logits(perturbed(rows)).softmax(1)
            classes = self.targets[image[rows]].to(probabilities.device)
            batches.append(probabilities.gather(1, classes.unsqueeze(1))[:, 0].cpu())
        return torch.cat(batches).numpy()

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
    def _logits(self, images: Tensor) -> Tensor:
        # channels last in memory: a fifth faster on a CPU
        images = images.to(self.like.device, self.like.dtype, memory_format=torch.channels_last)
        with self.precision:
            return logits_of(self.model, images).float()
