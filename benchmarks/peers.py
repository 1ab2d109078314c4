"""Other projects' code, from clones that a user names by their folders. Nothing of it is part of this project."""

import importlib.util
import sys
import types
from pathlib import Path
from types import ModuleType

from lib.errors import WorkbookError, WorkbookFileError

# The flag that names a clone, and where it comes from.
CLONES = {
    "vit_explain": "github.com/jacobgil/vit-explain",
    "lesa_official": "github.com/Chenglin-Yang/LESA_classification",
    "gl_attention": "github.com/phungbminh/GL-Attention",
}


def told(clone: str) -> str:
    """Why a comparison is not run where nobody names the clone."""
    return f"give --{clone.replace('_', '-')} DIR, a clone of {CLONES[clone]}"


def vit_explain(folder: Path) -> ModuleType:
    """Its module of the rollout."""
    return _loaded("vit_explain", folder, "vit_rollout.py")


def lesa_official(folder: Path) -> ModuleType:
    """Its package of models. mmcv, which only their deformable convolutions want, is let off."""
    stand_in = types.ModuleType("mmcv.cnn")
    stand_in.build_conv_layer = None
    sys.modules.setdefault("mmcv", types.ModuleType("mmcv"))
    sys.modules.setdefault("mmcv.cnn", stand_in)
    return _loaded("lesa_official", folder, "lib/models/__init__.py")


def gl_attention(folder: Path) -> ModuleType:
    """Its package of attention blocks."""
    return _loaded("gl_attention", folder, "attention/__init__.py")


def _loaded(clone: str, folder: Path, file: str) -> ModuleType:
    """A module or package of a clone, under a name that is no other's."""
    path = folder / file
    if not path.exists():
        raise WorkbookFileError(f"{path} is missing: {folder} is no clone of {CLONES[clone]}.")
    inside = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(clone, path, submodule_search_locations=inside)
    sys.modules[clone] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise WorkbookError(f"{CLONES[clone]} needs {error.name}, which is not installed.") from error
    return module
