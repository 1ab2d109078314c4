"""The network that a RunConfig describes."""

import torch
from torch import nn

from lib.models import create_model
from lib.training.config import RunConfig
from lib.training.settings import BRANCHES


def build_model(config: RunConfig, classes: int, pretrained: bool = True) -> nn.Module:
    """The untrained model that `config` describes (`pretrained=False`: all drawn, where weights are loaded next)."""
    options = config.arguments("network")
    if pretrained:
        options |= {"pretrained": config.pretrained, "weights": config.weights}
    if config.attention in BRANCHES:
        from lib.dcal import create_dcal_model  # timm takes two seconds to import

        glca, pwca = BRANCHES[config.attention]
        return create_dcal_model(config.backbone, classes, img_size=config.size, glca=glca, pwca=pwca, **options)
    if "position" in options:
        options["image_size"] = config.size  # that its tables are made for
    return create_model(config.backbone, num_classes=classes, attn_type=config.attention, **options)


def build_structure(config: RunConfig, classes: int) -> nn.Module:
    """The same model on the `meta` device: no memory, no weights, no random numbers."""
    with torch.device("meta"):
        return build_model(config, classes, pretrained=False)
