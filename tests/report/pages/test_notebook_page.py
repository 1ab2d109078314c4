import base64
import io
import re
from datetime import datetime
from html import escape
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from lib.progress import Progress
from lib.report.figures.style import literal
from lib.report.pages.execution_records import Entry, write_entry
from lib.report.pages.index_page import write_index
from lib.report.pages.key_figures import key_figures_bundle
from lib.report.pages.markdown import Page, link_pages
from lib.report.pages.notebook_page import SELDOM, export_html
from lib.report.pages.notebook_summary import key_figures, question, thumbnails, title
from lib.report.pages.toc import table_of_contents
from lib.report.tables.cells import Cell
from lib.report.tables.table import Table, html_of

EVIL = "<script>alert(1)</script>"


def png(width=900, height=300) -> str:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def show(data: dict, **metadata):
    return new_output("display_data", data=data, metadata=metadata)


def printed(text: str, name: str = "stdout"):
    return new_output("stream", name=name, text=text)


def cell(source: str, *outputs, n: int = 1, tags=()):
    return new_code_cell(source, outputs=list(outputs), execution_count=n, metadata={"tags": list(tags)})


NAME = "<b onclick=\"x\">Größe</b> & 'quoted'"  # of a class
LINK = '<td><a href="05_wide.ipynb">05</a></td>'
WIDE = f"<table class='dataframe' border='1'><tr>{'<td>a-wide-cell</td>' * 60}{LINK}</tr></table>"
FIGURES = key_figures_bundle({"zeta": "0.61 [0.55, 0.67]", f"class {EVIL}": EVIL, "scores won": {EVIL: "1 of 7"}})
ROWS = [
    {("", "method"): Cell.words(f"method {i}"), **{("set", f"score {n}"): Cell.quantity(1e5) for n in range(14)}}
    for i in range(9)
]


@pytest.fixture
def executed(tmp_path):
    """An executed notebook with one of everything, in a report's folder."""
    cells = [
        new_markdown_cell("# Does *it* work?\n\nWhat is `x_1` in $x_1^2$, and **why**?\n\n## The figures"),
        cell('epochs: int = 3  # "passes"', tags=["parameters"]),
        cell("# Parameters\nname = 'a < b'\nepochs = 5\n", n=2, tags=["injected-parameters"]),
        cell("plot()", show({"image/png": png(), "text/plain": "<Figure>"}), n=3),
        cell("plot()", show({"image/png": png(300, 300)}, **{"image/png": {"alt": 'a "gate" & more'}}), n=4),
        new_markdown_cell("$$\\frac{a}{b}$$\n\n|" + " wide header |" * 40 + "\n|" + "---|" * 40 + "\n|" + " 1 |" * 40),
        cell("table", show({"text/html": WIDE, "image/png": png(31, 17), "text/plain": "not shown"}), n=5),
        cell(
            "train()",
            *[printed(f"step {i} {EVIL}\n") for i in range(40)],
            printed("careful\n", "stderr"),
            printed("end\n"),
            n=6,
        ),
        cell("warn()", printed("beware\n", "stderr")),
        cell("league", show({"text/html": html_of(Table("league", f"Who wins {EVIL} (p < 0.05); the rest", ROWS))})),
        cell("view", show({"text/html": "<figure>moves</figure>", "image/png": png()}, **{"image/png": {"alt": NAME}})),
        cell("show", show(FIGURES), n=7),
        new_markdown_cell("## The figures\n\nSee [the next](03_next.ipynb#end)."),
        cell("x" * 300),
    ]
    path = tmp_path / "notebooks" / "02_try.ipynb"
    path.parent.mkdir()
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def page(executed, tmp_path):
    export_html(executed, tmp_path / "02_try.html")
    return (tmp_path / "02_try.html").read_text()


@pytest.fixture
def index(executed, tmp_path, page):
    finished = datetime.now().isoformat()
    write_entry(executed, Entry("failed", 61.0, finished, {"profile": EVIL}, error=EVIL))
    return write_index(tmp_path).read_text()


