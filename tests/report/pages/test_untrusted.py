"""Text from data is text: no markup, no address that runs or leaves, and were it markup, no page would run its script.

The markers are harmless: what runs sets a flag in the page that is looked at.
"""

import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.report.pages.claims_strip import MIMETYPE as CLAIMS
from lib.report.pages.execution_records import Entry, write_entry
from lib.report.pages.frame import content_security
from lib.report.pages.index_page import write_index
from lib.report.pages.key_figures import key_figures_bundle
from lib.report.pages.markdown import render_untrusted
from lib.report.pages.notebook_page import export_html
from lib.report.pages.study_page import StudyRun, write_study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Table, html_of

MARK = "document.documentElement.dataset.marked=1"
TAG = f'<img src=x onerror="{MARK}">'
SCRIPT = f"<script>{MARK}</script>"
TEXTS = [
    TAG,
    SCRIPT,
    f"a\n\n<div>\n{SCRIPT}\n</div>",
    f"# {TAG}",
    f"|a|\n|-|\n|{TAG}|",
    f"- [x] {TAG}",
    f"$\\text{{{TAG}}}$",
    f"$x {SCRIPT} < y$",
    f"$$\\mbox{{{TAG}}}$$",
    f"$\\frac{TAG}",
    f"$&lt;img src=x onerror={MARK}&gt;$",
    f"$\\color{{red{TAG}}}{{x}}$",
    f'$\\color{{"{TAG}}}{{x}}$',
    f"\\begin{{align}}a &= {TAG}\\end{{align}}",
    f"\\begin{{align{TAG}}}a\\end{{align{TAG}}}",
    f"```mermaid\n{TAG}\n```",
    f"```mermaid x\n{SCRIPT}\n```",
    f"```python\n{TAG}\n```",
    f'```"{TAG}\ncode\n```',
    f"`{TAG}`",
    f"![{TAG}](x)",
    f'![a](x "{TAG}")',
    '![a](x" onerror=alert)',
    "![a](attachment:none.png)",
    f"![a](javascript:{MARK})",
    f'[a](https://example.org "x\\" onclick=\\"{MARK}")',
    f'https://example.org/"onclick="{MARK}',
    *(
        f"[a](<{address}>)"
        for address in (
            f"javascript:{MARK}",
            f"JaVaScRiPt:{MARK}",
            f" javascript:{MARK}",
            f"java&Tab;script:{MARK}",
            f"javascript&colon;{MARK}",
            f"%6aavascript:{MARK}",
            f"\x01javascript:{MARK}",
            f"vbscript:{MARK}",
            f"data:text/html,{MARK}",
            "file:///etc/hostname",
            "blob:x",
            "ftp://example.org",
            "//example.org/share",
            "/etc/hostname",
            "\\\\example.org\\share",
        )
    ),
    f"<javascript:{MARK}>",
    f"[a][there]\n\n[there]: javascript:{MARK}",
    f"{TAG}\n: {TAG}",
]
HARMLESS = {
    "[a](https://example.org/x?y#z)": "https://example.org/x?y#z",
    "[a](http://example.org)": "http://example.org",
    "[a](mailto:someone@example.org)": "mailto:someone@example.org",
    "[a](#the-figures)": "#the-figures",
    "[a](03_fusion_ablation.ipynb#end)": "03_fusion_ablation.html#end",
    "[a](runs/some-run/index.html)": "runs/some-run/index.html",
}
ELEMENTS = {
    "p",
    "h1",
    "h2",
    "em",
    "strong",
    "code",
    "pre",
    "span",
    "div",
    "a",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "br",
}
ELEMENTS |= {
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "input",
    "hr",
    "blockquote",
    "del",
    "math",
    "mrow",
    "mi",
    "mo",
}
ELEMENTS |= {"mn", "mtext", "mstyle", "mspace", "mtable", "mtr", "mtd", "mfrac", "msub", "msup"}


