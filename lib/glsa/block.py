"""The GLSA block: global attention, local attention on top of it, fusion of the two, residual."""

from collections.abc import Iterator

from torch import Tensor

from lib.errors import WorkbookValueError, choose, positive
from lib.glsa.attention import GlobalAttention, dividing
from lib.glsa.fusion import FUSION_STRATEGIES, BaseFusion
from lib.glsa.local import LOCAL_ATTENTION, LocalAttention
from lib.glsa.pointwise import channels_last
from lib.glsa.residual import RESIDUAL_STRATEGIES, ResidualStrategy
from lib.mapped import Map, Mapped, Query

# The share of the channels that attention works at: 1/4 leaves a ResNet50 within a fifth of its own parameters and time.
WIDTHS = {"full": 1, "lean": 4}


class GLSABlock(Mapped):
    """Global-local self-attention on a feature map, [B, C, H, W] → [B, C, H, W].

    Args:
        channels: C.
        num_heads: heads of the global attention; they divide its width.
        attn_type: the local attention, a name in `LOCAL_ATTENTION`.
        fusion_strategy: a name in `FUSION_STRATEGIES`.
        residual_strategy: a name in `RESIDUAL_STRATEGIES`.
        dim_head: width of a head. Left out, the heads share C; given, global attention and the fusion `cross_attn` work at
            `num_heads * dim_head`, and one further 1×1 projection leads back to C.
        width: "full", or "lean" for heads that share C/4: the same as a `dim_head` of C/4 over `num_heads`.

    Raises:
        WorkbookValueError: a name is unknown, what is registered under it does not derive from the registry's base
            class, a size is not a positive whole number, `num_heads` does not divide the width, or the width is set twice.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 8,
        attn_type: str = "CBAM",
        fusion_strategy: str = "original",
        residual_strategy: str = "original",
        dim_head: int | None = None,
        width: str = "full",
    ) -> None:
        super().__init__()
        local = registered("attn_type", attn_type, LOCAL_ATTENTION, LocalAttention)
        fusion = registered("fusion_strategy", fusion_strategy, FUSION_STRATEGIES, BaseFusion)
        residual = registered("residual_strategy", residual_strategy, RESIDUAL_STRATEGIES, ResidualStrategy)
        dim_head = head_width(channels, num_heads, dim_head, width)
        self.channels = channels
        self.attention = GlobalAttention(channels, num_heads, dim_head)
        self.local = local(channels)
        self.fusion = fusion.build(channels, num_heads, dim_head)
        self.residual = residual(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H, W]"""
        inner = channels_last(x)
        A = self.attention(inner)
        L = self.local(inner + A)
        R = self.fusion(A, L, inner)
        return self.residual(x, R)

    def shown(self, query: Query = None) -> Iterator[Map]:
        """What the last eval forward attended to; `query` is a (row, column) of the map, None its centre.

        'global' is the attention that the query pays to every position, 'local_…', 'fusion_…' and 'residual_…' are
        what the chosen parts show: their docstrings tell names and shapes.

        Raises:
            WorkbookError: there was no forward in eval mode yet.
            WorkbookValueError: `query` is outside the map.
        """
        yield from self.attention.shown(query)
        for part in ("local", "fusion", "residual"):
            for shown in getattr(self, part).shown(query):
                yield Map.of(shown, shown.info, name=f"{part}_{shown.info.name}")

    def count_parameters(self) -> dict[str, int]:
        """{'total', 'global', 'local', 'fusion', 'residual'}; the parts sum to the total."""
        modules = {"global": self.attention, "local": self.local, "fusion": self.fusion, "residual": self.residual}
        parts = {part: sum(p.numel() for p in module.parameters()) for part, module in modules.items()}
        return {"total": sum(parts.values()), **parts}


def head_width(channels: int, num_heads: int, dim_head: int | None, width: str) -> int | None:
    """The `dim_head` that a name in `WIDTHS` stands for; that which is given, where that name is "full".

    Raises:
        WorkbookValueError: the name is unknown, `num_heads` does not divide the width, or the width is set twice.
    """
    width = choose("width", width, WIDTHS)
    if width == "full":
        return dim_head
    if dim_head is not None:
        raise WorkbookValueError(
            f"width={width!r} sets the width of a head, and so does dim_head={dim_head}: give one."
        )
    positive(channels=channels, num_heads=num_heads)
    shared = max(channels // WIDTHS[width], 1)
    return dividing(num_heads, shared) and shared // num_heads


def registered(kind: str, name: str, registry: dict[str, type], base: type) -> type:
    """The class that `name` means in `registry`, which must derive from `base`."""
    name = choose(kind, name, registry)
    cls = registry[name]
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise WorkbookValueError(
            f"The {kind} {name!r} is {cls!r}, which cannot be used: register a class that derives from {base.__name__}."
        )
    return cls