class References(HTMLParser):
    """Every address in a page: in attributes, and in style sheets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = re.findall(r"url\(|@import", html)
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.alts += [value for name, value in attrs if name == "alt"]
        loading = {"src", "srcset", "data", "poster", "action"} | (
            {"href"} if tag in ("link", "image", "use") else set()
        )
        self.found += [value for name, value in attrs if name in loading]


@pytest.mark.parametrize("which", ["page", "index"])
def test_nothing_outside_is_referenced(which, request):
    html = request.getfixturevalue(which)
    assert {address.partition(":")[0] for address in References(html).found} == {"data"}
    assert "link" not in References(html).tags
    assert "Content-Security-Policy" in html
    assert "default-src 'none'" in html or "default-src &#39;none&#39;" in html


@pytest.mark.parametrize("which", ["page", "index"])
def test_what_data_say_is_escaped(which, request):
    html = request.getfixturevalue(which)
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)" in html


def test_pictures_are_called_by_their_metadata_or_by_the_heading_above(page):
    assert References(page).alts == ["A figure of The figures", 'a "gate" & more']
    assert 'aria-label="A figure of The figures"' in page


def test_html_is_preferred_to_a_picture(page):
    assert "a-wide-cell" in page
    assert png(31, 17) not in page
    assert "not shown" not in page


def test_headings_are_unique_and_listed(page):
    ids = re.findall(r'<h\d id="([^"]+)"', page)
    assert ids == ["does-it-work", "the-figures", "the-figures-2"]
    assert re.findall(r'<li class="level-\d"><a href="#([^"]+)"', page) == ids


def test_formulas_are_mathml(page):
    assert page.count("<math") == 2
    assert "<mfrac>" in page


def test_links_to_notebooks_lead_to_their_pages(page):
    assert 'href="03_next.html#end"' in page
    assert 'href="05_wide.html"' in page  # in a table
    assert link_pages('<a href="https://a.b/c.ipynb">') == '<a href="https://a.b/c.ipynb">'


def test_parameters_of_the_run_are_a_table_in_order(page):
    rows = re.findall(r"<code>(\w+)</code></th><td><code>(.*?)</code>", page)
    assert rows == [("name", "'a &lt; b'"), ("epochs", "5")]


ANSWER = """## Try it

What is $x_1^2$?

<details><summary>Answer</summary>

A **square**, $x_1^2$.

</details>

Go on."""


@pytest.fixture
def unfolded(tmp_path):
    """A page with a parameters cell in two groups, a setup cell, a mechanism's cell, a diagram and a folded answer."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9" height="9"/>'
    setup = cell("nb = open_notebook(globals())")
    setup.metadata["jupyter"] = {"source_hidden": True}
    cells = [
        new_markdown_cell("# A\n\n**Why?**"),
        cell(f"often: int = 1\n{SELDOM}\nseldom: int = 2\nrare: int = 3", tags=["parameters"]),
        cell("often = 1\nrare = 3\nseldom = 2", tags=["injected-parameters"]),
        setup,
        cell(
            "assert_close(a, b)", show({"image/svg+xml": svg}, **{"image/svg+xml": {"alt": "How"}}), tags=["mechanism"]
        ),
        new_markdown_cell(ANSWER),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "03_fold.ipynb")
    export_html(tmp_path / "03_fold.ipynb", tmp_path / "03_fold.html")
    return (tmp_path / "03_fold.html").read_text()


def test_parameters_that_are_seldom_changed_are_folded(unfolded):
    assert re.search(
        r"often</code>.*<summary>2 seldom changed</summary>.*rare</code>.*seldom</code>", unfolded, re.DOTALL
    )


def test_setup_is_folded_and_the_mechanism_is_not(unfolded):
    summaries = re.findall(r'<details class="code"( open)?[^>]*>\s*<summary>(\w+)', unfolded)
    assert summaries == [("", "code"), ("", "setup"), (" open", "code")]


def test_an_answer_is_folded_markdown(browser, unfolded, tmp_path):
    view = browser.new_page()
    view.goto(f"file://{tmp_path}/03_fold.html")
    answer = view.locator(".prose details")
    assert answer.locator("strong, math").count() == 2
    assert not answer.locator("strong").is_visible()
    assert view.is_visible("text=Go on.")
    answer.locator("summary").click()
    assert answer.locator("strong").is_visible()
    assert view.evaluate("[...document.images].map(image => [image.alt, image.naturalWidth])") == [["How", 9]]
    view.close()


def test_a_long_log_is_folded_to_its_last_line(page):
    assert "log, 42 lines" in page
    assert "<samp>end</samp>" in page
    assert page.count("careful") == 1
    assert '<pre class="log stderr">beware</pre>' in page


def test_a_page_stays_small(page):
    assert len(page) < 300_000


