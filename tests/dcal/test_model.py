import numpy as np
import pytest
import torch
from timm.data import resolve_model_data_config
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2

from lib.dcal import PAIR_STRATEGIES, SELECTIONS, DCALNet, create_dcal_model
from lib.dcal import model as source
from lib.dcal.hook import AttentionRolloutHook
from lib.dcal.vit import finish
from lib.errors import WorkbookError, WorkbookValueError
from lib.training.inference import network_input, statistics_of
from tests.dcal.reference import DEIT, DISTILLED, SIZES, chained, images, tiny_dcal, tiny_vit, unfused

PARTNERS = torch.tensor([1, 2, 3, 0])
LABELS = torch.tensor([0, 1, 2, 3])


def tokens_of(vit, x):
    """The tokens after the last block, before the norm."""
    found = []
    handle = vit.blocks[-1].register_forward_hook(lambda m, a, out: found.append(out))
    vit.forward_features(x)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("name", [DEIT, DISTILLED])
def test_sa_is_the_bare_vit(name):
    model = tiny_dcal(name)
    torch.testing.assert_close(model.branches(images()).sa, model.vit(images()))
    bare = tiny_dcal(name, glca=False, pwca=False)
    torch.testing.assert_close(bare(images()), bare.vit(images()))
    assert bare.count_parameters()["total"] == sum(p.numel() for p in tiny_vit(name).parameters())


@pytest.mark.parametrize("name", [DEIT, DISTILLED])
def test_glca_selects_by_the_chain_of_products_and_reads_the_last_blocks_output(name):
    model = tiny_dcal(name)
    rollout = chained(unfused(model.vit, images()))[:, 0, model.vit.num_prefix_tokens :]
    out = model.glca(tokens_of(model.vit, images()), rollout)
    expected = model.glca_norm(out[:, 0])
    found = model.branches(images())
    torch.testing.assert_close(found.glca_token, expected)
    torch.testing.assert_close(found.glca, model.glca_head(expected))


def test_glca_can_read_the_last_blocks_input():
    model = tiny_dcal(glca_input="input")
    found = []
    model.vit.blocks[-1].register_forward_hook(lambda m, a, out: found.append(a[0]))
    model.vit(images())
    rollout = chained(unfused(model.vit, images()))[:, 0, 1:]
    torch.testing.assert_close(
        model.branches(images()).glca_token, model.glca_norm(model.glca(found[0], rollout)[:, 0])
    )


@pytest.mark.parametrize("name", [DEIT, DISTILLED])
def test_selection_by_the_last_layer_is_its_class_row(name):
    model = tiny_dcal(name, selection="last_layer")
    model(images())
    row = unfused(model.vit, images())[-1].mean(1)[:, 0, model.vit.num_prefix_tokens :]
    assert torch.equal(model.maps()["glca_selected"].flatten(1).bool(), row >= row.topk(4).values[:, -1:])


def test_selection_by_chance_changes_in_training_only():
    model = tiny_dcal(selection="random", pwca=False, glca_readout="mean")
    torch.testing.assert_close(model(images()), model(images()), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model.branches(images()).glca, model.branches(images()).glca)


def test_the_class_token_alone_does_not_know_what_was_selected():
    """One block: a query knows nothing of other queries. Only a readout of the selected tokens tells selections apart."""

    def answers(readout):
        ways = [{"selection": s} for s in SELECTIONS] + [{"top_ratio": r} for r in (0.1, 1.0)]
        return [tiny_dcal(glca_readout=readout, **way).branches(images()).glca for way in ways]

    first, *others = answers("class")
    for other in others:
        torch.testing.assert_close(other, first)
    first, *others = answers("mean")
    assert not any(torch.allclose(other, first) for other in others)


def test_the_mean_readout_is_over_class_and_selected_tokens():
    model = tiny_dcal(glca_readout="mean")
    rollout = chained(unfused(model.vit, images()))[:, 0, 1:]
    out = model.glca(tokens_of(model.vit, images()), rollout)
    torch.testing.assert_close(model.branches(images()).glca_token, model.glca_norm(out.mean(1)))


@pytest.mark.parametrize("name", [DEIT, DISTILLED])
def test_pwca_is_the_sa_blocks_over_the_keys_of_both_streams(name):
    model = tiny_dcal(name)
    x = images()
    sa = source.embed(model.vit, x)[0]
    pw = sa
    for (
        block
    ) in model.vit.blocks:  # the blocks as timm runs them, over the tokens of both streams, SA's read as they are
        both = torch.cat([block.norm1(pw), block.norm1(sa[PARTNERS])], 1)
        pw = pw + block.attn(both)[:, : pw.shape[1]]
        pw = pw + block.mlp(block.norm2(pw))
        sa = block(sa)
    expected = model.vit.forward_head(model.vit.norm(pw))
    torch.testing.assert_close(model.branches(x, PARTNERS).pwca, expected)
    torch.testing.assert_close(model.branches(x, lambda tokens: PARTNERS).pwca, expected)
    torch.testing.assert_close(model(x, x[PARTNERS], training=True), (*self_and_local(model, x), expected))


