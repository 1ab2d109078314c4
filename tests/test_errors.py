"""The nearest valid name, and one line for a user's mistake."""

import logging
from pathlib import Path

import pytest

from lib.errors import (
    CommandLine,
    WorkbookError,
    WorkbookFileError,
    WorkbookValueError,
    choose,
    nearest,
    run_command,
    warn_once,
)


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


@pytest.mark.parametrize("kind", [WorkbookError, WorkbookValueError, WorkbookFileError])
def test_a_word_of_pages_is_told_by_its_beginning(kind):
    told = str(kind(f"lr={'9' * 5000} must be a number."))
    assert told == f"lr={'9' * 597}… must be a number."
    assert str(kind("a b")) == "a b"


@pytest.mark.parametrize("kind", [WorkbookError, WorkbookValueError, WorkbookFileError])
def test_what_a_file_holds_steers_no_terminal(kind):
    """Erased lines, other titles, text turned round: a table's cell could make a message say something else."""
    held = "\x1b[2K\x1b]0;x\a\r\0\x9b\u202e\u2066\u2028\udcff"
    assert str(kind(f"column 'ü\t{held}'\nis")) == f"column 'ü\t{held.encode('unicode_escape').decode()}'\nis"


def test_a_warning_is_printable(caplog):
    warn_once(logging.getLogger(__name__), "run \x1b[2K is damaged")
    assert caplog.messages == [r"run \x1b[2K is damaged"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--output-dir", ""], "--output-dir"),
        (["--output-dir="], "--output-dir"),
        (["--output-dir", " "], "--output-dir"),
        (["-p", ""], "-p"),
        (["02", ""], "an argument"),
    ],
)
def test_an_empty_value_is_neither_a_path_nor_a_flag_left_out(words, named):
    parser = CommandLine()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--output-dir", type=Path)
    parser.add_argument("-p", action="append")
    with pytest.raises(WorkbookError, match=f"^The value of {named} is empty .*: give one, or leave it out"):
        parser.parse_args(words)
    with pytest.raises(WorkbookError, match="is empty"):
        parser.parse_intermixed_args(words)
    assert parser.parse_args(["02", "-p", "label=", "--output-dir=a"]).p == ["label="]
