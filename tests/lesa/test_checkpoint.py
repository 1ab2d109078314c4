import re

import pytest
import torch

from lib.errors import WorkbookFileError, WorkbookValueError
from lib.lesa import LESA, create_lesa, load_official, load_weights
from lib.lesa.checkpoint import find_checkpoint
from tests.lesa.official import official_state

BLOCK = "block.classification.stride1"


@pytest.fixture(scope="module")
def resnet50():
    return official_state("lesa_resnet50")


def layer():
    return LESA(64, (8, 8))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [False, True])
def test_prefixes_and_wrappings_do_not_matter(prefix, wrapped):
    state = official_state(BLOCK)
    given = {prefix + name: tensor for name, tensor in state.items()}
    own = layer()
    load_weights(own, {"epoch": 95, "net": given, "optim": {"state": {}}} if wrapped else given)
    assert torch.equal(own.context.position.table, state["relative"])
    assert torch.equal(own.gate[4].weight, state["projection.0.weight"])
    again = layer()
    load_weights(again, own.state_dict())  # this room's own names
    assert all(torch.equal(a, b) for a, b in zip(own.state_dict().values(), again.state_dict().values(), strict=True))


def test_the_checkpoint_in_a_folder_is_the_one_that_the_official_code_takes(tmp_path):
    folder = tmp_path / "results" / "lesa_resnet50"
    folder.mkdir(parents=True)
    for name in ("9", "94"):
        (folder / f"{name}.pth").touch()
    assert find_checkpoint(tmp_path).name == "94.pth"  # the last epoch
    (folder / "-1.pth").touch()
    assert find_checkpoint(tmp_path).name == "-1.pth"  # the best
    (folder / "checkpoint.pth").touch()
    assert find_checkpoint(folder).name == find_checkpoint(folder / "checkpoint.pth").name == "checkpoint.pth"
    (tmp_path / "checkpoint.pth").touch()
    with pytest.raises(WorkbookFileError, match="holds 2 checkpoints that may be meant"):
        find_checkpoint(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(WorkbookFileError, match=r"holds 0 checkpoints .*none of \.pth"):
        find_checkpoint(tmp_path / "nothing")


def test_axial_tables_are_turned(resnet50):
    state = official_state("block.detection_qr.stride1")
    own = LESA(64, (8, 8), position="detection_qr")
    load_weights(own, state)
    assert torch.equal(own.context.position.rows, state["rel_height"].T)


def test_a_file_of_the_training_script(resnet50, tmp_path, monkeypatch):
    """As the official script writes it, and put where `pretrained=True` looks."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / "lesa_resnet50.pth.tar"
    file.parent.mkdir()
    torch.save({"epoch": 100, "state_dict": {f"module.{k}": v for k, v in resnet50.items()}, "optimizer": {}}, file)
    model = load_official(file)
    assert torch.equal(model.net.fc.weight, resnet50["fc.weight"])
    few = create_lesa("lesa_resnet50", num_classes=7, pretrained=True)
    assert few.net.fc.weight.shape == (7, 2048)
    assert torch.equal(few.blocks["layer4.2"].context.position.table, resnet50["layer4.2.conv2.relative"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn_x.weight": None}, "1 missing: local.2.weight."),
        ({"bn_z.weight": torch.ones(64)}, "1 surplus: bn_z.weight."),
        ({"relative": torch.ones(16, 195)}, "1 of another shape: context.position.table ([16, 195], not [16, 127])."),
        ({"flatten_index": torch.zeros(4096, dtype=torch.long)}, "flatten_index is not the index table"),
        ({"relative": "text"}, "this one holds relative beside or instead of tensors"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    state = {k: v for k, v in (official_state(BLOCK) | change).items() if v is not None}
    own = layer()
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    with pytest.raises(WorkbookValueError, match=re.escape(message)):
        load_weights(own, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())


def test_many_strays_are_counted(resnet50):
    with pytest.raises(
        WorkbookValueError, match=r"36 missing: .* and 31 more; 560 surplus: .* and 555 more\. Build the network"
    ):
        load_weights(layer(), resnet50)


@pytest.mark.parametrize("given", [{}, {"state_dict": {}}, {"epoch": 3}])
def test_no_weights_at_all(given):
    with pytest.raises(WorkbookValueError, match="A state dict holds tensors by name"):
        load_weights(layer(), given)


def test_files_that_are_none(tmp_path):
    with pytest.raises(WorkbookFileError, match="There is no checkpoint"):
        load_official(tmp_path / "absent.pth")
    for content in (b"not a checkpoint", b""):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(WorkbookFileError, match="is no file of weights, or a part of one|holds no weights"):
            load_official(tmp_path / "broken.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WorkbookFileError, match="is no file of weights, or a part of one|holds no weights"):
        load_official(tmp_path / "list.pth")
