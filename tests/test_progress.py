"""Durations in words, and progress with and without a terminal."""

import pytest

from lib import progress
from lib.progress import Progress, duration


@pytest.mark.parametrize(("seconds", "said"), [(41, "41 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_headless_progress_speaks_every_few_seconds(monkeypatch, capsys):
    monkeypatch.setenv(progress.HEADLESS, "1")
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with Progress(20, "counting", "steps") as bar:
        for _ in range(20):
            bar.advance(note="n")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0] == "counting: 5/20 steps (25 %), 15 s left, n"


@pytest.mark.parametrize(
    ("total", "done", "unit", "said"),
    [(20, 3, "images", "3/20 images (15 %)"), (0, 3, "images", "3 images"), (0, 2_500_000, "bytes", "2.5 MB")],
)
def test_a_count_in_words(total, done, unit, said):
    """A host that does not tell the size of a file leaves the total unknown."""
    progress = Progress(total, "", unit, done)
    assert progress.count == said
    assert progress.line(1.0) == f": {said}"


def test_who_has_lines_of_its_own_says_them(monkeypatch, capsys):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    with Progress(2, "sweep", "runs", quiet=True) as bar:
        bar.say("1/2 a run: ok")
        bar.advance()
    assert capsys.readouterr().out == "1/2 a run: ok\n"


def test_a_terminal_gets_a_bar_with_lines_above(monkeypatch, capsys):
    monkeypatch.delenv(progress.HEADLESS, raising=False)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(3, "counting") as bar:
        bar.advance(3)
        bar.say("a line")
    shown = capsys.readouterr()
    assert "counting" in shown.err
    assert "a line" in shown.out
