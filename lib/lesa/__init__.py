"""LESA: self-attention whose local term is a convolution, in bottleneck ResNets (arXiv 2107.05637)."""

from lib.lesa.checkpoint import create_lesa, load_official, load_weights
from lib.lesa.context import ContextTerm
from lib.lesa.create import lesa_classifier, self_attention_classifier
from lib.lesa.detection import lesa_backbone, with_pyramid
from lib.lesa.layer import LESA, SelfAttention, lesa_layers, without
from lib.lesa.model import BASES, PAPER_BLOCKS, LESANet, insert_lesa, keep_resolution, lesa_net
from lib.lesa.position import POSITIONS
from lib.lesa.term_measures import context_share, gate_variance, term_statistics

__all__ = [
    "BASES",
    "LESA",
    "PAPER_BLOCKS",
    "POSITIONS",
    "ContextTerm",
    "LESANet",
    "SelfAttention",
    "context_share",
    "create_lesa",
    "gate_variance",
    "insert_lesa",
    "keep_resolution",
    "lesa_backbone",
    "lesa_classifier",
    "lesa_layers",
    "lesa_net",
    "load_official",
    "load_weights",
    "self_attention_classifier",
    "term_statistics",
    "with_pyramid",
    "without",
]
