import pytest
import torch

from lib.dcal import HEAD_FUSIONS, AttentionRollout
from lib.dcal import rollout as source
from lib.errors import WorkbookError, WorkbookValueError
from tests.dcal.reference import chained
from tests.helpers import float64


@pytest.fixture
def layers():
    return [(float64(2, 3, 19, 8, seed=2 * n), float64(2, 3, 19, 8, seed=2 * n + 1)) for n in range(4)]


@pytest.fixture
def maps(layers):
    return [(q @ k.mT / 8**0.5).softmax(-1) for q, k in layers]


@pytest.mark.parametrize("token", [0, 7, 18])
def test_vector_recursion_is_the_product_of_matrices(layers, maps, token):
    for given in (layers, maps):
        found = AttentionRollout().row(given, token)
        torch.testing.assert_close(found, chained(maps)[:, token], rtol=0, atol=1e-14)
        torch.testing.assert_close(AttentionRollout().matrix(given), chained(maps), rtol=0, atol=1e-14)


@pytest.mark.parametrize("tokens", [slice(0, 1), slice(0, 2), slice(3, None), slice(None)])
def test_a_mean_of_rows_is_that_of_the_product(layers, maps, tokens):
    for given in (layers, maps):
        found = AttentionRollout().mean_row(given, tokens)
        torch.testing.assert_close(found, chained(maps)[:, tokens].mean(1), rtol=0, atol=1e-14)


def test_rows_are_the_products_of_the_first_layers(layers, maps):
    rows = AttentionRollout().rows(layers, 0, 5)
    for n in range(4):
        torch.testing.assert_close(rows[:, n], chained(maps[: n + 1])[:, [0, 5]])


# Two images of three heads and 19 tokens in 32 columns: one image at a time; one at a time, whose last piece of rows is shorter; both.
@pytest.mark.parametrize("room", [3 * 32 * 19, 3 * 32 * 5, 3 * 32 * 19 * 2])
def test_in_pieces_it_is_the_same(layers, monkeypatch, room):
    whole = AttentionRollout().row(layers), AttentionRollout().matrix(layers), AttentionRollout().attention(layers[0])
    monkeypatch.setitem(source.AT_ONCE, "cpu", room)
    pieces = AttentionRollout().row(layers), AttentionRollout().matrix(layers), AttentionRollout().attention(layers[0])
    torch.testing.assert_close(pieces, whole)


def test_only_a_piece_of_a_map_exists_at_once(layers, monkeypatch):
    monkeypatch.setitem(source.AT_ONCE, "cpu", 3 * 32 * 5)  # 5 of 19 rows, 32 wide in the buffer, of one of two images
    shapes = [list(maps.shape) for _, maps in source._chunks(layers[:1], slice(None))]
    assert shapes == [[1, 3, rows, 19] for rows in (5, 5, 5, 4)] * 2
    (place, maps), *_ = source._chunks(layers[:1], slice(3, 4))  # both images have room for one row each
    assert place == (slice(0, 2), slice(3, 4))
    assert maps.shape == (2, 3, 1, 19)


@pytest.mark.parametrize(("name", "fuse"), [("mean", torch.mean), ("max", torch.amax), ("min", torch.amin)])
def test_fusions_of_heads(layers, maps, name, fuse):
    fused = [fuse(m, 1) for m in maps]
    fused = [(f / f.sum(-1, keepdim=True)).unsqueeze(1) for f in fused]
    torch.testing.assert_close(AttentionRollout(name).matrix(layers), chained(fused))
    torch.testing.assert_close(AttentionRollout(name).row(layers), chained(fused)[:, 0])
    torch.testing.assert_close(AttentionRollout(name).attention(layers[1]), fused[1][:, 0])


@pytest.mark.parametrize("head", [0, 2])
def test_a_single_head(layers, maps, head):
    one = [m[:, head : head + 1] for m in maps]
    torch.testing.assert_close(AttentionRollout(head).row(layers), chained(one)[:, 0])
    torch.testing.assert_close(AttentionRollout(head).row(maps), chained(one)[:, 0])


@pytest.mark.parametrize("fusion", [*HEAD_FUSIONS, 1])
def test_every_row_is_a_mixture_of_tokens(layers, fusion):
    matrix = AttentionRollout(fusion).matrix(layers)
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(-1), torch.ones(2, 19, dtype=torch.float64))


def test_half_precision_and_autocast_keep_rows_that_sum_to_one(layers):
    halves = [(q.bfloat16(), k.bfloat16()) for q, k in layers]
    expected = AttentionRollout().row(layers).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for given in (halves, [(q.float(), k.float()) for q, k in layers]):
            found = AttentionRollout().row(given)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found.sum(1), torch.ones(2))
            torch.testing.assert_close(found, expected, rtol=0.02, atol=1e-3)


def test_has_no_gradients(layers):
    given = [(q.requires_grad_(), k.requires_grad_()) for q, k in layers]
    assert not AttentionRollout().row(given).requires_grad
    assert not AttentionRollout().rows(given, 0).requires_grad
    assert not AttentionRollout().matrix([(q @ k.mT).softmax(-1) for q, k in given]).requires_grad


def test_nothing_to_roll_out():
    with pytest.raises(WorkbookError, match="no attention to roll out"):
        AttentionRollout().row([])


def test_unknown_fusions_and_heads(layers):
    with pytest.raises(WorkbookValueError, match="Did you mean 'mean'"):
        AttentionRollout("meen")
    with pytest.raises(WorkbookValueError, match="no head 3: the layers have heads 0 to 2"):
        AttentionRollout(3).row(layers)
    with pytest.raises(WorkbookValueError, match="Unknown head_fusion True"):
        AttentionRollout(True)


@pytest.mark.parametrize("token", [-1, 19])
def test_tokens_that_are_not_there(layers, token):
    for work in (AttentionRollout().row, AttentionRollout().rows):
        with pytest.raises(WorkbookValueError, match=f"no token {token}: the layers have tokens 0 to 18"):
            work(layers, token)


def test_layers_that_do_not_belong_together(layers):
    with pytest.raises(WorkbookValueError, match=r"of one batch and number of tokens, not of shapes .*\[2, 3, 4, 8\]"):
        AttentionRollout().row([*layers, (torch.randn(2, 3, 4, 8), torch.randn(2, 3, 4, 8))])
    with pytest.raises(WorkbookValueError, match=r"not of shapes \[19, 19\]"):
        AttentionRollout().attention(torch.rand(19, 19))
    q = torch.randn(2, 3, 19, 8)
    for odd in (torch.rand(2, 3, 19, 17), (q, q[:, :2]), (q, q[..., :4])):
        with pytest.raises(WorkbookValueError, match="Layers are attention maps"):
            AttentionRollout().row([odd])
    with pytest.raises(WorkbookValueError, match="no head 2: the layers have heads 0 to 1"):
        AttentionRollout(2).row([*layers, (q[:, :2], q[:, :2])])


def test_layers_may_come_stacked(maps):
    torch.testing.assert_close(AttentionRollout().row(torch.stack(maps)), AttentionRollout().row(maps))
