"""*The mechanism in ten lines* of each notebook holds with the library as it is, and notices a library that was changed.

The cell that is tagged `mechanism` is run on a small network as it is drawn; a case tells what the cell is given, and the
ways in which the library's layer is altered, each of which has to end in an AssertionError.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from einops import einsum, rearrange, reduce
from pytorch_grad_cam import GradCAM
from torch.nn.functional import normalize, softplus

import lib.dcal.model
import lib.explain.methods.cam
import lib.lesa.pair_attention
import lib.retrieval.ranking
from lib.data.imageset import JUNK
from lib.dcal import AttentionRollout, GlobalLocalCrossAttention, create_dcal_model
from lib.dcal.model import DCALNet
from lib.dcal.selection import top_patches
from lib.dcal.vit import attend, embed, finish, project
from lib.explain import explain
from lib.explain.methods.activation_tap import ActivationTap
from lib.explain.methods.target_layers import TargetLayer, target_layer_of
from lib.gattanet.agreement import MapAgreement
from lib.glsa import GLSABlock
from lib.glsa.attention import GlobalAttention
from lib.glsa.fusion import CrossAttentionFusion, LearnableGateFusion
from lib.glsa.residual import ProgressiveResidual
from lib.lesa import LESA
from lib.mapped import EVERY
from lib.models import create_model
from lib.paths import NOTEBOOKS
from lib.retrieval.distances import Embedded
from lib.retrieval.ranking import retrieval_scores
from lib.training.triplet import BatchHardTriplet
from tests.helpers import randomised

FORWARD = CrossAttentionFusion.forward
GIVEN: dict[str, Callable[[], dict[str, Any]]] = {}  # by notebook: the names that its cell is given
ALTERED: list[tuple[str, type | Any, str, Callable]] = []  # notebook, owner, attribute, what takes its place


def mechanism(number: str) -> list[str]:
    """The sources of the cells of a notebook's mechanism."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if "mechanism" in cell.metadata.get("tags", [])]


def run_mechanism(number: str) -> None:
    torch.manual_seed(0)
    source = "\n".join(mechanism(number))
    exec(compile(source, f"notebook {number}", "exec"), {"torch": torch, **GIVEN[number]()})


def given(number: str) -> Callable:
    """The function that it decorates makes what the notebook's cell is given."""
    return lambda make: GIVEN.setdefault(number, make)


def altered(number: str, owner: Any, attribute: str) -> Callable:
    """The function that it decorates takes the place of a part of the library."""
    return lambda other: ALTERED.append((number, owner, attribute, other))


def image(count: int = 1, side: int = 64) -> SimpleNamespace:
    """One image, as `open_notebook(…).example` is, or several."""
    pixels = torch.rand(count, 3, side, side)
    return SimpleNamespace(batch=lambda model: pixels, labels=[1] * count)


@given("02")
def glsa():
    network = create_model("toynet", num_classes=3, fusion_strategy="learnable_gate").eval()
    names = {"network": network, "backbone": network.backbone, "block": network.block}
    return {**names, "image": image(), "einsum": einsum, "rearrange": rearrange}


@altered("02", GLSABlock, "forward")
def local_attention_of_the_global_map_alone(self, x):
    A = self.attention(x)
    return self.residual(x, self.fusion(A, self.local(A), x))


@altered("02", GlobalAttention, "matrix")
def scores_that_are_not_scaled(self):
    return (self.kept["q"].flatten(2, 3) @ self.kept["k"].transpose(2, 3)).softmax(-1)


@given("04")
def dcal():
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3}
    network = create_dcal_model("deit_tiny_patch16_224", 5, top_ratio=0.25, **sizes).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(3)  # queries and keys that tell patches apart
    parts = {"network": network, "vit": network.vit, "glca": network.glca, "first": 1}
    names = {"einsum": einsum, "rearrange": rearrange, "softmax": torch.softmax, "embed": embed, "finish": finish}
    return {**parts, **names, "image": image(1, 32), "pair": image(2, 32)}


@altered("04", AttentionRollout, "_down")
def rollout_without_residuals(self, v, layer, among=slice(None)):
    return v @ self.attention(layer)


@altered("04", GlobalLocalCrossAttention, "forward")
def queries_that_are_not_normed(self, x, scores):
    places = torch.cat([torch.zeros(len(x), 1, dtype=torch.long), 1 + top_patches(scores, self.top_ratio)], 1)
    queries = x[torch.arange(len(x))[:, None], places]
    q, k, v = project(self.block.attn, self.block.norm1(x), queries=queries)
    self.keep(q=q[:, :, :1], k=k, index=places[:, 1:] - 1, scores=scores)
    return finish(self.block, queries, attend(self.block.attn, q, k, v))


@altered("04", lib.dcal.model, "pairwise_block")
def a_pair_that_distracts_nobody(block, x, own, other):
    return finish(block, x[:, : own[0].shape[2]], attend(block.attn, *own))


