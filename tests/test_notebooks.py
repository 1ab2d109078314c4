"""The notebooks run at the smoke profile, and what they produced is there and says the right things."""

import re
import subprocess
import sys

import nbformat
import pytest

from lib.paths import NOTEBOOKS, ROOT
from lib.report.pages.index_page import read_entries
from lib.report.pages.notebook_page import SELDOM
from lib.report.pages.notebook_summary import key_figures
from lib.training import RunStore, profile_config
from lib.training.settings import BRANCHES
from lib.workbook.parameters import read_parameters
from lib.workbook.plan import predecessors

ALL = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
TAUGHT = ("02", "03", "04", "05", "06", "07", "08", "10")  # they open with their mechanism
VIEWS = {"02": 1, "03": 2, "04": 2, "05": 2, "06": 2, "07": 2, "08": 1, "09": 1, "10": 1}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The whole workbook, executed once."""
    output = tmp_path_factory.mktemp("workbook")
    command = [sys.executable, ROOT / "run_all.py", "--profile", "smoke", "--output-dir", output]
    subprocess.run(command, check=True)  # whose processes begin with PyTorch imported, whatever others here began with
    return output / "report"


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_notebooks_are_committed_clean_and_keep_to_the_form(path):
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert sum("parameters" in c.metadata.get("tags", []) for c in code) == 1
    assert max(len(c.source.splitlines()) for c in code) <= 35
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    assert re.match(r"# .+\n\n\*\*.+\?\*\*\n", first)  # a title and a question
    assert "*Duration:*" in first
    assert set(predecessors(path)) <= {p.stem for p in ALL if p < path}
    assert last.startswith("## References")
    assert not re.search(r"^class ", "\n".join(c.source for c in code), re.MULTILINE)  # models live in lib


@pytest.mark.parametrize("number", TAUGHT)
def test_notebooks_teach_before_they_measure(number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert len(prose) >= len(code)
    assert [text for text in prose if re.fullmatch(r"#+ .*", text)] == []  # a heading says how to read what follows
    assert prose[1].startswith("## The mechanism in ten lines\n")
    assert "$$" in prose[1]
    assert any("mechanism" in cell.metadata.get("tags", []) for cell in code)
    parameters, setup = code[:2]
    first, _, rest = parameters.source.partition(SELDOM)
    assert 3 <= len(first.splitlines()) <= 11
    assert rest
    assert setup.metadata["jupyter"]["source_hidden"]
    assert "open_notebook(globals()" in setup.source
    assert len(setup.source.splitlines()) <= 12
    questions = re.findall(r"<details>\s*<summary>.+?</summary>\n\n.+?\n\n</details>", "\n\n".join(prose), re.DOTALL)
    assert len(questions) == 2


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_executed_notebooks_have_figures_with_captions_and_a_verdict(path, report):
    executed = nbformat.read(report / "notebooks" / path.name, as_version=4)
    outputs = [o for c in executed.cells if c.cell_type == "code" for o in c.outputs]
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(figures) >= 4
    assert all(len(f.metadata["image/png"]["alt"]) > 30 for f in figures)
    assert sum(bool(f.metadata.get("thumbnail")) for f in figures) == 3
    text = "\n".join(o.get("data", {}).get("text/markdown", "") for o in outputs)
    assert "**Verdict.**" in text
    assert 1 <= len(key_figures(executed)) <= 6
    assert not [o for o in outputs if o.output_type == "error"]
    assert (report / f"{path.stem}.html").stat().st_size < 3_000_000


@pytest.mark.parametrize(("number", "count"), VIEWS.items())
def test_views_move_in_the_exported_page(number, count, report):
    (page,) = report.glob(f"{number}_*.html")
    assert page.read_text().count('class="attention-view"') == count


def test_dcal_is_ablated_in_every_profile_unless_told_otherwise():
    switches = read_parameters(NOTEBOOKS / "04_dcal_rollout.ipynb")["switches"]
    assert switches.default is True
    assert not switches.optional  # None would leave it to the profile


def test_dcal_tells_every_switchs_accuracy_and_how_much_of_the_object_it_covers(report):
    page = (report / "04_dcal_rollout.html").read_text()
    verdict = page[page.rindex("<strong>Verdict.") :]
    assert all(f"<li>{name} <b>" in page for name in BRANCHES)
    assert "SA+PWCA's attention" in verdict
    assert "of coverage of the object" in verdict


def test_too_few_images_to_mark_a_method_are_told(report):
    executed = nbformat.read(report / "notebooks" / "05_grad_cam.ipynb", as_version=4)
    told = [o.data.get("text/markdown", "") for c in executed.cells for o in c.get("outputs", []) if "data" in o]
    (caution,) = [text for text in told if text.startswith("**Caution.** With 8 groups of images")]
    assert any(
        text.startswith("**Verdict.**") and text.endswith(caution.removeprefix("**Caution.** ")) for text in told
    )


def test_the_index_shows_status_and_key_figures(report):
    page = (report / "index.html").read_text()
    assert {entry.status for entry in read_entries(report).values()} == {"ok"}
    for words in (
        "Data exploration",
        "GLSA training",
        "test images that leak, image-level split",
        "balanced accuracy, GLSA",
    ):
        assert words in page


def test_glsa_and_its_bare_backbone_were_trained_alike(report):
    store = RunStore(report.parent / "runs")
    glsa = profile_config("smoke", fusion_strategy="learnable_gate")
    runs = {config.attention: store.run(config) for config in (glsa, glsa.replace(attention="none"))}
    assert all(run.finished for run in runs.values())
    page = (report / "02_glsa_training.html").read_text()
    low, high = runs["CBAM"].metrics["intervals"]["balanced_accuracy"]
    assert f"{runs['CBAM'].metrics['test']['balanced_accuracy']:.3f} [{low:.3f}, {high:.3f}]" in page
