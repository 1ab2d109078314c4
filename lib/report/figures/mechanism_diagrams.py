"""A diagram of what each paper adds to its network, as the notebooks' *mechanism in ten lines* explains it."""

from lib.report.figures.diagram import Diagram


def dcal_diagram() -> Diagram:
    """Self-attention in the middle, GLCA left and PWCA right of it."""
    diagram = Diagram(
        424, "DCAL: rollout and GLCA beside self-attention, PWCA on its weights; dashed: in training only."
    )
    first = diagram.box(220, 32, "image 1\n1 + N tokens")
    second = diagram.box(366, 32, "image 2\na distraction", dashed=True)
    rollout = diagram.box(74, 140, "rollout\n∏ ½(S + I)", kind="global")
    sa = diagram.box(220, 140, "SA, L blocks\nQ₁ K₁ V₁", kind="global")
    pwca = diagram.box(366, 140, "PWCA, SA's blocks\nQ₁ [K₁;K₂] [V₁;V₂]", 142, dashed=True)
    top = diagram.box(74, 225, "top R patches", kind="local")
    glca = diagram.box(74, 310, "GLCA, 1 block\n1 + R queries,\nkeys of all", kind="local")
    heads = [
        diagram.box(x, 395, name) for x, name in ((74, "GLCA's answer"), (220, "SA's answer"), (366, "its answer"))
    ]
    for start, end, label in (
        (first, sa, ""),
        (first, pwca, ""),
        (second, pwca, "K₂, V₂"),
        (sa, rollout, ""),
        (rollout, top, "r"),
        (top, glca, "Q"),
        (glca, heads[0], ""),
        (sa, heads[1], "class token"),
        (pwca, heads[2], "same head"),
    ):
        diagram.arrow(start, end, label)
    diagram.arrow(sa, glca, "K, V", elbow=True)
    return diagram


def lesa_diagram() -> Diagram:
    """The local term left, the context term right, the gate between them."""
    diagram = Diagram(345, "LESA: the gate ω looks at the local and the context term and weighs the context.")
    x = diagram.box(220, 26, "x [C, H, W]")
    u = diagram.box(82, 120, "local term u\n3×3 convolution", 140, kind="local")
    b = diagram.box(344, 120, "context term b\nsoftmax(q·k + q·r + k·r)\nover all positions", 184, kind="global")
    gate = diagram.box(220, 225, "gate ω = σ(W₂ ReLU(W₁ [u; b]))", 230)
    out = diagram.box(220, 312, "out = u + ω ⊙ b", 150)
    for start, end in ((x, u), (x, b), (u, gate), (b, gate), (gate, out)):
        diagram.arrow(start, end)
    for term in (u, b):
        diagram.arrow(term, out, elbow=True)
    return diagram


def reid_diagram() -> Diagram:
    """An image becomes a vector; training pulls vectors together, a search sorts by them."""
    diagram = Diagram(385, "Re-identification: one vector an image, trained by triplets, searched by distance.")
    image = diagram.box(220, 26, "image")
    sa = diagram.box(120, 105, "SA\nclass token z", kind="global")
    glca = diagram.box(320, 105, "GLCA\nclass token g", kind="local")
    vector = diagram.box(220, 190, "embedding e = [z; g]", 170)
    batch = diagram.box(110, 275, "a batch: farthest same,\nnearest other", 180, dashed=True)
    search = diagram.box(330, 275, "a search: distances\nto the gallery", 170)
    loss = diagram.box(110, 357, "ln(1 + exp(dₚ − dₙ))", 160, dashed=True)
    score = diagram.box(330, 357, "ranks → AP → mAP", 160)
    for start, end in ((image, sa), (image, glca), (sa, vector), (glca, vector)):
        diagram.arrow(start, end)
    for start, end in ((vector, batch), (vector, search), (batch, loss), (search, score)):
        diagram.arrow(start, end)
    return diagram
