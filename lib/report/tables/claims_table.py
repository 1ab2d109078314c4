"""Claims on trial as a table: a row a claim. `python -m lib.report.tables.claims_table` prints it as Markdown, for README."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lib.claims import CLAIMS, NOT_TRIED, REFUTED, SHOWN, UNDECIDED, Claim, Trial, trials
from lib.claims.claim import ALPHA, tally
from lib.errors import CommandLine, run_command
from lib.paths import OUTPUTS, resolve_output
from lib.report.tables.cells import Cell, points_text, seeds_text
from lib.report.tables.markdown_table import markdown_of
from lib.report.tables.table import Heading, Table

CAPTION = "The papers' claims on trial, {seeds} a side. The effect is the first network minus the second, in points."
NOTES = (
    "Effect: with its 95 % interval over seeds and test images. Matters from: the smallest effect that counts, told in "
    "advance.",
    f"p: corrected by Holm over the claims of this table. A gain is shown where p < {ALPHA}, and refuted where it is a significant loss or "
    "the whole interval lies below what matters. That there is no effect is shown where the whole interval lies within ± "
    "what matters. Everything else is undecided.",
)


def claims_table(trials: Sequence[Trial]) -> Table:
    """Each claim with its source, task, effect, interval, corrected p and verdict, and the notebook that looks closer."""
    seeds = max((trial.comparison.seeds for trial in trials if trial.comparison), default=0)
    missing = [f"{trial.claim.name}: {trial.missing}" for trial in trials if trial.missing]
    return Table(
        "claims", CAPTION.format(seeds=seeds_text(seeds)), [_row(trial) for trial in trials], [*NOTES, *missing]
    )


def verdict_on_claims(trials: Sequence[Trial]) -> str:
    """One sentence: how many claims are shown, refuted and undecided, and which."""
    return tally({trial.claim.name: trial.verdict for trial in trials}, "claim")


def claim_rows(trials: Sequence[Trial]) -> list[dict[str, str]]:
    """What the index says of each: claim, effect, verdict, and the stem of the notebook that looks closer."""
    return [
        {
            "claim": trial.claim.sentence,
            "effect": effect_text(trial),
            "verdict": trial.verdict,
            "notebook": trial.claim.notebook,
        }
        for trial in trials
    ]


def claims_figures(trials: Sequence[Trial]) -> dict[str, str]:
    """The page's few numbers: how many claims have which verdict, and the largest and the smallest effect."""
    counts = Counter(trial.verdict for trial in trials)
    tried = [trial for trial in trials if trial.comparison is not None]
    words = (SHOWN, REFUTED, UNDECIDED, *[NOT_TRIED] * (NOT_TRIED in counts))
    figures = {f"claims {word}": f"{counts[word]} of {len(trials)}" for word in words}
    if tried:
        least, most = (pick(tried, key=lambda trial: trial.comparison.difference) for pick in (min, max))
        figures["largest gain"] = f"{most.claim.name}, {effect_text(most)}"
        figures["smallest gain"] = f"{least.claim.name}, {effect_text(least)}"
    return figures


def sizes_text(trials: Sequence[Trial]) -> str:
    """Markdown: the smallest effect that matters of each claim, and why that."""
    return "\n".join(
        f"- *{trial.claim.name}*: {_size(trial.claim)} {_singular(trial.claim)}, {trial.claim.reason}"
        for trial in trials
    )


def effect_text(trial: Trial) -> str:
    """'+22.1 [+17.0, +27.2] points of accuracy', or why there is none."""
    if trial.comparison is None:
        return trial.missing
    return f"{points_text(trial.comparison)} {trial.claim.points_of}"


def _row(trial: Trial) -> dict[Heading, Cell]:
    claim, comparison = trial.claim, trial.comparison
    effect, p = Cell("–", note=trial.missing, columns={"missing": trial.missing}), Cell.absent()
    if comparison is not None:
        effect, p = Cell.points(comparison), Cell.p_value(comparison.p, trial.corrected)
    sides = claim.points_of.removeprefix("points of "), f"{claim.names[0]} − {claim.names[1]}"
    number = claim.notebook.partition("_")[0]
    cells = {
        "verdict": Cell.verdict(trial.verdict, trial.missing),
        "claim": replace(Cell.words(claim.sentence), below=f"{claim.name} · {claim.source}"),
        "effect": effect,
        "of": replace(Cell.words(sides[0]), below=sides[1]),
        "p (Holm)": p,
        "matters from": Cell(_size(claim), note=claim.reason, columns={"": 100 * claim.size}),
        "task": replace(Cell.words(trial.task), below=f"notebook {number}", link=f"{claim.notebook}.ipynb"),
    }
    return {("", name): cell for name, cell in cells.items()}


def _size(claim: Claim) -> str:
    """'2', '± 2'"""
    return f"{'± ' if claim.expects == 'none' else ''}{100 * claim.size:g}"


def _singular(claim: Claim) -> str:
    """'point of accuracy', if it is one."""
    return claim.points_of.replace("points", "point", 1) if 100 * claim.size == 1 else claim.points_of


def main() -> None:
    """Print the table of the claims in a store of runs; what is missing there is trained."""
    parser = CommandLine("python -m lib.report.tables.claims_table", description=main.__doc__)
    parser.add_argument("--output-dir", type=Path, default=OUTPUTS, help="where the store of runs is")
    parser.add_argument("--seeds", type=int, default=5, help="of each side")
    chosen = parser.parse_args()
    results = trials(CLAIMS.values(), resolve_output(chosen.output_dir) / "runs", chosen.seeds)
    print(markdown_of(claims_table(results), "notebooks/"))
    print(verdict_on_claims(results))


if __name__ == "__main__":
    run_command(main)
