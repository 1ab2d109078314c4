"""The network that a RunConfig describes."""

from __future__ import annotations

from torch import nn

from lib.models import create_model
from lib.training.config import BRANCHES, RunConfig

# A setting of RunConfig → the argument of create_model that it is.
OPTIONS = {
    "fusion_strategy": "fusion_strategy",
    "residual_strategy": "residual_strategy",
    "num_heads": "num_heads",
    "gatta_dim": "dim",
    "gatta_passes": "passes",
    "gatta_norm": "norm",
    "freeze_backbone": "freeze",
    "lesa_position": "position",
}


def build_model(config: RunConfig, classes: int, pretrained: bool | None = None) -> nn.Module:
    """The untrained model that `config` describes (`pretrained=False` where weights are loaded next)."""
    pretrained = config.pretrained if pretrained is None else pretrained
    if config.attention in BRANCHES:
        return _build_vit(config, classes, pretrained)
    options = {name: getattr(config, field) for field, name in OPTIONS.items() if field not in config.idle}
    if "position" in options:
        options["image_size"] = config.size  # that its tables are made for
    return create_model(
        config.backbone, pretrained=pretrained, num_classes=classes, attn_type=config.attention, **options
    )


def _build_vit(config: RunConfig, classes: int, pretrained: bool) -> nn.Module:
    from lib.dcal import create_dcal_model  # timm takes two seconds to import

    glca, pwca = BRANCHES[config.attention]
    shape = {name: getattr(config, name) for name in ("patch_size", "depth") if getattr(config, name) is not None}
    return create_dcal_model(
        config.backbone,
        classes,
        top_ratio=config.top_ratio,
        pretrained=pretrained,
        img_size=config.size,
        drop_path_rate=config.drop_path,
        glca=glca,
        pwca=pwca,
        selection=config.selection,
        glca_input=config.glca_input,
        glca_readout=config.glca_readout,
        **shape,
    )
