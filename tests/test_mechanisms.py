"""*The mechanism in ten lines* of each notebook holds with the library as it is, and notices a library that was changed.

The cell that is tagged `mechanism` is run on a small network as it is drawn; a case tells what the cell is given, and the
ways in which the library's layer is altered, each of which has to end in an AssertionError.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import torch
from einops import einsum, rearrange

from lib.glsa import GLSABlock
from lib.glsa.attention import GlobalAttention
from lib.models import create_model
from lib.paths import NOTEBOOKS

GIVEN: dict[str, Callable[[], dict[str, Any]]] = {}  # by notebook: the names that its cell is given
ALTERED: list[tuple[str, type | Any, str, Callable]] = []  # notebook, owner, attribute, what takes its place


def mechanism(number: str) -> str:
    """The source of a notebook's mechanism."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if "mechanism" in cell.metadata.get("tags", []))


def run_mechanism(number: str) -> None:
    torch.manual_seed(0)
    exec(compile(mechanism(number), f"notebook {number}", "exec"), {"torch": torch, **GIVEN[number]()})


def given(number: str) -> Callable:
    """The function that it decorates makes what the notebook's cell is given."""
    return lambda make: GIVEN.setdefault(number, make)


def altered(number: str, owner: Any, attribute: str) -> Callable:
    """The function that it decorates takes the place of a part of the library."""
    return lambda other: ALTERED.append((number, owner, attribute, other))


def image() -> SimpleNamespace:
    """One image, as `open_notebook(…).example` is."""
    pixels = torch.rand(1, 3, 64, 64)
    return SimpleNamespace(batch=lambda model: pixels, labels=[1])


@given("02")
def glsa():
    network = create_model("toynet", num_classes=3, fusion_strategy="learnable_gate").eval()
    names = {"network": network, "backbone": network.backbone, "block": network.block}
    return {**names, "image": image(), "einsum": einsum, "rearrange": rearrange}


@altered("02", GLSABlock, "forward")
def local_attention_of_the_global_map_alone(self, x):
    A = self.attention(x)
    return self.residual(x, self.fusion(A, self.local(A), x))


@altered("02", GlobalAttention, "matrix")
def scores_that_are_not_scaled(self):
    return (self.kept["q"].flatten(2, 3) @ self.kept["k"].transpose(2, 3)).softmax(-1)


@pytest.mark.parametrize("number", GIVEN)
def test_the_mechanism_is_the_librarys(number):
    run_mechanism(number)


@pytest.mark.parametrize(("number", "owner", "attribute", "other"), ALTERED)
def test_the_mechanism_notices_another_library(monkeypatch, number, owner, attribute, other):
    monkeypatch.setattr(owner, attribute, other)
    with pytest.raises(AssertionError):
        run_mechanism(number)


def test_the_mechanism_is_short():
    assert all(len(mechanism(number).splitlines()) <= 14 for number in GIVEN)
