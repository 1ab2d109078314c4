"""What README and the projects that this one comes from promise: their snippets run, their names and commands exist."""

import importlib
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from lib import create_model, explain, train
from lib.glsa import FUSION_STRATEGIES
from lib.paths import ROOT
from lib.training import RunConfig
from lib.workbook import commandline

README = (ROOT / "README.md").read_text()
GUIDES = README + (ROOT / "data" / "README.md").read_text() + (ROOT / "benchmarks" / "README.md").read_text()
SMALL = {  # what would take long, or come from the network, in README's words → in the test's
    "pretrained=True": "pretrained=False",
    "max_epoch=5))": "max_epoch=1, backbone='toynet', limit_images=200), store)",
    "img_size=448": "img_size=64",
}


def snippet(beginning: str) -> str:
    """README's Python block that begins with `beginning`, made small."""
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if each.startswith(beginning))
    for readme, small in SMALL.items():
        code = code.replace(readme, small)
    return code


def run(beginning: str, **given: object) -> dict[str, object]:
    """The names that README's block leaves when it starts with those `given`."""
    exec(compile(snippet(beginning), "README.md", "exec"), given)
    return given


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_a_model_and_a_run(tmp_path):
    left = run("from lib import RunConfig", images=torch.randn(2, 3, 224, 224), store=tmp_path / "runs")
    assert left["model"].count_parameters()["total"] == sum(p.numel() for p in left["model"].parameters())
    assert left["run"].finished


def test_a_fusion_of_ones_own(monkeypatch):
    monkeypatch.setattr("lib.glsa.FUSION_STRATEGIES", FUSION_STRATEGIES)  # the same dict, which is mended afterwards
    try:
        run("from lib.glsa import FUSION_STRATEGIES", __name__="readme")
        model = create_model("toynet", num_classes=3, attn_type="CBAM", fusion_strategy="mean")
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3)
    finally:
        FUSION_STRATEGIES.pop("mean", None)


def test_dcal():
    given = {"images": torch.randn(2, 3, 64, 64), "partners": torch.tensor([1, 0]), "labels": torch.tensor([3, 199])}
    vit = timm.create_model("test_vit", img_size=64)
    left = run("from lib import create_dcal_model", **given, loss_fn=nn.CrossEntropyLoss(), vit=vit)
    assert left["model"].inference(given["images"]).shape == (2, 200)


def test_explanations():
    images, pixels = torch.randn(2, 3, 32, 32), np.zeros((2, 32, 32, 3), np.uint8)
    masks = np.zeros((2, 32, 32), bool)
    masks[:, 8:20, 8:20] = True
    model = create_model("toynet", num_classes=3, attn_type="CBAM").eval()
    given = {"images": images, "pixels": pixels, "masks": masks, "targets": None, "lesions": ["a", "b"]}
    left = run("from lib.explain import", **given, model=model)
    assert set(left["scores"]) == set(left["maps"]) == set(left["methods_of"](model))


def test_a_block_of_python_in_readme_is_tried_here():
    assert len(re.findall("```python", README)) == 4


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


def commands(program: str) -> list[list[str]]:
    """The words behind `program` in every command line of the guides; what they call DIR or SHARDS is any folder."""
    joined = GUIDES.replace("\\\n", " ")
    inline = [
        re.sub(r"\s+", " ", code)
        for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", joined, flags=re.DOTALL))
    ]
    blocks = [line for block in re.findall(r"```bash\n(.*?)```", joined, re.DOTALL) for line in block.splitlines()]
    lines = [shlex.split(line, comments=True) for line in (*inline, *blocks) if f"python {program}" in line]
    starts = [line.index(program.split()[-1]) + 1 for line in lines]
    return [line[start:] for line, start in zip(lines, starts, strict=True)]


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([a-z_.]+)", GUIDES)) - {"pip", "pytest"}))
def test_a_module_that_is_started_by_name_is_there(module):
    spec = importlib.util.find_spec(module)
    assert spec is not None
    script = (
        Path(spec.origin) if spec.submodule_search_locations is None else Path(spec.origin).with_name("__main__.py")
    )
    assert '__name__ == "__main__"' in script.read_text()


BENCHMARKS = sorted(path for path in (ROOT / "benchmarks").rglob("*.py") if path.name != "timing.py")


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_is_in_the_list_and_imports_what_is_there(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    assert f"`python -m {module}`" in GUIDES
    if "playwright" in path.read_text():
        pytest.importorskip("playwright")
    importlib.import_module(module)


@pytest.mark.parametrize("words", commands("run_all.py"), ids=" ".join)
def test_a_command_of_run_all_is_understood(words, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(commandline, "run", lambda *_: 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    words = [str(tmp_path) if word == "DIR" else word for word in words]
    dry = ["--dry-run"] if words[:1] == ["sweep"] and len(words) > 1 and "--dry-run" not in words else []
    if words != ["sweep"]:
        assert commandline.main([*words, *dry, "--output-dir", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("words", commands("-m lib.train"), ids=" ".join)
def test_a_command_of_train_is_understood(words, tmp_path):
    profile = vars(train.build_parser().parse_args([str(tmp_path) if word == "SHARDS" else word for word in words]))
    settings = {name: value for name, value in profile.items() if name not in ("profile", "output_dir")}
    assert set(settings) <= set(RunConfig().to_dict())


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`(--[a-z][a-z-]+)", README))))
def test_a_flag_in_the_text_is_known(flag, capsys):
    """Of run_all.py, of its sweeps, of training, or of a benchmark."""
    texts = (ROOT / "benchmarks" / "retrieval" / "reid_evaluation.py").read_text()
    for words in (["--help"], ["sweep", "--help"]):
        with pytest.raises(SystemExit):
            commandline.main(words)
        texts += capsys.readouterr().out
    assert flag in texts or flag in train.build_parser().format_help()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)`", README)) - {"train.py"}))  # the seed's
def test_a_file_that_readme_names_is_there(path):
    assert (ROOT / path).exists() or (ROOT / "benchmarks" / path).exists()
