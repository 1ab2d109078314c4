"""The command line of `run_all.py sweep`: many runs of a training notebook, as a grid or as a protocol says."""

import argparse
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.errors import CommandLine, WorkbookError, WorkbookValueError, choose
from lib.paths import given_path
from lib.progress import Progress
from lib.report.pages.execution_records import Entry
from lib.report.pages.index_page import write_index
from lib.report.pages.study_page import StudyRun, write_study
from lib.workbook.backends import Backend, LocalPool, RayCluster, SlurmCluster
from lib.workbook.notebooks import run
from lib.workbook.parameters import placed, read_parameters
from lib.workbook.plan import Job, find_notebooks, plan, read_assignment
from lib.workbook.protocol import Protocol, grid_protocol, read_protocol
from lib.workbook.shared_options import new_parser, options
from lib.workbook.sweep import Plan, Sweep, make_plan
from lib.workbook.task import Task, run_task

BACKENDS = ("local", "slurm", "ray")
SLURM_JOBS = "~/.cache/global-local-attention-workbook/slurm"  # in no folder that others share: see SlurmCluster
EPILOG = """\
examples:
  python run_all.py sweep quick                                the six tables in miniature, on the built-in data
  python run_all.py sweep protocols/paper.yaml --dry-run       what the whole protocol would run
  python run_all.py sweep 02 --grid fusion_strategy=original,learnable_gate --grid seed=0,1,2
  python run_all.py sweep 02 --grid lr=1e-2,1e-3 --dataset HAM10000 --profile full --workers 4
  python run_all.py sweep quick --backend slurm --slurm partition=gpu --slurm gres=gpu:1 --slurm time=4:00:00
  python run_all.py sweep quick --backend ray --address auto

Runs that are there already are not executed again (--force does). Several sweeps, on several machines that share the
output folder, may work on one study. A run that fails does not stop the others. The exit status is 0 when all runs
and notebooks are ok, 1 when one is not, 2 for a mistake in the command or the protocol, 130 after Ctrl-C.
"""


def main(arguments: Sequence[str]) -> int:
    """Run what `arguments` ask for; returns the exit status.

    Raises:
        WorkbookError: a mistake of the user's, found before the first run.
    """
    chosen = _parser().parse_intermixed_args(arguments)
    report = chosen.output_dir.absolute() / "report"
    backend = _backend(chosen)
    protocol = _protocol(chosen)
    tasks = [run_task(_job(protocol, values, chosen.output_dir), report) for values in protocol.runs()]
    sweep_plan = make_plan(tasks, report / "runs", chosen.force)
    if sweep_plan.todo:  # what is done can be done
        protocol.check()
    then = _then(protocol, chosen.output_dir)
    if chosen.dry_run:
        with backend as place:
            return show_plan(protocol, sweep_plan, place.slots)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's stop is a Ctrl-C
    failed = perform_study(protocol, sweep_plan, backend, report, {"force": chosen.force, "timeout": chosen.timeout})
    return max(failed, run(then, report, chosen.force, chosen.timeout, chosen.workers) if then else 0)


def show_plan(protocol: Protocol, sweep_plan: Plan, slots: int) -> int:
    """Print the plan: each run, whether it is there already, and an estimate of the time."""
    for task in sweep_plan.tasks:
        print(f"{'done ' if task in sweep_plan.done else 'to do'}  {task.name}")
    print(f"{_summary(protocol, sweep_plan)}; {sweep_plan.estimate(slots)}")
    return 0


def perform_study(
    protocol: Protocol, sweep_plan: Plan, backend: Backend, report: Path, how: Mapping[str, object]
) -> int:
    """Perform what is to do and write the study's page, whatever happens; returns 0 when all runs are ok, else 1."""
    print(_summary(protocol, sweep_plan), flush=True)
    entries: dict[Task, Entry] = dict(sweep_plan.done)
    try:
        if sweep_plan.todo:
            counted = Progress(len(sweep_plan.tasks), protocol.name, "runs", done=len(entries), quiet=True)
            with backend as place, counted as bar:
                bar.say(sweep_plan.estimate(place.slots))

                def tell(line: str) -> None:
                    bar.say(line)
                    bar.advance(len(entries) - bar.done)

                Sweep(sweep_plan, place, tell, entries, dict(how)).run()
    finally:
        runs = [StudyRun(task.name, task.job.parameters, entries.get(task)) for task in sweep_plan.tasks]
        page = write_study(report, protocol.name, protocol.title, runs)
        write_index(report)
    bad = [task for task in sweep_plan.tasks if entries[task].status != "ok"]
    for task in bad:
        print(f"{task.name}: {entries[task].status}: {entries[task].error}")
    print(f"{len(sweep_plan.tasks) - len(bad)} of {len(sweep_plan.tasks)} runs ok: {page}", flush=True)
    return 1 if bad else 0