class Tags(HTMLParser):
    """The elements of a piece of HTML, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", TEXTS)
def test_text_from_data_is_no_markup_and_leads_nowhere(text):
    for tag, attributes in Tags(render_untrusted(text)).found:
        assert tag in ELEMENTS
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcdoc", "action"}]
        assert re.match(r"https://example\.org|[\w%.]+$", attributes.get("href", "https://example.org"))


@pytest.mark.parametrize(("text", "address"), HARMLESS.items())
def test_links_to_the_web_to_mail_and_into_the_report_stay_links(text, address):
    assert ("a", {"href": address}) in Tags(render_untrusted(text)).found


def test_a_formula_keeps_its_symbols():
    html = render_untrusted("$\\alpha < \\beta \\& \\text{a<b}$")
    assert re.findall(r"<(?:mi|mo|mtext)>(.*?)<", html) == ["α", "&lt;", "β", "&amp;", "a&lt;b"]


def hostile_notebook() -> nbformat.NotebookNode:
    """An executed notebook with all kinds of outputs that hold names of classes, files, runs and data sets."""
    evil = f"{TAG}{SCRIPT}"
    rows = [{("", evil): Cell.words(evil), (evil, "score"): Cell.missing(evil)}]
    claim = {"claim": evil, "effect": evil, "verdict": evil, "notebook": "01_evil"}
    error = new_output("error", ename="ValueError", evalue=evil, traceback=[evil])
    outputs = [
        new_output("stream", name="stdout", text=evil),
        error,
        *[new_output("display_data", data={"text/markdown": text}) for text in (*TEXTS, f"**Verdict.** {evil}")],
        new_output("display_data", data={"text/html": html_of(Table("table", evil, rows, notes=[evil]))}),
        new_output("display_data", data=key_figures_bundle({evil: evil, "list": {evil: evil}})),
        new_output("display_data", data={CLAIMS: [claim], "text/html": "<table></table>"}),
        new_output("display_data", data={"text/plain": evil}),
        new_output("display_data", data={"text/latex": evil}),
    ]
    parameters = new_code_cell(f"class_name = {evil!r}", metadata={"tags": ["injected-parameters"]})
    title = new_markdown_cell("# A title\n\nA question?")
    return new_notebook(cells=[title, parameters, new_code_cell("show()", outputs=outputs, execution_count=1)])


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory):
    """A report whose pages hold hostile names wherever there are names."""
    report, evil = tmp_path_factory.mktemp("report"), f"{TAG}{SCRIPT}"
    executed = report / "notebooks" / "01_evil.ipynb"
    executed.parent.mkdir()
    nbformat.write(hostile_notebook(), executed)
    record = Entry("failed", 1.0, "2026-01-01T00:00:00", {"profile": evil, "dataset": evil}, error=evil)
    write_entry(executed, record)
    export_html(executed, report / "01_evil.html", problem=evil)
    write_study(report, "study", evil, [StudyRun(evil, {evil: n, "fixed": evil}, record) for n in range(2)])
    write_index(report)
    return report


@pytest.mark.parametrize("name", ["index", "01_evil", "studies/study"])
def test_no_page_runs_what_names_say(browser, hostile_report, name):
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"file://{hostile_report}/{name}.html")
    assert page.locator("img:not([src^='data:']), script:not(:last-child), iframe, object, form, base").count() == 0
    assert page.evaluate("document.documentElement.dataset.marked") is None
    addresses = page.evaluate("[...document.links].map(link => link.protocol)")
    assert set(addresses) <= {"file:", "https:"}
    assert complaints == []
    page.close()


def test_a_page_runs_the_views_scripts_and_its_own_and_no_other(browser, tmp_path):
    """As if markup had come through: the page's policy stands behind it."""
    markup = f"""{TAG}{SCRIPT}<a id=link href="javascript:{MARK}">a</a><button id=button onclick="{MARK}">b</button>
        <svg onload="{MARK}"></svg><base href="https://example.org/"><form id=form action="01_a.html"></form>"""
    output = new_output("display_data", data={"text/html": markup})
    cells = [new_markdown_cell("# A"), new_code_cell("show()", outputs=[output], execution_count=1)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "01_a.ipynb")
    export_html(tmp_path / "01_a.ipynb", tmp_path / "01_a.html")
    page, refused = browser.new_page(), []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(f"file://{tmp_path}/01_a.html")
    page.locator("#link").click()
    page.locator("#button").click()
    page.click("#all-code")
    assert page.is_visible("text=show()")
    page.evaluate("document.querySelector('#form').submit()")
    assert page.evaluate("document.documentElement.dataset.marked") is None
    assert page.evaluate("document.baseURI").startswith("file:")
    for directive in ("script-src", "form-action", "base-uri"):
        assert any(directive in text for text in refused), directive
    page.close()


def test_a_page_without_scripts_allows_none():
    policy = dict(part.split(" ", 1) for part in content_security().split("; "))
    assert policy == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
    }
