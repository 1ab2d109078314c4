"""Networks that people bring: what `methods_of` lists is what `explain` can do, whatever they are wrapped in and answer."""

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from timm.models.vision_transformer_relpos import VisionTransformerRelPos
from torch import Tensor, nn

from lib.dcal import AttentionRolloutHook
from lib.errors import WorkbookError, WorkbookValueError
from lib.explain import METHODS, explain, methods_of, randomisation_check
from lib.explain.methods.explain import scaled
from lib.explain.methods.logits import logits_of
from lib.explain.methods.patch_transformers import vit_of
from lib.explain.methods.target_layers import target_layer_of, watch
from tests.explain.models import CLASSES, images

TOKENS = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "num_heads": 2, "depth": 2, "num_classes": CLASSES}


def vit(kind: type = VisionTransformer, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return kind(**TOKENS | options).eval()


def cnn(classes: int = CLASSES) -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))
    return nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), *head).eval()


class Wrapped(nn.Module):
    """A network whose answer is made something of."""

    def __init__(self, net: nn.Module, wrap: object) -> None:
        super().__init__()
        self.net, self.wrap = net, wrap

    def forward(self, x: Tensor) -> object:
        return self.wrap(self.net(x))


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


class Frozen(nn.Module):
    """A head on features that were computed under `no_grad`: no gradient leads back to the image."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = cnn(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.net(x)
        return self.head(features)


SWIN = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4, "img_size": 32, "num_classes": CLASSES}
NETWORKS = {
    "frozen features": lambda: Frozen().eval(),
    "rounded": lambda: Wrapped(cnn(), lambda logits: logits.round().detach()).eval(),
    "swin": lambda: SwinTransformer(**SWIN).eval(),
    "torchvision's swin": lambda: torchvision.models.SwinTransformer([2, 2], 8, [1, 1], [1, 2], [4, 4], num_classes=CLASSES).eval(),
    "eva": lambda: vit(Eva),
    "eva read at its class token, norms last": lambda: vit(Eva, global_pool="token", use_post_norm=True),
    "beit": lambda: vit(Beit),
    "relative positions": lambda: vit(VisionTransformerRelPos),
    "attention pooling": lambda: vit(global_pool="map"),
    "norms behind attention": lambda: vit(block_fn=ResPostBlock),
    "all tokens": lambda: vit(global_pool=""),
    "vit in a sequential": lambda: nn.Sequential(nn.Upsample(32), vit()).eval(),
    "vit and its head in a sequential": lambda: nn.Sequential(vit(num_classes=0), nn.Linear(16, CLASSES)).eval(),
    "vit in a module": lambda: Wrapped(vit(), lambda logits: logits).eval(),
    "compiled vit": lambda: torch.compile(vit(), backend="eager"),
    "vit compiled in place": lambda: compiled_in_place(vit()),
    "compiled part": lambda: nn.Sequential(torch.compile(cnn(8), backend="eager"), nn.Linear(8, CLASSES)).eval(),
    "on several devices": lambda: nn.DataParallel(cnn()),
    "script": lambda: torch.jit.script(cnn()),
    "several answers": lambda: Wrapped(cnn(), lambda logits: (logits, logits[:, :2])).eval(),
    "no convolution": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, CLASSES)).eval(),
    "answers in a dict": lambda: Wrapped(cnn(), lambda logits: {"logits": logits, "features": logits[:, :1]}).eval(),
}  # fmt: skip
IMAGE = {"image_size": 32, "patch_size": 8, "num_labels": CLASSES}
TINY = IMAGE | {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SWIN_OF_HF = IMAGE | {"patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
OF_HUGGING_FACE = {  # the layer where the head reads, positions
    "ViT": (TINY, "vit.layers.1.layernorm_before", (4, 4)),
    "Dinov2WithRegisters": (TINY, "dinov2_with_registers.layernorm", (4, 4)),
    "Swin": (SWIN_OF_HF, "swin.layernorm", (4, 4)),
    "ConvNext": (
        {"hidden_sizes": [4, 8], "depths": [1, 1], "num_stages": 2, "num_labels": CLASSES},
        "convnext.encoder",
        (4, 4),
    ),
}


@pytest.mark.parametrize("family", OF_HUGGING_FACE)
def test_networks_of_hugging_face_are_explained_where_their_head_reads(family):
    transformers = pytest.importorskip("transformers")
    options, layer, grid = OF_HUGGING_FACE[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**options)
    model, x = getattr(transformers, f"{family}ForImageClassification")(config).eval(), images(2)
    found = target_layer_of(model, x)
    assert found.layer in model.get_submodule(layer).modules()
    shown = []
    watch(model, x, {"": found.layer}, lambda name, output: shown.append(found.maps(output).shape[2:]))
    assert shown[-1] == grid
    offered = methods_of(model)
    assert {"grad-cam", "gradient-x-input"} < set(offered)
    for method in ("grad-cam", "gradient-x-input"):
        assert explain(model, x, 1, method).amax((1, 2)).tolist() == [1, 1]


class ClassAttention(nn.Module):
    """Patches, then a class token that attends to them: nothing of the last tokens but the first is read (as in CaiT)."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm, self.last = nn.Conv2d(3, 8, 8, 8), nn.LayerNorm(8), nn.Identity()
        self.attn, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        tokens = self.norm(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
        first = (self.attn(tokens).softmax(1) * tokens).sum(1, keepdim=True)
        return self.head(self.last(torch.cat([first, tokens[:, 1:]], 1))[:, 0])


def test_tokens_are_taken_where_the_answer_still_depends_on_the_patches():
    torch.manual_seed(0)
    model = ClassAttention().eval()
    assert target_layer_of(model, images(1)).layer is model.norm
    assert explain(model, images(2), 1, "grad-cam").amax((1, 2)).tolist() == [1, 1]


ROLLED_OUT = {"vit in a sequential", "vit and its head in a sequential", "compiled vit", "vit compiled in place"}
ROLLED_OUT |= {"norms behind attention", "eva", "eva read at its class token, norms last", "beit", "relative positions"}
SLOW = {"ablation-cam", "integrated-gradients", "random", "noise", "centre", "score-cam", "occlusion", "rise"}
SLOW |= {
    "smooth-grad",
    "expected-gradients",
    "kpca-cam",
    "eigen-grad-cam",
    "grad-cam-elementwise",
    "finer-cam",
}  # suit as others


@pytest.mark.parametrize("kind", NETWORKS)
def test_methods_of_is_what_explain_can_do(kind):
    model, x = NETWORKS[kind](), images(2)
    offered = methods_of(model)
    for name in METHODS.keys() - SLOW:
        if name in offered:
            maps = explain(model, x, method=name)
            assert maps.shape == (2, 32, 32)
            assert maps.isfinite().all()
        else:
            with pytest.raises(WorkbookError, match="^[^\n]+$"):
                explain(model, x, method=name)
    without = ("all tokens", "script", "several answers", "no convolution", "frozen features", "rounded")
    assert ("grad-cam" in offered) == (kind not in without)
    assert ("score-cam" in offered) == (kind not in without[:-2])
    assert ("rollout" in offered) == (kind in ROLLED_OUT)


@pytest.mark.parametrize(
    ("method", "told"),
    [("grad-cam", " TorchScript keeps no layers.*as it was written"), ("smooth-grads", " Did you mean 'smooth-grad'?")],
)
def test_what_a_network_has_not_is_told_with_what_can_be_done(method, told):
    model = NETWORKS["script"]()
    with pytest.raises(WorkbookValueError, match=rf"has no '{method}'\.{told}.* It has: ") as raised:
        explain(model, images(2), method=method)
    assert "mean 'random'" not in str(raised.value)
    with pytest.raises(
        WorkbookValueError, match="0 is TorchScript, whose layers no rule reaches.*integrated-gradients"
    ):
        explain(nn.Sequential(NETWORKS["script"](), nn.Conv2d(4, 4, 1)).eval(), images(2), method="lrp")


@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam", "rollout", "gradient-rollout", "gradient-x-input"])
def test_a_compiled_network_is_explained_as_the_one_that_was_compiled(method):
    plain = explain(vit(), images(2), 1, method)
    compiled = torch.compile(vit(), backend="eager")
    compiled(images(2))
    assert torch.equal(explain(compiled, images(2), 1, method), plain)
    assert torch.equal(explain(compiled_in_place(vit()), images(2), 1, method), plain)
    assert torch.equal(explain(nn.Sequential(nn.Identity(), vit()).eval(), images(2), 1, method), plain)
    found = randomisation_check(compiled, images(2), method=method, stages=1).similarity
    assert found.shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, slice(0, 1)),
        ({"global_pool": "avg"}, slice(1, None)),
        ({"global_pool": "avg", "reg_tokens": 2}, slice(3, None)),
        ({"global_pool": "avg", "class_token": False}, slice(0, None)),
        ({"global_pool": "avg", "pool_include_prefix": True}, slice(0, None)),
        ({"kind": timm.models.deit.VisionTransformerDistilled}, slice(0, 2)),
    ],
)
def test_rollout_follows_the_tokens_that_the_head_reads(options, tokens):
    model, x = vit(**options).double(), images(2).double()
    read = []
    with model.norm.register_forward_hook(lambda _, args, out: read.append(out.requires_grad_()) or out):
        logits = model(x.clone().requires_grad_())
    gradient = torch.autograd.grad(logits[:, 1].sum(), read)[0].norm(dim=(0, 2))
    assert gradient.nonzero().flatten().tolist() == list(range(len(gradient)))[tokens]
    with AttentionRolloutHook(model) as hook:
        model(x)
    expected = hook.get_rollout()[:, tokens, model.num_prefix_tokens :].mean(1).view(2, 4, 4)
    torch.testing.assert_close(explain(model, x, method="rollout"), scaled(expected, (32, 32)))


