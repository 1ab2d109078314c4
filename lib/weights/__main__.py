"""`python -m lib.weights`: the starting weights that ship; with a NAME, train these anew and write their file."""

import math

from lib.errors import CommandLine, WorkbookError, choose, run_command
from lib.weights.shipped_files import shipped, shipped_names

TOLERANCE = 0.01  # of a loss: processors and versions of PyTorch round otherwise


def main(argv: list[str] | None = None) -> int:
    """List the weights, train those of a name, or check that their recipe still begins as it did."""
    parser = CommandLine(prog="python -m lib.weights", description=__doc__, allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="weights to train anew, which takes minutes; none lists what ships")
    parser.add_argument(
        "--check", action="store_true", help="train a few steps only, and compare with what was recorded"
    )
    parser.add_argument("--output_dir", "--output-dir", default="outputs", help="folder for the run (default: outputs)")
    options = parser.parse_args(argv)
    if options.name is None and options.check:
        raise WorkbookError(f"--check is of the weights with a NAME: one of {', '.join(shipped_names())}.")
    if options.name is None:
        print("\n".join(map(line, shipped_names())) or "No starting weights ship.")
        return 0
    from lib.training import RunStore  # PyTorch Lightning takes seconds to import, and a list does not need it
    from lib.weights.recipes import RECIPES, rehearse, train

    name, store = choose("weights", options.name, RECIPES), RunStore(f"{options.output_dir}/runs")
    if options.check:
        compare(name, shipped(name).provenance["rehearsal"], rehearse(name, store))
    else:
        train(name, store)
    print(line(name))
    return 0


def line(name: str) -> str:
    """A file's name, size, digest, and where it comes from."""
    said = shipped(name)
    source, settings = said.provenance, said.provenance["settings"]
    score = next(iter(source["test"].items()))
    return (
        f"{name:<16} {said.file.stat().st_size / 2**20:.2f} MiB  {said.digest}  {said.network}, {source['images']} images of "
        f"{settings['dataset']}, {settings['max_epoch']} epochs, {score[0]} {score[1]:.3f}, {source['made']}"
    )


def compare(name: str, recorded: dict[str, float], losses: dict[str, float]) -> None:
    """Raise a WorkbookError where the first losses are not those that were recorded."""
    for column, value in recorded.items():
        print(f"{name} {column}: {losses[column]:.4f}, recorded {value:.4f}")
        if not math.isclose(losses[column], value, rel_tol=TOLERANCE):
            raise WorkbookError(
                f"The recipe of {name} does not begin as it did: {column} is {losses[column]:.4f}, not {value:.4f}. Train the "
                f"weights anew (python -m lib.weights {name}), or undo what changed the training."
            )


if __name__ == "__main__":
    run_command(main)