def test_a_failed_cell_is_marked_and_told_at_the_top(tmp_path):
    error = new_output("error", ename="ValueError", evalue="no <b>", traceback=["\x1b[31mred\x1b[0m <b>"])
    marker = new_markdown_cell("An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]})
    notebook = new_notebook(cells=[marker, cell("ok"), cell("bad()", error, n=2), new_code_cell("later")])
    nbformat.write(notebook, tmp_path / "01_a.ipynb")
    export_html(tmp_path / "01_a.ipynb", tmp_path / "01_a.html")
    page = (tmp_path / "01_a.html").read_text()
    assert "An Exception was encountered" not in page
    assert page.count('id="failed"') == 1
    alert = page[page.index('role="alert"') : page.index("</aside>")]
    assert "ValueError: no &lt;b&gt;" in alert
    assert '<a href="#failed">' in alert
    assert '<span class="ansi-red-fg">red</span> &lt;b&gt;' in page
    assert "not run" in page


def test_a_run_that_was_stopped_says_so(executed, tmp_path):
    export_html(executed, tmp_path / "a.html", problem="timeout after 3 s")
    assert "timeout after 3 s" in (tmp_path / "a.html").read_text()
    assert 'role="alert"' in (tmp_path / "a.html").read_text()


def test_the_index_shows_key_figures_in_order_and_thumbnails(index):
    assert index.index("zeta") < index.index("class &lt;script&gt;")
    assert index.count("data:image/webp;base64,") == 3
    assert "1 min 01 s" in index
    assert "<strong>why</strong>" in index


def test_a_notebook_is_digested(executed):
    notebook = nbformat.read(executed, as_version=4)
    assert title(notebook) == "Does it work?"
    assert question(notebook) == "What is `x_1` in $x_1^2$, and **why**?"
    assert [name for name, _ in key_figures(notebook)] == ["zeta", f"class {EVIL}", "scores won"]


def test_marked_pictures_are_the_thumbnails():
    pictures = [show({"image/png": png(720 + i, 360)}) for i in range(5)]
    notebook = new_notebook(cells=[cell("plots", *pictures)])
    table_of_contents(notebook)
    assert [each.width for each in thumbnails(notebook)] == [360] * 3
    pictures[0].metadata = {"thumbnail": True, "image/png": {"alt": "first"}}
    pictures[1].metadata = {"thumbnail": True, "image/png": {"alt": "second"}}
    table_of_contents(notebook := new_notebook(cells=[cell("plots", *pictures)]))
    told = [(each.alt, each.anchor) for each in thumbnails(notebook)]
    assert told == [("first", "#this-notebook-figure"), ("second", "#this-notebook-figure-2")]


def test_an_executed_notebook_that_is_gone_leaves_the_index(index, executed, tmp_path):
    executed.unlink()
    assert "Does it work?" in index
    assert "0 of 0" in re.sub("<[^>]+>", "", write_index(tmp_path).read_text())


def test_key_figures_are_readable_without_html():
    figures = {"loss": 0.5, "accuracy": "61 %", "won": {"a": 1, "b": 0}}
    assert key_figures_bundle(figures)["text/plain"] == (
        "Key figures\n  loss      0.5\n  accuracy  61 %\n  won       a 1, b 0"
    )


@pytest.mark.parametrize("which", ["page", "index"])
def test_a_key_figure_of_several_values_is_a_list(which, request):
    html = request.getfixturevalue(which)
    assert f"<li>{escape(EVIL)} <b>1 of 7</b></li>" in html


def test_the_index_links_every_heading_figure_and_table(index, page):
    """Addresses tell the heading above and nothing of the data."""
    linked = re.findall(r'<li class="([\w-]+)"><a href="02_try.html#([^"]+)">(.*?)</a>', index)
    assert [(kind, address) for kind, address, _ in linked] == [
        ("level-2", "the-figures"),
        ("figure", "the-figures-figure"),
        ("figure", "the-figures-figure-2"),
        ("table", "the-figures-table"),
        ("table", "the-figures-table-2"),
        ("view", "the-figures-view"),
        ("table", "the-figures-table-3"),
        ("level-2", "the-figures-2"),
    ]
    assert [text for *_, text in linked][2:6] == [
        escape('a "gate" & more').replace("&quot;", "&#34;"),
        "A table of The figures",
        escape(f"Who wins {EVIL} (p < 0.05)"),
        escape(NAME).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    ]
    assert all(page.count(f' id="{address}"') == 1 for _, address, _ in linked)
    assert "Contents: 2 figures, 3 tables, 1 view</summary>" in index
    assert 'href="02_try.html#the-figures-figure-2" style' in index  # of a thumbnail


def test_addresses_are_unique_whatever_the_headings():
    page = Page()
    page.render("# A 2\n\n# A\n\n# A\n\n# Failed\n\n# …\n\n# Größe ` x `")
    assert [heading.id for heading in page.headings] == ["a-2", "a", "a-3", "failed-2", "section", "grösse-x"]


def test_a_figure_is_legible_on_a_phone_and_keys_move_what_is_wide(browser, page, tmp_path):
    view = browser.new_page(viewport={"width": 390, "height": 800})
    view.goto(f"file://{tmp_path}/02_try.html")
    assert view.locator("#the-figures-figure img").bounding_box()["width"] >= 600
    for address in ("the-figures-figure", "the-figures-table", "the-figures-table-2"):
        box = view.locator(f"#{address}")
        assert box.bounding_box()["width"] <= 390
        assert box.get_attribute("role") == "region"
        assert box.get_attribute("aria-label")
        box.focus()
        view.keyboard.press("ArrowRight")
        view.wait_for_function("id => document.getElementById(id).scrollLeft > 0", arg=address)
    caption, names = view.locator("#the-figures-table-2 caption"), view.locator("#the-figures-table-2 tbody td.col0")
    view.evaluate("document.querySelector('#the-figures-table-2').scrollLeft = 500")
    for stays in (caption, names.first):  # while the rest moves
        assert 0 <= stays.bounding_box()["x"] < 30
        assert stays.bounding_box()["x"] + stays.bounding_box()["width"] <= 390
    view.close()


def test_a_print_holds_whole_figures_and_rows_and_little_code(browser, page, tmp_path):
    view = browser.new_page(viewport={"width": 680, "height": 900})  # A4 less its margins
    view.goto(f"file://{tmp_path}/02_try.html")
    league = view.locator("#the-figures-table-2")
    assert league.evaluate("box => box.scrollWidth > box.clientWidth")
    view.emulate_media(media="print")
    assert league.evaluate("box => box.scrollWidth <= box.clientWidth")
    assert view.locator("summary:has-text('code'):visible").count() == 0
    assert view.locator("details.parameters:visible").count() == 1
    for selector, style, value in (
        ("figure.output, tr, .key-figures", "breakInside", "avoid"),
        ("main h2", "breakAfter", "avoid"),
        ("tbody tr:first-child", "breakAfter", "avoid"),  # a heading and one row are no table
        (".scroll", "overflowX", "visible"),
    ):
        found = view.locator(selector).evaluate_all(f"all => all.map(each => getComputedStyle(each).{style})")
        assert set(found) == {value}, selector
    view.evaluate("document.querySelector('details.code').open = true")
    assert view.locator("summary:has-text('code'):visible").count() == 1
    view.close()


@pytest.mark.parametrize("name", ["index", "02_try"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_without_network_shows_the_page(browser, index, tmp_path, name, width):
    context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
    view, requests, complaints = context.new_page(), [], []
    view.on("request", lambda request: requests.append(request.url))
    view.on("console", lambda message: complaints.append(message.text))
    view.on("pageerror", lambda error: complaints.append(str(error)))
    view.on("dialog", lambda dialog: complaints.append("a script of the data's ran"))
    view.goto(f"file://{tmp_path}/{name}.html")
    assert [url for url in requests if not url.startswith(("data:", "file://"))] == []
    assert complaints == []
    assert view.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    view.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_one_button_unfolds_all_code(browser, page, tmp_path):
    view = browser.new_page()
    view.goto(f"file://{tmp_path}/02_try.html")
    assert not view.is_visible("text=train()")
    view.click("#all-code")
    assert view.is_visible("text=train()")
    view.close()


def test_names_in_markdown_outputs_are_shown_and_not_run(tmp_path):
    name = '<img src=x onerror=alert(2)> *star*_us_ $x^$ [a](b) <script>alert(1)</script> & "q" `ü`'
    source = tmp_path / "01_names.ipynb"
    caption = show({"text/markdown": f"*Class {literal(name)}, predicted.*"})
    raw = show({"text/markdown": f"**Verdict.** {EVIL} <img src=x onerror=alert(3)>"})
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Names"), cell("show()", caption, raw)]), source)
    export_html(source, tmp_path / "01_names.html")
    html = (tmp_path / "01_names.html").read_text(encoding="utf-8")
    assert "<img src=x" not in html
    assert "<script>alert" not in html
    assert f"<em>Class {escape(name, quote=False)}, predicted.</em>" in html.replace("&quot;", '"')


def test_what_was_news_while_work_went_on_is_left_out(tmp_path):
    """The lines of `lib.progress.Lines`; what else was printed stays."""
    progress = Progress(12, "scoring maps", "scores", done=3)
    progress.note = "deletion of grad-cam"
    said = "4 images: 3/4 sure\n"
    cells = [
        new_markdown_cell("# A title"),
        cell("x", printed(f"{progress.line(1.0)}\n{said}"), printed(progress.line(2.0))),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "04_x.ipynb")
    export_html(tmp_path / "04_x.ipynb", tmp_path / "04_x.html")
    text = (tmp_path / "04_x.html").read_text()
    assert "scoring maps" not in text
    assert said.strip() in text
