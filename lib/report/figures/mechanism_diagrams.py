"""A diagram of what each paper adds to its network, for the notebooks' *mechanism in ten lines*: SVG, for `show_diagram`."""

from lib.report.figures.diagram import Arrow, Box, diagram


def glsa_diagram() -> str:
    """The GLSA block: global attention, local attention on top of it, fusion, residual (notebook 02)."""
    boxes = [
        Box("x", 1, 0, "x", "[B, C, h, w]", "data"),
        Box("S", 0, 1, "S", "softmax(q kᵀ/√d)\nq, k, v: 1×1 of x", "learned"),
        Box("A", 0, 2, "A", "global", "answer"),
        Box("sum", 1, 2, "x + A"),
        Box("L", 2, 2, "L", "CBAM, BAM, scSE", "learned"),
        Box("R", 1, 3, "R = fusion(A, L)", "one of six", "learned", 1.1),
        Box("out", 1, 4, "residual(x, R)", "one of four", "answer"),
    ]
    arrows = [
        Arrow("x", "S"),
        Arrow("S", "A", "S v + q, norm"),
        Arrow("A", "sum"),
        Arrow("x", "sum"),
        Arrow("sum", "L"),
        Arrow("A", "R", column_first=True),
        Arrow("L", "R", column_first=True),
        Arrow("R", "out"),
        Arrow("x", "out", via=2.47),
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
        Box("b", 2, 1, "b, context", "softmax(qk+qr+kr)\n(v + r), all places", "learned", 1.1),
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


def gattanet_diagram() -> str:
    """Two passes: the first collects the queries of all layers, the second is modulated by them (notebook 07)."""
    boxes = [
        Box("images", 0, 0, "image", "", "data"),
        Box("f1", 0, 1, "f₁", "layer 1, pass 1"),
        Box("f2", 0, 2, "f₂", "layer 2, pass 1"),
        Box("q", 1, 1.5, "q̄", "mean of all\nqueries Q f", "learned"),
        Box("m1", 2, 1, "f₁ ⊙ (1 + α₁ g₁)", "g₁ = K₁ f₁ · q̄", "learned", 1.05),
        Box("m2", 2, 2, "f₂ ⊙ (1 + α₂ g₂)", "g₂ = K₂ f₂ · q̄", "learned", 1.05),
        Box("logits", 2, 3, "logits", "of pass 2", "answer"),
    ]
    arrows = [
        Arrow("images", "f1"),
        Arrow("f1", "f2"),
        Arrow("f1", "q", via=0.5),
        Arrow("f2", "q", via=0.5),
        Arrow("images", "m1", "again, pass 2"),
        Arrow("q", "m1", via=1.49),
        Arrow("q", "m2", via=1.49),
        Arrow("m1", "m2"),
        Arrow("m2", "logits"),
    ]
    return diagram(
        boxes, arrows, "GAttANet: a first pass collects a global query, which modulates every layer of a second"
    )


def grad_cam_diagram() -> str:
    """Grad-CAM: channels weighed by what the class would gain from more of each (notebook 05)."""
    boxes = [
        Box("image", 0, 0, "image", "", "data"),
        Box("F", 0, 1, "F", "[C, h, w]\nlast maps"),
        Box("s", 2, 1, "s", "logit of the class", "data"),
        Box("g", 2, 2, "∂s / ∂F", "[C, h, w]"),
        Box("w", 2, 3, "w", "mean over\npositions, [C]"),
        Box("sum", 1, 3, "Σ w F", "over channels"),
        Box("map", 0, 3, "ReLU", "the map, [h, w]", "answer"),
    ]
    arrows = [
        Arrow("image", "F", "network"),
        Arrow("F", "s", "the rest of the network"),
        Arrow("s", "g", "backward"),
        Arrow("g", "w"),
        Arrow("w", "sum"),
        Arrow("F", "sum", column_first=False),
        Arrow("sum", "map"),
    ]
    return diagram(boxes, arrows, "Grad-CAM: the last maps, weighed by the mean gradient of the class's logit")


def fusion_diagram() -> str:
    """Where the six fusions and the four residuals differ (notebook 03)."""
    boxes = [
        Box("A", 0, 0, "A", "global map", "data"),
        Box("L", 2, 0, "L", "local map", "data"),
        Box("mix", 1, 1, "mix of A and L", "product, gate, weights:\nsix fusions", "learned", wide=1.3),
        Box("W", 1, 2, "R", "W · mix, 1×1", "learned"),
        Box("x", 0, 3, "x", "the block's input", "data"),
        Box("out", 1, 3, "out", "four residuals\nof x and R", "answer"),
    ]
    arrows = [Arrow("A", "mix"), Arrow("L", "mix"), Arrow("mix", "W"), Arrow("W", "out"), Arrow("x", "out")]
    return diagram(boxes, arrows, "A fusion makes one map R of the global and the local map; a residual joins it to x")
