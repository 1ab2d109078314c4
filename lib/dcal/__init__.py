"""DCAL: dual cross-attention for fine-grained recognition and re-identification."""

from lib.dcal.create import create_dcal_model
from lib.dcal.glca import GlobalLocalCrossAttention
from lib.dcal.hook import AttentionRolloutHook
from lib.dcal.kept_attention import KeptAttention
from lib.dcal.model import GLCA_INPUTS, GLCA_READOUTS, Branches, DCALNet
from lib.dcal.pairs import PAIR_STRATEGIES
from lib.dcal.pwca import PairWiseCrossAttention
from lib.dcal.rollout import HEAD_FUSIONS, AttentionRollout
from lib.dcal.selection import SELECTIONS
from lib.dcal.uncertainty_weighting import UncertaintyWeighting

__all__ = [
    "GLCA_INPUTS",
    "GLCA_READOUTS",
    "HEAD_FUSIONS",
    "PAIR_STRATEGIES",
    "SELECTIONS",
    "AttentionRollout",
    "AttentionRolloutHook",
    "Branches",
    "DCALNet",
    "GlobalLocalCrossAttention",
    "KeptAttention",
    "PairWiseCrossAttention",
    "UncertaintyWeighting",
    "create_dcal_model",
]
