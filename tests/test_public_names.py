"""The names that the projects promise which this one comes from are there, and so are those of every room's door; each public
name says what it is."""

import ast
import importlib

import pytest
import torch

from lib import create_model, explain
from lib.paths import ROOT

DEFINITION = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize("name", [*explain.__all__, *explain.FORMER])
def test_a_name_of_lib_explain_is_there(name):
    assert getattr(explain, name) is getattr(explain, explain.FORMER.get(name, name))


@pytest.mark.parametrize(
    ("room", "names"),
    {
        "lib": "RunConfig create_dcal_model create_model fit",
        "lib.glsa": "BAM BaseFusion CBAM FUSION_STRATEGIES GLSABlock RESIDUAL_STRATEGIES ResidualStrategy SCSE",
        "lib.dcal": "AttentionRollout AttentionRolloutHook GlobalLocalCrossAttention PairWiseCrossAttention",
        "lib.gattanet": "GAttANet",
        "lib.lesa": "lesa_backbone",
        "lib.explain": "FLOORS METHODS league_table leaderboard",
        "lib.data": "AUGMENTATIONS load_dataset load_pixels",
    }.items(),
)
def test_the_names_of_a_room_are_there(room, names):
    module = importlib.import_module(room)
    assert [name for name in names.split() if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("resnet18", {"attn_type": "CBAM", "fusion_strategy": "learnable_gate", "residual_strategy": "progressive"}),
        ("resnet18", {"attn_type": "gatta"}),
        ("lesa_resnet50", {}),
        ("lesa_wrn50", {}),
        ("resnet50", {"attn_type": "gatta"}),
    ],
)
def test_a_seeds_model_is_created(backbone, settings):
    with torch.device("meta"):
        model = create_model(backbone, pretrained=False, num_classes=7, **settings)
    assert 7 in {tensor.shape[0] for name, tensor in model.named_parameters() if name.endswith("bias")}


def public(node):
    return [n for n in node.body if isinstance(n, DEFINITION) and not n.name.startswith("_")]


def test_every_public_name_of_lib_has_a_docstring():
    """But for a method that overrides a documented one of a class of lib, and keeps what that promises."""
    modules = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "lib").rglob("*.py"))}
    classes = {node.name: node for module in modules.values() for node in module.body if isinstance(node, ast.ClassDef)}

    def inherits(owner, name):
        bases = [classes[base] for base in map(ast.unparse, getattr(owner, "bases", ())) if base in classes]
        return any(inherits(base, name) or name in documented(base) for base in bases)

    def documented(owner):
        return {node.name for node in public(owner) if ast.get_docstring(node)}

    def silent(owner, within):
        said = documented(owner)
        for node in public(owner):
            if node.name not in said and not inherits(owner, node.name):
                yield f"{within}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from silent(node, f"{within}.{node.name}")

    names = {path: path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in modules}
    assert [names[path] for path, module in modules.items() if not ast.get_docstring(module)] == []
    assert [name for path, module in modules.items() for name in silent(module, names[path])] == []
