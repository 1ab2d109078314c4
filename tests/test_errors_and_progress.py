"""Names are found in spite of case; progress is one plain line every few seconds where nobody watches."""

import pytest

from lib import progress
from lib.errors import WorkbookError, WorkbookValueError, choose, nearest, run_command
from lib.progress import Progress, duration


def test_choose_forgives_case_and_punctuation_and_nothing_else():
    known = ["CBAM", "scSE", "learnable_gate"]
    assert choose("x", "cbam", known) == "CBAM"
    assert choose("x", "Learnable-Gate", known) == "learnable_gate"
    with pytest.raises(
        WorkbookValueError, match=r"Unknown x 'cbm'. Did you mean 'CBAM'\? Known: CBAM, scSE, learnable_gate"
    ):
        choose("x", "cbm", known)
    with pytest.raises(WorkbookValueError, match="Unknown x 3"):
        choose("x", 3, known)
    assert nearest("zzzzzz", known) is None


def test_a_command_line_prints_one_line(capsys):
    def fails():
        raise WorkbookError("first\nsecond")

    with pytest.raises(SystemExit) as stop:
        run_command(fails)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: first second\n"


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


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