def self_and_local(model, x):
    found = model.branches(x)
    return found.sa, found.glca


def test_a_copy_of_itself_as_second_image_is_self_attention():
    twice = torch.cat([images(), images()])
    found = tiny_dcal().branches(twice, torch.arange(8).roll(4))
    torch.testing.assert_close(found.pwca, found.sa)


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "vit_tiny_patch16_224"])
def test_the_network_tells_how_its_weights_expect_images(name):
    """Not all of timm's weights expect ImageNet's mean and deviation: those of the ViTs' own paper expect ½ and ½."""
    model = create_dcal_model(name, 5, depth=1)
    mean, std = resolve_model_data_config(model.vit)["mean"], resolve_model_data_config(model.vit)["std"]
    assert statistics_of(model) == (mean, std)
    assert (mean == (0.5, 0.5, 0.5)) == name.startswith("vit")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    expected = v2.functional.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, mean, std)
    torch.testing.assert_close(network_input(model, pixels), expected)


def test_pwca_has_no_weights_of_its_own():
    with_pairs, without = tiny_dcal(), tiny_dcal(pwca=False)
    names = {name for name, _ in with_pairs.named_parameters()}
    assert names == {name for name, _ in without.named_parameters()}
    parts = with_pairs.count_parameters()
    assert parts.pop("total") == sum(parts.values()) == sum(p.numel() for p in with_pairs.parameters())


def test_partners_cost_no_second_backbone_pass(monkeypatch):
    model, passes = tiny_dcal(), []
    monkeypatch.setattr(source, "embed", lambda vit, x: passes.append(len(x)) or original(vit, x))
    model.branches(images(), PARTNERS)
    assert passes == [4]


original = source.embed


def test_hard_pairs_see_the_sa_class_tokens_without_gradient():
    model, seen = tiny_dcal().train(), []

    def hard(tokens):
        seen.append(tokens)
        return PAIR_STRATEGIES["hard"](LABELS, tokens)

    found = model.branches(images(), hard)
    torch.testing.assert_close(seen[0], found.sa_token.detach())
    assert not seen[0].requires_grad


