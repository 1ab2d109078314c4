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
