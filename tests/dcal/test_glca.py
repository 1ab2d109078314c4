import pytest
import torch
from torch.nn.functional import gelu, layer_norm

from lib.dcal import AttentionRolloutHook, GlobalLocalCrossAttention
from lib.errors import WorkbookError, WorkbookValueError
from tests.dcal.reference import images, tiny_vit
from tests.helpers import float64, randomised


@pytest.fixture
def glca():
    return randomised(GlobalLocalCrossAttention(24, 3, top_ratio=0.25)).eval()


@pytest.fixture
def x():
    return float64(2, 17, 24)


@pytest.fixture
def scores():
    return float64(2, 16, seed=5).softmax(1)


def by_the_equations(block, x, chosen):
    """softmax(Q_l K_gᵀ / √d) V_g of the chosen tokens of one image x [T, D], pre-norm, residuals, FFN."""

    def normed(t, norm):
        return layer_norm(t, t.shape[-1:], norm.weight, norm.bias, 1e-6)

    q, k, v = (normed(x, block.norm1) @ block.attn.qkv.weight.T + block.attn.qkv.bias).chunk(3, 1)
    heads = []
    for q_h, k_h, v_h in zip(*(t.chunk(3, 1) for t in (q[chosen], k, v)), strict=True):
        s = (q_h @ k_h.T / 8**0.5).exp()
        heads.append(s / s.sum(1, keepdim=True) @ v_h)
    y = x[chosen] + torch.cat(heads, 1) @ block.attn.proj.weight.T + block.attn.proj.bias
    inner = gelu(normed(y, block.norm2) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
    return y + inner @ block.mlp.fc2.weight.T + block.mlp.fc2.bias


def test_is_the_formula_on_the_selected_tokens(glca, x, scores):
    out = glca(x, scores)
    assert out.shape == (2, 1 + 4, 24)
    for image in range(2):
        chosen = [0, *(1 + scores[image].argsort(descending=True)[:4]).tolist()]
        torch.testing.assert_close(out[image], by_the_equations(glca.block, x[image], chosen))


def test_with_every_token_and_shared_weights_it_is_self_attention(x, scores):
    block = tiny_vit().blocks[1]
    glca = GlobalLocalCrossAttention(24, 3, top_ratio=1.0).double().eval()
    glca.block.load_state_dict(block.state_dict())
    order = torch.cat([torch.zeros(2, 1, dtype=torch.long), 1 + scores.argsort(1, descending=True)], 1)
    expected = block(x).gather(1, order.unsqueeze(2).expand(-1, -1, 24))
    torch.testing.assert_close(glca(x, scores), expected)


def test_unselected_tokens_get_gradients_as_keys_but_not_as_queries(glca, x, scores):
    chosen = scores.topk(4).indices
    x.requires_grad_()
    glca(x, scores).sum().backward()
    assert (x.grad.abs().sum(2) > 0).all()  # as keys and values
    asked = []
    glca.block.attn.q_norm.register_forward_hook(lambda m, a, q: asked.append(q))
    glca(x, scores)
    assert asked[0].shape == (2, 3, 5, 8)  # no query exists for the others
    with torch.no_grad():  # without keys and values nothing of the others is left
        glca.block.attn.qkv.weight[24:] = 0
    x.grad = None
    glca(x, scores).sum().backward()
    reached = (x.grad.abs().sum(2) > 0).nonzero().tolist()
    assert reached == sorted([[b, t] for b in range(2) for t in [0, *(1 + chosen[b]).tolist()]])


def test_takes_scores_from_a_hook(glca):
    model = tiny_vit()
    with AttentionRolloutHook(model) as hook:
        tokens = model.forward_features(images(2))
    glca.set_rollout_hook(hook)
    torch.testing.assert_close(glca(tokens), glca(tokens, hook.get_cls_attention()))


def test_maps_show_the_selection_and_the_class_tokens_attention(glca, x, scores):
    glca(x, scores)
    maps = glca.maps()
    assert maps["selected"].shape == maps["attention"].shape == (2, 16)
    assert torch.equal(maps["selected"].bool(), scores >= scores.topk(4).values[:, -1:])
    q, k, _ = glca.block.attn.qkv(glca.block.norm1(x)).chunk(3, 2)
    rows = [(a[:, :1] @ b.mT / 8**0.5).softmax(2)[:, 0] for a, b in zip(q.chunk(3, 2), k.chunk(3, 2), strict=True)]
    torch.testing.assert_close(maps["attention"], (sum(rows) / 3)[:, 1:])


@pytest.mark.parametrize(("ratio", "count"), [(0.1, 3), (0.3, 9), (0.31, 10), (1.0, 30), (1e-9, 1)])
def test_the_number_of_selected_tokens_is_rounded_up(ratio, count):
    glca = GlobalLocalCrossAttention(24, 3, top_ratio=ratio)
    assert glca(torch.randn(1, 31, 24), torch.rand(1, 30)).shape[1] == 1 + count


@pytest.mark.parametrize("ratio", [0, -0.1, 1.1, "0.1", True, None, float("nan")])
def test_ratios_outside_0_to_1(ratio):
    with pytest.raises(WorkbookValueError, match="top_ratio must be above 0 and at most 1"):
        GlobalLocalCrossAttention(24, 3, top_ratio=ratio)


def test_bad_input(glca, x):
    with pytest.raises(WorkbookError, match="needs scores to select by"):
        glca(x)
    for shape in ((2, 17), (1, 16), (2, 0)):
        with pytest.raises(WorkbookValueError, match="do not fit tokens"):
            glca(x, float64(*shape))
    with pytest.raises(WorkbookValueError, match="do not fit tokens"):
        glca(x[0], float64(2, 16))
    with pytest.raises(WorkbookValueError, match="num_heads=5 does not divide the width 24"):
        GlobalLocalCrossAttention(24, 5)
