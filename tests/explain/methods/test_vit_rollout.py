"""Rollout is lib.dcal's; gradient rollout is its equations, written with whole matrices of attention."""

import copy

import pytest
import torch

from lib.explain import explain
from lib.explain.methods.explain import scaled
from lib.explain.methods.patch_transformers import vit_of
from lib.explain.methods.vit_rollout import gradient_rollout
from tests.explain.models import images, model_of


def test_rollout_is_what_dcal_rolls_out():
    # In float64: a row alone and all rows at once add up in another order.
    model, x = copy.deepcopy(model_of("dcal")).double(), images(2).double()
    with torch.no_grad():
        model(x)
    rolled = scaled(model.maps()["rollout"], (32, 32))
    torch.testing.assert_close(explain(model, x, method="rollout").double(), rolled.double())


@pytest.mark.parametrize("kind", ["timm vit", "dcal"])
def test_gradient_rollout_is_the_product_of_its_matrices(kind):
    model, x = model_of(kind), images(2)
    layers, kept, handles = [block.attn for block in vit_of(model).net.blocks], [], []
    found = gradient_rollout(model, x, torch.tensor([1, 2]))

    def unfused(attn, args, kwargs=None):
        q, k, v = attn.qkv(args[0]).reshape(2, 17, 3, 3, 64).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(2, 3) / 8).softmax(-1)
        kept.append(a)
        return attn.proj((a @ v).transpose(1, 2).reshape(2, 17, 192))

    if kind == "timm vit":
        handles = [attn.register_forward_hook(lambda attn, args, out: unfused(attn, args)) for attn in layers]
        logits = model(x)
    else:
        logits = _dcal_unfused(model, x, kept)
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(logits[[0, 1], [1, 2]].sum(), kept)
    relevance = torch.eye(17).expand(2, -1, -1)
    for a, g in zip(kept, gradients, strict=True):
        relevance = relevance + (g * a).relu().mean(1) @ relevance
    expected = relevance[:, 0, 1:].view(2, 4, 4)
    torch.testing.assert_close(found * 2 ** len(kept), expected.detach(), rtol=1e-3, atol=1e-6)


def _dcal_unfused(model, x, kept):
    """DCAL's answer from blocks whose attention is written out."""
    vit, tokens = model.vit, model.vit._pos_embed(model.vit.patch_embed(x))
    layers = []
    for block in vit.blocks:
        q, k, v = block.attn.qkv(block.norm1(tokens)).reshape(2, 17, 3, 3, 64).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(2, 3) / 8).softmax(-1)
        kept.append(a)
        layers.append((q, k))
        tokens = tokens + block.attn.proj((a @ v).transpose(1, 2).reshape(2, 17, 192))
        tokens = tokens + block.mlp(block.norm2(tokens))
    sa = vit.head(vit.norm(tokens)[:, 0])
    glca = model.glca_head(model.glca_norm(model.glca(tokens, model.select(layers, False)[:, 1:])[:, 0]))
    return (sa.softmax(1) / 2 + glca.softmax(1) / 2).log()