def _summary(protocol: Protocol, sweep_plan: Plan) -> str:
    return f"{protocol.title}: {len(sweep_plan.tasks)} runs, {len(sweep_plan.done)} done, {len(sweep_plan.todo)} to do"


def _then(protocol: Protocol, output_dir: Path) -> list[Job]:
    """The notebooks that read the study. They train nothing: what failed here is missing there."""
    if not protocol.then:
        return []
    known = {name for notebook in protocol.then for name in read_parameters(notebook)}
    values = {"protocol": str(protocol.path), "train_seeds": 0}
    return plan(protocol.then, output_dir.absolute(), {n: v for n, v in values.items() if n in known}, [])


def _job(protocol: Protocol, values: Mapping[str, object], output_dir: Path) -> Job:
    place = {"output_dir": str(output_dir.absolute())} if "output_dir" in values else {}
    return Job(protocol.notebook, {**values, **place})


def _protocol(chosen: argparse.Namespace) -> Protocol:
    """The grid of one notebook, or the protocol in a file."""
    here, assigned = Path.cwd(), (read_assignment(text) for text in chosen.parameters)
    given = options(chosen) | {name: placed(name, value, here) for name, value in assigned}
    if chosen.grids:
        notebook = find_notebooks([chosen.study])[0]
        return grid_protocol(notebook, _axes(chosen.grids), given)
    if given:
        raise WorkbookValueError(
            f"{', '.join(given)}: a protocol says itself what it runs. Change it in the file, or in a copy of it, "
            "or give --grid with a notebook."
        )
    if chosen.study.isdigit() or chosen.study.endswith(".ipynb"):
        raise WorkbookError(f"sweep {chosen.study} needs at least one --grid NAME=VALUE,VALUE; see --help.")
    return read_protocol(chosen.study)


def _axes(grids: Sequence[str]) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for text in grids:
        name, values = read_assignment(text, "--grid NAME=VALUE,VALUE,…")
        if name in axes:
            raise WorkbookValueError(f"--grid {name} is given twice; write all its values into one.")
        axes[name] = [placed(name, value.strip(), Path.cwd()) for value in values.split(",") if value.strip()]
    return axes


def _backend(chosen: argparse.Namespace) -> Backend:
    name = choose("back end", chosen.backend, BACKENDS)
    for flag, value, owner in (("--address", chosen.address, "ray"), ("--slurm", chosen.slurm, "slurm")):
        if value and name != owner:
            raise WorkbookValueError(f"{flag} is for --backend {owner}, not {name}.")
    if name == "slurm":
        folder = given_path(SLURM_JOBS, "the folder of jobs")
        return SlurmCluster(folder, chosen.workers, dict(read_assignment(text) for text in chosen.slurm))
    if name == "ray":
        return RayCluster(chosen.workers, chosen.address)
    return LocalPool(chosen.workers)


def _parser() -> CommandLine:
    description = "Execute a training notebook many times, a run each, and then the notebooks that read the runs."
    parser = new_parser("run_all.py sweep", description, EPILOG)
    add = parser.add_argument
    add("study", metavar="STUDY", help="a protocol (a file, or a name in protocols/), or a notebook with --grid")
    repeated = {"action": "append", "default": []}
    add("--grid", dest="grids", metavar="NAME=VALUE,…", help="an axis of the grid; may be repeated", **repeated)
    add("-p", dest="parameters", metavar="NAME=VALUE", help="a parameter of every run of the grid", **repeated)
    add("--dry-run", action="store_true", help="print the plan with an estimate of the time, and run nothing")
    add("--backend", default="local", metavar="NAME", help=f"where: {', '.join(BACKENDS)} (default: local)")
    add("--address", metavar="ADDRESS", help="of a running Ray cluster, or 'auto'; default: one is started here")
    add("--slurm", metavar="OPTION=VALUE", help="an option of sbatch; may be repeated", **repeated)
    return parser
