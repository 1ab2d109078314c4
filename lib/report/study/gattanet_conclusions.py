"""Notebook 07 in a few numbers and a sentence."""

from lib.evaluation.efficiency import Efficiency
from lib.evaluation.pass_study import PassStudy
from lib.report.tables.cells import minus, points_with_ends, seeds_text, signed
from lib.statistics.estimates import Comparison


def agreement_figures(study: PassStudy, comparison: Comparison, cost: str) -> dict[str, str]:
    """The six key figures; `comparison` is of GAttANet's accuracy with its backbone's, `cost` is `cost_text`."""
    last, (same, other) = study.last, study.cosines
    difference, low, high = points_with_ends(comparison)
    return {
        "accuracy, GAttANet − backbone": f"{difference} points [{low}, {high}], {seeds_text(comparison.seeds)}",
        f"other answers after pass {study.trained} than after pass 1": f"{100 * last.changed:.1f} % "
        f"(repaired {100 * last.repaired:.1f} %, spoiled {100 * last.spoiled:.1f} %)",
        "accuracy that the batch's own statistics recover": f"{signed(100 * study.recovered)} points",
        "largest modulation of a layer": f"{100 * study.widest:.1f} % at the 95th percentile",
        "queries, same class against others": minus(f"cosine {same:z.3f} against {other:z.3f}"),
        "cost": cost,
    }


def passes_text(study: PassStudy) -> str:
    """Two sentences on what the last pass does."""
    return (
        f"Its last pass changes {100 * study.last.changed:.1f} % of the answers of its first; the most modulated layer "
        f"changes by up to {100 * study.widest:.0f} % (95th percentile). By the batch's own statistics in place of the "
        f"running ones the same weights score {signed(100 * study.recovered)} points."
    )


def cost_text(cost: Efficiency, bare: Efficiency) -> str:
    """'1.10 × the multiply-accumulates, 1.92 × the training step'"""
    return f"{cost.macs / bare.macs:.2f} × the multiply-accumulates, {cost.train_ratio[0]:.2f} × the training step"
