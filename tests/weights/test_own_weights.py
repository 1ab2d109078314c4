"""Weights of one's own: files as others write them, runs, the Hub and URLs, in whole networks and in backbones."""

import argparse
import hashlib
import pickle
import re
import socket

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed, resample_patch_embed

from lib import create_dcal_model, create_model
from lib.errors import WorkbookError, WorkbookFileError, WorkbookValueError
from lib.training import RunConfig
from lib.weights import known_start, start_digest
from lib.weights.sources import weights_file

VIT = {"img_size": 32, "patch_size": 8}
STATISTICS = "num_batches_tracked"
TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"


def toynet(classes=5, **options):
    return create_model("toynet", num_classes=classes, attn_type="none", **options)


def randomised(net):
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
    return net


@pytest.fixture(scope="module")
def state():
    """The toy network's, drawn once more, by its own names."""
    torch.manual_seed(1)
    return randomised(toynet()).net.state_dict()


@pytest.fixture(scope="module")
def vit_state():
    torch.manual_seed(1)
    return randomised(create_dcal_model("test_vit", 5, glca=False, pwca=False, **VIT)).vit.state_dict()


def saved(content, file):
    (save_file if file.suffix == ".safetensors" else torch.save)(content, file)
    return str(file)


def below(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def differing(net, state):
    own = net.state_dict()
    assert own.keys() == state.keys()
    return {name for name in state if not torch.equal(own[name], state[name])}


WRITTEN = {
    "plain.safetensors": lambda state: state,
    "plain.pth": lambda state: state,
    "timm.pth.tar": lambda state: {
        "epoch": 3,
        "arch": "toynet",
        "state_dict": below("_orig_mod.", below("module.", state)),
        "optimizer": {"state": {}, "param_groups": []},
        "args": argparse.Namespace(lr=0.1),
    },
    "timm-ema.pth.tar": lambda state: {
        "state_dict": {name: 0 * t for name, t in state.items()},
        "state_dict_ema": state,
    },
    "deit.pth": lambda state: {"model": state, "optimizer": {}, "epoch": 300, "args": argparse.Namespace(model="deit")},
    "dino.pth": lambda state: {
        "student": {name: 0 * t for name, t in below("module.backbone.", state).items()},
        "teacher": below("backbone.", state) | {"head.mlp.0.weight": torch.ones(4, 4)},
        "args": argparse.Namespace(arch="vit"),
    },
    "dino-student.pth": lambda state: {
        "student": below("module.backbone.", state) | {"module.head.last": torch.ones(2)}
    },
    "lightning.ckpt": lambda state: {"state_dict": below("model.net.", state), "pytorch-lightning_version": "2.6"},
    "empty-ema.pth": lambda state: {"state_dict_ema": {}, "state_dict": state},
    "somebodys.pth": lambda state: {
        "checkpoint": {"network": state},
        "optimizer": {"state": {0: {"step": torch.ones(1)}}},
    },
    "nested.pth": lambda state: below("_orig_mod.module.model.", state),
    "moco.pth": lambda state: {"state_dict": below("module.encoder_q.", state) | {"module.queue": torch.ones(2, 3)}},
}


def test_a_pickle_may_be_called_safetensors(state, tmp_path):
    torch.save(state, tmp_path / "w.safetensors")
    assert not differing(toynet(weights=str(tmp_path / "w.safetensors")).net, state)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_is_read_as_others_write_it(name, state, tmp_path):
    weights = saved(WRITTEN[name](state), tmp_path / name)
    assert not differing(toynet(weights=weights).net, state)
    with_block = create_model("toynet", num_classes=5, weights=weights)
    assert not differing(with_block.backbone.net, state)


def test_what_is_not_taken_is_said(state, tmp_path, caplog):
    weights = saved(WRITTEN["dino.pth"](state), tmp_path / "dino.pth")
    toynet(classes=7, weights=weights)
    assert "teacher of the file is taken; dense2 stays as drawn" in caplog.text
    assert "head.mlp.0.weight of the file are parts of another network" in caplog.text


def test_a_head_of_another_size_stays_as_it_was_drawn(state, tmp_path):
    weights = saved(state, tmp_path / "weights.pth")
    torch.manual_seed(0)
    drawn = toynet(classes=7).net.dense2.weight
    torch.manual_seed(0)
    net = toynet(classes=7, weights=weights).net
    assert torch.equal(net.dense2.weight, drawn)
    assert {n for n, t in net.state_dict().items() if not torch.equal(t, state[n])} == {"dense2.weight", "dense2.bias"}
    headless = {name: tensor for name, tensor in state.items() if not name.startswith("dense2")}
    torch.manual_seed(0)
    assert torch.equal(toynet(7, weights=saved(headless, tmp_path / "headless.pth")).net.dense2.weight, drawn)


def test_of_a_head_all_is_taken_or_nothing(state, tmp_path, caplog):
    half = {name: tensor for name, tensor in state.items() if name != "dense2.bias"}
    net = toynet(weights=saved(half, tmp_path / "half.pth")).net
    assert differing(net, state) == {"dense2.weight", "dense2.bias"}
    assert "dense2 stays as drawn" in caplog.text


def test_half_precision_and_old_statistics_are_taken(state, tmp_path):
    old = {name: t.half() if t.is_floating_point() else t for name, t in state.items() if not name.endswith(STATISTICS)}
    net = toynet(weights=saved(old, tmp_path / "old.pth")).net
    assert net.dense2.weight.dtype == torch.float32
    assert torch.equal(net.dense2.weight, state["dense2.weight"].half().float())


@pytest.mark.parametrize(("img_size", "patch"), [((64, 32), 8), ((32, 32), 8), ((32, 32), 4)])
def test_tables_and_patches_of_another_size_are_interpolated_by_timm(img_size, patch, vit_state, tmp_path):
    weights = saved(vit_state, tmp_path / "vit.safetensors")
    vit = create_dcal_model("test_vit", 7, img_size=img_size, patch_size=patch, weights=weights).vit
    grid = (img_size[0] // patch, img_size[1] // patch)
    table, kernel = vit_state["pos_embed"], vit_state["patch_embed.proj.weight"]
    if grid != (4, 4):
        table = resample_abs_pos_embed(table, grid, (4, 4), num_prefix_tokens=vit.num_prefix_tokens)
    if patch != 8:
        kernel = resample_patch_embed(kernel, [patch, patch])
    torch.testing.assert_close(vit.pos_embed.data, table)
    torch.testing.assert_close(vit.patch_embed.proj.weight.data, kernel)
    assert torch.equal(vit.blocks[1].mlp.fc2.weight, vit_state["blocks.1.mlp.fc2.weight"])


def test_a_run_fills_the_whole_network_or_a_bare_ones_backbone(attentive, tiny, monkeypatch):
    monkeypatch.setattr("lib.weights.starting_weights.nearest_network", lambda *looked_at: None)
    trained, folder = attentive.model().state_dict(), str(attentive.path)
    again = create_model("toynet", num_classes=7, weights=folder)
    assert not differing(again, trained)
    bare = create_model("toynet", num_classes=7, attn_type="none", weights=folder)
    assert all(torch.equal(tensor, trained[f"backbone.{name}"]) for name, tensor in bare.state_dict().items())
    config = tiny.replace(weights=folder)
    assert config.hash != tiny.hash
    assert config.replace(weights=str(attentive.path / "best.safetensors")).hash == config.hash
    with pytest.raises(WorkbookValueError, match="do not fit toynet .*partial_weights=True"):
        create_model("toynet", num_classes=7, fusion_strategy="weighted_add", weights=folder)
    partly = create_model("toynet", num_classes=7, fusion_strategy="weighted_add", weights=folder, partial_weights=True)
    assert torch.equal(partly.backbone.net.dense1[0].weight, trained["backbone.net.dense1.0.weight"])


def test_a_run_of_the_usual_store_is_found_by_its_name(attentive, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.weights.sources.OUTPUTS", tmp_path)
    (tmp_path / "runs").symlink_to(attentive.path.parent)
    assert start_digest(attentive.path.name) == start_digest(str(attentive.path))


def test_the_weights_of_a_whole_dcal_network_fill_one(vit_state, tmp_path):
    torch.manual_seed(2)
    whole = randomised(create_dcal_model("test_vit", 5, **VIT)).state_dict()
    again = create_dcal_model("test_vit", 5, weights=saved(below("model.", whole), tmp_path / "a.ckpt"), **VIT)
    assert not differing(again, whole)


def test_lesa_starts_from_official_files_and_a_plain_resnet(tmp_path):
    plain = create_model("resnet26_small", num_classes=5, attn_type="none").net.state_dict()
    model = create_model(
        "resnet26_small",
        num_classes=5,
        attn_type="lesa",
        weights=saved(plain, tmp_path / "plain.pth"),
        image_size=(32, 32),
    )
    assert torch.equal(model.net.layer1[0].conv2.weight, plain["layer1.0.conv2.weight"])
    official = {
        re.sub(r"conv2\.local\.0", "conv2.x_transform.0", name): t for name, t in model.net.state_dict().items()
    }
    weights = saved({"state_dict": below("module.", official)}, tmp_path / "official.pth.tar")
    again = create_model("resnet26_small", num_classes=5, attn_type="lesa", weights=weights, image_size=(32, 32))
    assert not differing(again, model.state_dict())


def test_the_files_content_is_a_runs_identity_and_its_name_is_not(state, tmp_path):
    weights = saved(state, tmp_path / "a.pth")
    config = RunConfig(backbone="toynet", weights=weights)
    assert config.hash != RunConfig(backbone="toynet").hash
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes())
    assert config.replace(weights=str(tmp_path / "b.pth")).hash == config.hash
    assert config.replace(partial_weights=True).hash != config.hash
    saved({name: tensor + 1 for name, tensor in state.items()}, tmp_path / "b.pth")
    assert config.replace(weights=str(tmp_path / "b.pth")).hash != config.hash
    (tmp_path / "a.pth").unlink()
    assert RunConfig.from_dict(config.to_dict()) == config  # a run can be read when its start has gone
    with pytest.raises(
        WorkbookFileError, match=r"a\.pth cannot be read: it does not exist\. Give a file, a run's folder"
    ):
        _ = config.hash


# What is bad


def test_weights_of_another_network_are_named_with_the_nearest(tmp_path):
    with torch.device("cpu"):
        state = create_model("resnet18", num_classes=5, attn_type="none").net.state_dict()
    weights = saved(state, tmp_path / "resnet.pth")
    with pytest.raises(WorkbookValueError) as error:
        toynet(weights=weights)
    assert re.search(
        r"do not fit toynet \(ToyNet\): conv1\.\S+ is not there; .* and \d+ more\. They look like those of resnet18: take it as "
        r"the backbone, or take what fits with partial_weights=True",
        str(error.value),
    )


def half(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "old.pth"])
def test_half_a_file(name, state, tmp_path):
    file = tmp_path / name
    if name == "old.pth":
        torch.save(state, file, _use_new_zipfile_serialization=False)
    else:
        saved(state, file)
    half(file)
    with pytest.raises(WorkbookFileError, match=r"is no file of weights, or a part of one: [\d,]+ bytes"):
        toynet(weights=str(file))


OF_OTHER_FORMS = {
    "whole": (lambda t: t.to(torch.int8), r"conv1.0.weight is of whole numbers \(torch.int8\)"),
    "complex": (lambda t: t.to(torch.complex64), r"conv1.0.weight in a form .*\(complex64, strided, on cpu\)"),
    "sparse": (lambda t: t.to_sparse(), r"\(float32, sparse_coo, on cpu\).*tensor.to_dense"),
    "without numbers": (lambda t: t.to("meta"), r"\(float32, strided, on meta\)"),
    "diverged": (lambda t: t / 0, r"hold numbers that are not finite \(conv1.0.weight, .* and 14 more\)"),
}


@pytest.mark.parametrize("form", OF_OTHER_FORMS)
def test_tensors_that_fill_no_network(form, state, tmp_path):
    change, message = OF_OTHER_FORMS[form]
    content = {name: change(tensor) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    with pytest.raises(WorkbookError, match=message):
        toynet(weights=saved(content, tmp_path / "a.pth"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "w.pth",
            b"version https://git-lfs.github.com/spec/v1\noid",
            "is Git LFS's pointer to the weights: `git lfs pull`",
        ),
        ("model.safetensors.index.json", b"{}", "is the index of weights in several files: join these once"),
        ("model-00001-of-00002.safetensors", b"{}", "is one part of weights in several files"),
    ],
)
def test_a_file_that_stands_for_others(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WorkbookFileError, match=message):
        toynet(weights=str(tmp_path / name))


def test_whole_networks_are_told_how_to_save_their_weights(tmp_path):
    torch.save(toynet(), tmp_path / "net.pth")
    with pytest.raises(WorkbookFileError, match=r"of a whole network torch.save\(torch.load\(.*\).state_dict\(\)"):
        toynet(weights=str(tmp_path / "net.pth"))
    torch.jit.trace(torch.nn.ReLU(), torch.ones(1)).save(tmp_path / "script.pt")
    with pytest.raises(WorkbookFileError, match=r"is a network in TorchScript.*torch.jit.load\(FILE\).state_dict"):
        toynet(weights=str(tmp_path / "script.pt"))


class Custom:
    pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no weights.* this one holds a list"),
        ({"epoch": 3}, "this one holds epoch beside or instead of tensors"),
        ({}, "this one holds nothing"),
        ({"state_dict": {}, "epoch": 3}, "this one holds nothing"),
        ({"args": Custom()}, r"holds objects beside tensors \(tests.weights.test_own_weights.Custom\).*none is run"),
        (torch.ones(3), "this one holds a Tensor"),
    ],
)
def test_a_pickle_that_is_no_state_dict(content, message, tmp_path):
    with pytest.raises(WorkbookFileError, match=message):
        toynet(weights=saved(content, tmp_path / "other.pth"))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_torch_did_not_write(protocol, tmp_path, recwarn):
    (tmp_path / "other.pkl").write_bytes(pickle.dumps([1, 2], protocol))
    with pytest.raises(
        WorkbookFileError, match=r"other.pkl is a pickle that torch.save did not write: it holds no state"
    ):
        toynet(weights=str(tmp_path / "other.pkl"))
    assert not recwarn.list


