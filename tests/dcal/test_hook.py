import gc

import pytest
import timm
import torch
from torch import nn

from lib.dcal import AttentionRolloutHook
from lib.errors import WorkbookError, WorkbookValueError
from tests.dcal.reference import DEIT, DISTILLED, SIZES, chained, images, tiny_dcal, tiny_vit, unfused

VITS = {
    "deit": (DEIT, {}, 1),
    "distilled": (DISTILLED, {}, 2),
    "registers": ("vit_tiny_patch16_224", {"reg_tokens": 3}, 4),
    "qk_norm": ("vit_tiny_patch16_224", {"qk_norm": True}, 1),
    "non-square": (DEIT, {"img_size": (48, 16)}, 1),
}


@pytest.mark.parametrize("kind", VITS)
def test_rollout_of_any_vit_under_fused_attention(kind):
    name, options, prefix = VITS[kind]
    model = tiny_vit(name, **options)
    assert all(block.attn.fused_attn for block in model.blocks)
    x = images(2, *(options.get("img_size", (32, 32))))
    with AttentionRolloutHook(model) as hook:
        model(x)
    expected = chained(unfused(model, x))
    torch.testing.assert_close(hook.get_rollout(), expected)
    torch.testing.assert_close(hook.get_cls_attention(), expected[:, 0, prefix:])
    torch.testing.assert_close(hook.rollout.rows(hook.layers, 0)[:, -1, 0, prefix:], expected[:, 0, prefix:])
    torch.testing.assert_close(hook.get_attention(1), unfused(model, x)[1].mean(1))


def test_selects_the_highest_scores_rounded_up():
    model = tiny_vit()
    with AttentionRolloutHook(model) as hook:
        model(images())
    mask, scores = hook.select_top_tokens(top_ratio=0.1), hook.get_cls_attention()
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [2] * 4  # 1.6 of 16
    assert all(scores[b][mask[b]].min() >= scores[b][~mask[b]].max() for b in range(4))
    assert hook.select_top_tokens(1.0).all()


def test_two_forwards_collect_12_layers_not_24():
    model = timm.create_model(DEIT, img_size=32, embed_dim=24, num_heads=3)
    with AttentionRolloutHook(model) as hook:
        model(torch.randn(3, 3, 32, 32))
        model(torch.randn(2, 3, 32, 32))
    assert len(hook.layers) == 12
    assert {q.shape[0] for q, _ in hook.layers} == {2}


def test_an_interrupted_forward_is_not_mixed_with_the_one_before():
    model = tiny_vit()
    with AttentionRolloutHook(model) as hook:
        model(images())
        stop = model.blocks[1].register_forward_pre_hook(lambda *args: (_ for _ in ()).throw(RuntimeError("stop")))
        with pytest.raises(RuntimeError, match="stop"):
            model(images())
        stop.remove()
    with pytest.raises(WorkbookError, match="collected 1 of 3 layers"):
        hook.get_cls_attention()


def test_a_rollout_that_collected_nothing_raises():
    hook = AttentionRolloutHook(tiny_vit())
    for ask in (hook.get_rollout, hook.get_cls_attention, hook.select_top_tokens):
        with pytest.raises(WorkbookError, match="collected 0 of 3 layers: call the model once"):
            ask()


def test_hooks_leave_the_model_unchanged_100_rounds_without_growth():
    model = tiny_vit()

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    plain, before = model(images()), hooks()
    for n in range(101):
        with AttentionRolloutHook(model) as hook:
            torch.testing.assert_close(model(images()), plain, rtol=0, atol=0)
            hook.get_cls_attention()
        del hook
        if n == 0:
            gc.collect()
            alive = sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
    gc.collect()
    assert hooks() == before == 0
    assert sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()) <= alive
    torch.testing.assert_close(model(images()), plain, rtol=0, atol=0)


def test_keeps_queries_and_keys_alone():
    model = tiny_vit()
    with AttentionRolloutHook(model) as hook:
        model(images())
    for part in (t for layer in hook.layers for t in layer):
        assert not part.requires_grad
        assert part.untyped_storage().nbytes() == part.numel() * part.element_size()  # no values behind a view


def test_masks_are_refused():
    model = tiny_vit()
    with AttentionRolloutHook(model), pytest.raises(WorkbookValueError, match="no attention mask"):
        model(images(), is_causal=True)


class Sub(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = tiny_vit()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Linear(2, 2), "Linear is not one of timm's VisionTransformers"),
        (Sub, "Its part 'encoder' is one: give that"),
        (tiny_dcal, "Its part 'vit' is one"),
        (lambda: timm.create_model("resnet18"), "ResNet is not one of"),
        (lambda: timm.create_model("vit_tiny_patch16_224", attn_layer="diff", **SIZES), "attends by DiffAttention"),
        (
            lambda: timm.create_model("vit_small_patch16_18x2_224", depth=1),
            "attends by NoneType in ParallelThingsBlock",
        ),
    ],
)
def test_models_whose_attention_cannot_be_read(build, message):
    with pytest.raises(WorkbookValueError, match=message):
        AttentionRolloutHook(build())


def test_without_a_class_token_there_are_the_rows_of_all_others():
    model = tiny_vit("vit_base_patch16_gap_224")
    with AttentionRolloutHook(model) as hook:
        model(images())
    torch.testing.assert_close(hook.get_rollout(), chained(unfused(model, images())))
    for ask in (hook.get_cls_attention, hook.select_top_tokens):
        with pytest.raises(WorkbookValueError, match="no class token, whose row this is"):
            ask()


def test_an_unknown_layer():
    with pytest.raises(WorkbookValueError, match="no layer 3: the model has layers 0 to 2"):
        AttentionRolloutHook(tiny_vit()).get_attention(3)