@pytest.mark.parametrize("pool", ["map", "max", "avgmax", ""])
def test_there_is_no_rollout_for_a_head_that_mixes_tokens_otherwise(pool):
    assert vit_of(vit(global_pool=pool)) is None
    with pytest.raises(WorkbookValueError, match="has no 'rollout'"):
        explain(vit(global_pool=pool), images(2), method="rollout")


def test_maps_are_taken_where_the_head_reads():
    for options, layer in (
        ({}, "blocks.1.norm1"),
        ({"global_pool": "avg"}, "norm"),
        ({"block_fn": ResPostBlock}, "blocks.0"),
    ):
        model = vit(**options)
        assert target_layer_of(model, images(1)).layer is model.get_submodule(layer)
        assert explain(model, images(2), 1, "grad-cam").amax((1, 2)).tolist() == [1, 1]


@dataclass
class Answer:
    scores: Tensor
    loss: Tensor | None = None


Pair = namedtuple("Pair", "loss logits")
WRAPS = {
    "as they are": lambda x: x,
    "a dict": lambda x: {"logits": x, "features": x[:, :2]},
    "a dict of one": lambda x: {"out": x, "loss": x.mean()},
    "a dataclass": lambda x: Answer(x),
    "a tuple with a loss": lambda x: (x.mean(), x),
    "a named tuple": lambda x: Pair(x[:, 0], x),
    "a list": lambda x: [x, None],
    "an object": lambda x: SimpleNamespace(logits=x, hidden=x[None]),
    "1×1 maps": lambda x: x[:, :, None, None],
}


