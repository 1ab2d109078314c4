"""What makes the site: formulas, the gallery's cards, and the check that nothing leads nowhere or outside."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

from lib.paths import ROOT
from lib.report.pages.execution_records import Entry
from lib.report.pages.index_page import write_index
from lib.report.pages.notebook_page import export_html

TOOLS = ROOT / "docs" / "tools"
GOLDEN = ROOT / "tests" / "golden" / "report"


def tool(name: str):
    """A file of docs/tools as a module."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gallery():
    pytest.importorskip("mkdocs")
    return tool("gallery")


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (
            '<a href="b.html#there">b</a> <img src="data:image/png;base64,AA"> <a href="https://else.where/x">out</a>',
            None,
        ),
        ('<a href="c.html">c</a>', "'c.html' leads nowhere"),
        ('<a href="b.html#gone">b</a>', "'b.html#gone' leads nowhere"),
        ('<img src="gone.png">', "'gone.png' leads nowhere"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js from outside"),
        ('<link rel="stylesheet" href="//fonts.example/y.css">', "loads //fonts.example/y.css from outside"),
    ],
)
def test_a_site_that_leads_nowhere_or_loads_from_outside_is_told(page, problem, tmp_path, capsys):
    (tmp_path / "a.html").write_text(page)
    (tmp_path / "b.html").write_text('<h2 id="there">b</h2><a href="a.html">a</a>')
    assert tool("check_site").main(tmp_path) == (problem is not None)
    assert (f"a.html: {problem}" if problem else "every link leads somewhere") in capsys.readouterr().out


def test_formulas_become_mathml():
    inline, block = r'<span class="arithmatex">\(a &lt; b\)</span>', '<div class="arithmatex">\\[\nx^2\n\\]</div>'
    html = tool("formulas").on_page_content(f"<p>{inline}</p>{block}")
    assert html.count("<math") == 2
    assert "arithmatex" not in html
    assert "<msup>" in html


def test_a_card_of_an_executed_notebook_has_its_answer_and_leads_to_it(gallery):
    html = "".join(gallery.cards(GOLDEN))
    assert '<a href="report/07_gattanet.html">07 · ' in html
    assert "profile quick" in html
    assert html.count("Not executed yet") == html.count("<article>") - 1


@pytest.mark.parametrize(
    ("parameters", "told"), [({"profile": "smoke"}, ", profile smoke, in 3 s"), ({"profile": None}, "2026, in 3 s")]
)
def test_a_card_tells_the_profile_where_there_is_one(gallery, parameters, told):
    """Notebooks 03 and 09 have their protocol's."""
    text = gallery._told(Entry("ok", 3.0, "2026-11-30T11:15:00+00:00", parameters))
    assert told in text
    assert "None" not in text


def test_the_explorer_of_a_report_is_taken_over_and_missed_without_harm(gallery, tmp_path):
    assert gallery.explorer(tmp_path) is None
    (tmp_path / "notebooks").mkdir()
    shutil.copy(GOLDEN / "notebooks" / "07_gattanet.ipynb", tmp_path / "notebooks" / f"{gallery.EXPLORED}.ipynb")
    view = gallery.explorer(tmp_path)
    assert view is None or view.startswith("<figure")


SITE = """site_name: small
docs_dir: {docs}
site_dir: {site}
theme: {{name: material, font: false}}
plugins: [search, offline]
extra: {{report: {report}, generator: false}}
hooks: [{tools}/offline.py, {tools}/gallery.py]
"""


def test_a_site_of_a_report_with_one_notebook_is_whole(tmp_path):
    """Pages that others may lead to are there, and the plugin that makes the search work from files asks nobody."""
    build, config = pytest.importorskip("mkdocs.commands.build"), pytest.importorskip("mkdocs.config")
    report = shutil.copytree(GOLDEN, tmp_path / "report", ignore=shutil.ignore_patterns("studies"))
    export_html(report / "notebooks" / "07_gattanet.ipynb", report / "07_gattanet.html")
    write_index(report)
    folders = {"docs": tmp_path / "docs", "site": tmp_path / "site", "report": report, "tools": TOOLS}
    shutil.copytree(ROOT / "docs" / "assets", folders["docs"] / "assets")
    shutil.copy(ROOT / "docs" / "gallery.md", folders["docs"] / "index.md")
    (tmp_path / "mkdocs.yml").write_text(SITE.format(**folders))
    build.build(config.load_config(str(tmp_path / "mkdocs.yml")))
    assert tool("check_site").problems(folders["site"]) == []
    assert "Not executed yet" in (folders["site"] / "report" / "03_fusion_ablation.html").read_text()


def test_readmes_claims_are_taken_over_with_links_into_the_gallery():
    text = tool("claims_table").on_page_markdown("<!-- claims of README -->")
    assert "| verdict | claim |" in text
    assert "(gallery.md#02_glsa_training)" in text
    assert ".ipynb" not in text


def test_every_room_of_lib_has_a_page_of_the_api():
    pytest.importorskip("mkdocs")
    rooms = tool("api_pages").rooms()
    assert {"lib", "lib.glsa", "lib.explain.views"} <= set(rooms)
    assert "lib.glsa.block" in rooms["lib.glsa"]


def test_the_search_is_not_for_source():
    """The mark is read by the theme's search; the element is written by mkdocstrings' own template."""
    handlers, search = (
        pytest.importorskip(name) for name in ("mkdocstrings_handlers.python", "material.plugins.search.plugin")
    )
    (folder,) = handlers.__path__
    template = Path(folder, "templates", "material", "_base", "function.html.jinja").read_text()
    (details,) = re.findall(r"<details [^>]*source[^>]*>", template)
    parser = search.Parser()
    parser.feed(tool("api_pages").on_page_content(f"<h1>f</h1><p>told</p>{details}<p>code</p></details>"))
    (section,) = parser.data
    assert "told" in "".join(section.text)
    assert "code" not in "".join(section.text)


def test_every_page_is_in_the_navigation():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = set(re.findall(r"([\w/-]+\.md)\b", (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]))
    assert pages == named
