"""`python -m lib.predict RUN IMAGES`: class probabilities for a user's own images, with the run's own preprocessing."""

import csv
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lib import hardware
from lib.data import DATASETS
from lib.data.decoding import decode_many
from lib.data.image_files import ImageFiles, pictures_below
from lib.data.image_names import IMAGE_SUFFIXES, image_name, is_image
from lib.data.imageset import refuse_unreadable
from lib.data.table_reader import possible_headers, read_table, refuse_several
from lib.errors import CommandLine, WorkbookFileError, WorkbookValueError, run_command
from lib.files import save_whole
from lib.progress import Progress
from lib.training import Run, RunStore
from lib.training.inference import augmentation_of, decoded_size, over_views, predict_batch, probabilities

BATCH = 64
# Of a table, the first that it has counts, in any case: a path relative to the table, or a file's name in any folder
# beside it, with or without its suffix.
COLUMNS = ("path", "filepath", "file_path", "image_path", "file", "filename", "file_name")
COLUMNS += ("image_id", "image", "image_name", "isic_id")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, write the table, say where it is."""
    parser = CommandLine(prog="python -m lib.predict", description=__doc__)
    parser.add_argument("run", help="a run's folder, its name in the store, or its hash")
    parser.add_argument(
        "images",
        type=Path,
        help=f"an image, a folder of images, or a CSV with one of the columns {', '.join(COLUMNS)}",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("predictions.csv"), help="table to write (default: predictions.csv)"
    )
    parser.add_argument("--output-dir", "--output_dir", help="folder that holds the store of runs (default: outputs)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--skip-unreadable", "--skip_unreadable", action="store_true", help="go on without images that cannot be read"
    )
    args = parser.parse_args(argv)
    run = RunStore(f"{args.output_dir}/runs" if args.output_dir else None).find(args.run)
    count = predict(run, args.images, args.output, args.device, args.skip_unreadable)
    print(f"{count} predictions of {run.path.name} in {args.output}", file=sys.stderr)
    return 0


def predict(run: Run, source: Path, output: Path, device: str = "auto", skip_unreadable: bool = False) -> int:
    """Write `image_id, path, prediction, prob_<class>…`, a row an image, to `output`; returns the number of rows.

    Images are decoded and predicted batch by batch, so memory does not grow with their number.

    Raises:
        WorkbookFileError: no image there, one that cannot be read (unless `skip_unreadable`), or `output` is one of them;
            nothing is written.
    """
    if run.config.task == "reid":
        raise WorkbookValueError(
            f"{run.path.name} tells identities apart and has no classes to predict; use run.model().embed(images)."
        )
    images, missing = find_images(source)
    _refuse_input(output, [source, *(path for _, path in images)])
    refuse_unreadable(missing, skip_unreadable)
    model, augmentation = run.model().to(hardware.device(device)), augmentation_of(run.config)
    answer = over_views(probabilities, run.config)
    problems: list[str] = []

    def write(scratch: Path) -> None:
        with (
            open(scratch, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
            Progress(len(images), "predicting") as bar,
        ):
            table = csv.writer(file)
            table.writerow(["image_id", "path", "prediction", *(f"prob_{c}" for c in run.classes)])
            banner = DATASETS[run.config.dataset].banner  # the network has never seen one
            for batch, pixels in _batches(images, decoded_size(run.config), banner, problems):
                for (name, path), row in zip(batch, predict_batch(model, pixels, augmentation, answer), strict=True):
                    table.writerow([name, path, run.classes[row.argmax()], *(f"{p:.7g}" for p in row)])
                bar.advance(len(batch))
        refuse_unreadable(problems, skip_unreadable)
        if len(problems) == len(images):
            raise WorkbookFileError(f"None of the {len(images)} images of {source} can be read; nothing was predicted.")

    save_whole(output, write)
    return len(images) - len(problems)


def _refuse_input(output: Path, files: Iterable[Path]) -> None:
    """Raise a WorkbookFileError where `output` is one of the files that are read."""
    if output.is_file() and any(path.name == output.name and path.samefile(output) for path in files):
        raise WorkbookFileError(f"--output {output} is one of the files to read: name another for the predictions.")


def _batches(
    images: list[tuple[str, Path]], size: tuple[int, int], banner: int, problems: list[str]
) -> Iterator[tuple[list, np.ndarray]]:
    """Readable images in batches of [≤ BATCH, height, width, 3]; unreadable ones are added to `problems`."""
    remaining = iter(images)
    while batch := list(islice(remaining, BATCH)):
        decoded = list(zip(batch, decode_many([str(path) for _, path in batch], size, banner), strict=True))
        problems += [str(pixels) for _, pixels in decoded if isinstance(pixels, WorkbookFileError)]
        good = [(entry, pixels) for entry, pixels in decoded if isinstance(pixels, np.ndarray)]
        if good:
            yield [entry for entry, _ in good], np.stack([pixels for _, pixels in good])


def find_images(source: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """(id, path) of every image that `source` means, and a line for each row of a table that has no file.

    Raises:
        WorkbookFileError: `source` does not exist, holds no image, or is a table without a known column.
    """
    if not source.exists():
        raise WorkbookFileError(
            f"{source} does not exist; give an image, a folder of images, or a CSV that lists them."
        )
    if source.is_dir():
        paths = [Path(path) for path in pictures_below(source)]
        if not paths:
            raise WorkbookFileError(f"The folder {source} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
        return [(p.stem, p) for p in paths], []
    if is_image(source):
        return [(source.stem, source)], []
    return _listed(source)


def _listed(table_path: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    column = _column(table_path)
    table = read_table(table_path, (column,))
    files = ImageFiles(table_path.parent)
    images, missing = [], []
    for row, name in table[column].items():
        direct = table_path.parent / name
        path = direct if direct.is_file() else files.path(name)
        if path is None:
            missing.append(f"{table_path}, row {row}: no image file for {name!r}")
        else:
            images.append((image_name(name), Path(path)))
    if not images:
        raise WorkbookFileError(
            f"None of the {len(table)} images that {table_path} lists is below {table_path.parent}."
        )
    return images, missing


def _column(table_path: Path) -> str:
    """The first of `COLUMNS` that a table has, as it writes it; told before its rows, for a list without a header has none."""
    headers = possible_headers(table_path).values()
    named = {name.casefold(): name for header in headers for name in header}
    column = next((named[name] for name in COLUMNS if name in named), None)
    for header in headers if column else ():
        refuse_several(table_path, [name for name in header if name.casefold() == column.casefold()])
    if column is None:
        raise WorkbookFileError(
            f"{table_path} has none of the columns {', '.join(COLUMNS)}; it has {', '.join(max(headers, key=len))}. "
            "Give the one that lists the images one of these names, in the first line."
        )
    return column


if __name__ == "__main__":
    run_command(main)
