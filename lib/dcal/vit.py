"""timm's Vision Transformer, taken apart where DCAL reaches in (ViT: arXiv 2010.11929; DeiT: arXiv 2012.12877), and its Eva
(EVA-02: arXiv 2303.11331; DINOv3: arXiv 2508.10104), which turns the queries and keys of patches by their place (RoPE).

A pre-norm block is `finish(block, x, attend(block.attn, *project(block.attn, block.norm1(x))))`. Between the two calls
keys and values can be exchanged (PWCA) or queries left out (GLCA). Weights, norms and stochastic depth are timm's own
modules: nothing is copied, so nothing can drift from what timm trained.
"""

import torch
from einops import rearrange
from timm.layers import Attention, AttentionRope, apply_rot_embed_cat
from timm.models.eva import Eva, EvaAttention, EvaBlock
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from lib.errors import WorkbookValueError

VITS = (VisionTransformer, Eva)
ATTENTIONS = (Attention, EvaAttention, AttentionRope)
BLOCKS = (Block, EvaBlock)  # pre-norm
Rope = Tensor | None  # sines and cosines of the patches' places, [N, 2·d] or [h, N, 2·d]


def project(
    attn: nn.Module, x: Tensor, queries: Tensor | None = None, rope: Rope = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the tokens `queries` [B, M, D], keys and values of `x` [B, T, D], all normed and turned → [B, h, M or T, d]

    Left out, all of `x` are queries; else they are the first tokens of an image, none of them a patch.
    """
    if queries is None and type(attn) is Attention:
        q, k, v = rearrange(attn.qkv(x), "b t (three h d) -> three b h t d", three=3, h=attn.num_heads)
    else:
        weight, bias = _of_qkv(attn)
        of_q, of_kv = weight.split([len(weight) // 3, len(weight) // 3 * 2])
        bias_q, bias_kv = (None, None) if bias is None else bias.split([len(of_q), len(of_kv)])
        q = rearrange(linear(x if queries is None else queries, of_q, bias_q), "b m (h d) -> b h m d", h=attn.num_heads)
        k, v = rearrange(linear(x, of_kv, bias_kv), "b t (two h d) -> two b h t d", two=2, h=attn.num_heads)
    return turned(attn, attn.q_norm(q), rope), turned(attn, attn.k_norm(k), rope), v


def _of_qkv(attn: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight [3·h·d, D] and bias of the projections to queries, keys and values, which Eva may keep apart."""
    if attn.qkv is not None:
        apart = getattr(attn, "q_bias", None)
        return attn.qkv.weight, attn.qkv.bias if apart is None else torch.cat([apart, attn.k_bias, attn.v_bias])
    parts = (attn.q_proj, attn.k_proj, attn.v_proj)
    weight = torch.cat([part.weight for part in parts])
    if attn.q_proj.bias is None:
        return weight, None
    return weight, torch.cat([weight.new_zeros(len(p.weight)) if p.bias is None else p.bias for p in parts])


def turned(attn: nn.Module, tokens: Tensor, rope: Rope) -> Tensor:
    """Normed queries or keys [B, h, T, d], those of patches turned by their place."""
    prefix = getattr(attn, "num_prefix_tokens", 0)
    if rope is None or tokens.shape[2] <= prefix:
        return tokens
    patches = apply_rot_embed_cat(tokens[:, :, prefix:], rope, half=getattr(attn, "rotate_half", False))
    return torch.cat([tokens[:, :, :prefix], patches], 2).type_as(tokens)


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


def finish(block: nn.Module, x: Tensor, attended: Tensor) -> Tensor:
    """Both residuals of a pre-norm block and its FFN: x and what it attended to, [B, M, D] each → [B, M, D]"""
    x = x + block.drop_path1(_scaled(block, "1", attended))
    return x + block.drop_path2(_scaled(block, "2", block.mlp(block.norm2(x))))


def _scaled(block: nn.Module, number: str, x: Tensor) -> Tensor:
    """LayerScale, a module of a ViT's block and a parameter of Eva's."""
    if isinstance(block, EvaBlock):
        gamma = getattr(block, f"gamma_{number}")
        return x if gamma is None else gamma * x
    return getattr(block, f"ls{number}")(x)


def embed(vit: nn.Module, images: Tensor) -> tuple[Tensor, list[Rope]]:
    """The tokens that the first block sees, and by what each block turns them: [B, 3, H, W] → [B, T, D], [L]"""
    patches = vit.patch_embed(images)
    if isinstance(vit, Eva):
        tokens, rope = vit._pos_embed(patches)
        return vit.norm_pre(tokens), _by_block(vit, rope)
    return vit.norm_pre(vit.patch_drop(vit._pos_embed(patches))), _by_block(vit, None)


def ropes_of(vit: nn.Module, patches: Tensor) -> list[Rope]:
    """By what each block of `vit` turns its tokens in eval mode, where `patch_embed` gives `patches`."""
    rope = getattr(vit, "rope", None)
    if rope is None:
        return _by_block(vit, None)
    return _by_block(vit, rope.get_embed(shape=patches.shape[1:3] if patches.ndim == 4 else vit.patch_embed.grid_size))


def _by_block(vit: nn.Module, rope: Rope) -> list[Rope]:
    return [*rope] if getattr(vit, "rope_mixed", False) and rope is not None else [rope] * len(vit.blocks)


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


def attentions(model: nn.Module) -> list[nn.Module]:
    """The attention layers of a timm ViT, DeiT or Eva, first to last.

    Raises:
        WorkbookValueError: the model is none of them, or has an attention other than softmax(q kᵀ) v of its `q_norm` and
            `k_norm`, turned or not, such as differential attention or one whose heads share keys.
    """
    kind = type(model).__name__
    if not isinstance(model, VITS):
        vits = [name for name, part in model.named_modules() if isinstance(part, VITS)]
        hint = f" Its part {vits[0]!r} is one: give that." if vits else " Choose one, such as 'deit_tiny_patch16_224'."
        raise WorkbookValueError(f"{kind} is not one of timm's VisionTransformers (ViT, DeiT) or Evas (DINOv3).{hint}")
    layers = [getattr(block, "attn", None) for block in model.blocks]
    for number, attn in enumerate(layers):
        if type(attn) not in ATTENTIONS or getattr(attn, "num_kv_groups", 1) > 1:
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
        if type(block) not in BLOCKS or getattr(attn, "gate", None) is not None:
            gated = " with gated attention" if type(block) in BLOCKS else ""
            raise WorkbookValueError(
                f"Block {number} is a {type(block).__name__}{gated}; DCAL needs plain pre-norm blocks, as in "
                "'deit_tiny_patch16_224' or 'vit_base_patch16_224'."
            )
