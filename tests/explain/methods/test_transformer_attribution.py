"""Transformer attribution: what its authors' code gave for a small network, and that images do not disturb each other."""

import pytest
import torch
import torchvision

from lib.explain import Classes, Similarity, explain, methods_of
from lib.explain.methods.logits import logits_of
from lib.explain.methods.transformer_attribution import transformer_attribution
from tests.explain.models import drawn, images, model_of, small_vit

METHOD = "transformer-attribution"
# hila-chefer/Transformer-Explainability, ViT_LRP.relprop(method="transformer_attribution", alpha=1), of `small_vit`
BY_ITS_AUTHORS = {
    0: [0.0006903092, 0.003292139, 0.02453109, 0.003057439],
    2: [8.851306e-05, 0.0009375463, 0.0002592902, 7.210894e-11],
}


@pytest.mark.parametrize("target", BY_ITS_AUTHORS)
def test_it_is_what_the_authors_code_gives(target):
    x = drawn(torch.Size([1, 3, 16, 16]), 7)
    found = transformer_attribution(small_vit(), x, torch.tensor([target])) * 2**2  # two layers
    torch.testing.assert_close(found.flatten(), found.new_tensor(BY_ITS_AUTHORS[target]), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", ["timm vit", "timm vit without class token"])
def test_neither_batches_nor_neighbours_matter(kind):
    model, x = model_of(kind), images(3)
    maps = explain(model, x, [0, 1, 2], METHOD)
    assert maps.amax((1, 2)).tolist() == [1, 1, 1]
    torch.testing.assert_close(explain(model, x[1:], [1, 2], METHOD, batch_size=1), maps[1:], atol=1e-3, rtol=0)
    assert not torch.equal(maps, explain(model, x, 3, METHOD))
    torch.testing.assert_close(explain(model, x, Classes([3]), METHOD), explain(model, x, 3, METHOD), atol=1e-3, rtol=0)


def as_torchvisions(vit):
    model = torchvision.models.VisionTransformer(16, 8, 2, 2, 8, 32, num_classes=3).double()
    state = {"class_token": vit.cls_token, "encoder.pos_embedding": vit.pos_embed, **named(vit.patch_embed.proj, "conv_proj"),
             **named(vit.norm, "encoder.ln"), **named(vit.head, "heads.head")}  # fmt: skip
    for i, block in enumerate(vit.blocks):
        at = f"encoder.layers.encoder_layer_{i}"
        state |= {f"{at}.self_attention.in_proj_weight": block.attn.qkv.weight}
        state |= {f"{at}.self_attention.in_proj_bias": block.attn.qkv.bias}
        state |= named(block.attn.proj, f"{at}.self_attention.out_proj") | named(block.norm1, f"{at}.ln_1")
        state |= (
            named(block.norm2, f"{at}.ln_2") | named(block.mlp.fc1, f"{at}.mlp.0") | named(block.mlp.fc2, f"{at}.mlp.3")
        )
    model.load_state_dict(state)
    return model


def as_hugging_faces(vit):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(image_size=16, patch_size=8, num_labels=3, layer_norm_eps=1e-6, **sizes)
    model = transformers.ViTForImageClassification(config).double()
    first = [name for name, _ in model.named_parameters() if "cls_token" in name or "position_embeddings" in name]
    state = dict(zip(sorted(first), (vit.cls_token, vit.pos_embed), strict=True)) | named(vit.head, "classifier")
    state |= named(vit.norm, "vit.layernorm") | named(
        vit.patch_embed.proj, "vit.embeddings.patch_embeddings.projection"
    )
    for i, block in enumerate(vit.blocks):
        at, qkv = f"vit.layers.{i}", (block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3))
        for name, weight, bias in zip("qkv", *qkv, strict=True):
            state |= {f"{at}.attention.{name}_proj.weight": weight, f"{at}.attention.{name}_proj.bias": bias}
        state |= named(block.attn.proj, f"{at}.attention.o_proj") | named(block.norm1, f"{at}.layernorm_before")
        state |= named(block.norm2, f"{at}.layernorm_after")
        state |= named(block.mlp.fc1, f"{at}.mlp.fc1") | named(block.mlp.fc2, f"{at}.mlp.fc2")
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all("mask_token" in name for name in missing.missing_keys)
    return model


def named(part, name):
    return {f"{name}.{key}": tensor for key, tensor in part.state_dict().items()}


@pytest.mark.parametrize("library", [as_torchvisions, as_hugging_faces])
def test_the_same_network_of_other_libraries_is_explained_alike(library):
    x = drawn(torch.Size([2, 3, 16, 16]), 7)
    model = library(small_vit()).eval().requires_grad_(False)
    torch.testing.assert_close(logits_of(model, x), small_vit()(x))
    targets = torch.tensor([0, 2])
    expected = transformer_attribution(small_vit(), x, targets)
    torch.testing.assert_close(transformer_attribution(model, x, targets), expected, rtol=1e-6, atol=1e-12)
    assert METHOD in methods_of(model)


def test_of_dinov2_both_that_the_head_reads_count():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_ratio": 2}
    config = transformers.Dinov2Config(image_size=32, patch_size=8, num_labels=3, layerscale_value=0.5, **sizes)
    model = transformers.Dinov2ForImageClassification(config).double().eval()
    model.classifier.weight.data = drawn(model.classifier.weight.shape, 3)
    x, parts = images(2).double(), []
    whole = model.classifier.weight.data.clone()
    for half in (slice(0, 8), slice(8, 16)):  # of the class token, of the mean of the patches
        model.classifier.weight.data = torch.zeros_like(whole)
        model.classifier.weight.data[:, half] = whole[:, half]
        parts.append(transformer_attribution(model, x, torch.tensor([1, 1])))
    assert all(part.amax() > 0 for part in parts)
    assert not torch.allclose(*parts)


def test_it_is_of_vits_that_answer_by_their_head():
    assert METHOD in methods_of(model_of("timm vit"))
    assert METHOD not in methods_of(model_of("dcal"))
    alike = Similarity.to(model_of("timm vit"), images(1)[0])
    assert METHOD not in methods_of(model_of("timm vit"), alike)
