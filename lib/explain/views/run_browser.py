"""The store of runs as a table to filter and sort, with the curves and confusion matrices of those that are chosen."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from lib.errors import WorkbookValueError
from lib.explain.views.live import Answer, LiveView, Wish
from lib.explain.views.live_explorer import explore_networks
from lib.explain.views.run_rows import MOST_CLASSES, FollowedRuns, telling
from lib.explain.views.view import View, plain
from lib.progress import is_interactive
from lib.report.figures.forest import Interval, forest_figure
from lib.report.figures.style import figure, nothing
from lib.training import Run
from lib.training.training_data import load_images

MOST_STILLS = 20  # runs in the static picture
SCRIPT = "save chart matrix run_browser"
CAPTION = "The store of runs: filter them, sort by a column, choose runs to see their curves and confusion matrices."


class RunBrowser(LiveView):
    """The view of `browse_runs`."""

    def __init__(self, runs: FollowedRuns, caption: str) -> None:
        super().__init__(SCRIPT, {}, self.answer, lambda look: Figure(), caption)
        self.runs = runs

    def answer(self, wish: Wish, buffer: bytes) -> Iterator[Answer]:
        """What has changed in the store since the script's version; or the explorer of a run, shown below."""
        if wish["what"] == "open":
            self.open(self.runs.find(wish["run"]))
            yield {"told": f"{wish['run']} is open below."}, b""
        else:
            yield self.runs.since(wish["version"]), b""

    @property
    def html(self) -> str:
        """As of any other view: the runs as they are now."""
        return self.view().html

    @property
    def left_out(self) -> Sequence[str]:
        """What does not fit, in words."""
        return self.view().left_out

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        return self.view()._repr_mimebundle_()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        super()._ipython_display_()
        if is_interactive():  # the places of a run's explorer and of its bridge
            self.places = [
                display({"text/html": ""}, raw=True, display_id=f"{self.name}-{n}") for n in ("run", "bridge")
            ]

    def open(self, run: Run) -> None:
        """Show the explorer of a run's network, on the images of its set, below this view.

        Raises:
            WorkbookError: the images are not there, or the network tells no classes apart.
        """
        explorer = explore_networks(run, load_images(run.config))
        explorer.name = self.places[0].display_id
        explorer.visit(explorer.first)
        self.places[0].update(explorer.view(bridged=True))
        self.places[1].update(explorer.bridge_bundle(), raw=True)

    def view(self, bridged: bool = False) -> View:
        """The view of the runs as they are now."""
        news = self.runs.since(0)
        rows, step = news["runs"], news.pop("step")
        left_out = [f"Curves show one epoch of {step}."] * (step > 1)
        large = sum(row["large"] for row in rows)
        left_out += [f"Left out: confusion matrices of more than {MOST_CLASSES} classes ({large} runs)."] * bool(large)
        phantom = any(row["phantom"] for row in rows)
        data, still = self.data | news, _still(rows, news["metrics"], phantom)
        bridge = self.name if bridged else ""
        return View(f"live {SCRIPT}", data, still, self.caption, b"", left_out, phantom, bridge)


def browse_runs(runs: Iterable[Run], caption: str = CAPTION) -> RunBrowser:
    """A view of `runs`, a `RunStore` for instance, finished or not.

    While a kernel runs it follows them: what is trained meanwhile, and whatever comes into the store, appears; a finished
    run's explorer opens below. Saved or exported it shows them as they were then.

    Columns are the settings in which the runs differ and the test metrics with their 95 % intervals. Matrices of more
    than 30 classes are left out, and epochs of long logs are skipped evenly; the view tells so.

    Raises:
        WorkbookValueError: there are no runs.
    """
    followed = FollowedRuns(runs)
    if not followed.look():
        raise WorkbookValueError("There are no runs to browse: train one with fit(config), or give another store.")
    return RunBrowser(followed, caption)


def _still(rows: Sequence[dict[str, Any]], metrics: Sequence[str], phantom: bool) -> Figure:
    """The first metric (balanced accuracy where there is one) of the finished runs, with intervals."""
    main = "balanced_accuracy" if "balanced_accuracy" in metrics else next(iter(metrics), "")
    tested = [row for row in rows if row["intervals"].get(main)]
    done = tested[:MOST_STILLS]
    if not done:
        with figure(8, 1.5, phantom) as fig:
            nothing(fig.subplots(), f"{len(rows)} runs, none with test results yet")
        return fig
    named = [" ".join(str(row["settings"].get(name, "")) for name in telling(rows)) for row in done]
    labels = [plain(name.strip() or row["name"], 40) for name, row in zip(named, done, strict=True)]
    values = [(row["metrics"][main], *row["intervals"][main]) for row in done]
    intervals = [Interval(*value, note=f"{value[0]:.2f}") for value in values]
    shown = f" (the first {len(done)} of {len(tested)} runs)" if len(done) < len(tested) else ""
    title = f"Test, 95 % intervals{shown}"
    return forest_figure(labels, {"": intervals}, phantom, title=title, xlabel=main.replace("_", " "))