def grads(model, loss):
    model.zero_grad()
    loss.backward()
    return {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_gradients_from_every_term_reach_what_they_should():
    model = tiny_dcal().train()
    everything = {name for name, _ in model.named_parameters()}
    vit = {name for name in everything if name.startswith("vit.")}
    glca = {name for name in everything if name.startswith("glca")}

    def found():
        return model.branches(images(), PARTNERS)

    assert grads(model, cross_entropy(found().sa, LABELS)) == vit
    assert grads(model, cross_entropy(found().pwca, LABELS)) == vit
    body = {name for name in vit if name.split(".")[1] not in ("head", "norm")}
    assert grads(model, cross_entropy(found().glca, LABELS)) == glca | body
    b = found()
    assert grads(model, model.compute_loss(b.sa, b.glca, LABELS, cross_entropy, b.pwca)) == everything
    b = found()
    assert grads(model, model.compute_loss(b.sa, b.glca, LABELS, cross_entropy)) == everything


def test_the_second_image_gets_gradients_too():
    model, x = tiny_dcal().train(), images().requires_grad_()
    model.branches(x, torch.tensor([3, 3, 3, 0])).pwca[:1].sum().backward()
    reached = [i for i in range(4) if x.grad[i].abs().sum() > 0]
    assert reached == [0, 3]


def test_the_pwca_loss_counts():
    model = tiny_dcal().train()
    b = model.branches(images(), PARTNERS)
    terms = [cross_entropy(logits, LABELS) for logits in (b.sa, b.glca, b.pwca)]
    expected = sum(torch.exp(-w) * term + w for w, term in zip(model.weighting.w, terms, strict=True)) / 2
    torch.testing.assert_close(model.compute_loss(b.sa, b.glca, LABELS, cross_entropy, pwca_logits=b.pwca), expected)


def test_plain_logits_are_the_papers_rule():
    model = tiny_dcal()
    b = model.branches(images())
    total = b.sa.softmax(1) + b.glca.softmax(1)
    torch.testing.assert_close(model.inference(images()), total)
    torch.testing.assert_close(model(images()).softmax(1), total / 2)
    torch.testing.assert_close(model(images()).exp().sum(1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(model.embed(images()), torch.cat([b.sa_token, b.glca_token], 1))


def test_ablation_switches():
    full, x = tiny_dcal(), images()
    sa_only = tiny_dcal(glca=False, pwca=False).train()
    b = sa_only.branches(x)
    assert (b.glca, b.glca_token, b.pwca) == (None, None, None)
    torch.testing.assert_close(sa_only.compute_loss(b.sa, None, LABELS, cross_entropy), cross_entropy(b.sa, LABELS))
    assert sa_only.embed(x).shape == (4, 24)
    torch.testing.assert_close(sa_only.inference(x), sa_only(x).softmax(1))
    assert full.branches(x).pwca is None
    no_glca = tiny_dcal(glca=False)(x, x, training=True)
    assert [t is None for t in no_glca] == [False, True, False]
    no_pwca = tiny_dcal(pwca=False)(x, training=True)
    assert [t is None for t in no_pwca] == [False, False, True]
    assert tiny_dcal(pwca=False).branches(x, PARTNERS).pwca is None


def test_trains_one_batch_to_zero_loss():
    torch.manual_seed(0)
    model = create_dcal_model(DEIT, 4, top_ratio=0.25, **SIZES | {"depth": 2}).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    x = images().float()
    for _ in range(80):
        b = model.branches(x, PARTNERS)
        terms = [cross_entropy(logits, LABELS) for logits in (b.sa, b.glca, b.pwca)]
        optimiser.zero_grad()
        model.compute_loss(b.sa, b.glca, LABELS, cross_entropy, b.pwca).backward()
        optimiser.step()
    assert max(terms) < 0.01
    assert (model.eval()(x).argmax(1) == LABELS).all()


def test_stochastic_depth_drops():
    model = tiny_dcal(drop_path_rate=0.9).train()
    torch.manual_seed(0)
    outputs = [model.branches(images(), PARTNERS) for _ in range(2)]
    for name in ("sa", "glca", "pwca"):
        assert not torch.equal(getattr(outputs[0], name), getattr(outputs[1], name))
    assert [block.drop_path1.drop_prob for block in model.vit.blocks[1:]] == pytest.approx([0.45, 0.9])
    model.eval()
    torch.testing.assert_close(model(images()), model(images()), rtol=0, atol=0)


@pytest.mark.parametrize("dropped", [("drop_path1",), ("drop_path2",), ("drop_path1", "drop_path2")])
def test_stochastic_depth_drops_either_residual(dropped):
    block = tiny_dcal(drop_path_rate=0.5).vit.blocks[-1].train()
    for name in ("drop_path1", "drop_path2"):
        getattr(block, name).drop_prob = float(name in dropped)
    x, attended = torch.randn(2, 3, 24).double(), torch.randn(2, 3, 24).double()
    y = x if "drop_path1" in dropped else x + attended
    expected = y if "drop_path2" in dropped else y + block.mlp(block.norm2(y))
    torch.testing.assert_close(finish(block, x, attended), expected)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (48, 16), (24, 40)])
def test_any_size_of_input(height, width):
    model, x = tiny_dcal(), images(2, height, width)
    grid = (2, height // 8, width // 8)
    assert model(x).shape == (2, 5)
    assert {tuple(m.shape) for m in model.maps().values()} == {grid}
    assert model.branches(x, torch.tensor([1, 0])).pwca.shape == (2, 5)


def test_maps_are_rows_of_the_chain():
    model = tiny_dcal()
    model(images())
    maps = model.maps()
    layers = unfused(model.vit, images())
    names = {"rollout", "glca_selected", "glca_attention"}
    names |= {f"rollout_layer_{n}" for n in (1, 2, 3)} | {f"layer_{n}_head_{h}" for n in (1, 2, 3) for h in (1, 2, 3)}
    assert set(maps) == names
    for n in (1, 2, 3):
        row = chained(layers[:n])[:, 0, 1:].unflatten(1, (4, 4))
        torch.testing.assert_close(maps[f"rollout_layer_{n}"], row)
        torch.testing.assert_close(maps[f"layer_{n}_head_2"], layers[n - 1][:, 1, 0, 1:].unflatten(1, (4, 4)))
    torch.testing.assert_close(maps["rollout"], maps["rollout_layer_3"])
    chosen = maps["glca_selected"].flatten(1).bool()
    assert torch.equal(chosen, maps["rollout"].flatten(1) >= maps["rollout"].flatten(1).topk(4).values[:, -1:])
    patch = model.maps((2, 1))["rollout"]
    torch.testing.assert_close(patch, chained(layers)[:, 1 + 9, 1:].unflatten(1, (4, 4)))
    assert not any(m.requires_grad for m in maps.values())


def test_a_hybrids_maps_lie_on_the_grid_of_its_stem():
    """R50-ViT-B, of the paper's tables, cuts its patches from a convolutional stem's features, here of 4×4 pixels each."""
    model = tiny_dcal("vit_tiny_r_s16_p8_224", img_size=64, patch_size=2)
    model(images(2, 64, 64))
    assert {tuple(each.shape) for each in model.maps().values()} == {(2, 8, 8)}
    with pytest.raises(WorkbookValueError, match="patches of 8×8"):
        model(images(2, 60, 64))


def test_maps_need_a_forward_in_eval_mode():
    model = tiny_dcal()
    with pytest.raises(WorkbookError, match="call the model in eval mode first"):
        model.maps()
    model(images())
    model.train()
    with pytest.raises(WorkbookError, match="eval mode"):
        model.maps()
    with pytest.raises(WorkbookValueError, match=r"row 4, column 0\) is outside the 4×4 map"):
        model.eval().maps((4, 0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.train().branches(images()), "PWCA without a pair: the network is in training mode"),
        (lambda m: m.train()(images()), r"PWCA without a pair.*To infer, call eval\(\) first"),
        (lambda m: m.branches(images(), torch.tensor([1, 0, 3, 4])), "no image 4 to be a partner: .* images 0 to 3"),
        (lambda m: m.branches(images(), torch.tensor([1, 0, 3, -1])), "no image -1 to be a partner"),
        (lambda m: m.branches(images(), torch.tensor([1, 0, 2, 3])), "Image 2 of 4 is its own partner"),
        (lambda m: m.train().branches(images(1), torch.tensor([0])), "Image 0 of 1 is its own partner"),
        (lambda m: m.branches(images(), [1, 0, 3, 2]), "one index for each of 4 images, .* not a list"),
        (lambda m: m.branches(images(), lambda tokens: torch.tensor([1, 0, 3, -1])), "no image -1 to be a partner"),
        (lambda m: m([1, 2]), "tensor of floating point, not a list"),
        (lambda m: m(images().byte()), "tensor of floating point, not of torch.uint8"),
        (lambda m: m(images(), training=True), "PWCA without a pair: training needs a second batch"),
        (lambda m: m(images(), images()), "read in training only"),
        (lambda m: m(images(), images(3), training=True), "The pair does not fit"),
        (lambda m: m.branches(images(), torch.tensor([1.0, 0, 2, 3])), "Partners are one index for each of 4 images"),
        (lambda m: m.branches(images(), torch.arange(5)), "Partners are one index"),
        (lambda m: m.branches(images(), torch.arange(3)), "Partners are one index"),
        (lambda m: m(images(2, 30, 32)), "30×32 pixels cannot be cut into patches of 8×8"),
        (lambda m: m(images()[:, :2]), r"shape \[B, 3, H, W\], not \[4, 2, 32, 32\]"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(WorkbookValueError, match=message):
        call(tiny_dcal())


def test_blocks_that_cannot_be_taken_apart():
    from timm.models.vision_transformer import ResPostBlock

    with pytest.raises(WorkbookValueError, match="Block 0 is a ResPostBlock; DCAL needs plain pre-norm blocks"):
        DCALNet(tiny_vit("vit_tiny_patch16_224", block_fn=ResPostBlock))


def test_maps_are_of_the_last_eval_call_whichever_it_was():
    model = tiny_dcal()
    for look in (model, model.embed, model.inference, model.branches):
        look(images(2))
        expected = model.maps()
        look(images(3))
        look(images(2))
        torch.testing.assert_close(model.maps(), expected)
        assert {len(each) for each in expected.values()} == {2}


def test_a_hook_collects_the_sa_stream_though_pwca_passes_the_blocks_again():
    model = tiny_dcal().train()
    with AttentionRolloutHook(model.vit) as hook:
        model.vit.forward_features(images())
        expected = hook.get_cls_attention()
        model.branches(images(), partners=PARTNERS)
        torch.testing.assert_close(hook.get_cls_attention(), expected)


def test_a_pair_for_a_network_without_pwca_is_refused():
    with pytest.raises(WorkbookValueError, match="read by PWCA only"):
        tiny_dcal(pwca=False)(images(), images(), training=True)


@pytest.mark.parametrize("pool", ["avg", ""])
def test_a_backbone_that_is_not_read_at_its_class_token_is_refused(pool):
    with pytest.raises(WorkbookValueError, match="global_pool='token'"):
        tiny_dcal(global_pool=pool)
