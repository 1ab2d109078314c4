"""timm's Vision Transformer, taken apart where DCAL reaches in (ViT: arXiv 2010.11929; DeiT: arXiv 2012.12877).

A pre-norm block is `finish(block, x, attend(block.attn, *project(block.attn, block.norm1(x))))`. Between the two calls
keys and values can be exchanged (PWCA) or queries left out (GLCA). Weights, norms and stochastic depth are timm's own
modules: nothing is copied, so nothing can drift from what timm trained.
"""

from einops import rearrange
from timm.layers import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from lib.errors import WorkbookValueError


def project(attn: Attention, x: Tensor, queries: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the tokens `queries` [B, M, D], keys and values of `x` [B, T, D], all normed → [B, h, M or T, d]

    Left out, all of `x` are queries.
    """
    if queries is None:
        q, k, v = rearrange(attn.qkv(x), "b t (three h d) -> three b h t d", three=3, h=attn.num_heads)
    else:
        sizes = [len(attn.qkv.weight) // 3, len(attn.qkv.weight) // 3 * 2]
        of_q, of_kv = attn.qkv.weight.split(sizes)
        bias_q, bias_kv = (None, None) if attn.qkv.bias is None else attn.qkv.bias.split(sizes)
        q = rearrange(linear(queries, of_q, bias_q), "b m (h d) -> b h m d", h=attn.num_heads)
        k, v = rearrange(linear(x, of_kv, bias_kv), "b t (two h d) -> two b h t d", two=2, h=attn.num_heads)
    return attn.q_norm(q), attn.k_norm(k), v


def weighted_values(attn: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √d) v: [B, h, M, d] and twice [B, h, S, d] → [B, h, M, d]"""
    return scaled_dot_product_attention(q, k, v, dropout_p=attn.attn_drop.p if attn.training else 0.0)


def answered(attn: Attention, heads: Tensor, x: Tensor | None = None) -> Tensor:
    """What the heads answer [B, h, M, d] through the output projection → [B, M, D]; a gated attention reads its input `x`,
    too."""
    out = attn.norm(rearrange(heads, "b h m d -> b m (h d)"))
    if x is not None and getattr(attn, "gate", None) is not None:
        out = out * attn.gate(x).sigmoid()
    return attn.proj_drop(attn.proj(out))


def attend(attn: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ / √d) v through the output projection: [B, h, M, d] and twice [B, h, S, d] → [B, M, D]"""
    return answered(attn, weighted_values(attn, q, k, v))


def refuse_mask(attn_mask: Tensor | None, is_causal: bool) -> None:
    """Raise a WorkbookValueError where attention is masked, which no rollout knows."""
    if attn_mask is not None or is_causal:
        raise WorkbookValueError("The rollout knows no attention mask: call the model without attn_mask and is_causal.")


def finish(block: Block, x: Tensor, attended: Tensor) -> Tensor:
    """Both residuals of a pre-norm block and its FFN: x and what it attended to, [B, M, D] each → [B, M, D]"""
    x = x + block.drop_path1(block.ls1(attended))
    return x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))


def embed(vit: VisionTransformer, images: Tensor) -> Tensor:
    """The tokens that the first block sees: [B, 3, H, W] → [B, T, D]"""
    return vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))


def grid_of(vit: VisionTransformer, images: Tensor) -> tuple[int, int]:
    """Rows and columns of patches in `images` [B, 3, H, W].

    Raises:
        WorkbookValueError: no batch of RGB images, or the patches do not fill them.
    """
    if not (isinstance(images, Tensor) and images.is_floating_point()):
        kind = f"of {images.dtype}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise WorkbookValueError(f"The network takes a batch of images as a tensor of floating point, not {kind}.")
    # Pixels of a patch: in a hybrid, whose patches are cut from the features of a convolutional stem, more than its size.
    shape, (height, width) = tuple(images.shape), vit.patch_embed.feat_ratio(as_scalar=False)
    if len(shape) != 4 or shape[1] != vit.in_chans:
        raise WorkbookValueError(f"The network takes images of shape [B, {vit.in_chans}, H, W], not {list(shape)}.")
    if shape[2] % height or shape[3] % width or 0 in shape:
        raise WorkbookValueError(
            f"Images of {shape[2]}×{shape[3]} pixels cannot be cut into patches of {height}×{width}: "
            f"resize them to multiples of the patch."
        )
    return shape[2] // height, shape[3] // width


def attentions(model: nn.Module) -> list[Attention]:
    """The attention layers of a timm ViT or DeiT, first to last.

    Raises:
        WorkbookValueError: the model is no timm ViT, or has an attention other than softmax(q kᵀ) v of its `q_norm` and
            `k_norm`, such as rotary embeddings or differential attention.
    """
    kind = type(model).__name__
    if not isinstance(model, VisionTransformer):
        vits = [name for name, part in model.named_modules() if isinstance(part, VisionTransformer)]
        hint = f" Its part {vits[0]!r} is one: give that." if vits else " Choose one, such as 'deit_tiny_patch16_224'."
        raise WorkbookValueError(f"{kind} is not one of timm's VisionTransformers (ViT, DeiT).{hint}")
    layers = [getattr(block, "attn", None) for block in model.blocks]
    for number, attn in enumerate(layers):
        if type(attn) is not Attention:
            raise WorkbookValueError(
                f"Block {number} of this {kind} attends by {type(attn).__name__} in {type(model.blocks[number]).__name__}, "
                "whose attention cannot be told from its queries and keys alone. Choose a plain ViT or DeiT."
            )
    return layers


def check_blocks(vit: VisionTransformer) -> None:
    """Raise a WorkbookValueError unless the class token is read, and every block is one that `project`, `attend` and
    `finish` put together."""
    if vit.global_pool != "token":
        raise WorkbookValueError(
            f"This {type(vit).__name__} is read by global_pool={vit.global_pool!r}; DCAL reads the class token: build it "
            "with global_pool='token'."
        )
    for number, (block, attn) in enumerate(zip(vit.blocks, attentions(vit), strict=True)):
        if type(block) is not Block or getattr(attn, "gate", None) is not None:
            gated = " with gated attention" if type(block) is Block else ""
            raise WorkbookValueError(
                f"Block {number} is a {type(block).__name__}{gated}; DCAL needs plain pre-norm blocks, as in "
                "'deit_tiny_patch16_224' or 'vit_base_patch16_224'."
            )
