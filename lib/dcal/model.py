"""DCAL: self-attention, global-local and pair-wise cross-attention on one ViT (arXiv 2205.02151, CVPR 2022).

L self-attention blocks (SA), one GLCA block on top with weights, norm and head of its own, and L PWCA blocks that are
the SA blocks again, with the keys and values of a second image beside their own.

Known deviations: none from the equations. The paper leaves open whether GLCA reads the input or the output of the last
block (here the output, `glca_input`), and how GLCA's weights start (drawn anew, also on a pretrained backbone).

What the equations imply: in one block a query knows nothing of other queries, so with a single GLCA block whose class
token alone is read (the paper's M = 1), logits and gradients are the same whichever tokens are selected, and how many.
Selection is then something to look at; it counts where `glca_readout="mean"` reads the selected tokens, too.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from lib.dcal.glca import GlobalLocalCrossAttention
from lib.dcal.hook import AttentionRolloutHook
from lib.dcal.kept_attention import OpenAttention, attend_and_keep
from lib.dcal.pwca import pairwise_block
from lib.dcal.rollout import Layer, first_images
from lib.dcal.selection import SELECTIONS, by_rollout
from lib.dcal.uncertainty_weighting import UncertaintyWeighting
from lib.dcal.vit import Rope, answered, check_blocks, embed, finish, grid_of, project
from lib.errors import WorkbookError, WorkbookValueError, choose
from lib.glsa.attention import attention
from lib.mapped import CLASS_TOKEN, Kind, Map, MapInfo, Mapped, Query, on_grid, query_positions

GLCA_INPUTS = ("output", "input")
GLCA_READOUTS = ("class", "mean")

# Partners in a batch: an index [B], or what gives one from the SA class tokens [B, D], as hard pairs need.
Partners = Tensor | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Branches:
    """What the branches say about the images: logits [B, num_classes] and the normed tokens [B, D] that heads read.

    None where a branch is switched off, or, for PWCA, where no partners were given.
    """

    sa: Tensor
    sa_token: Tensor
    glca: Tensor | None = None
    glca_token: Tensor | None = None
    pwca: Tensor | None = None


@dataclass(frozen=True)
class _Stream:
    """The SA stream: tokens [B, T, D] into and out of the last block; queries, keys and values of each block, and its layer
    of the rollout."""

    into_last: Tensor
    out: Tensor
    qkv: list[tuple[Tensor, Tensor, Tensor]]
    layers: list[Layer]


class DCALNet(Mapped):
    """A timm ViT, DeiT or Eva (DINOv3) with GLCA and PWCA.

    Args:
        vit: the backbone, with a class token and a head for `num_classes`.
        glca: the GLCA block, or None to leave the branch out.
        pwca: whether training takes pairs.
        selection: what GLCA selects by, a name in `SELECTIONS`: "rollout", "last_layer" or "random".
        glca_input: whether GLCA reads the "output" or the "input" of the last SA block.
        glca_readout: what GLCA's head reads: its "class" token, as in the paper, where selection cannot change the logits,
            or the "mean" of class and selected tokens, where it does.

    Raises:
        WorkbookValueError: a backbone that cannot be taken apart, or an unknown name.
    """

    def __init__(
        self,
        vit: VisionTransformer,
        glca: GlobalLocalCrossAttention | None = None,
        pwca: bool = True,
        selection: str = "rollout",
        glca_input: str = "output",
        glca_readout: str = "class",
    ) -> None:
        super().__init__()
        check_blocks(vit)
        self.vit = vit
        self.glca = glca
        if glca is not None:
            self.glca_norm = nn.LayerNorm(vit.embed_dim, eps=1e-6)
            self.glca_head = nn.Linear(vit.embed_dim, vit.num_classes)
            nn.init.trunc_normal_(self.glca_head.weight, std=0.02)
            nn.init.zeros_(self.glca_head.bias)
        self.pwca = pwca
        self.select = SELECTIONS[choose("selection", selection, SELECTIONS)]
        self.glca_input = choose("glca_input", glca_input, GLCA_INPUTS)
        self.glca_readout = choose("glca_readout", glca_readout, GLCA_READOUTS)
        self.weighting = UncertaintyWeighting("sa", *["glca"] * (glca is not None), *["pwca"] * pwca)
        self.read = 2 if hasattr(vit, "dist_token") else 1  # tokens that the SA head reads

    def forward(self, images: Tensor, paired_images: Tensor | None = None, training: bool = False):
        """Images [B, 3, H, W] → logits [B, num_classes] whose softmax is the paper's answer.

        The paper adds the probabilities of SA and GLCA; log(½ softmax(SA) + ½ softmax(GLCA)) are logits of just that
        mean, so that any classifier's loss, softmax and argmax mean what they should. Without GLCA the SA logits.

        With `training=True` and a second image for each first, the three branches' logits (sa, glca, pwca), None for
        one that is switched off. Where the second images are of the same batch, `branches` is cheaper.

        Raises:
            WorkbookValueError: a pair where none is read, none where one is needed, or images that do not fit.
        """
        if training:
            branches = self._pairs(images, paired_images)
            return branches.sa, branches.glca, branches.pwca
        if paired_images is not None:
            raise WorkbookValueError("A second image is read in training only: call model(x, paired_x, training=True).")
        return self.combine(self.branches(images))

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation by which the backbone's weights expect images' channels to be normalised."""
        return self.vit.pretrained_cfg["mean"], self.vit.pretrained_cfg["std"]

    @property
    def heads(self) -> list[nn.Module]:
        """The layers that depend on the number of classes."""
        heads = [self.vit.head, getattr(self.vit, "head_dist", None), getattr(self, "glca_head", None)]
        return [head for head in heads if head is not None]

    @property
    def answering(self) -> tuple[str, ...]:
        """The branches that answer at inference."""
        return ("sa",) if self.glca is None else ("sa", "glca")

    @staticmethod
    def combine(branches: Branches) -> Tensor:
        """Logits [B, num_classes] of SA and GLCA together: see `forward`."""
        if branches.glca is None:
            return branches.sa
        return torch.logaddexp(branches.sa.log_softmax(1), branches.glca.log_softmax(1)) - math.log(2)

    def branches(self, images: Tensor, partners: Partners | None = None) -> Branches:
        """All branches on images [B, 3, H, W].

        `partners` [B] tells for each image which other image of the batch distracts it in PWCA; its keys and values
        are then those that the SA stream has already computed. A function is called with the SA class tokens [B, D],
        detached. Training with PWCA needs partners; without them the PWCA branch is left out.

        Raises:
            WorkbookValueError: training without partners, partners that do not fit, or images that do not fit.
        """
        if partners is None and self.training and self.pwca:
            raise WorkbookValueError(
                "PWCA without a pair: the network is in training mode, where it needs partners, an index [B] of other images "
                "of the batch, branches(images, partners); lib.dcal.PAIR_STRATEGIES draws them. To infer, call eval() first."
            )
        return self._run(
            images, partners if partners is None or callable(partners) else _checked(partners, len(images))
        )

    def inference(self, images: Tensor) -> Tensor:
        """softmax(SA) + softmax(GLCA), [B, num_classes]: the paper's rule for fine-grained recognition."""
        branches = self._run(images)
        sa = branches.sa.softmax(1)
        return sa if branches.glca is None else sa + branches.glca.softmax(1)

    def embed(self, images: Tensor) -> Tensor:
        """[B, 2·D]: the class tokens of SA and GLCA, the paper's descriptor for re-identification; [B, D] without GLCA."""
        branches = self._run(images)
        tokens = [token for token in (branches.sa_token, branches.glca_token) if token is not None]
        return torch.cat(tokens, 1)

    def compute_loss(
        self,
        sa_logits: Tensor,
        glca_logits: Tensor | None,
        targets: Tensor,
        loss_fn: Callable[[Tensor, Tensor], Tensor],
        pwca_logits: Tensor | None = None,
    ) -> Tensor:
        """½ Σ_k (e^{−w_k} L_k + w_k) over the branches that have logits; PWCA's target is image 1's label, too."""
        logits = {"sa": sa_logits, "glca": glca_logits, "pwca": pwca_logits}
        return self.weighting(**{name: loss_fn(x, targets) for name, x in logits.items() if x is not None})

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay is not for: the ViT's own, and the uncertainties."""
        return {f"vit.{name}" for name in self.vit.no_weight_decay()} | {"weighting.w"}

    def count_parameters(self) -> dict[str, int]:
        """{'total', 'backbone', 'glca', 'loss'}; the parts sum to the total. PWCA has none of its own."""
        parts = dict.fromkeys(("backbone", "glca", "loss"), 0)
        for name, parameter in self.named_parameters():
            part = {"vit": "backbone", "weighting": "loss"}.get(name.split(".")[0], "glca")
            parts[part] += parameter.numel()
        return {"total": sum(parts.values()), **parts}

    @property
    def shows(self) -> Mapping[str, MapInfo]:
        """Of each layer the rollout up to it and the attention of its heads; of GLCA its selection and attention."""
        infos = {}
        for n in range(1, len(self.vit.blocks) + 1):
            at = {"layer": f"layer {n}", "query": CLASS_TOKEN}
            infos[f"rollout_layer_{n}"] = MapInfo(Kind.ROLLOUT, title="rollout", **at)
            infos[f"layer_{n}"] = MapInfo(Kind.ATTENTION, along="heads", title="attention", **at)
        if self.glca is not None:
            infos["glca_selected"] = MapInfo(Kind.SELECTION, method="glca-selection", title="GLCA, selected")
            infos["glca_attention"] = MapInfo(Kind.ATTENTION, title="GLCA, attention", query=CLASS_TOKEN)
        return infos

    def shown(self, query: Query = None) -> Iterator[Map]:
        """What the last eval forward looked at, over the patches: GLCA's, and those of each layer, see `shows`, for which
        the forward is repeated. `query` is a patch (row, column), every patch, or None: the class token.

        Raises:
            WorkbookError: the last forward was not one in eval mode.
            WorkbookValueError: `query` is outside the grid of patches.
        """
        images = self.kept["images"]
        if self.training:
            raise WorkbookError("Maps belong to a network in eval mode: call model.eval()(images) first.")
        height, width = grid_of(self.vit, images)
        for shown in () if self.glca is None else self.glca.shown():
            yield self.typed(f"glca_{shown.info.name}", shown.unflatten(1, (height, width)))
        with torch.no_grad(), AttentionRolloutHook(self.vit) as hook:
            self._run(images)
        first = hook.prefix
        tokens = [0] if query is None else [first + at for at in query_positions(query, height, width)]
        of_query = {"query": query or CLASS_TOKEN, "queries": (height, width)}
        rollouts = hook.rollout.rows(hook.layers, *tokens)[..., first:]  # [B, L, M, N]
        for n, (q, k) in enumerate(hook.layers, 1):
            yield self.typed(f"rollout_layer_{n}", on_grid(rollouts[:, n - 1], height, query), **of_query)
            heads = attention(q[:, :, tokens], k)[..., first:]
            yield self.typed(f"layer_{n}", on_grid(heads, height, query), **of_query)

    def maps(self, query: Query = None) -> dict[str, Map]:
        """`shown` by name: 'rollout' through all layers, 'rollout_layer_1' … through the first 1, 2, …; 'layer_1_head_1' …:
        what the query pays in one head; 'glca_selected': 1 where GLCA has a query; 'glca_attention': what GLCA's class
        token pays, mean over the heads. For one query each is [B, h, w]."""
        maps = {}
        for shown in self.shown(query):
            info = shown.info
            if info.along == "heads":
                heads = enumerate(shown.unbind(1), 1)
                maps |= {f"{info.name}_head_{h}": Map.of(head, info, along=None) for h, head in heads}
            else:
                maps[info.name] = shown
        return {"rollout": maps[f"rollout_layer_{len(self.vit.blocks)}"], **maps}

    def _pairs(self, images: Tensor, paired_images: Tensor | None) -> Branches:
        """Branches of `images`, each with an image of its own as distractor, which passes the SA stream as well."""
        if not self.pwca:
            if paired_images is not None:
                raise WorkbookValueError("A second image is read by PWCA only, which this network is built without.")
            return self._run(images)
        if paired_images is None:
            raise WorkbookValueError(
                "PWCA without a pair: training needs a second batch, model(x, paired_x, training=True)."
            )
        if paired_images.shape != images.shape:
            raise WorkbookValueError(
                f"The pair does not fit: images of shape {list(images.shape)} and {list(paired_images.shape)}."
            )
        second = torch.arange(len(images), 2 * len(images), device=images.device)
        return self._run(torch.cat([images, paired_images]), second)

    def _run(self, images: Tensor, partners: Partners | None = None) -> Branches:
        """Branches of the first B images, where `partners` has B entries; the others only distract."""
        grid_of(self.vit, images)
        embedded, ropes = embed(self.vit, images)
        stream = self._self_attention(embedded, ropes)
        sa_tokens = self.vit.norm(stream.out[:, : self.read])
        if callable(partners):
            partners = _checked(partners(sa_tokens[:, 0].detach()), len(images))
        count = len(images) if partners is None else len(partners)
        self.keep(images=images[:count])
        sa_tokens = sa_tokens[:count]
        branches = Branches(self.vit.forward_head(sa_tokens), sa_tokens[:, 0])
        if self.glca is not None:
            token = self._global_local(stream, count)
            branches = replace(branches, glca=self.glca_head(token), glca_token=token)
        if self.pwca and partners is not None:
            branches = replace(branches, pwca=self._pair_wise(embedded[:count], ropes, stream, partners))
        return branches

    def _self_attention(self, x: Tensor, ropes: list[Rope]) -> _Stream:
        """All blocks on embedded tokens [B, T, D]: what `vit.blocks` computes."""
        qkv, layers, into = [], [], x
        openly = OpenAttention() if self.glca is not None and self.select is by_rollout else None
        for block, rope in zip(self.vit.blocks, ropes, strict=True):
            into = x
            q, k, v = project(block.attn, block.norm1(x), rope=rope)
            last = block is self.vit.blocks[-1]  # of its map one row counts
            heads, layer = attend_and_keep(block.attn, q, k, v, None if last else openly)
            qkv.append((q, k, v))
            layers.append(layer)
            x = finish(block, x, answered(block.attn, heads))
        return _Stream(into, x, qkv, layers)

    def _global_local(self, stream: _Stream, count: int) -> Tensor:
        """What GLCA's head reads of the first `count` images, normed: [B, D]"""
        x = (stream.out if self.glca_input == "output" else stream.into_last)[:count]
        scores = self.select([first_images(layer, count) for layer in stream.layers], self.training)
        out = self.glca(x, scores[:, self.vit.num_prefix_tokens :])
        return self.glca_norm(out[:, 0] if self.glca_readout == "class" else out.mean(1))

    def _pair_wise(self, x: Tensor, ropes: list[Rope], stream: _Stream, partners: Tensor) -> Tensor:
        """PWCA's logits [B, num_classes]: the SA blocks once more, each with the partners' keys and values."""
        own = tuple(part[: len(x)] for part in stream.qkv[0])  # both streams enter the first block with the same tokens
        last = len(self.vit.blocks) - 1
        for number, (block, (_, k, v)) in enumerate(zip(self.vit.blocks, stream.qkv, strict=True)):
            if number > 0:
                normed = block.norm1(x)
                # Nobody reads the last block's other tokens.
                own = project(block.attn, normed, normed[:, : self.read] if number == last else None, ropes[number])
            x = pairwise_block(block, x, own, (k[partners], v[partners]))
        return self.vit.forward_head(self.vit.norm(x))


def _checked(partners: Tensor, images: int) -> Tensor:
    """`partners`, if they are another image of the batch for each of its `images`; else a WorkbookValueError."""
    if not isinstance(partners, Tensor) or partners.dtype != torch.int64 or partners.shape != (images,):
        of_tensor = isinstance(partners, Tensor)
        given = f"{partners.dtype} of shape {list(partners.shape)}" if of_tensor else f"a {type(partners).__name__}"
        raise WorkbookValueError(
            f"Partners are one index for each of {images} images, int64 of shape [{images}], or a function that gives it, "
            f"not {given}."
        )
    absent = partners[(partners < 0) | (partners >= images)]
    if len(absent):
        raise WorkbookValueError(
            f"There is no image {int(absent[0])} to be a partner: the batch has images 0 to {images - 1}."
        )
    own = torch.nonzero(partners == torch.arange(images, device=partners.device))
    if len(own):
        raise WorkbookValueError(
            f"Image {int(own[0])} of {images} is its own partner, which distracts nobody: give each another image of the "
            "batch; lib.dcal.PAIR_STRATEGIES draws them."
        )
    return partners
