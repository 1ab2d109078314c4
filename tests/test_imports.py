"""Imports run one way, and `import lib` is cheap."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from lib.paths import ROOT

GROUND = {
    "errors",
    "files",
    "file_tree",
    "paths",
    "progress",
    "threads",
    "inputs",
    "code_digest",
    "disk",
    "remote",
    "launch",
    "malloc",
    "hardware",
    "view_files",
    "version",
    "seeds",
}
PAPERS = {"glsa", "dcal", "lesa", "gattanet"}
STREETS = {"explain", "report"}  # whose rooms have ranks of their own
ORDER = (  # a room may import those before it and itself, and nothing else of lib
    "ground",
    "weights",
    "mapped",
    "toynet",
    "cnn",
    "backbones",
    "papers",
    "models",
    "data",
    "retrieval",
    "training",
    "statistics",
    "evaluation",
    "explain.methods",
    "explain.scores",
    "photographs",
    "claims",
    "report.tables",
    "report.study",
    "report.figures",
    "explain.views",
    "report.pages",
    "publish",
    "workbook",
    "command lines",
)
COMMANDS = {
    "weights.recipes",
    "weights.__main__",
    "publish.__main__",
}  # command lines, though in a room below
NETWORK_ROOMS = {"weights", "mapped", "toynet", "cnn", "backbones", "papers", "models"}
UNKNOWN = {  # of what stands before them, what these do not know all the same
    "data": NETWORK_ROOMS,
    "retrieval": NETWORK_ROOMS,
    "statistics": NETWORK_ROOMS,
    "report.tables": {"explain.methods", "explain.scores"},
    "report.study": {"explain.methods", "explain.scores"},
    "report.figures": {"explain.methods", "explain.scores"},
    "report.pages": {
        "explain.methods",
        "explain.scores",
        "explain.views",
        "training",
        "evaluation",
        "statistics",
        "claims",
    },
    "workbook": {
        "publish",
        "training",
        "evaluation",
        "statistics",
        "models",
        "papers",
        "explain.methods",
        "explain.views",
        "claims",
    },
}
MOST_FILES = 25  # of one room
OUTSIDE = {"torch", "torchvision", "timm", "einops"}  # all that a paper's room may import beside the standard library


def is_module(name: str) -> bool:
    return any(ROOT.joinpath(*name.split(".")).with_suffix(end).exists() for end in ("", ".py"))


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file; relative imports are not used."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if node.module == "lib" or is_module(name)}
            found |= modules if modules == names else modules | {node.module}
    return found


FILES = [p for p in sorted((ROOT / "lib").rglob("*.py")) if p.parent != ROOT / "lib" or p.name != "__init__.py"]


def room_of(module: str) -> str:
    """The room of a module of lib, as it stands in ORDER; '' for `lib` itself and the front doors of STREETS."""
    first, *rest = module.split(".")[1:] or [""]
    if first in GROUND:
        return "ground"
    if ".".join((first, *rest)) in COMMANDS:
        return "command lines"
    if first in PAPERS:
        return "papers"
    if first in STREETS:
        return f"{first}.{rest[0]}" if rest else ""
    return "command lines" if (ROOT / "lib" / f"{first}.py").exists() and first not in ORDER else first


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT / "lib").as_posix())
def test_a_room_imports_only_what_stands_below_it(path):
    room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    if not room:
        return
    known = {*ORDER[: ORDER.index(room) + 1]} - UNKNOWN.get(room, set())
    assert {room_of(name) for name in imports(path) if name.split(".")[0] == "lib"} - {""} <= known
    if room in NETWORK_ROOMS - {"weights"}:
        outside = {name.split(".")[0] for name in imports(path)} - {"lib"} - set(sys.stdlib_module_names)
        assert outside <= OUTSIDE


def test_modules_import_each_other_in_no_circle():
    known = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in FILES}
    below = {name: {other for other in imports(path) if other in known} - {name} for name, path in known.items()}
    while leaves := {name for name, others in below.items() if not others}:
        below = {name: others - leaves for name, others in below.items() if name not in leaves}
    assert not below, f"a circle among {sorted(below)}"


def test_no_room_is_crowded_and_no_file_name_means_two_things():
    rooms = Counter(p.parent for p in (ROOT / "lib").rglob("*.py"))
    assert {str(room): n for room, n in rooms.items() if n > MOST_FILES} == {}
    names = Counter(p.name for p in FILES if p.name not in {"__init__.py", "__main__.py"})
    assert {name for name, n in names.items() if n > 1} <= {
        "model.py",
        "create.py",
    }  # a paper's network, and how to get it


TOOLS = {"papermill", "nbconvert", "nbformat", "jsonschema", "nbclient", "ipykernel", "ipywidgets", "wandb"}
FIGURES = {"matplotlib", "seaborn", "sklearn", "statsmodels", "scipy.stats", "scipy.sparse"}
LIGHTNING = {"pytorch_lightning", "torchmetrics"}
NETWORKS = {"torchvision", "timm", "torch._dynamo", "triton"}
SLOW = TOOLS | FIGURES | LIGHTNING | NETWORKS
STEPS = {  # what one process does, one after the other, and what is not loaded by then
    "import lib": SLOW | {"torch", "numpy", "pandas", "IPython"},
    "import lib.workbook.commandline as run_all; run_all.main(['--list'])": SLOW
    | {"torch", "numpy", "pandas", "IPython"},
    "lib.load_dataset": SLOW | {"IPython"},
    "import lib.training, lib.predict": SLOW | {"IPython"},
    "import lib.opening, lib.report.figures.run_figures": SLOW,
    "lib.create_model('resnet18', num_classes=7)": SLOW - NETWORKS | {"timm"},
}


def test_what_is_slow_to_import_is_imported_when_it_is_needed():
    code = "".join(f"{step}\nprint('loaded', *sys.modules)\n" for step in STEPS)
    command = [sys.executable, "-c", f"import sys\n{code}"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.splitlines()
    loaded = [line.split() for line in told if line.startswith("loaded ")]
    too_soon = [(step, slow & {*there}) for (step, slow), there in zip(STEPS.items(), loaded, strict=True)]
    assert [(step, names) for step, names in too_soon if names] == []


def test_every_public_name_of_lib_can_be_had():
    import lib

    assert all(getattr(lib, name) is not None for name in lib.__all__)
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        _ = lib.creat_model
