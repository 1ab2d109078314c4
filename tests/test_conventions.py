"""What strangers expect of a repository is there, can be read, and says what is true."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from lib.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_commands_that_are_there(path):
    jobs = yaml.safe_load(path.read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {word for command in commands for word in re.findall(r"^make (\w+)", command)} <= TARGETS
    assert all((ROOT / command).exists() for command in commands if command.startswith(".ci/"))
    actions = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_a_file_for_github_keeps_to_its_schema(schema, paths):
    jsonschema, testing = pytest.importorskip("check_jsonschema"), pytest.importorskip("click.testing")
    done = testing.CliRunner().invoke(jsonschema.main, ["--builtin-schema", f"vendor.{schema}", *map(str, paths)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_for_something(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"]]
    assert len(ids) == len(set(ids)) > 0


def test_the_citation_names_the_version_and_every_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", project["version"])
    assert citation["license"] == project["license"]
    papers = {each["value"] for paper in citation["references"] for each in paper.get("identifiers", ())}
    told = set(re.findall(r"arXiv (\d{4}\.\d{5})", "".join(p.read_text() for p in (ROOT / "docs").rglob("*.md"))))
    assert {f"arXiv:{number}" for number in told} <= papers


def test_the_image_is_built_of_what_is_there():
    """Where no engine is at hand: linted, and what pip is to install is copied before it."""
    linted = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    words = [line.split() for line in lines]
    copied = [source for word in words if word[0] == "COPY" for source in word[1:-1] if not source.startswith("--")]
    assert all((ROOT / source).exists() for source in copied)
    assert json.loads(lines[-1].removeprefix("CMD "))[0] == "jupyter"
    installed = next(i for i, word in enumerate(words) if "pip" in word)
    before = {source for word in words[:installed] if word[0] == "COPY" for source in word[1:-1]}
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {"lib", *(f"{module}.py" for module in setuptools["py-modules"])} <= before  # what pip is to install


def test_the_devcontainer_opens_that_image_and_imports_the_folder_that_it_shows():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    dockerfile = (ROOT / "Dockerfile").read_text()
    (number,) = re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)
    assert f"--uid {number} {container['remoteUser']} " in dockerfile
    assert container["remoteEnv"]["PYTHONPATH"] == "${containerWorkspaceFolder}"  # not the image's own copy of lib


def test_binder_finds_an_environment_and_it_is_condas():
    """Binder takes a Dockerfile before environment.yml, reads `.binder` in place of the top, and a Python told by `=`."""
    conda, binder = (yaml.safe_load((ROOT / name / "environment.yml").read_text()) for name in (".", ".binder"))
    assert [path.name for path in (ROOT / ".binder").iterdir()] == ["environment.yml"]
    *packages, pip = conda["dependencies"]
    assert re.fullmatch(r"python=3\.\d+", packages[0])
    assert pip["pip"] == ["-c constraints.txt", "-e ."]
    assert binder["dependencies"] == [*packages, {"pip": ["-c ../constraints.txt", "-e .."]}]


def test_badges_open_notebooks_that_are_there():
    readme = (ROOT / "README.md").read_text()
    opened = re.findall(r"labpath=([\w%.]+)\)|/blob/main/([\w/.]+\.ipynb)\)", readme)
    paths = sorted(binder.replace("%2F", "/") or colab for binder, colab in opened)
    assert paths == ["notebooks/00_claims.ipynb"] * 2 + ["notebooks/05_grad_cam.ipynb"] * 2
    assert all((ROOT / path).exists() for path in paths)


def test_the_lock_holds_the_versions_that_are_tested():
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE))

    tested, locked = pins("constraints.txt"), pins("requirements.lock")
    different = {name for name in tested.keys() & locked.keys() if tested[name] != locked[name]}
    assert not different, "make lock"
    assert {"torch", "timm", "papermill"} <= locked.keys()


def test_types_are_told():
    assert (ROOT / "lib" / "py.typed").exists()
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in setuptools["package-data"]["lib"]
    assert setuptools["py-modules"] == ["attention_workbook"]


def test_a_finding_pins_what_it_installs():
    for path in (ROOT / "findings").glob("*.sh"):
        installed = re.findall(r'pip"? install (?:--?\S+ )*([^\n&|]+)', path.read_text())
        assert installed, path.name
        assert all("==" in package for packages in installed for package in packages.split()), path.name
