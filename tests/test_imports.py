"""Imports run one way, and `import lib` is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from lib.paths import ROOT

PAPERS = {"glsa", "dcal", "lesa", "gattanet"}
BASE = {"claims", "errors", "files", "inputs", "launch", "maps", "memory", "paths", "progress", "sources"}
MODELS = {"backbones", "toynet", *BASE, *PAPERS}
PAPER_ROOM = {"errors", "maps", "backbones", *PAPERS}
ALLOWED = {  # what a room or file of lib may import of lib
    **dict.fromkeys(PAPERS, PAPER_ROOM),
    "toynet": BASE,
    "backbones": BASE | {"toynet"},
    "models": MODELS,
    "data": BASE | {"data"},
    "training": MODELS | {"models", "data", "training"},
    "report": BASE | {"data", "training", "report"},
    "explain": MODELS | {"models", "data", "training", "report", "explain"},
    "workbook": BASE | {"data", "report", "workbook"},
    "train": BASE | {"training"},
    "predict": BASE | {"data", "training"},
    **dict.fromkeys(BASE, BASE),
}
OUTSIDE = {"torch", "torchvision", "timm", "einops"}  # all that a paper's room may import beside the standard library


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in the file; relative imports are not used."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module if node.module != "lib" else f"lib.{node.names[0].name}")
    return found


FILES = [p for p in sorted((ROOT / "lib").rglob("*.py")) if p.parent != ROOT / "lib" or p.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT / "lib").as_posix())
def test_a_room_imports_only_what_stands_below_it(path):
    room = path.relative_to(ROOT / "lib").parts[0].removesuffix(".py")
    own = {name.split(".")[1] for name in imports(path) if name.startswith("lib.")}
    assert own <= ALLOWED[room] | {room}
    if room in PAPERS | {"backbones", "models", "maps", "toynet"}:
        outside = {name.split(".")[0] for name in imports(path)} - {"lib"} - set(sys.stdlib_module_names)
        assert outside <= OUTSIDE


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_importing_lib_loads_neither_lightning_nor_the_notebooks_tools():
    heavy = {"pytorch_lightning", "papermill", "nbconvert", "nbformat", "ipywidgets", "IPython", "matplotlib", "wandb"}
    assert not loaded_by("import lib") & (heavy | {"torch"})
    assert not loaded_by("from lib import create_model; create_model('resnet18', num_classes=7)") & heavy
    assert not loaded_by("from lib import load_dataset") & heavy
    assert "pytorch_lightning" not in loaded_by("import lib.predict")


def test_every_public_name_of_lib_can_be_had():
    import lib

    assert all(getattr(lib, name) is not None for name in lib.__all__)
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        _ = lib.creat_model