@given("06")
def lesa():
    layer = randomised(LESA(16, (3, 4), groups=2)).float().eval().requires_grad_(False)
    x = torch.rand(1, 16, 3, 4)
    layer(x)
    rows, columns = (at.flatten() for at in torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij"))
    down, right = rows - rows[:, None] + 2, columns - columns[:, None] + 3
    given = {"layer": layer, "context": layer.context, "x": x, "height": 3, "width": 4, "down": down, "right": right}
    return {**given, "einsum": einsum, "rearrange": rearrange, "softmax": torch.softmax, "EVERY": EVERY}


@altered("06", LESA, "whole")
def terms_added_without_a_gate(self, x):
    return self.local(x) + self.context(x)


@altered("06", lib.lesa.pair_attention, "weights")
def attention_that_knows_no_positions_of_keys(scored, relative):
    logits = relative["q"].products(scored["q"] * scored["scale_q"]).flatten(3).flatten(1, 2)
    return torch.baddbmm(logits, (scored["q"] * scored["scale"]).mT, scored["k"]).softmax(-1)


@given("03")
def fusions():
    gated = create_model("toynet", num_classes=3, fusion_strategy="learnable_gate", residual_strategy="progressive")
    crossed = create_model("toynet", num_classes=3, fusion_strategy="cross_attn")
    names = {"einsum": einsum, "rearrange": rearrange, "image": image()}
    return {"gated": gated.eval(), "crossed": crossed.eval(), **names}


@altered("03", LearnableGateFusion, "mix")
def a_gate_that_is_turned_over(self, A, L):
    g = self.gate(torch.cat([A, L], dim=1)).sigmoid()
    return g * L + (1 - g) * A


@altered("03", CrossAttentionFusion, "forward")
def local_queries_of_global_keys(self, A, L, x_in=None):
    return FORWARD(self, L, A)


@altered("03", ProgressiveResidual, "forward")
def a_residual_that_adds(self, x_in, fused_features):
    return x_in + self.logit.sigmoid() * fused_features


@given("05")
def grad_cam():
    network = create_model("toynet", num_classes=3, fusion_strategy="learnable_gate").eval()
    tools = {"ActivationTap": ActivationTap, "target_layer_of": target_layer_of, "explain": explain}
    names = {"einsum": einsum, "reduce": reduce, "interpolate": torch.nn.functional.interpolate}
    return {"network": network, "image": image(), "answer": 1, **tools, **names}


@altered("05", GradCAM, "get_cam_weights")
def weights_of_the_greatest_gradient(self, images, layer, targets, activations, grads):
    return grads.max(axis=(2, 3))


@altered("05", lib.explain.methods.cam, "target_layer_of")
def an_earlier_layer(model, images):
    return TargetLayer(model.backbone.net.conv1)


@given("07")
def gattanet():
    network = create_model("toynet", num_classes=3, attn_type="gatta", dim=8).eval()
    for part in network.agreement:
        part.alpha.data.fill_(2.0)  # 0 at the start, where every pass is the same
    return {"network": network, "image": image(3), "einsum": einsum, "layer_norm": torch.nn.functional.layer_norm}


@altered("07", MapAgreement, "modulate")
def agreement_that_adds(self, f, gain):
    return f + gain[:, None]


@altered("07", MapAgreement, "gatta")
def agreement_of_queries_with_queries(self, f, q_avg):
    return einsum(f, q_avg @ self.query.T, "b c h w, b c -> b h w")


@altered("07", MapAgreement, "mean_query")
def queries_that_are_summed(self, f):
    return f.sum((2, 3)) @ self.query


@given("08")
def reid():
    sizes = {"img_size": (32, 16), "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    network = create_dcal_model("deit_tiny_patch16_224", 5, top_ratio=0.3, **sizes).eval().requires_grad_(False)
    vectors, people, cameras = torch.randn(24, 48), np.arange(24) // 4, np.arange(24) % 3
    gallery = Embedded(vectors, np.where(np.arange(24) == 20, JUNK, people), cameras)
    given = {"network": network, "image": SimpleNamespace(batch=lambda model: torch.rand(1, 3, 32, 16))}
    given |= {"queries": Embedded(torch.randn(1, 48), [2], [1]), "gallery": gallery, "vectors": vectors}
    given |= {"people": torch.from_numpy(people), "embed": embed, "BatchHardTriplet": BatchHardTriplet}
    functions = {"einsum": einsum, "normalize": normalize, "softplus": softplus, "retrieval_scores": retrieval_scores}
    return {**given, **functions, "np": np}


@altered("08", DCALNet, "embed")
def vectors_of_glca_alone(self, images):
    return self._run(images).glca_token.repeat(1, 2)


@altered("08", BatchHardTriplet, "forward")
def all_triplets_alike(self, embeddings, identities):
    return self.loss(embeddings, identities)


@altered("08", lib.retrieval.ranking, "_ranks")
def ranks_that_count_from_zero(matches, keys):
    return np.cumsum(np.bincount(np.searchsorted(matches, keys), minlength=len(matches) + 1)[:-1]) + 1


@pytest.mark.parametrize("number", GIVEN)
def test_the_mechanism_is_the_librarys(number):
    run_mechanism(number)


@pytest.mark.parametrize(("number", "owner", "attribute", "other"), ALTERED)
def test_the_mechanism_notices_another_library(monkeypatch, number, owner, attribute, other):
    monkeypatch.setattr(owner, attribute, other)
    with pytest.raises(AssertionError):
        run_mechanism(number)


def test_the_mechanism_is_short():
    assert all(len(cell.splitlines()) <= 14 for number in GIVEN for cell in mechanism(number))