@pytest.mark.parametrize("kind", WRAPS)
def test_logits_are_read_in_whatever_they_are_wrapped(kind):
    model = Wrapped(cnn(), WRAPS[kind]).eval()
    assert torch.equal(logits_of(model, images(2)), cnn()(images(2)))


def test_a_network_of_one_answer_is_explained_and_scored():
    model = Wrapped(cnn(1), lambda logits: logits[:, 0]).eval()
    assert logits_of(model, images(3)).shape == (3, 1)
    assert explain(model, images(3)).shape == (3, 32, 32)
    with pytest.raises(WorkbookValueError, match="no class 1: the model has classes 0 to 0"):
        explain(model, images(3), 1)


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (
            lambda x: (x, x[:, :2]),
            r"2 images with 2 tensors that may be its logits \(0: \[2, 4\], 1: \[2, 2\]\): wrap it",
        ),
        (lambda x: {"features": x, "embedding": x}, "2 tensors that may be its logits .features"),
        (lambda x: x[:, :, None].expand(-1, -1, 9), r"no logits \[B, classes\] \(\[2, 4, 9\]\)"),
        (lambda x: x.sum(), r"no logits \[B, classes\] \(\[\]\)"),
        (lambda x: x.argmax(1), "no logits"),
        (lambda x: "mel", "no logits .*str"),
        (lambda x: None, "no logits .*NoneType"),
        (lambda x: {"loss": x.mean()}, r"no logits .*loss: \[\]"),
        (lambda x: {"logits": x[:, :, None].expand(-1, -1, 9), "pooled": x}, r"no logits .*logits: \[2, 4, 9\]"),
    ],
)
@pytest.mark.parametrize("method", ["grad-cam", "gradient-x-input"])
def test_answers_that_cannot_be_read_are_one_line(wrap, message, method):
    with pytest.raises(WorkbookValueError, match=f"^This Wrapped answers [^\n]*{message}[^\n]*$"):
        explain(Wrapped(cnn(), wrap).eval(), images(2), method=method)


def test_methods_of_leaves_the_network_as_it_was():
    model = Wrapped(cnn(), lambda x: x).train()
    model.net[0].eval()
    modes = [part.training for part in model.modules()]
    methods_of(model)
    assert [part.training for part in model.modules()] == modes
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
