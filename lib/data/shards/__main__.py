"""`python -m lib.data.shards SOURCE TARGET`: pack a folder of images into tar shards, for `--dataset shards`."""

from pathlib import Path

from lib.data.shards.writing import find_parts, write_shards
from lib.errors import CommandLine, run_command


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, pack, say what was packed."""
    parser = CommandLine(prog="python -m lib.data.shards", description=__doc__)
    parser.add_argument(
        "source", type=Path, help="class folders, or train/ beside val/ or test/ with class folders in each"
    )
    parser.add_argument("target", type=Path, help="folder for the shards; it must not exist yet")
    parser.add_argument(
        "--images-per-shard", "--images_per_shard", type=int, default=1000,
        help="the fewest shards of a part are one for each loader worker of each process (default: 1000)",
    )  # fmt: skip
    parser.add_argument("--val-fraction", "--val_fraction", type=float, default=0.1, help="where there is no val/")
    parser.add_argument("--test-fraction", "--test_fraction", type=float, default=0.2, help="where there is no train/")
    args = parser.parse_args(argv)
    images, parts = find_parts(args.source, args.val_fraction, args.test_fraction)
    number = write_shards(images, parts, args.target, args.images_per_shard)
    counted = ", ".join(f"{count} {part}" for part, count in parts.value_counts().items())
    print(f"{number} shards of {len(images.classes)} classes in {args.target}: {counted}")
    return 0


if __name__ == "__main__":
    run_command(main)
