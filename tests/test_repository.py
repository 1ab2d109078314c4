"""What is tracked: linted, small, pinned, and free of traces of the machine it was written on."""

import re
import subprocess
import sys
import tomllib

import pytest

from lib.paths import ROOT


def tracked() -> list:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: there is no list of tracked files")
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_has_nothing_to_say(command):
    done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_large_files_and_no_traces_of_a_machine():
    for path in tracked():
        content = path.read_bytes()
        assert len(content) < (4 if path.parent.name == "weights" else 1) << 20, path
        if b"\0" not in content and path.name != "test_repository.py":
            text = content.decode()
            assert not re.search(r"(/home|/root|/Users)/\w|index.url|find.links", text), path


PAGES = [*ROOT.glob("*.md"), ROOT / "data" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BUILT = re.compile(r"docs/(api/[\w.]+\.md)")  # what `make docs` makes, and checks


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        path = (page.parent / target).resolve()
        assert path.exists() or BUILT.fullmatch(path.relative_to(ROOT).as_posix()), target


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert {re.split(r"[<>=\[]", r)[0].lower() for r in wanted} <= pinned
