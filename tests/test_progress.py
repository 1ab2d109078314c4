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


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress, "is_interactive", lambda: True)
    with Progress(3, "counting") as bar:
        bar.advance(3)
    assert "counting" in capsys.readouterr().err
