"""A share of what `benchmarks.fuzz` tries: an answer, or an error of ours."""

import pytest

from benchmarks.fuzz import TARGETS, fuzz

CASES = 8


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_is_answered_or_refused(name, tmp_path):
    findings = fuzz(name, CASES, tmp_path / name)
    assert findings.first == {}
    assert findings.count["cases"] == CASES


def test_what_is_not_ours_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "broken", lambda folder: (TARGETS["config"](folder)[0], lambda case: 1 / 0))
    findings = fuzz("broken", 2, tmp_path / "broken")
    (found,) = findings.first
    assert found.startswith("ZeroDivisionError at test_fuzz.py:")
