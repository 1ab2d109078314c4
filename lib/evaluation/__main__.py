"""`python -m lib.evaluation RUN`: a finished run's test results with intervals, on its own data set or on another."""

from collections.abc import Sequence

from lib.data import DATASETS
from lib.errors import CommandLine, choose, run_command
from lib.evaluation.transfer import transfer
from lib.train import test_lines
from lib.training import RunStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the results; another data set is predicted, once, without what the run was trained on."""
    parser = CommandLine(prog="python -m lib.evaluation", description=__doc__)
    parser.add_argument("run", help="a run's folder, its name in the store, or its hash")
    parser.add_argument("--dataset", help="another data set of the run's classes; default: the run's own test part")
    parser.add_argument("--data-root", "--data_root", help="folder of that data set (default: its place in data/)")
    parser.add_argument("--output-dir", "--output_dir", help="folder that holds the store of runs (default: outputs)")
    chosen = parser.parse_args(arguments)
    store = RunStore(f"{chosen.output_dir}/runs" if chosen.output_dir else None)
    run = store.find(chosen.run)
    if chosen.dataset is None:
        print("\n".join([f"{run.path.name} on {run.config.dataset}", *test_lines(run.metrics)]))
        return 0
    tested = transfer(run, choose("dataset", chosen.dataset, DATASETS), chosen.data_root, store)
    left = tested.images - sum(tested.dropped.values())
    print(f"{run.path.name} on {tested.dataset}: {left} of {tested.images} test images, the others seen in training")
    print("\n".join(test_lines(tested.metrics)))
    return 0


if __name__ == "__main__":
    run_command(main)
