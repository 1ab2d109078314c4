"""The table of all benchmarks: what they yield, how it is told, kept as JSON and compared."""

import importlib
import json
import sys
import types
from dataclasses import asdict

import pytest

from benchmarks import __main__ as all_of_them
from benchmarks import peers, program, table
from benchmarks.rows import NotRun, Row, of_counts, of_turns
from benchmarks.timing import in_a_process, side_by_side
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError, nearest
from lib.paths import ROOT

STEP = Row("step", "the bare one", 1.2, 1.1, 1.3, processor=1.15, at_most=1.18, note="12 ms ÷ 10 ms")


@pytest.fixture
def tiny(monkeypatch):
    """A benchmark `tiny.step` beside the others, the only one that is run by default."""

    def rows(quick: bool = False, vit_explain: str | None = None):
        yield of_turns("step", "the bare one", [1.0, 1.2, 1.1] if quick else [2.0, 2.2, 2.1], at_most=1.5)
        if vit_explain is None:
            yield NotRun("vit-explain's step ÷ ours", peers.told("vit_explain"))

    module = types.ModuleType("benchmarks.tiny.step")
    module.rows = rows
    monkeypatch.setitem(sys.modules, "benchmarks.tiny.step", module)
    monkeypatch.setattr(all_of_them, "SIDE_BY_SIDE", ("tiny.step",))


def run_all(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, words)])
    return all_of_them.main()


def test_a_row_is_the_median_of_its_turns_and_their_spread():
    row = of_turns("a", "b", [3.0, 1.0, 2.0], at_least=2.5)
    assert (row.ratio, row.low, row.high, row.wanted, row.missed) == (2.0, 1.0, 3.0, "≥ 2.5", True)
    assert of_counts("a", "b", 6, 4, "MB").note == "6 ÷ 4 MB"


def test_two_works_take_turns():
    order = []
    row = side_by_side("a", "b", lambda: order.append("a"), lambda: order.append("b"), rounds=2)
    assert order == ["a", "b"] * 3  # the first round warms up
    assert row.low <= row.ratio <= row.high


def test_a_function_is_called_in_a_process_of_its_own():
    assert in_a_process(nearest, "rolout", ["rollout", "step"], environment={"PYTHONPATH": str(ROOT)}) == "rollout"


def test_the_table_holds_every_row_and_what_was_not_run(tiny, monkeypatch, capsys, tmp_path):
    assert run_all(monkeypatch, "--json", tmp_path / "now.json") == 1  # 2.1 is more than is wanted
    told = capsys.readouterr().out.splitlines()
    assert told[1:3] == ["tiny.step", *[line for line in told if "2.10 ×" in line]]
    assert " ".join(told[2].split()) == "step ÷ the bare one 2.10 × 2.00 – 2.20 ≤ 1.5 missed"
    assert told[-1].endswith("not run: give --vit-explain DIR, a clone of github.com/jacobgil/vit-explain")
    kept = table.read(tmp_path / "now.json")["tiny.step"]
    assert kept == [of_turns("step", "the bare one", [2.0, 2.2, 2.1], at_most=1.5), kept[1]]


def test_what_moved_since_a_file_is_told(tiny, monkeypatch, capsys, tmp_path):
    assert run_all(monkeypatch, "tiny", "--json", tmp_path / "then.json") == 1
    assert run_all(monkeypatch, "--quick", "--compare", tmp_path / "then.json", "--vit-explain", tmp_path) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.split("  ")[1:] == ["step ÷ the bare one", *told.split("  ")[2:-1], "2.10 × → moved"]
    assert not table.moved(STEP, Row("step", "the bare one", 1.25, 1.15, 1.35))
    assert table.moved(STEP, Row("step", "the bare one", 1.5, 1.25, 1.6))


def test_what_a_benchmark_needs_and_has_not_is_told(monkeypatch):
    def rows():
        yield STEP
        raise WorkbookError("There is no Chromium.")

    module = types.ModuleType("benchmarks.broken")
    module.rows = rows
    monkeypatch.setitem(sys.modules, "benchmarks.broken", module)
    assert [*all_of_them.found("broken", {})] == [STEP, NotRun("broken", "There is no Chromium.")]
    module.rows = lambda: iter([importlib.import_module("not_there")])
    assert [*all_of_them.found("broken", {})] == [NotRun("broken", "it needs not_there, which is not installed")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], [*all_of_them.SIDE_BY_SIDE]),
        (["dcal", "soak"], ["dcal.step", "dcal.rollout", "soak"]),
        (["glsa.step", "glsa"], ["glsa.step", "glsa.block"]),
    ],
)
def test_benchmarks_are_chosen_by_their_names_and_rooms(names, expected):
    assert all_of_them.chosen(names) == expected


def test_an_unknown_benchmark_and_a_file_of_something_else_are_refused(tmp_path):
    with pytest.raises(WorkbookValueError, match=r"Unknown benchmark 'dcal.rolout'. Did you mean 'dcal.rollout'\?"):
        all_of_them.chosen(["dcal.rolout"])
    kept = json.dumps({"results": {"glsa": [asdict(STEP)]}})
    contents = (
        '{"results": [1]}',
        "[" * 100_000,
        kept[:-3],
        kept.replace("1.1,", "null,"),
        kept.replace("1.2", '"1.2"'),
    )
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.json").write_text(content)
    for name in (*(f"{number}.json" for number in range(len(contents))), "absent.json", "."):
        with pytest.raises(WorkbookFileError, match="has no results of benchmarks"):
            table.read(tmp_path / name)


def test_results_are_written_whole_where_there_is_no_folder_yet(tmp_path):
    table.write(tmp_path / "new" / "now.json", {"glsa": [STEP]})
    assert table.read(tmp_path / "new" / "now.json") == {"glsa": [STEP]}


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(tiny, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    for place, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "now.json", "Cannot write")):
        with pytest.raises(WorkbookError, match=message):
            run_all(monkeypatch, "tiny", "--json", place)
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_clone_is_read_where_it_is_and_another_folder_refused(tmp_path):
    with pytest.raises(WorkbookFileError, match="no clone of github.com/jacobgil/vit-explain"):
        peers.vit_explain(tmp_path)
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "block.py").write_text("CHANNELS = 3")
    (tmp_path / "attention" / "__init__.py").write_text("from .block import CHANNELS")
    before = list(sys.path)
    assert peers.gl_attention(tmp_path).CHANNELS == 3
    assert sys.path == before


def test_a_benchmark_by_itself_takes_its_own_settings(monkeypatch, capsys):
    def rows(quick: bool = False, runs: int = 5, names: str = "", ham10000: str | None = None):
        yield of_counts(f"{runs} runs{names}", "all", 1, 1 if quick else 2, at_least=0.9)

    monkeypatch.setitem(rows.__globals__, "__spec__", types.SimpleNamespace(name="benchmarks.tiny"))
    monkeypatch.setattr(sys, "argv", ["tiny", "--runs", "7", "--names", " of mine"])
    with pytest.raises(SystemExit) as end:
        program.run(rows)
    assert end.value.code == 1
    assert capsys.readouterr().out == "7 runs of mine ÷ all: 0.50 ×  ≥ 0.9  missed  1 ÷ 2\n"
