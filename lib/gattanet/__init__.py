"""GAttANet: layers that agree on a global query, in any convolutional network."""

from lib.gattanet.agreement import Agreement, MapAgreement, UnitAgreement
from lib.gattanet.model import GAttANet
from lib.gattanet.queries import class_agreement, pass_agreement
from lib.gattanet.toy import TOY_LAYERS, ToyNet, build_gatta_toynet, build_toynet
from lib.gattanet.wrap import gatta_backbone

__all__ = [
    "TOY_LAYERS",
    "Agreement",
    "GAttANet",
    "MapAgreement",
    "ToyNet",
    "UnitAgreement",
    "build_gatta_toynet",
    "build_toynet",
    "class_agreement",
    "gatta_backbone",
    "pass_agreement",
]
