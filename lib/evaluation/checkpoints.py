"""A network and a checkpoint of it on any data set: top-1 and top-5 accuracy and the recall of each class, with intervals.

Images are shown as ImageNet's networks are tested: the shorter side resized to 256/224 of what the network sees, the middle cut
out (torchvision's `Resize(256)`, `CenterCrop(224)`), ImageNet's mean and standard deviation. They are read as they are needed: a
set of 50,000 is neither cached nor held in memory.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, resize

from lib.data import ImageSet
from lib.data.decoding import on_all_cores, upright
from lib.data.imageset import refuse_unreadable
from lib.errors import WorkbookFileError, WorkbookValueError
from lib.lesa.checkpoint import converted, find_checkpoint, load_weights, read_checkpoint
from lib.models import create_model
from lib.progress import Progress
from lib.training.metrics import Resampled, with_intervals

RESIZED = 256 / 224  # of the side that the network sees
TOP = 5
BATCH = 64


def load_network(place: str | Path, name: str, classes: int, attention: str = "none") -> nn.Module:
    """The network `name` of `lib.create_model`, in eval mode, with the weights of a checkpoint or of a folder of them.

    The weights are a state dict of it, or of torchvision's network in it, or the official LESA code's.

    Raises:
        WorkbookFileError: no such checkpoint, or it cannot be read.
        WorkbookValueError: an unknown name, or weights of another network.
    """
    file = find_checkpoint(place)
    weights = read_checkpoint(file)
    model = create_model(name, num_classes=classes, attn_type=attention)
    inner = getattr(model, "net", model)
    own = {*model.state_dict()} & {*converted(weights)}
    load_weights(model if own else inner, weights)
    return model.eval()


def centre_crop(path: str, size: tuple[int, int]) -> np.ndarray:
    """The middle of a picture, uint8 [height, width, 3]: of one of its own proportions, not squeezed.

    Raises:
        WorkbookFileError: it cannot be read.
    """
    with upright(path) as image:
        shown = resize(image.convert("RGB"), round(min(size) * RESIZED), InterpolationMode.BILINEAR)
        return np.asarray(center_crop(shown, list(size)))


def evaluate_network(
    answer: Callable[[np.ndarray], np.ndarray],
    images: ImageSet,
    read: Callable[[str], np.ndarray],
    labels: np.ndarray,
    skip_unreadable: bool = False,
) -> dict[str, dict[str, float]]:
    """{'test': {metric: value}, 'intervals': {metric: (low, high)}} of `top_metrics`, of all `images`.

    Args:
        answer: the network's probabilities [B, K] for a batch of pictures, uint8 [B, height, width, 3].
        read: the picture in a file as it is shown to the network, uint8 [height, width, 3].
        labels: the network's output for each class of `images`.

    Raises:
        WorkbookFileError: an image cannot be read (unless `skip_unreadable`).
        WorkbookValueError: the network has not as many outputs, or they are no numbers.
    """
    probabilities, kept = _answers(answer, images, read, skip_unreadable)
    outputs = probabilities.shape[1]
    if outputs <= max(labels):
        raise WorkbookValueError(
            f"The network has {outputs} outputs, and {images.name} has {len(images.classes)} classes."
        )
    if not math.isfinite(probabilities.sum()):
        raise WorkbookValueError(f"The network's answers to {images.name} are no numbers: its weights are damaged.")
    names = dict(zip(labels.tolist(), images.classes, strict=True))
    rows = images.rows.iloc[kept]
    return with_intervals(top_metrics(probabilities, labels[rows["label"].to_numpy()], names, rows["group"]))


def top_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: Mapping[int, str], groups: Sequence[str]
) -> dict[str, np.ndarray]:
    """`top1` and `top5` accuracy, `balanced_accuracy` and `recall_<class>`, each for the images as they are and then for
    resamples of whole groups, [1 + resamples]. Without more than five outputs there is no `top5`.

    `classes` names the outputs; those that no image shows are left out.
    """
    resampled, right = Resampled(groups, strata=labels), probabilities.argmax(axis=1) == labels
    true = np.take_along_axis(probabilities, labels[:, None], axis=1)
    samples = {"top1": resampled.mean(right)}
    if probabilities.shape[1] > TOP:
        samples["top5"] = resampled.mean((probabilities > true).sum(axis=1) < TOP)
    recalls = dict(_recalls(resampled.weights, right, labels, classes))
    return samples | {"balanced_accuracy": np.mean([*recalls.values()], axis=0)} | recalls


def _recalls(
    weights: np.ndarray, right: np.ndarray, labels: np.ndarray, classes: Mapping[int, str]
) -> Iterator[tuple[str, np.ndarray]]:
    for label in np.unique(labels):
        own = labels == label
        yield f"recall_{classes[label]}", weights[:, own] @ right[own].astype(float) / weights[:, own].sum(axis=1)


def _answers(
    answer: Callable[[np.ndarray], np.ndarray],
    images: ImageSet,
    read: Callable[[str], np.ndarray],
    skip_unreadable: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, K] of the readable images, and their row numbers."""
    paths, answers, kept, problems = images.rows["path"].tolist(), [], [], []
    with Progress(len(paths), f"testing on {images.name}") as bar:
        for start in range(0, len(paths), BATCH):
            seen = [*on_all_cores(read, paths[start : start + BATCH])]
            problems += [str(each) for each in seen if isinstance(each, WorkbookFileError)]
            good = [i for i, each in enumerate(seen) if isinstance(each, np.ndarray)]
            if good:
                answers.append(answer(np.stack([seen[i] for i in good])))
            kept += [start + i for i in good]
            bar.advance(len(seen))
    refuse_unreadable(problems, skip_unreadable)
    if not answers:
        raise WorkbookFileError(f"None of the {len(paths)} images of {images.name} can be read; nothing was tested.")
    return np.concatenate(answers), np.array(kept)
