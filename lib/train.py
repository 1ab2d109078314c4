"""`python -m lib.train`: one training run from the command line. Its flags are the fields of RunConfig."""

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

from lib.errors import CommandLine, WorkbookError, run_command
from lib.training import PROFILES, RunStore, fit, profile_config
from lib.training.distributed import rank_of
from lib.training.profiles import seed_config
from lib.training.settings import SETTINGS, TYPES, is_none, known_names

OF_THE_SEEDS = (
    "the profile's; without one on, as GL-Attention has it, but for built-in data, other attention than its own, and backbones "
    "without such weights"
)
EPILOG = """examples:
  python -m lib.train --dataset digits --max_epoch 5
  python -m lib.train --dataset HAM10000 --data_root DIR --attention CBAM --fusion_strategy learnable_gate
A flag may be written with '-' or '_'."""


def main(argv: list[str] | None = None) -> int:
    """Train (or resume, or find) the run that the flags describe and print its test metrics."""
    settings = vars(build_parser().parse_args(argv))
    profile, output_dir = settings.pop("profile"), settings.pop("output_dir")
    recipe = _recipe(settings)
    profile = profile or recipe
    config = profile_config(profile, **settings) if profile else seed_config(settings)
    run = fit(config, RunStore(f"{output_dir}/runs") if output_dir else None)
    if rank_of(config):
        return 0  # the first of several processes speaks for all
    print(f"{run.path}  (best epoch {run.metrics['best_epoch']})")
    if config.refit == "all":
        print("  no test: it was trained on all images")
    print(*test_lines(run.metrics), sep="\n")
    return 0


def test_lines(metrics: Mapping[str, Any]) -> list[str]:
    """A line for each test metric with its interval; what no image tells is a dash."""
    rows = {name: (value, *metrics["intervals"][name]) for name, value in metrics["test"].items()}
    told = {name: ["–" if math.isnan(number) else f"{number:.3f}" for number in row] for name, row in rows.items()}
    return [f"  test {name:<20} {value}  [{low}, {high}]" for name, (value, low, high) in told.items()]


def _recipe(settings: dict[str, Any]) -> str | None:
    """DCAL's recipe where `--task fgvc` or `--task reid` stands alone; `fgvc` is classification."""
    task = settings.get("task")
    if task == "fgvc":
        del settings["task"]
    return task if task in ("fgvc", "reid") else None


class _Parser(CommandLine):
    """Tells what a flag can be when it is asked for help: timm, which knows some of the names, takes two seconds."""

    def format_help(self) -> str:
        for action in self._actions:
            if action.dest in SETTINGS:
                action.help = _help(action.dest).replace("%", "%%")
        return super().format_help()


def _help(name: str) -> str:
    """What a setting is, whom it concerns, its default, and what else it can be."""
    metadata, names = SETTINGS[name].metadata, known_names(name)
    system, limits = metadata["system"], metadata["range"]
    values = f"; {limits.words}" if limits else f"; one of {', '.join(names)}" if names else ""
    owner = f"For {system.name} only. " if system.name else ""
    default = SETTINGS[name].default
    if default is None:  # `none` on the command line, unless that is a choice of its own
        default = "left out" if "none" in (names or ()) else "none"
    default = OF_THE_SEEDS if name == "pretrained" else "off" if default is False else default
    return f"{metadata['help']} {owner}Default {default}{values}."


def build_parser() -> argparse.ArgumentParser:
    """A flag for every field of RunConfig; one that is not given is left out of the result."""
    parser = _Parser(
        prog="python -m lib.train", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, argument_default=argparse.SUPPRESS, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--profile", default=None, help=f"sizes to start from: {', '.join(PROFILES)}")
    parser.add_argument(
        "--output_dir", "--output-dir", default=None, help="folder for runs and cache (default: outputs)"
    )
    for name, options in TYPES.items():
        flags = sorted({f"--{name}", f"--{name.replace('_', '-')}"}, key=lambda flag: "-" in flag[2:])
        if bool in options:
            parser.add_argument(*flags, dest=name, action=argparse.BooleanOptionalAction, help=" ")
        else:
            parser.add_argument(*flags, dest=name, type=_reader(name, options), metavar="VALUE", help=" ")
    return parser


def _reader(name: str, options: tuple[Any, ...]) -> Callable[[str], Any]:
    """Text from the command line as one of the types `options`, 'a,b,c' as a tuple of numbers; of words, and of 'none',
    RunConfig knows what they mean."""

    def read(text: str) -> Any:
        if is_none(name, text) or {str, tuple[str, ...]} & {*options}:
            return text
        try:
            if "," in text and tuple[float, ...] in options:
                return tuple(float(part) for part in text.split(","))
            return int(text) if int in options else float(text)
        except ValueError:
            wanted = "a whole number" if int in options else "a number"
            raise WorkbookError(f"--{name} {text!r} must be {wanted}.") from None

    return read


if __name__ == "__main__":
    run_command(main)
