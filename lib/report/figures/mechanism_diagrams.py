"""A diagram of what each paper adds to its network, for the notebooks' *mechanism in ten lines*: SVG, for `show_diagram`."""

from lib.report.figures.diagram import Arrow, Box, diagram


def glsa_diagram() -> str:
    """The GLSA block: global attention, local attention on top of it, fusion, residual (notebook 02)."""
    boxes = [
        Box("x", 1, 0, "x", "[B, C, h, w]", "data"),
        Box("S", 0, 1, "S", "softmax(q kᵀ/√d)\nN × N positions", "learned"),
        Box("A", 0, 2, "A", "global", "answer"),
        Box("sum", 1, 2, "x + A"),
        Box("L", 2, 2, "L", "CBAM, BAM, scSE", "learned"),
        Box("R", 1, 3, "R = fusion(A, L)", "notebook 03", "learned"),
        Box("out", 1, 4, "residual(x, R)", "[B, C, h, w]", "answer"),
    ]
    arrows = [
        Arrow("x", "S"),
        Arrow("S", "A", "S v, norm"),
        Arrow("A", "sum"),
        Arrow("x", "sum"),
        Arrow("sum", "L"),
        Arrow("A", "R", column_first=True),
        Arrow("L", "R", column_first=True),
        Arrow("R", "out"),
    ]
    return diagram(
        boxes, arrows, "The GLSA block: global attention A, local attention L of x + A, their fusion R, residual"
    )


def dcal_diagram() -> str:
    """Self-attention in the middle, rollout and GLCA left of it, PWCA right (notebook 04)."""
    boxes = [
        Box("one", 1, 0, "image 1", "1 + N tokens", "data"),
        Box("two", 2, 0, "image 2", "a distraction", "training"),
        Box("rollout", 0, 1, "rollout r", "∏ ½(S + I)"),
        Box("SA", 1, 1, "SA", "Q₁ K₁ V₁, L blocks", "learned"),
        Box("PWCA", 2, 1, "PWCA", "SA's blocks: Q₁\n[K₁;K₂] [V₁;V₂]", "training"),
        Box("top", 0, 2, "top R", "patches by r"),
        Box("GLCA", 0, 3, "GLCA", "1 + R queries,\nkeys of all tokens", "learned"),
        Box("g", 0, 4, "answer", "added to SA's", "answer"),
        Box("s", 1, 4, "answer", "of the class token", "answer"),
        Box("p", 2, 4, "loss alone", "label of image 1", "training"),
    ]
    arrows = [
        Arrow("one", "SA"),
        Arrow("two", "PWCA", "K₂, V₂"),
        Arrow("SA", "rollout"),
        Arrow("SA", "PWCA"),
        Arrow("rollout", "top"),
        Arrow("top", "GLCA"),
        Arrow("SA", "GLCA", column_first=True),
        Arrow("GLCA", "g"),
        Arrow("SA", "s"),
        Arrow("PWCA", "p"),
    ]
    return diagram(boxes, arrows, "DCAL: rollout and GLCA beside self-attention, PWCA on the same weights in training")


def lesa_diagram() -> str:
    """The local and the context term, and the gate that looks at both (notebook 06)."""
    boxes = [
        Box("x", 1, 0, "x", "[B, C, h, w]", "data"),
        Box("u", 0, 1, "u, local", "3×3 convolution", "learned"),
        Box("b", 2, 1, "b, context", "softmax(qk+qr+kr)\n(v + r), all places", "learned"),
        Box("gate", 1, 2, "ω, gate", "σ(W₂ ReLU W₁ [u;b])", "learned", 1.2),
        Box("out", 1, 3, "u + ω ⊙ b", "[B, C, h, w]", "answer"),
    ]
    arrows = [
        Arrow("x", "u"),
        Arrow("x", "b"),
        Arrow("u", "gate", column_first=True),
        Arrow("b", "gate", column_first=True),
        Arrow("gate", "out"),
        Arrow("u", "out", column_first=True),
        Arrow("b", "out", column_first=True),
    ]
    return diagram(boxes, arrows, "LESA: the gate looks at the local and the context term, and weighs the context")


def reid_diagram() -> str:
    """An image becomes a vector: training pulls and pushes vectors, a search sorts by them (notebook 08)."""
    boxes = [
        Box("image", 1, 0, "image", "[3, H, W]", "data"),
        Box("z", 0, 1, "SA", "class token z", "learned"),
        Box("g", 2, 1, "GLCA", "class token g", "learned"),
        Box("e", 1, 1, "e = [z; g]", "one vector", "answer"),
        Box("batch", 0, 2, "a batch", "farthest same,\nnearest other", "training"),
        Box("search", 2, 2, "a search", "distances to\nthe gallery"),
        Box("loss", 0, 3, "triplet loss", "softplus(d₊ − d₋)", "training"),
        Box("AP", 2, 3, "AP", "mean of i / rᵢ", "answer"),
    ]
    arrows = [
        Arrow("image", "z"),
        Arrow("image", "g"),
        Arrow("z", "e"),
        Arrow("g", "e"),
        Arrow("e", "batch", column_first=True),
        Arrow("e", "search", column_first=True),
        Arrow("batch", "loss"),
        Arrow("search", "AP"),
    ]
    return diagram(boxes, arrows, "Re-identification: one vector an image, trained by triplets, searched by distance")
