import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import nbformat
import psutil
import pytest

from lib.errors import WorkbookError
from lib.paths import ROOT
from lib.report.pages.index_page import read_entries
from lib.training.profiles import PROFILES as training_profiles
from lib.workbook.commandline import EPILOG, _parser, main
from lib.workbook.plan import find_notebooks, plan
from lib.workbook.shared_options import PROFILES
from lib.workbook.warm import TOOLS

PICTURE = """\
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(3, 2))
axes.plot([1, 2])
plt.show()"""
KEY_FIGURES = """\
from lib.report.pages.key_figures import show_key_figures
show_key_figures({"zeta": "0.61 [0.55, 0.67]", "class <script>": epochs})"""
PARAMETERS = 'profile: str = "quick"  # how much\nepochs: int = 3\ndata_root: str | None = None'


def run_all(*arguments, cwd: Path) -> SimpleNamespace:
    command = [sys.executable, str(ROOT / "run_all.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    return SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def workshop(notebook, tmp_path_factory):
    """Two notebooks, the first of which fails, executed from another folder with a relative output folder."""
    folder = tmp_path_factory.mktemp("workshop")
    notebook(
        folder / "01_bad.ipynb", "#! # Bad <i>news</i>", "print('so far')", "raise KeyError('gone')", "print('no')"
    )
    title = "#! # *Good* news\n\nIs it **really**?\n\nMore."
    notebook(
        folder / "02_good.ipynb",
        title,
        PICTURE,
        KEY_FIGURES,
        "print(data_root)",
        parameters=f'{PARAMETERS}\ndataset: str = "a"',
    )
    (folder / "images").mkdir()
    arguments = ["01_bad.ipynb", "02_good.ipynb", "--output-dir", "out", "--profile", "Smoke", "--data-root", "images"]
    arguments += ["--dataset", "digits"]
    done = run_all(*arguments, "-p", "epochs=12", cwd=folder)
    return SimpleNamespace(folder=folder, report=folder / "out" / "report", **vars(done))


def test_a_failing_notebook_does_not_stop_the_others(workshop):
    assert workshop.status == 1
    assert "01 | so far" in workshop.out
    assert "01 | failed in cell [4]" in workshop.out
    assert "02 | ok after" in workshop.out
    assert "1 of 2 notebooks ok" in workshop.out
    assert "Traceback" not in workshop.out + workshop.err


def test_partial_output_is_kept_and_exported(workshop):
    page = (workshop.report / "01_bad.html").read_text()
    assert "so far" in page
    assert "KeyError: &#39;gone&#39;" in page or "KeyError: 'gone'" in page
    cells = nbformat.read(workshop.report / "notebooks" / "01_bad.ipynb", as_version=4).cells
    assert any("so far" in output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_the_index_tells_what_the_notebooks_say(workshop):
    index = (workshop.report / "index.html").read_text()
    assert "Bad &lt;i&gt;news&lt;/i&gt;" in index
    assert "KeyError" in index
    assert "Good news" in index
    assert "<strong>really</strong>" in index
    assert index.index("zeta") < index.index("class &lt;script&gt;")
    assert "<td>12</td>" in index
    assert index.count("data:image/webp;base64,") == 1
    assert "profile <b>smoke</b>" in index
    assert 'class="badge failed">failed' in index


def test_paths_are_the_callers(workshop):
    assert f"02 | {workshop.folder / 'images'}" in workshop.out
    assert all(path.name.endswith(".claim-1") for path in workshop.report.rglob(".*"))


def test_a_path_in_braces_runs_and_a_relative_parameter_is_the_callers(notebook, tmp_path):
    folder = tmp_path / "my {old} work #1 100%"
    path = notebook(
        folder / "21_{x}_#2.ipynb", "#! # Mine", "print(data_root, x)", parameters=f"{PARAMETERS}\nx: int = 3"
    )
    done = run_all(path, "--output-dir", "out {x} #3", "-p", "data_root=images", cwd=folder)
    assert done.status == 0, done.out + done.err
    assert f"21 | {folder / 'images'} 3" in done.out
    report = folder / "out {x} #3" / "report"
    assert (report / "21_{x}_#2.html").is_file()
    links = re.findall(r'href="([^"#][^"]*)"', (report / "index.html").read_text())
    assert "21_%7Bx%7D_%232.html" in links
    assert all((report / unquote(link.partition("#")[0])).is_file() for link in links)


def test_a_subset_keeps_the_other_entries(workshop, notebook):
    notebook(workshop.folder / "01_bad.ipynb", "#! # Better", "1")
    done = run_all("01_bad.ipynb", "--output-dir", "out", cwd=workshop.folder)
    assert done.status == 0
    index = (workshop.report / "index.html").read_text()
    assert "Better" in index
    assert "Good news" in index
    assert "KeyError" not in index
    assert set(read_entries(workshop.report)) == {"01_bad", "02_good"}


def test_a_mistake_is_one_line_and_exit_status_2(notebook, tmp_path):
    path = notebook(tmp_path / "01_a.ipynb", "print('ran')", parameters=PARAMETERS)
    done = run_all(path, "--output-dir", "out", "-p", "epoch=1", cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: Unknown parameter 'epoch'. Did you mean 'epochs'?")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "epochs=many"], "'epochs' must be int"),
        (["--profile", "fast"], "Unknown profile 'fast'"),
        (["--dataset", "ham10000"], "Unknown parameter 'dataset'"),
        (["02_b.ipynb"], "no notebook 02_b"),
    ],
)
def test_nothing_runs_and_nothing_is_written_after_a_mistake(notebook, tmp_path, capsys, arguments, message):
    path = notebook(tmp_path / "01_a.ipynb", "print('ran')", parameters=PARAMETERS)
    with pytest.raises(WorkbookError, match=message):
        main([str(path), "--output-dir", str(tmp_path / "out"), *arguments])
    assert capsys.readouterr().out == ""
    assert os.listdir(tmp_path) == ["01_a.ipynb"]


def test_what_did_not_change_is_not_executed_again(notebook, tmp_path, capsys, monkeypatch):
    begun = []  # servers of processes that have imported what notebooks need
    monkeypatch.setattr("lib.workbook.commandline.warm_up", begun.append)
    paths = [str(notebook(tmp_path / f"{n}_a.ipynb", f"#! # Title {n}", f"print('ran {n}')")) for n in ("01", "02")]
    arguments = [*paths, "--output-dir", str(tmp_path / "out")]

    def ran(*more):
        assert main([*arguments, *more]) == 0
        return sorted(line for line in capsys.readouterr().out.splitlines() if "| ran" in line)

    assert ran() == ["01 | ran 01", "02 | ran 02"]
    assert begun == [TOOLS]  # neither notebook imports `lib`
    assert ran() == []
    assert begun == [TOOLS]
    notebook(tmp_path / "02_a.ipynb", "#! # Another title", "print('ran 02')")
    assert ran() == ["02 | ran 02"]
    assert "Another title" in (tmp_path / "out" / "report" / "index.html").read_text()
    assert ran("-p", "01.x=4") == ["01 | ran 01"]
    (tmp_path / "out" / "report" / "notebooks" / "02_a.json").write_text('{"status": "o')  # damaged: as if never run
    assert ran("-p", "01.x=4") == ["02 | ran 02"]
    assert ran("-p", "01.x=4", "--force") == ["01 | ran 01", "02 | ran 02"]
    assert begun == [TOOLS, TOOLS]


MEET = """\
import time
from pathlib import Path
here = Path({here!r})
(here / {me!r}).touch()
while not all((here / other).exists() for other in {others!r}):
    time.sleep(0.05)
print([path.name for path in sorted((here / "out" / "report").glob("0*.html"))])"""


def test_notebooks_run_side_by_side_and_one_waits_for_what_it_reads(notebook, tmp_path):
    """01 ends when 02 has begun, and 02 when 04 has, so that 04 cannot wait for 03, which waits for 02."""
    waits = {"01": ["02"], "02": ["01", "04"], "03": [], "04": []}
    paths = [
        notebook(tmp_path / f"{me}_a.ipynb", MEET.format(here=str(tmp_path), me=me, others=others))
        for me, others in waits.items()
    ]
    reader = nbformat.read(paths[2], as_version=4)
    reader.metadata["workbook"] = {"after": ["02_a", "04_a", "99_elsewhere"]}  # those that come later do not count
    nbformat.write(reader, paths[2])
    done = run_all(*paths, "--workers", "2", "--timeout", "60", "--output-dir", "out", cwd=tmp_path)
    assert done.status == 0, done.out
    assert "02_a.html" in next(line for line in done.out.splitlines() if line.startswith("03 | ["))
    assert "4 of 4 notebooks ok" in done.out


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_workers_are_a_whole_number(notebook, tmp_path, value):
    with pytest.raises(WorkbookError, match="workers"):
        main([str(notebook(tmp_path / "01_a.ipynb")), f"--workers={value}"])


def test_a_timeout_is_above_zero(notebook, tmp_path):
    with pytest.raises(WorkbookError, match="above 0, not '0'"):
        main([str(notebook(tmp_path / "01_a.ipynb")), "--timeout", "0"])


def test_notebooks_are_listed_with_their_parameters(notebook, tmp_path, capsys):
    path = notebook(tmp_path / "01_a.ipynb", "#! # A `good_title` and more_", parameters=PARAMETERS)
    assert main([str(path), "--list"]) == 0
    listed = capsys.readouterr().out
    assert "01  A `good_title` and more_  (01_a.ipynb)" in listed
    assert "profile: str = 'quick'  # how much\n" in listed
    assert "data_root: str | None = None\n" in listed


def test_a_page_that_cannot_be_written_does_not_stop_the_others(notebook, tmp_path, capsys):
    paths = [str(notebook(tmp_path / f"{name}.ipynb", "1")) for name in ("01_a", "02_b")]
    (tmp_path / "report" / "01_a.html").mkdir(parents=True)
    assert main([*paths, "--output-dir", str(tmp_path)]) == 1
    assert "1 of 2 notebooks ok" in capsys.readouterr().out
    assert {stem: entry.status for stem, entry in read_entries(tmp_path / "report").items()} == {
        "01_a": "failed",
        "02_b": "ok",
    }


def test_a_stop_keeps_what_is_done(notebook, tmp_path):
    """SIGTERM, as a batch system sends it, is a Ctrl-C."""
    slow = notebook(tmp_path / "01_slow.ipynb", "import time; print('begun', flush=True); time.sleep(60)")
    command = [sys.executable, ROOT / "run_all.py", slow, notebook(tmp_path / "02_b.ipynb"), "--output-dir", "out"]
    command += ["--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "begun" not in process.stdout.readline():
        assert process.poll() is None
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # papermill and the kernel
    process.terminate()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted" in out
    assert err.startswith("interrupted;")
    assert not psutil.wait_procs(family, timeout=60)[1]
    assert "begun" in (tmp_path / "out" / "report" / "01_slow.html").read_text()
    entries = read_entries(tmp_path / "out" / "report")
    assert {stem: entry.status for stem, entry in entries.items()} == {"01_slow": "interrupted"}


def test_the_data_are_checked_before_anything_runs(notebook, tmp_path):
    path = str(notebook(tmp_path / "01_a.ipynb", parameters='dataset: str = "a"\ndata_root: str | None = None'))
    with pytest.raises(WorkbookError, match="Did you mean 'HAM10000'"):
        main([path, "--dataset", "HAM1000"])
    with pytest.raises(WorkbookError, match="--data-root needs --dataset"):
        main([path, "--data-root", str(tmp_path)])
    with pytest.raises(WorkbookError, match="does not exist or is not a folder"):
        main([path, "--dataset", "HAM10000", "--data-root", str(tmp_path / "nowhere")])


def test_the_profiles_are_of_the_training():
    assert set(PROFILES) <= set(training_profiles)  # which has the papers' own recipes, too


def test_the_examples_in_the_help_are_real(tmp_path):
    examples = [
        line.split("run_all.py", 1)[1].split("   ")[0].split() for line in EPILOG.splitlines() if "run_all.py" in line
    ]
    assert len(examples) == 5
    for words in examples:
        if words[:1] == ["sweep"]:
            continue
        chosen = _parser().parse_intermixed_args(words)
        assert plan(find_notebooks(chosen.notebooks), tmp_path, {}, chosen.parameters)
