"""GAttANet: layers that agree on a global query, in any convolutional network."""

from lib.gattanet.agreement import Agreement, MapAgreement, UnitAgreement
from lib.gattanet.create import gatta_backbone
from lib.gattanet.model import GAttANet
from lib.gattanet.passes import batch_statistics, gains, logits_by_passes
from lib.gattanet.queries import class_agreement, pass_agreement

__all__ = [
    "Agreement",
    "GAttANet",
    "MapAgreement",
    "UnitAgreement",
    "batch_statistics",
    "class_agreement",
    "gains",
    "gatta_backbone",
    "logits_by_passes",
    "pass_agreement",
]
