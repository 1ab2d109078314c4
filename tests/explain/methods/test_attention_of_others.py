"""Rollouts of timm's Eva and BEiT, torchvision's ViT and Hugging Face's: by the attention that these networks compute themselves."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from einops import rearrange
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor, nn
from torch.nn.functional import linear

from lib.dcal import AttentionRollout
from lib.errors import WorkbookValueError
from lib.explain import explain, methods_of
from lib.explain.methods.explain import scaled
from lib.explain.methods.logits import logits_of
from lib.explain.methods.vit_rollout import gradient_rollout
from tests.explain.models import CLASSES, images, model_of

TOKENS = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "num_heads": 2, "depth": 2, "num_classes": CLASSES}
CONFIG = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIG |= {"intermediate_size": 32}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
FIRST, PATCHES = slice(0, 1), slice(1, None)


def drawn_anew(model: nn.Module) -> nn.Module:
    """Places and heads begin at 0, where they tell nothing. Others' tests go on with `model` as it is."""
    model, generator = deepcopy(model), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval().requires_grad_(False)


def of_timm(kind: type, **options: object) -> tuple[nn.Module, Callable]:
    model = drawn_anew(kind(**TOKENS | options))

    def openly(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        kept, handles = [], []
        for block in model.blocks:
            block.attn.fused_attn = False
            handles.append(block.attn.attn_drop.register_forward_pre_hook(lambda _, args: kept.append(args[0])))
        logits = model(x)
        for block, handle in zip(model.blocks, handles, strict=True):
            block.attn.fused_attn = True
            handle.remove()
        return logits, kept

    return model, openly


def of_torchvision() -> tuple[nn.Module, Callable]:
    model = drawn_anew(model_of("torchvision vit"))

    def openly(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        kept: list[Tensor] = []

        def attend(attn: nn.Module, args: tuple, output: tuple) -> tuple[Tensor, None]:
            q, k, v = rearrange(
                linear(args[0], attn.in_proj_weight, attn.in_proj_bias), "b t (n h d) -> n b h t d", n=3, h=2
            )
            kept.append((q @ k.mT * 8**-0.5).softmax(-1))
            return attn.out_proj(rearrange(kept[-1] @ v, "b h t d -> b t (h d)")), None

        handles = [layer.self_attention.register_forward_hook(attend) for layer in model.encoder.layers]
        logits = model(x)
        for handle in handles:
            handle.remove()
        return logits, kept

    return model, openly


def of_hugging_face(family: str, **options: object) -> tuple[nn.Module, Callable]:
    transformers = pytest.importorskip("transformers")
    vision = CONFIG | options
    if family in ("CLIP", "Siglip"):
        config = getattr(transformers, f"{family}Config")(vision_config=vision, text_config=TEXT, num_labels=CLASSES)
    else:
        config = getattr(transformers, f"{family.removesuffix('WithTeacher')}Config")(**vision, num_labels=CLASSES)
    name = (
        family.removesuffix("WithTeacher") + "ForImageClassification" + "WithTeacher" * family.endswith("WithTeacher")
    )
    model = drawn_anew(getattr(transformers, name)(config))

    def openly(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        model.set_attn_implementation("eager")
        answer = model(x, output_attentions=True)
        model.set_attn_implementation("sdpa")
        return logits_of(lambda _: answer, x), list(answer.attentions)

    return model, openly


PLACES = {"use_relative_position_bias": True}
NETWORKS = {  # how it is made, tokens that the head reads, those before the patches
    "eva": (lambda: of_timm(Eva), (PATCHES,), 1),
    "eva at its class token": (lambda: of_timm(Eva, global_pool="token", use_post_norm=True), (FIRST,), 1),
    "dinov3": (lambda: of_timm(Eva, global_pool="avg", num_reg_tokens=2, qkv_fused=False, rope_type="dinov3", use_rot_pos_emb=True), (slice(3, None),), 3),
    "beit": (lambda: of_timm(Beit, use_rel_pos_bias=True), (PATCHES,), 1),
    "beit with shared places": (lambda: of_timm(Beit, use_shared_rel_pos_bias=True, global_pool="token"), (FIRST,), 1),
    "relative positions": (lambda: of_timm(VisionTransformerRelPos), (slice(0, None),), 0),
    "torchvision": (of_torchvision, (FIRST,), 1),
    "ViT": (lambda: of_hugging_face("ViT"), (FIRST,), 1),
    "DeiT": (lambda: of_hugging_face("DeiT"), (FIRST,), 2),
    "DeiT distilled": (lambda: of_hugging_face("DeiTWithTeacher"), (slice(0, 2),), 2),
    "DINOv2": (lambda: of_hugging_face("Dinov2"), (FIRST, PATCHES), 1),
    "DINOv2 with registers": (lambda: of_hugging_face("Dinov2WithRegisters"), (FIRST, slice(5, None)), 5),
    "BEiT": (lambda: of_hugging_face("Beit", **PLACES), (PATCHES,), 1),
    "BEiT at its class token": (lambda: of_hugging_face("Beit", **PLACES, use_mean_pooling=False), (FIRST,), 1),
    "CLIP": (lambda: of_hugging_face("CLIP"), (PATCHES,), 1),
    "SigLIP": (lambda: of_hugging_face("Siglip"), (slice(0, None),), 0),
    "I-JEPA": (lambda: of_hugging_face("IJepa"), (slice(0, None),), 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_rollouts_are_those_of_the_attention_that_the_network_computes(kind):
    make, read, prefix = NETWORKS[kind]
    model, openly = make()
    x, targets = images(2), [1, 2]

    def over_patches(rows: Tensor) -> Tensor:
        """[2, 4, 4] of all rows [2, T, T]"""
        return torch.stack([rows[:, some, prefix:].mean(1) for some in read]).mean(0).view(2, 4, 4)

    logits, attention = openly(x.clone().requires_grad_())
    torch.testing.assert_close(logits, logits_of(model, x))
    expected = over_patches(AttentionRollout().matrix(attention))
    torch.testing.assert_close(explain(model, x, method="rollout"), scaled(expected, (32, 32)), atol=1e-4, rtol=1e-4)

    gradients = torch.autograd.grad(logits[[0, 1], targets].sum(), attention)
    relevance = torch.eye(attention[0].shape[-1])
    for a, g in zip(attention, gradients, strict=True):
        relevance = relevance + (g * a).detach().relu().mean(1) @ relevance
    found = gradient_rollout(model, x, torch.tensor(targets)) * 4  # two layers
    torch.testing.assert_close(found, over_patches(relevance), atol=1e-5, rtol=1e-3)
    assert {"rollout", "gradient-rollout"} < set(methods_of(model))


@pytest.mark.parametrize("kind", ["ViT", "timm"])
@pytest.mark.parametrize("method", ["rollout", "gradient-rollout", "transformer-attribution"])
def test_attention_that_is_written_out_is_read_too(kind, method):
    model = of_hugging_face("ViT")[0] if kind == "ViT" else model_of("timm vit")
    fused = explain(model, images(2), 1, method)
    if kind == "ViT":
        model.set_attn_implementation("eager")
    attentions = [] if kind == "ViT" else [block.attn for block in model.blocks]
    for attn in attentions:
        attn.fused_attn = False
    torch.testing.assert_close(explain(model, images(2), 1, method), fused, atol=1e-3, rtol=1e-3)
    for attn in attentions:
        attn.fused_attn = True


def test_attention_that_cannot_be_read_says_so():
    model = drawn_anew(Eva(**TOKENS))
    for block in model.blocks:
        block.attn = nn.Identity()
        block.forward = lambda x, **places: x
    assert "rollout" not in methods_of(model)
    model, _ = of_hugging_face("ViT")
    model.vit.layers[0].attention.forward = lambda x, *args, **options: (x, None)
    with pytest.raises(WorkbookValueError, match="^1 of 2 layers of this ViTForImageClassification attend[^\n]*$"):
        explain(model, images(2), method="rollout")
