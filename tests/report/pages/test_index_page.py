from lib.report.pages.execution_records import Entry
from lib.report.pages.index_page import _settings


def test_what_nobody_chose_is_not_told():
    chosen = [{"profile": "quick", "dataset": None}, {"profile": None, "dataset": "digits"}, {"x": 1}]
    entries = [Entry("ok", 1.0, "2026-01-01T00:00:00", parameters) for parameters in chosen]
    assert _settings(entries) == {"profile": ["quick"], "dataset": ["digits"]}
    assert _settings(entries[2:]) == {}
