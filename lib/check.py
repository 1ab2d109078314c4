"""`python -m lib.check RUNS`: reads every byte of every run and, anew, the images that it has seen, and names what is not
what it was."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lib.data.pixels import cache_damage, decoded_digest
from lib.data.shards import ShardSet
from lib.data.shards.content import content_digest
from lib.disk.manifest import MANIFEST
from lib.disk.sealed_folder import SealedFolder
from lib.errors import CommandLine, WorkbookError, WorkbookFileError, printable, run_command
from lib.training import Run, RunConfig
from lib.training.inference import decoded_size
from lib.training.run_digest import CONTENT
from lib.training.store import RUNS
from lib.training.training_data import load_images


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and print a line a run; returns 0 when all are whole, else 1."""
    parser = CommandLine(prog="python -m lib.check", description=__doc__)
    parser.add_argument("runs", nargs="?", type=Path, default=RUNS, help="a store of runs, or one run (outputs/runs)")
    parser.add_argument("--no-images", "--no_images", action="store_true", help="leave the images unread")
    args = parser.parse_args(argv)
    _digest.cache_clear()  # of an earlier call: images may be others now
    runs, damaged = find_runs(args.runs), 0
    for run in runs:
        problems = [*damaged_files(run), *([] if args.no_images else other_images(run))]
        damaged += bool(problems)
        state = "; ".join(problems) or ("whole" if run.finished else "unfinished")
        print(printable(f"{run.path.name}: {state}"), flush=True)
    caches = [*damaged_caches(args.runs.parent / "cache")]
    print("\n".join([*map(printable, caches), f"{len(runs) - damaged} of {len(runs)} runs are whole or unfinished"]))
    return 1 if damaged or caches else 0


def find_runs(where: Path) -> list[Run]:
    """The runs of a store, or the one that `where` is, by name.

    Raises:
        WorkbookFileError: there is none.
    """
    for folders in ([where], sorted(where.glob("*/"))):
        runs = [Run(folder) for folder in folders if any((folder / n).exists() for n in ("config.json", MANIFEST))]
        if runs:
            return runs
    raise WorkbookFileError(
        f"{where} holds no run; give a store of runs, such as outputs/runs, or the folder of a run."
    )


def damaged_files(run: Run) -> Iterator[str]:
    """A line for each file of the run and of its transfers that is not what it was when it was finished."""
    for folder in (run, *map(SealedFolder, sorted((run.path / "transfer").glob("*/")))):
        for name, what in folder.damage(trusting=False).items():
            yield f"{(folder.path / name).relative_to(run.path)} is damaged: {what}"


def other_images(run: Run) -> Iterator[str]:
    """A line where the images are others than the run has seen, or cannot be compared with them."""
    try:
        seen = run.basis.get(CONTENT)
        if seen and _digest(run.config.replace(seed=0)) != seen:
            yield "its images are others than it has seen"
    except WorkbookFileError as error:
        print(printable(f"{run.path.name}: its images are not compared: {error}"), file=sys.stderr)
    except WorkbookError as error:
        yield str(error)


@cache
def _digest(config: RunConfig) -> str | None:
    """Of the images of `config`, which runs of many seeds have in common."""
    images = load_images(config)
    return content_digest(images) if isinstance(images, ShardSet) else decoded_digest(images, decoded_size(config))


def damaged_caches(folder: Path) -> Iterator[str]:
    """A line for each damaged file of decoded images."""
    for array in sorted(folder.glob("*.npy")):
        if what := cache_damage(array):
            yield f"{array} is damaged: {what}. It is made anew when it is wanted."


if __name__ == "__main__":
    run_command(main)
