"""Attention that keeps its maps answers as fused attention does, and its maps are those of queries and keys."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from lib.dcal import AttentionRollout, AttentionRolloutHook, KeptAttention
from lib.dcal import kept_attention as module
from lib.errors import WorkbookValueError
from tests.dcal.reference import DEIT, DISTILLED, images, tiny_dcal, tiny_vit

VITS = {
    "deit": (DEIT, {}),
    "distilled": (DISTILLED, {}),
    "registers": ("vit_tiny_patch16_224", {"reg_tokens": 3}),
    "qk_norm": ("vit_tiny_patch16_224", {"qk_norm": True}),
    "non-square": (DEIT, {"img_size": (48, 16)}),
    "not fused": (DEIT, {}),
}


@pytest.fixture(params=[7, 10**9], ids=["a few rows at once", "all rows at once"])
def _rows(request, monkeypatch):
    monkeypatch.setitem(module.AT_ONCE, "cpu", 3 * 17 * request.param)


@pytest.mark.usefixtures("_rows")
@pytest.mark.parametrize("kind", VITS)
@pytest.mark.parametrize("within", [False, True])
def test_a_vit_answers_as_before_and_its_maps_are_those_of_queries_and_keys(kind, within):
    name, options = VITS[kind]
    vit, x = tiny_vit(name, **options), images(2, *(options.get("img_size", (32, 32))))
    for block in vit.blocks:
        block.attn.fused_attn = kind != "not fused"
    with torch.no_grad(), AttentionRolloutHook(vit) as hook:
        answers = vit(x)
    with torch.no_grad(), KeptAttention([block.attn for block in vit.blocks] if within else ()) as kept:
        again = vit(x)
    assert all(isinstance(layer, torch.Tensor) for layer in kept.layers)
    torch.testing.assert_close(again, answers)
    rollout = AttentionRollout()
    for own, layer in zip(kept.layers, hook.layers, strict=True):
        torch.testing.assert_close(rollout.attention(own), rollout.attention(layer))
    torch.testing.assert_close(rollout.row(kept.layers), rollout.row(hook.layers))


def test_a_forward_that_ends_with_the_last_attention_keeps_what_a_whole_one_does():
    vit, x, reached = tiny_vit(), images(2), []
    attending = [block.attn for block in vit.blocks]
    attending[0].forward = partial(attending[0].forward)  # somebody's own
    with torch.no_grad(), KeptAttention() as kept:
        vit(x)
    with (
        torch.no_grad(),
        vit.norm.register_forward_hook(lambda *_: reached.append("the norm")),
        KeptAttention(attending, enough=len(attending)) as ended,
    ):
        vit(x)
        reached.append("the end")
    assert reached == []
    assert ["forward" in vars(module) for module in attending] == [True, *[False] * (len(attending) - 1)]
    torch.testing.assert_close(AttentionRollout().row(ended.layers), AttentionRollout().row(kept.layers))
    with pytest.raises(ZeroDivisionError), KeptAttention(enough=1):
        raise ZeroDivisionError


def test_a_forward_whose_softmax_is_written_out_ends_there_too():
    with KeptAttention(enough=1) as kept:
        torch.rand(1, 2, 3, 3).softmax(-1)
        raise AssertionError("it went on")
    assert kept.layers[0].shape == (1, 1, 3, 3)


def test_attention_is_kept_with_inference_mode_and_without_it():
    q, k, v = torch.randn(3, 1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    with KeptAttention() as kept:
        for mode in (torch.inference_mode, torch.no_grad):
            with mode():
                F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(*kept.layers)


def test_where_maps_do_not_pay_queries_and_keys_are_kept(monkeypatch):
    vit, x = tiny_vit(), images(2)
    with KeptAttention() as kept:
        vit(x).sum().backward()  # with gradients
    assert all(isinstance(layer, tuple) for layer in kept.layers)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), KeptAttention() as kept:
        vit(x)
    assert all(isinstance(layer, tuple) for layer in kept.layers)
    monkeypatch.setattr(module, "MOST", 0.5)  # tokens a unit of width
    with torch.no_grad(), KeptAttention() as kept:
        vit(x)
    assert all(isinstance(layer, tuple) for layer in kept.layers)


@pytest.mark.parametrize("selection", ["rollout", "last_layer", "random"])
def test_dcal_infers_what_it_infers_with_gradients(selection):
    model, x = tiny_dcal(selection=selection, glca_readout="mean").eval(), images(3)
    expected = model(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected)


def test_masks_are_refused():
    vit = tiny_vit()
    with torch.no_grad(), KeptAttention(), pytest.raises(WorkbookValueError, match="knows no attention mask"):
        vit.blocks[0].attn(torch.rand(1, 17, vit.embed_dim).double(), is_causal=True)


@pytest.mark.parametrize("grad", [False, True])
def test_who_may_be_seen_counts(grad):
    q, k, v = torch.randn(3, 2, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    seen = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    seen |= torch.eye(5, dtype=torch.bool)
    maps = (q @ k.mT).masked_fill(~seen, -torch.inf).softmax(-1)  # scale 1
    with torch.set_grad_enabled(grad), KeptAttention() as kept:
        answers = F.scaled_dot_product_attention(q, k, v, seen, scale=1.0)
        F.scaled_dot_product_attention(q[:, :, :2], k, v)  # of some tokens only
    torch.testing.assert_close(answers, maps @ v)
    (layer,) = kept.layers
    torch.testing.assert_close(layer, maps.mean(1, keepdim=True))
