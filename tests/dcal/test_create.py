import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed

import lib
from lib.dcal import AttentionRollout, AttentionRolloutHook, KeptAttention, create_dcal_model
from lib.dcal.pwca import pairwise_block
from lib.dcal.vit import embed, project
from lib.errors import WorkbookFileError, WorkbookValueError
from tests.dcal.reference import DEIT, DISTILLED, SIZES, chained, tiny_vit


@pytest.fixture(params=[DEIT, DISTILLED])
def checkpoint(request, tmp_path):
    """A timm checkpoint of 1000 classes, and the name of its model."""
    state = tiny_vit(request.param, num_classes=1000).float().state_dict()
    file = tmp_path / "weights.pth"
    torch.save(state, file)
    return request.param, file, state


def loaded(name, file, num_classes=7, **options):
    overlay = {"file": str(file)}
    return create_dcal_model(name, num_classes, pretrained=True, pretrained_cfg_overlay=overlay, **SIZES | options)


def test_loading_a_checkpoint_leaves_every_loaded_weight_bit_identical(checkpoint):
    name, file, state = checkpoint
    found = loaded(name, file).vit.state_dict()
    assert found.keys() == state.keys()
    for key, weight in state.items():
        if not key.startswith("head"):
            assert torch.equal(found[key], weight), key
    assert found["head.weight"].shape == (7, 24)


def test_the_head_is_kept_for_as_many_classes(checkpoint):
    name, file, state = checkpoint
    found = loaded(name, file, num_classes=1000).vit.state_dict()
    assert all(torch.equal(found[key], weight) for key, weight in state.items())


@pytest.mark.parametrize("size", [(64, 64), (64, 32)])
def test_position_embeddings_are_interpolated_for_another_size(checkpoint, size):
    name, file, state = checkpoint
    model = loaded(name, file, img_size=size)
    prefix = model.vit.num_prefix_tokens
    grid = (size[0] // 8, size[1] // 8)
    expected = resample_abs_pos_embed(state["pos_embed"], grid, (4, 4), num_prefix_tokens=prefix)
    torch.testing.assert_close(model.vit.pos_embed.data, expected)
    assert model.eval()(torch.randn(1, 3, *size)).shape == (1, 7)


def test_lib_has_it():
    assert lib.create_dcal_model is create_dcal_model


@pytest.mark.parametrize(
    "name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "deit3_small_patch16_224"]
)
def test_other_vits_with_a_class_token(name):
    model = create_dcal_model(name, 3, img_size=56, patch_size=14, embed_dim=24, depth=2, num_heads=3).eval()
    x = torch.randn(2, 3, 56, 56)
    torch.testing.assert_close(model.branches(x).sa, model.vit(x))
    assert model(x).shape == (2, 3)
    assert model.maps()["rollout"].shape == (2, 4, 4)


ROTARY = {
    "vit_small_patch16_dinov3": {},  # registers, places within [−1, 1], no bias of keys
    "eva02_tiny_patch14_224": {"img_size": (56, 28), "patch_size": 14, "embed_dim": 48},  # projections apart, SwiGLU
    "vit_small_patch16_rope_mixed_224": {},  # other places in each layer
}


@pytest.fixture(scope="module", params=ROTARY)
def rotary(request):
    """DCAL on one of timm's Evas, drawn so that no part is 0, in eval mode, and an image."""
    torch.manual_seed(0)
    options = {"img_size": (64, 32), "patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 3} | ROTARY[
        request.param
    ]
    model = create_dcal_model(request.param, 3, top_ratio=0.3, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model, torch.randn(2, 3, *options["img_size"])


def test_dinov3_and_eva_are_the_bare_network_without_dcals_branches(rotary):
    model, images = rotary
    with torch.no_grad():
        branches = model.branches(images, torch.tensor([1, 0]))
        torch.testing.assert_close(branches.sa, model.vit(images))
        alone = pairs(model, images, 0)
    torch.testing.assert_close(alone, branches.sa)
    assert (branches.pwca - branches.sa).abs().max() > 1e-4


def pairs(model, images, tokens):
    """PWCA's logits where only so many tokens of the partner are keys."""
    embedded, ropes = embed(model.vit, images)
    stream = model._self_attention(embedded, ropes)
    x = embedded
    for block, rope, (_, k, v) in zip(model.vit.blocks, ropes, stream.qkv, strict=True):
        own = project(block.attn, block.norm1(x), rope=rope)
        x = pairwise_block(block, x, own, (k[:, :, :tokens], v[:, :, :tokens]))
    return model.vit.forward_head(model.vit.norm(x))


def test_the_rollout_of_turned_queries_and_keys_is_that_of_the_networks_own_maps(rotary):
    model, images = rotary
    maps, handles = [], []
    for block in model.vit.blocks:
        block.attn.fused_attn = False
        handles.append(block.attn.attn_drop.register_forward_pre_hook(lambda _, args: maps.append(args[0])))
    with torch.no_grad(), AttentionRolloutHook(model.vit) as hook:
        model.vit(images)
    for block, handle in zip(model.vit.blocks, handles, strict=True):
        handle.remove()
        block.attn.fused_attn = True
    expected = chained(maps)
    torch.testing.assert_close(hook.get_rollout(), expected)
    with torch.no_grad(), KeptAttention() as kept:
        model.vit(images)
    torch.testing.assert_close(AttentionRollout().row(kept.layers), expected[:, 0])
    shown = model.maps()["rollout"]
    torch.testing.assert_close(shown.flatten(1), expected[:, 0, model.vit.num_prefix_tokens :])
    assert shown.shape[1] > shown.shape[2]


def test_dcal_on_dinov3_trains_and_starts_from_its_weights(rotary, tmp_path):
    model, images = rotary
    model.train()
    branches = model.branches(images, torch.tensor([1, 0]))
    (branches.sa + branches.glca + branches.pwca).sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if name != "weighting.w")
    model.eval().zero_grad()
    state = model.vit.state_dict()
    torch.save({"teacher": {f"backbone.{name}": tensor for name, tensor in state.items()}}, tmp_path / "dino.pth")
    name = model.vit.pretrained_cfg["architecture"]
    options = {
        "img_size": tuple(images.shape[2:]),
        "patch_size": 14 if "14" in name else 16,
        "embed_dim": 48,
        "depth": 3,
    }
    again = create_dcal_model(name, 7, num_heads=3, weights=str(tmp_path / "dino.pth"), **options).vit.state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in state.items() if not key.startswith("head"))