def test_paths_that_lead_to_no_weights(tmp_path):
    for path, what in ((tmp_path, "holds no best.safetensors"), (tmp_path / "x.pth", "does not exist")):
        with pytest.raises(WorkbookFileError, match=what):
            toynet(weights=str(path))
    (tmp_path / "page.pth").write_text("<html>log in</html>")
    with pytest.raises(WorkbookFileError, match="is no file of weights"):
        toynet(weights=str(tmp_path / "page.pth"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            "resnet18_smal",
            "Unknown weights 'resnet18_smal'. Did you mean 'resnet18_small'.* Or give a file, a run's folder",
        ),
        ("hf-hub:resnet18", "names no repository of the Hub: write hf-hub:owner/name"),
        ("ftp://host/a.pth", "is no address of a file"),
        ("https://host/", "is no address of a file"),
        ("a\0b.pth", "can be no path"),
    ],
)
def test_what_is_no_start(weights, message):
    with pytest.raises(WorkbookValueError, match=message):
        RunConfig(backbone="toynet", weights=weights)
    with pytest.raises(WorkbookValueError, match=message):
        known_start(weights)


# Of other machines


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def content_of(state, tmp_path):
    return (tmp_path / saved(state, tmp_path / "served.safetensors").rpartition("/")[2]).read_bytes()


