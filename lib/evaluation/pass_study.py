"""What the passes of trained GAttANets do: to their answers, to their layers, and to what they agree on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor

from lib.evaluation.test_images import TestImages
from lib.gattanet import GAttANet, batch_statistics, class_agreement, gains, logits_by_passes, pass_agreement


@dataclass(frozen=True)
class PassStudy:
    """Networks of one configuration, one a seed, on the same test images."""

    trained: int  # passes
    running: list[pd.DataFrame]  # `pass_changes` with the running statistics of batch normalisation
    batchwise: list[pd.DataFrame]  # and with those of the batch at hand
    alphas: np.ndarray  # [seeds, L]
    gains: dict[str, np.ndarray]  # by layer the factors 1 + α · gatta of the last pass, of all seeds, flat
    between_classes: np.ndarray  # [P, K, K], the mean cosine of two images' queries
    between_passes: np.ndarray  # [P, P], of one image's queries in two passes

    @property
    def mean(self) -> pd.DataFrame:
        """The changes by running statistics, mean over seeds."""
        return sum(self.running) / len(self.running)

    @property
    def last(self) -> pd.Series:
        """What the trained number of passes changes, mean over seeds."""
        return self.mean.loc[self.trained]

    @property
    def recovered(self) -> float:
        """By how much the accuracy is higher by the batch's own statistics: what was lost to normalisation."""
        return (
            sum(each.loc[self.trained, "accuracy"] for each in self.batchwise) / len(self.batchwise)
            - self.last.accuracy
        )

    @property
    def widest(self) -> float:
        """The largest modulation of a layer: the 95th percentile of |α · gatta|."""
        return max(np.percentile(np.abs(values - 1), 95) for values in self.gains.values())

    @property
    def cosines(self) -> tuple[float, float]:
        """Of the last pass's queries: of two images of one class, and of two classes."""
        last = self.between_classes[-1]
        same = np.eye(len(last), dtype=bool)
        return float(np.nanmean(last[same])), float(np.nanmean(last[~same]))


def study_passes(networks: Sequence[GAttANet], images: TestImages, beyond: int = 2) -> PassStudy:
    """Run `networks` with one pass, as trained, and with up to `beyond` passes more, on all of `images`."""
    running, batchwise, queries, factors, alphas = [], [], [], [], []
    batch, labels, trained = images.batch(networks[0]), images.labels, networks[0].passes
    with torch.inference_mode():
        for network in networks:
            running.append(pass_changes(logits_by_passes(network, batch, trained + beyond).numpy(), labels))
            with batch_statistics(network):
                batchwise.append(pass_changes(logits_by_passes(network, batch, trained + beyond).numpy(), labels))
            network(batch)
            alphas.append(network.maps()["alpha"].numpy())
            queries.append(network.maps()["queries"])
            factors.append({name: values[:, -1].numpy().ravel() for name, values in gains(network).items()})
    return PassStudy(
        trained,
        running,
        batchwise,
        np.array(alphas),
        {name: np.concatenate([each[name] for each in factors]) for name in factors[0]},
        _mean([class_agreement(each, torch.from_numpy(labels)) for each in queries]),
        _mean([pass_agreement(each) for each in queries]),
    )


def pass_changes(logits: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """What further passes change; a row a number of passes, from 1.

    Args:
        logits: [P, B, K] of a network that ran 1, … P passes.
        labels: [B].

    Columns, shares of the images: `accuracy`; against one pass `changed` (another answer), `repaired` (wrong → right)
    and `spoiled` (right → wrong); `moved`, the total variation distance between the probabilities, mean over the images.
    """
    answers = logits.argmax(axis=2)
    right = answers == labels
    probabilities = softmax(logits, axis=2)
    columns = {
        "accuracy": right,
        "changed": answers != answers[0],
        "repaired": right & ~right[0],
        "spoiled": ~right & right[0],
        "moved": np.abs(probabilities - probabilities[0]).sum(axis=2) / 2,
    }
    index = pd.RangeIndex(1, len(logits) + 1, name="passes")
    return pd.DataFrame({name: values.mean(axis=1) for name, values in columns.items()}, index=index)


def _mean(values: Sequence[Tensor]) -> np.ndarray:
    return (sum(values) / len(values)).numpy()