def test_deit_tiny_costs_what_the_paper_says():
    model = create_dcal_model(DEIT, 200)
    bare = sum(p.numel() for p in timm.create_model(DEIT, num_classes=200).parameters())
    assert 1.08 < model.count_parameters()["total"] / bare < 1.10


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "deit_tiny_patch16_22",
            {},
            "timm knows no model 'deit_tiny_patch16_22'. Did you mean 'deit_tiny_patch16_224'",
        ),
        (None, {}, "timm knows no model None"),
        ("vit_base_patch16_gap_224", {"depth": 1}, "the backbone must be a ViT or DeiT with a class token"),
        ("resnet18", {}, "timm cannot build 'resnet18' with global_pool='token'.*Check these options"),
        (DEIT, {"depht": 2}, "with .*depht=2.* unexpected keyword argument 'depht'"),
        (DEIT, {"top_ratio": 0}, "top_ratio must be above 0"),
        (DEIT, {"selection": "rolout"}, "Unknown selection 'rolout'. Did you mean 'rollout'"),
        (DEIT, {"glca_input": "inputs"}, "Unknown glca_input 'inputs'. Did you mean 'input'"),
        (DEIT, {"drop_path_rate": 1.0}, "drop_path_rate must be at least 0 and below 1"),
    ],
)
def test_bad_input(name, options, message):
    with pytest.raises(WorkbookValueError, match=message):
        create_dcal_model(name, 5, **(SIZES if name == DEIT else {}) | options)


def test_no_classes():
    with pytest.raises(WorkbookValueError, match="num_classes must be a whole number"):
        create_dcal_model(DEIT, 0)


def test_weights_that_cannot_be_had(tmp_path):
    with pytest.raises(WorkbookFileError, match=r"could not be had .* download them from https.*pretrained=False"):
        loaded(DEIT, tmp_path / "missing.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(WorkbookFileError, match="could not be had"):
        loaded(DEIT, broken)
