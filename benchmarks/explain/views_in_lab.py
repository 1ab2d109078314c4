"""How soon views answer in a real JupyterLab (headless Chromium, a kernel of its own), beside the limits that they have.

    python -m benchmarks.explain.views_in_lab RUN … [--moves 200]

RUN: folders of finished runs on one data set, such as outputs/runs/phantom-lesions-…; the first is asked first. Times go
from an event on a control to the picture that belongs to it, as the page's own clock counts them. Beside the opening of a
view stands the processor time of all of it (kernel, server, browser), which is the same whatever else the machine does.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM
from tests.lab import Desk, serve

COPIES = 10_000  # images of a large set
OPEN = """
import time, psutil
from dataclasses import replace
import pandas as pd
from lib.explain import compare_networks, explore_networks
from lib.training import Run
from lib.training.training_data import load_images

runs = [Run(path) for path in {runs!r}]
images = load_images(runs[0].config)
few = replace(images, rows=images.rows.iloc[:10].reset_index(drop=True))
many = pd.concat([images.rows] * ({copies} // len(images.rows) + 1))[:{copies}].reset_index(drop=True)
many = replace(images, rows=many.assign(image_id=[f"{{n}}-{{name}}" for n, name in enumerate(many["image_id"])]))
memory = lambda: print(psutil.Process().memory_info().rss / 1e6)
"""
# How many views there are that show something.
SHOWN = """[...document.querySelectorAll('.attention-view .live:not([hidden])')]
    .filter(view => view.querySelector(':is(.stage, .panel) .text:not(:empty)')).length"""
# The names of the choices of the view that was opened last.
CHOICES = """label => {
    const view = [...document.querySelectorAll('.attention-view')].at(-1);
    const named = [...view.querySelectorAll('label')].find(each => each.textContent === label);
    return [...document.getElementById(named.htmlFor).options].map(({textContent}) => textContent);
}"""
LIMITED = ("grad-cam", "rollout")  # methods that have a limit of their own
# The milliseconds from a change of a control to what another picture is described with, one after the other.
ANSWER = """async ([label, values]) => {
    const view = [...document.querySelectorAll('.attention-view')].at(-1);
    const described = () => view.querySelector(':is(.stage, .panel) canvas').ariaLabel;
    const named = [...view.querySelectorAll('label')].find(each => each.textContent === label);
    const control = document.getElementById(named.htmlFor), times = [];
    for (const value of values) {
        const before = described(), began = performance.now();
        if (control.tagName === 'SELECT') control.selectedIndex = value; else control.value = value;
        control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input'));
        while (described() === before && performance.now() - began < 20000) await new Promise(requestAnimationFrame);
        times.push(performance.now() - began);
        while (view.classList.contains('busy')) await new Promise(requestAnimationFrame);
    }
    return times;
}"""
# Many moves, as fast as a mouse makes them; then the milliseconds until all is answered, and what is shown and chosen.
MOVES = """async ([label, moves]) => {
    const view = [...document.querySelectorAll('.attention-view')].at(-1);
    const named = [...view.querySelectorAll('label')].find(each => each.textContent === label);
    const control = document.getElementById(named.htmlFor), choices = control.options.length;
    for (let n = moves; n > 0; n--) { // the last one is a class by its name
        control.selectedIndex = choices - 1 - (n - 1) % (choices - 2);
        control.dispatchEvent(new Event('change'));
        if (n % 4 === 0) await new Promise(done => setTimeout(done, 4));
    }
    const began = performance.now(), told = view.querySelector('.stage .text'), right = ` · of ${control.value}`;
    const late = () => !told.textContent.endsWith(right) || view.classList.contains('busy');
    while (late() && performance.now() - began < 20000) await new Promise(requestAnimationFrame);
    return [performance.now() - began, told.textContent, control.value];
}"""


def report(what: str, value: float, limit: float, unit: str = "ms", note: str = "") -> None:
    more = f"; {note}" * bool(note)
    print(f"{'ok  ' if value <= limit else 'OVER'}  {what}: {value:.0f} {unit} (at most {limit:.0f}{more})", flush=True)


def report_opening(what: str, desk: Desk, source: str) -> None:
    took, spent = opened(desk, source)
    report(what, took, 1000, note=spent)


def worked() -> dict[str, float]:
    """The milliseconds that the kernels, the server and the browser have worked so far."""
    spent = {"kernel": 0.0, "server": 0.0, "browser": 0.0}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command, times = " ".join(process.cmdline()), process.cpu_times()
            what = "kernel" if "ipykernel" in command else "server" if "jupyter" in command else "browser"
            spent[what] += 1000 * (times.user + times.system)
    return spent


def opened(desk: Desk, source: str, shown: str = SHOWN) -> tuple[float, str]:
    """Milliseconds from a cell's start to its view, which `shown` counts; and the processor time of that, in words."""
    desk.page.evaluate(f"window.seen = {shown}")
    before, began = worked(), desk.page.evaluate("performance.now()")
    desk.start(source)
    desk.page.wait_for_function(f"{shown} > window.seen", polling="raf", timeout=120_000)
    took, after = desk.page.evaluate("performance.now()") - began, worked()
    desk.wait_for_kernel()
    spent = {name: after[name] - before[name] for name in before}
    return took, f"{sum(spent.values()):.0f} ms of processor: {', '.join(f'{n} {ms:.0f}' for n, ms in spent.items())}"


def measure(desk: Desk, runs: list[str], moves: int) -> None:
    print(
        f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; times are those of an idle one below 1"
    )
    desk.run(OPEN.format(runs=runs, copies=COPIES))
    took, spent = opened(desk, "print('shown')", "document.querySelectorAll('.jp-OutputArea-output').length")
    print(f"      a cell that prints a word, to compare: {took:.0f} ms ({spent})", flush=True)
    report_opening("the first view of a kernel", desk, "explore_networks(runs, few)")
    report_opening("a view of 10 images", desk, "explore_networks(runs, few)")
    report_opening(f"a view of {COPIES:,} images", desk, "explore_networks(runs, many)")
    names = desk.page.evaluate(CHOICES, "map")
    methods = [n for n, name in enumerate(names) if n < 8 or name.startswith(LIMITED)]
    first = desk.page.evaluate(ANSWER, ["map", [*methods[1:], 0]])
    for n, took in zip(methods[1:], first, strict=False):
        if names[n].startswith(LIMITED):
            report(f"{names[n]}, computed", took, 300)
    report("another method, computed (median)", statistics.median(first[:-1]), 300)
    again = desk.page.evaluate(ANSWER, ["map", [*methods[1:], 0] * 5])
    report("another method, at hand (median)", statistics.median(again), 50)
    before = float(desk.run("memory()").text_content())
    late, told, chosen = desk.page.evaluate(MOVES, ["of class", moves])
    print(f"after {moves} moves the view shows “{told}”; chosen: {chosen}")
    report("the last of many moves, until its picture", late, 1000)
    after = float(desk.run("memory()").text_content())
    report("memory of the kernel after them", after - before, 20, "MB")
    report_opening("a comparison of two maps", desk, "compare_networks(runs[0], few)")
    first = desk.page.evaluate(ANSWER, ["map", [*methods[2:], 0]])
    report("another method in one of its panels, computed (median)", statistics.median(first[:-1]), 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument("--moves", type=int, default=200)
    chosen = parser.parse_args()
    with sync_playwright() as machinery, tempfile.TemporaryDirectory() as folder:
        browser = machinery.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        with serve(Path(folder), browser) as lab, lab.open() as desk:
            measure(desk, [str(Path(run).absolute()) for run in chosen.runs], chosen.moves)
            assert desk.errors == []
        browser.close()


if __name__ == "__main__":
    main()
