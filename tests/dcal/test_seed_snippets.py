"""The usage examples of the project that DCAL comes from, word for word but for the module that they import from.

What an example leaves undefined (a model, images, labels) is given to it; the networks are as large as it says. Two of
its examples are told what takes their place, which `tests/test_seeds.py` tries: `create_fgvc_trainer` and
`create_advanced_dcal_model`.
"""

import re

import pytest
import timm
import torch

ROLLOUT = """
from attention_rollout import AttentionRolloutHook

# Create hook for a Vision Transformer model
rollout_hook = AttentionRolloutHook(model)

# Forward pass to collect attention weights
_ = model(input_tensor)

# Get accumulated attention rollout
rollout = rollout_hook.get_rollout()

# Get CLS attention to patches
cls_attention = rollout_hook.get_cls_attention()

# Select top tokens based on attention
selection_mask = rollout_hook.select_top_tokens(top_ratio=0.1)
"""

GLCA = """
from glca_module import GlobalLocalCrossAttention

# Create GLCA module
glca = GlobalLocalCrossAttention(
    embed_dim=192,
    num_heads=3,
    top_ratio=0.1  # 10% for FGVC, 30% for Re-ID
)

# Set rollout hook for token selection
glca.set_rollout_hook(rollout_hook)

# Forward pass
output = glca(input_embeddings)
"""

PWCA = """
from pwca_module import PairWiseCrossAttention

# Create PWCA module
pwca = PairWiseCrossAttention(
    embed_dim=192,
    num_heads=3,
    training_only=True  # Only used during training
)

# Forward pass with two images
output = pwca(embeddings1, embeddings2, training=True)
"""

COMPLETE = """
from dcal_example import create_dcal_model

# Create model for FGVC
model = create_dcal_model(
    backbone_name='deit_tiny_patch16_224',
    num_classes=200,  # CUB-200-2011
    top_ratio=0.1     # 10% for FGVC
)

# Training forward pass
sa_logits, glca_logits, pwca_features = model(x, paired_x, training=True)

# Compute uncertainty-weighted loss
loss_fn = nn.CrossEntropyLoss()
total_loss = model.compute_loss(sa_logits, glca_logits, targets, loss_fn)

# Inference
model.eval()
combined_logits = model.inference(x)
"""


def run(snippet, **given):
    """The names that `snippet`, importing from lib.dcal, leaves when it starts with those `given`."""
    imported, times = re.subn(r"(?m)^from \w+ import", "from lib.dcal import", snippet)
    assert times == 1
    exec(compile(imported, "snippet", "exec"), given)
    return given


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_rollout_and_glca():
    images = torch.randn(2, 3, 224, 224)
    found = run(ROLLOUT, model=timm.create_model("deit_tiny_patch16_224"), input_tensor=images)
    assert found["rollout"].shape == (2, 197, 197)
    torch.testing.assert_close(found["rollout"][:, 0, 1:], found["cls_attention"])
    assert found["selection_mask"].sum(1).tolist() == [20, 20]

    tokens = torch.randn(2, 197, 192)
    output = run(GLCA, rollout_hook=found["rollout_hook"], input_embeddings=tokens)["output"]
    assert output.shape == (2, 21, 192)  # the class token and the selected ones


def test_pwca():
    given = {name: torch.randn(2, 197, 192) for name in ("embeddings1", "embeddings2")}
    assert run(PWCA, **given)["output"].shape == (2, 197, 192)


def test_the_complete_model():
    given = {name: torch.randn(2, 3, 224, 224) for name in ("x", "paired_x")}
    found = run(COMPLETE, **given, targets=torch.tensor([3, 199]), nn=torch.nn)
    assert found["pwca_features"].shape == (2, 200)  # logits, in spite of their name
    torch.testing.assert_close(found["combined_logits"].sum(1), torch.full((2,), 2.0))


def test_the_example_leaves_pwca_out_of_its_loss_and_the_model_takes_it():
    """It computes PWCA's answer and never hands it on, a fault: the loss then has two terms, and PWCA trains nothing."""
    images = {name: torch.randn(2, 3, 224, 224) for name in ("x", "paired_x")}
    found = run(COMPLETE, **images, targets=torch.tensor([3, 199]), nn=torch.nn)
    logits = [found[name] for name in ("sa_logits", "glca_logits", "pwca_features")]
    terms = [found["loss_fn"](each, found["targets"]) for each in logits]  # weighted e⁰ before training
    torch.testing.assert_close(found["total_loss"], (terms[0] + terms[1]) / 2)
    loss = found["model"].compute_loss(*logits[:2], found["targets"], found["loss_fn"], pwca_logits=logits[2])
    torch.testing.assert_close(loss, sum(terms) / 2)
