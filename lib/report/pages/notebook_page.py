"""An executed notebook as one HTML file that needs nothing but itself: no network, no server, no JavaScript library."""

import ast
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from papermill.execute import ERROR_MARKER_TAG
from traitlets.config import Config

from lib.errors import WorkbookFileError
from lib.files import write_text
from lib.progress import NEWS
from lib.report.pages.frame import TEMPLATES, content_security, style
from lib.report.pages.markdown import Heading, link_pages, render_untrusted
from lib.report.pages.notebook_summary import title
from lib.report.pages.toc import SHOWN, table_of_contents
from lib.view_files import view_scripts

LONG_LOG = 12  # lines; longer ones are folded
SELDOM = "# Seldom changed"  # the comment in a parameters cell above what most people leave as it is


def export_html(executed_notebook: Path, target: Path, problem: str | None = None) -> None:
    """Write the page of `executed_notebook` to `target`.

    `problem` tells in one line how the run ended, where it did not end well; without it, the page
    opens with the first exception that the notebook holds.
    """
    notebook = read_executed(executed_notebook)
    script = (TEMPLATES / "notebook.js").read_text(encoding="utf-8")
    page = {"style": style(), "script": script, "security": content_security(script, *view_scripts())}
    page |= {"name": executed_notebook.stem, "long_log": LONG_LOG}
    headings = [place for place in table_of_contents(notebook) if isinstance(place, Heading) and place.level <= 3]
    page |= {"title": title(notebook), "headings": headings, "failed": _mark_failed(notebook)}
    page |= {"problem": problem or page["failed"], "parameters": _injected_parameters(notebook)}
    page |= {"seldom": _seldom_changed(notebook)}
    config = Config({"NbConvertBase": {"display_data_priority": SHOWN}})
    exporter = HTMLExporter(config=config, template_name="workbook", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("untrusted", render_untrusted)  # outputs hold names from data sets
    exporter.register_filter("link_pages", link_pages)
    html, _ = exporter.from_notebook_node(notebook, {"page": page})
    write_text(target, html)


def read_executed(path: Path) -> NotebookNode:
    """The notebook without the cells that papermill adds to one that failed, each cell's log in one piece.

    Raises:
        WorkbookFileError: the file is damaged.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # of a damaged file: nbformat's converters raise a dozen types
        what = str(error).partition("\n")[0] or type(error).__name__
        raise WorkbookFileError(f"{path} is damaged ({what}): execute the notebook again.") from error
    notebook.cells = [cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _merge_logs(_without_progress(cell.outputs))
    return notebook


def _without_progress(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """What was said while work went on and is no news afterwards is left out."""
    for output in outputs:
        if output.output_type == "stream":
            output.text = NEWS.sub("", output.text)
    return [output for output in outputs if output.output_type != "stream" or output.text]


def _merge_logs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """One log for what was printed in turn on stdout and stderr, so that a long one can be folded."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].output_type == "stream":
            merged[-1].text += output.text
            merged[-1].name = "stdout" if output.name != merged[-1].name else output.name
        else:
            merged.append(output)
    return merged


def _injected_parameters(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Name and value as papermill wrote them into its cell; its metadata lose the order."""
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            lines = ast.parse(cell.source).body
            return [(line.targets[0].id, ast.unparse(line.value)) for line in lines]
    return []


def _seldom_changed(notebook: NotebookNode) -> set[str]:
    """The parameters below the comment SELDOM."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            _, _, rest = cell.source.partition(SELDOM)
            return {line.target.id for line in ast.parse(rest).body if isinstance(line, ast.AnnAssign)}
    return set()


def _mark_failed(notebook: NotebookNode) -> str | None:
    """Mark the first cell that raised, and return what it raised."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                cell.metadata["failed"] = True
                return f"{output.ename}: {output.evalue}"
    return None
