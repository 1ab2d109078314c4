"""The usage examples of the project that DCAL comes from run with the import line changed."""

import timm
import torch
from torch import nn

from lib.dcal import (
    AttentionRolloutHook,
    GlobalLocalCrossAttention,
    PairWiseCrossAttention,
    create_dcal_model,
)


def test_rollout_and_glca():
    model = timm.create_model("deit_tiny_patch16_224", depth=2)
    input_tensor = torch.randn(2, 3, 224, 224)

    rollout_hook = AttentionRolloutHook(model)
    _ = model(input_tensor)
    rollout = rollout_hook.get_rollout()
    cls_attention = rollout_hook.get_cls_attention()
    selection_mask = rollout_hook.select_top_tokens(top_ratio=0.1)
    assert rollout.shape == (2, 197, 197)
    torch.testing.assert_close(rollout[:, 0, 1:], cls_attention)
    assert selection_mask.sum(1).tolist() == [20, 20]

    glca = GlobalLocalCrossAttention(embed_dim=192, num_heads=3, top_ratio=0.1)
    glca.set_rollout_hook(rollout_hook)
    output = glca(torch.randn(2, 197, 192))
    assert output.shape == (2, 21, 192)


def test_pwca():
    pwca = PairWiseCrossAttention(embed_dim=192, num_heads=3, training_only=True)
    embeddings1, embeddings2 = torch.randn(2, 197, 192), torch.randn(2, 197, 192)
    output = pwca(embeddings1, embeddings2, training=True)
    assert output.shape == (2, 197, 192)


def test_the_complete_model():
    model = create_dcal_model(backbone_name="deit_tiny_patch16_224", num_classes=200, top_ratio=0.1, depth=2)
    x, paired_x, targets = torch.randn(2, 3, 224, 224), torch.randn(2, 3, 224, 224), torch.tensor([3, 199])

    sa_logits, glca_logits, pwca_features = model(x, paired_x, training=True)
    loss_fn = nn.CrossEntropyLoss()
    total_loss = model.compute_loss(sa_logits, glca_logits, targets, loss_fn)
    assert pwca_features.shape == (2, 200)
    assert total_loss.isfinite()
    with_pairs = model.compute_loss(sa_logits, glca_logits, targets, loss_fn, pwca_logits=pwca_features)
    assert with_pairs > total_loss

    model.eval()
    combined_logits = model.inference(x)
    torch.testing.assert_close(combined_logits.sum(1), torch.full((2,), 2.0))
