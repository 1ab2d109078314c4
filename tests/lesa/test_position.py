import math

import pytest
import torch

from lib.errors import WorkbookValueError
from lib.lesa import LESA, POSITIONS, ContextTerm
from lib.lesa.position import AxialPosition, FlattenedPosition, resample
from lib.lesa.relative import Axial, Windows, skew, unskew
from tests.helpers import float64, randomised
from tests.lesa import transcription


def pairs(dense, height, width):
    """r_ij [d, N, N] read off entry by entry from a table by (row, column) of j less that of i."""
    out = dense.new_empty(len(dense), height * width, height * width)
    for i in range(height * width):
        for j in range(height * width):
            y, x = j // width - i // width, j % width - i % width
            out[:, i, j] = dense[:, y + height - 1, x + width - 1]
    return out


@pytest.mark.parametrize(("rows", "length"), [(1, 4), (4, 1), (3, 5), (5, 5), (2, 1)])
def test_skew_reads_off_differences_and_unskew_is_its_transpose(rows, length):
    x, y = float64(2, rows, length + rows - 1), float64(2, rows, length, seed=1)
    expected = torch.stack([torch.stack([x[:, i, j - i + rows - 1] for j in range(length)], 1) for i in range(rows)], 1)
    torch.testing.assert_close(skew(x), expected)
    torch.testing.assert_close((skew(x) * y).sum(), (x * unskew(y)).sum())


@pytest.mark.parametrize("size", [(3, 4), (4, 1), (1, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("kind", ["flattened", "dense", "axial"])
def test_sums_and_moments_are_those_of_the_expanded_table(kind, size):
    height, width = size
    N = height * width
    if kind == "flattened":
        parameters = (table := float64(3, 2 * N - 1).requires_grad_(),)
        relative = Windows.from_flattened(table, height, width)
        i = torch.arange(N)
        r = table[:, i[None, :] - i[:, None] + N - 1]
    elif kind == "dense":
        parameters = (table := float64(3, 2 * height - 1, 2 * width - 1).requires_grad_(),)
        relative = Windows.from_dense(table)
        r = pairs(relative.dense, height, width)
    else:
        parameters = [float64(3, 2 * side - 1, seed=side).requires_grad_() for side in (height, width)]
        relative = Axial(*parameters)
        r = pairs(relative.dense, height, width)
    torch.testing.assert_close(pairs(relative.dense, height, width), r)
    a, G = float64(2, 3, N, seed=2), float64(2, N, N, seed=3)
    offsets = relative.by_offset(G)
    torch.testing.assert_close(relative.products(a).reshape(2, N, N), torch.einsum("ndi,dij->nij", a, r))
    torch.testing.assert_close(relative.averages(*offsets), torch.einsum("nij,dij->ndi", G, r))
    found = torch.autograd.grad(relative.tables, parameters, relative.gradients(a, *offsets))
    expected = torch.autograd.grad(torch.einsum("ndi,dij,nij->", a, r, G), parameters)
    torch.testing.assert_close(found, expected)
    logits = torch.einsum("bgdi,dij->bgij", q := float64(2, 4, 3, N, seed=4), r)
    mean, square = relative.moments(q)
    torch.testing.assert_close(mean, logits.mean((0, 2, 3)))
    torch.testing.assert_close(square, logits.square().mean((0, 2, 3)))


@pytest.mark.parametrize("own", [(3, 5), (4, 4), (2, 1)], ids=str)
def test_a_resampled_table_is_the_original_at_its_own_size(own):
    """By the general path, which other sizes take, too."""
    position = randomised(FlattenedPosition(4, own))
    dense = position.table.flip(1).unfold(1, 2 * own[1] - 1, own[1])
    for name, part in position.split(dense).items():
        resampled = Windows.from_dense(resample(resample(part, 1, own[0]), 2, own[1]))
        q = float64(2, part.shape[0], math.prod(own))
        torch.testing.assert_close(resampled.products(q), position(*own)[name].products(q))


def test_resampling_is_linear_and_keeps_centre_and_ends():
    table = torch.tensor([[0.0, 10, 20, 40, 80]])  # offsets −2…2
    assert resample(table, 1, 3) is table
    assert resample(table, 1, 5).tolist() == [[0, 5, 10, 15, 20, 30, 40, 60, 80]]
    assert resample(table, 1, 2).tolist() == [[0, 20, 80]]
    assert resample(table, 1, 1).tolist() == [[20]]
    assert resample(torch.tensor([[7.0]]), 1, 2).tolist() == [[7, 7, 7]]


def test_a_table_that_is_linear_in_its_offsets_stays_so_at_any_size():
    """r = Δy/(H−1) + 3Δx/(W−1): what is resampled answers as a table drawn for the other size."""

    def table(height, width):
        y, x = torch.linspace(-1, 1, 2 * height - 1), torch.linspace(-1, 1, 2 * width - 1)
        return (y[:, None] + 3 * x)[None].double()

    torch.testing.assert_close(resample(resample(table(4, 3), 1, 6), 2, 5), table(6, 5))


def test_only_the_flattened_table_wraps_around():
    """From the last column of row 0, is the first column of row 1 told apart from the next one to the right?"""
    for name, wraps in (("classification", True), ("axial", False)):
        r = transcription.expanded(randomised(ContextTerm(16, (3, 4), 2, name)), 3, 4)
        assert torch.equal(r[:, 3, 4], r[:, 0, 1]) is wraps


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("training", [False, True])
def test_another_size_is_the_equations_with_the_resampled_table(position, training):
    layer = randomised(LESA(32, (4, 6), 4, position)).train(training)
    x = float64(3, 32, 5, 3)
    table = layer.context.position
    if position == "classification":
        dense = table.table.flip(1).unfold(1, 11, 6)
        dense = resample(resample(dense, 1, 5), 2, 3)
    else:
        dense = resample(table.rows, 1, 5)[:, :, None] + resample(table.columns, 1, 3)[:, None]
    torch.testing.assert_close(layer(x), transcription.lesa(layer, x, pairs(dense, 5, 3)))


def test_axial_attention_knows_its_positions():
    """Not equivariant under permutations: positions matter."""
    term = randomised(ContextTerm(16, (3, 4), 2, "axial")).eval()
    x = float64(1, 16, 3, 4)
    assert isinstance(term.position, AxialPosition)
    assert not torch.allclose(term(x.flip(3)), term(x).flip(3))


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (2.5, 4)])
def test_sizes_a_scheme_cannot_take(size):
    with pytest.raises(WorkbookValueError, match="The map's (height|width) must be a whole number of at least 1"):
        LESA(32, size, 4)
