"""GAttANet: layers that agree on a global query, in any convolutional network."""

from lib.gattanet.agreement import Agreement, MapAgreement, UnitAgreement
from lib.gattanet.looking import batch_statistics, gains, logits_by_passes
from lib.gattanet.model import GAttANet
from lib.gattanet.queries import class_agreement, pass_agreement
from lib.gattanet.wrap import gatta_backbone

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