def test_a_url_is_fetched_once_and_checked(state, host, torch_home, tmp_path):
    content = content_of(state, tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    host.files = {"a/w.safetensors": content, f"w-{digest[:8]}.safetensors": content}
    assert not differing(toynet(weights=f"{host.url}/a/w.safetensors#sha256={digest}").net, state)
    named = f"{host.url}/w-{digest[:8]}.safetensors"
    assert start_digest(named) == digest[:16]
    assert weights_file(named) == torch_home / f"w-{digest[:8]}.safetensors"
    asked = len(host.ranges)
    weights_file(named)
    assert len(host.ranges) == asked
    for wrong in (f"{host.url}/a/w.safetensors?2#sha256={'0' * 64}", named.replace(digest[:8], "0" * 8)):
        host.files["w-00000000.safetensors"] = content
        (torch_home / "w.safetensors").unlink(missing_ok=True)
        with pytest.raises(WorkbookFileError, match=r"could not be downloaded .*arrived damaged .*put the file into"):
            weights_file(wrong)


def test_a_host_that_has_no_such_file_says_where_to_put_it(host, torch_home):
    with pytest.raises(
        WorkbookFileError, match=rf"Not Found.*download them and put the file into {torch_home} as \w+-a\.pth"
    ):
        weights_file(f"{host.url}/a.pth")


@pytest.fixture
def hub(host, tmp_path, monkeypatch):
    """The Hub's client asks `host`, and keeps what it gets below `tmp_path`."""
    from huggingface_hub import constants, file_download

    for module in (constants, file_download):
        if hasattr(module, "HF_HUB_CACHE"):
            monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", host.url + TEMPLATE)
    return host


def test_a_repository_of_the_hub_is_fetched_once(state, hub, tmp_path):
    hub.files["me/net/resolve/main/model.safetensors"] = content_of(state, tmp_path)
    hub.headers = {"ETag": f'"{"a" * 40}"', "X-Repo-Commit": "b" * 40}
    assert not differing(toynet(weights="hf-hub:me/net").net, state)
    hub.files.clear()
    assert not differing(toynet(weights="hf-hub:me/net").net, state)


def test_a_hub_that_does_not_answer_is_given_up_after_seconds(hub, monkeypatch):
    monkeypatch.setattr("lib.weights.sources.PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + TEMPLATE)
        with pytest.raises(
            WorkbookFileError, match=r"did not give hf-hub:me/net \(.*timed out\).*hf download me/net model.safetensors"
        ):
            weights_file("hf-hub:me/net")
