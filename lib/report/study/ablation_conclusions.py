"""Notebook 03 in a few numbers and sentences: what an ablation of fusions and residuals says, and what it cannot say."""

from collections.abc import Iterable, Sequence

from lib.claims.claim import ALPHA
from lib.evaluation.learned_gates import Gate
from lib.report.study.chance import chance_text
from lib.report.study.comparisons import Compared, comparisons
from lib.report.study.criteria import Statement, best_on_validation, faster_convergence, fusion_strategy
from lib.report.study.study import Row, Study
from lib.report.tables.cells import points_text

TABLES = ("fusion", "residual")
ALIKE = 0.03  # thrice the gain that the original project claims of a fusion: what is nearer is not told apart
AT_CHANCE = (
    "At chance in balanced accuracy, so that it is not shown that they have learned anything and their differences say "
    "nothing: {}."
)


def ablation_figures(study: Study, gates: Sequence[Gate]) -> dict[str, str]:
    """The six key figures."""
    tables = {table: study.rows(table) for table in TABLES}
    done = (
        f"{name} {sum(len(r.finished) for r in rows)} of {sum(len(r.runs) for r in rows)}"
        for name, rows in tables.items()
    )
    candidates = [row for row in tables["fusion"] if row.finished and row.config.fusion_strategy != "original"]
    moved = max(gates, key=lambda gate: abs(_now(gate) - gate.start), default=None)
    return {
        "runs": "; ".join(done),
        "best fusion on validation": best_on_validation(candidates).name if candidates else "none trained yet",
        "more than 1 point over original": statements_text(fusion_strategy(study)),
        "progressive converges sooner": statements_text(faster_convergence(study)),
        "networks at chance in balanced accuracy": networks_at_chance(study) or "none",
        "gate that moved most": f"{moved.strategy}: {moved.start:.2f} → {_now(moved):.2f}" if moved else "none",
    }


def ablation_verdict(study: Study) -> list[str]:
    """The verdict in a sentence, and what qualifies it."""
    rows = [row for table in TABLES for row in study.rows(table)]
    seeds, chance = min((len(row.finished) for row in rows), default=0), networks_at_chance(study)
    if seeds < 2:
        told = [
            f"With {seeds} seed{'s' * (seeds != 1)} of some strategies no claim can be made: the figures show single trainings.",
            f"`{study.command}` trains the rest.",
        ]
    else:
        told = [
            f"More than 1 point over the original fusion? {statements_text(fusion_strategy(study))}.",
            f"Does progressive converge sooner? {statements_text(faster_convergence(study))}.",
            *(strategies_apart(study, table) for table in TABLES),
        ]
    return told + [AT_CHANCE.format(chance)] * bool(chance)


def strategies_apart(study: Study, table: str) -> str:
    """Which fusions, or residuals, differ from the original one in balanced accuracy, which do not by as much as ALIKE, and
    of which neither is known."""
    known = [pair for pair in comparisons(study, table).of("balanced_accuracy") if pair.p is not None]
    apart = [pair for pair in known if pair.corrected < ALPHA]
    alike = [pair for pair in known if pair not in apart and _reach(pair) < ALIKE]
    unknown = [pair for pair in known if pair not in apart and pair not in alike]
    differing = ", ".join(f"{_strategy(pair, table)} ({points_text(pair.result)})" for pair in apart)
    differ = f"{differing} differ{'s' * (len(apart) < 2)}" if apart else "none is shown to differ"
    told = [
        f"Of {len(known)} {table}s {differ} from the original one in balanced accuracy",
        f"less than {100 * ALIKE:.0f} points lie between it and {_strategies(alike, table)}",
        f"undecided: {_strategies(unknown, table)}, where up to {100 * max(map(_reach, unknown), default=0):.0f} points are not "
        "excluded",
    ]
    return "; ".join(part for part, said in zip(told, (True, alike, unknown), strict=True) if said) + "."


def _strategies(pairs: Iterable[Compared], table: str) -> str:
    return ", ".join(_strategy(pair, table) for pair in pairs)


def _strategy(pair: Compared, table: str) -> str:
    return getattr(pair.row.config, f"{table}_strategy")


def _reach(pair: Compared) -> float:
    """How far the interval of a difference reaches from none."""
    return max(-pair.result.low, pair.result.high)


def statements_text(statements: Iterable[Statement]) -> str:
    """What was found for each of a criterion's statements, its verdict, and why where that is not plain."""
    told = (f"{c.what}: {c.result}, {c.verdict}" + f" ({c.why})" * bool(c.why) for c in statements)
    return "; ".join(told) or "not in the protocol"


def networks_at_chance(study: Study) -> str:
    """'fusion: on phantom-clinic (1/7 = 14.3 %) original; residual: …'; empty where there is none."""
    found = {table: chance_text(_answers(study, study.rows(table))) for table in TABLES}
    return "; ".join(f"{table}: {networks}" for table, networks in found.items() if networks)


def _answers(study: Study, rows: Iterable[Row]) -> Iterable:
    return (study.answers(row, row.config.dataset) for row in rows)


def _now(gate: Gate) -> float:
    return sum(gate.means) / len(gate.means)
