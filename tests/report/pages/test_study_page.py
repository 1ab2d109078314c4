"""The page of a study tells of each run what sets it apart."""

import re

from lib.report.pages.study_page import StudyRun, write_study


def test_what_plays_no_role_without_attention_is_not_shown(tmp_path):
    settings = [("none", "original"), ("none", "cross_attn"), ("CBAM", "cross_attn")]
    runs = [StudyRun(f"r{i}", {"attention": a, "fusion_strategy": f}, None) for i, (a, f) in enumerate(settings)]
    page = write_study(tmp_path, "study", "A study", runs).read_text()
    rows = [re.findall("<td>([^<]*)</td>", row)[:2] for row in page.split("<tr>")[2:]]
    assert rows == [["none", "–"], ["none", "–"], ["CBAM", "cross_attn"]]
