"""Training images that are made of two: mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899), as torchvision has them.

Each image of a batch is mixed with the one before it, by one share that is drawn for the batch; its label becomes the shares of
both classes.
"""

from torchvision.transforms import v2


def build_mixing(mixup: float, cutmix: float, classes: int) -> v2.Transform | None:
    """What mixes a batch, images [B, 3, H, W] and labels [B] → images and shares [B, classes]; None where both are 0.

    Each is α of the Beta distribution of its shares. With both, a coin decides for each batch.
    """
    known = {v2.MixUp: mixup, v2.CutMix: cutmix}
    chosen = [mix(alpha=alpha, num_classes=classes) for mix, alpha in known.items() if alpha]
    return v2.RandomChoice(chosen) if len(chosen) > 1 else next(iter(chosen), None)
