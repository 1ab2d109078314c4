"""What README and the site's pages show: their Python runs, their commands are understood, their names and errors are there."""

import importlib
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from benchmarks.__main__ import BY_NAME, SIDE_BY_SIDE
from benchmarks.program import options
from lib import create_model, load_dataset, train
from lib.__main__ import COMMANDS
from lib.data import DATASETS
from lib.data.download import SOURCES
from lib.explain import METHODS, explain, methods_of
from lib.glsa import FUSION_STRATEGIES
from lib.paths import ROOT
from lib.photographs import wheel_network
from lib.training import RunConfig
from lib.workbook import commandline, notebooks
from lib.workbook.parameters import read_cell

PAGES = [ROOT / "README.md", ROOT / "data" / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
GUIDES = "\n".join(TEXTS.values())
SOURCE = re.sub(  # every text of the code as one: literals that stand beside or below each other are one
    r"\"\s*\n?\s*f?\"",
    "",
    "\n".join(path.read_text() for path in [ROOT / "attention_workbook.py", *(ROOT / "lib").rglob("*.py")]),
)
SMALL = {  # what would take long, or come from the network, in a page's words → in the test's
    "pretrained=True": "pretrained=False",
    "max_epoch=5))": "max_epoch=1, backbone='toynet', limit_images=200), store)",
    "img_size=448": "img_size=64",
}


def snippets(page: str) -> list[str]:
    """The Python blocks of a page, made small."""
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", TEXTS[page], re.DOTALL | re.MULTILINE)
    texts = [re.sub(f"^{indent}", "", code, flags=re.MULTILINE) for indent, code in blocks]
    for words, small in SMALL.items():
        texts = [code.replace(words, small) for code in texts]
    return texts


def run(page: str, **given: object) -> dict[str, object]:
    """The names that a page's one block leaves when it starts with those `given`."""
    (code,) = snippets(page)
    exec(compile(code, page, "exec"), given)
    return given


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorials/one-run.md"])
def test_a_model_and_a_run(page, shared_root):
    left = run(
        page, images=torch.randn(2, 3, 96, 96), store=shared_root / "guides"
    )  # the second page finds the first's run
    assert left["model"].count_parameters()["total"] == sum(p.numel() for p in left["model"].parameters())
    assert left["run"].finished


def test_a_network_that_is_brought(tmp_path):
    left = run("docs/tutorials/your-images.md", weights=wheel_network(tmp_path))
    assert left["network"].classes[left["photographs"].probabilities(left["network"].net)[0].argmax()] == "espresso"


def test_a_fusion_of_ones_own(monkeypatch):
    try:
        run("docs/contributing/fusion.md", __name__="guide")
        model = create_model("toynet", num_classes=3, attn_type="CBAM", fusion_strategy="mean")
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3)
    finally:
        FUSION_STRATEGIES.pop("mean", None)


def test_a_data_set_of_ones_own(tmp_path):
    for name in ("cat-1", "cat-2", "dog-1"):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
    try:
        run("docs/contributing/dataset.md", __name__="guide")
        images = load_dataset("pairs", tmp_path)
        assert (images.classes, list(images.rows["label"])) == (("cat", "dog"), [0, 0, 1])
    finally:
        DATASETS.pop("pairs", None)


def test_a_method_of_ones_own():
    try:
        run("docs/contributing/method.md", __name__="guide")
        model = create_model("toynet", num_classes=3).eval()
        assert explain(model, torch.randn(2, 3, 32, 32), method="saliency").shape == (2, 32, 32)
        assert "saliency" in methods_of(model)
    finally:
        METHODS.pop("saliency", None)


def test_a_notebook_of_ones_own():
    (cell,) = snippets("docs/contributing/notebook.md")
    parameters = read_cell(cell)
    assert [parameter.type_name for parameter in parameters.values()] == ["str", "str", "int | None", "str"]
    assert all(parameter.help for parameter in parameters.values())
    (opening,) = re.findall(r"`(nb = open_notebook.*?)`", TEXTS["docs/contributing/notebook.md"])
    cells = {}
    exec(f"{cell}\nfrom lib.opening import open_notebook\n{opening}", cells)
    assert (cells["nb"].config.dataset, cells["nb"].config.seed) == ("phantom-lesions", 0)  # "none for 0"


def test_dcal():
    given = {"images": torch.randn(2, 3, 64, 64), "partners": torch.tensor([1, 0]), "labels": torch.tensor([3, 199])}
    vit = timm.create_model("test_vit", img_size=64)
    left = run("docs/mechanisms/dcal.md", **given, loss_fn=nn.CrossEntropyLoss(), vit=vit)
    assert left["model"].inference(given["images"]).shape == (2, 200)


def test_explanations():
    images, pixels = torch.randn(2, 3, 32, 32), np.zeros((2, 32, 32, 3), np.uint8)
    masks = np.zeros((2, 32, 32), bool)
    masks[:, 8:20, 8:20] = True
    model = create_model("toynet", num_classes=3, attn_type="CBAM").eval()
    given = {"images": images, "pixels": pixels, "masks": masks, "targets": None, "lesions": ["a", "b"]}
    given |= {"gallery": images, "query": images[0]}
    left = run("docs/tutorials/explanations.md", **given, model=model)
    assert set(left["scores"]) == set(left["maps"]) < set(left["methods_of"](model))


def test_runs_as_a_tracker_lists_them(shared_root):
    assert isinstance(run("docs/tutorials/tracking.md", store=shared_root / "guides")["runs"], list)


def test_every_block_of_python_is_tried_here():
    told = {page for page in TEXTS if snippets(page)} - {"data/README.md"}  # which leaves out what is one's own
    tried = {f"docs/contributing/{name}.md" for name in ("fusion", "dataset", "method", "notebook")}
    tutorials = {f"docs/tutorials/{name}.md" for name in ("one-run", "explanations", "tracking", "your-images")}
    assert told == tried | tutorials | {"README.md", "docs/mechanisms/dcal.md"}


def lines_of(program: str) -> list[list[str]]:
    """The words behind `program` in every command line of the guides."""
    joined = GUIDES.replace("\\\n", " ")
    inline = [
        re.sub(r"\s+", " ", code)
        for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", joined, flags=re.DOTALL))
    ]
    blocks = [line for block in re.findall(r"```bash\n(.*?)```", joined, re.DOTALL) for line in block.splitlines()]
    lines = [shlex.split(line, comments=True) for line in (*inline, *blocks) if program in line]
    words = program.split()
    starts = [[i for i in range(len(line)) if line[i : i + len(words)] == words] for line in lines]
    found = {tuple(line[start[0] + len(words) :]) for line, start in zip(lines, starts, strict=True) if start}
    return [list(line) for line in sorted(found) if "…" not in line]


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (lib[a-z_.]*|benchmarks[a-z_.]+)", GUIDES))))
def test_a_module_that_is_started_by_name_is_there(module):
    spec = importlib.util.find_spec(module.rstrip("."))
    assert spec is not None
    script = (
        Path(spec.origin) if spec.submodule_search_locations is None else Path(spec.origin).with_name("__main__.py")
    )
    assert '__name__ == "__main__"' in script.read_text()


BENCHMARKS = sorted(
    path
    for path in (ROOT / "benchmarks").rglob("*.py")
    if '__name__ == "__main__"' in path.read_text() and path.stem != "__main__"
)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_is_in_the_list_and_imports_what_is_there(path):
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    assert f"`python -m {module}`" in GUIDES
    if "playwright" in path.read_text():
        pytest.importorskip("playwright")
    rows = getattr(importlib.import_module(module), "rows", None)
    named = module.removeprefix("benchmarks.") in (*SIDE_BY_SIDE, *BY_NAME)
    assert named == (rows is not None)
    assert not named or options(rows)["quick"] is False


def understood_by_run_all(words: list[str], folder: Path) -> bool:
    words = [str(folder) if word == "DIR" else word for word in words]
    dry = ["--dry-run"] if words[:1] == ["sweep"] and len(words) > 1 and "--dry-run" not in words else []
    return words == ["sweep"] or commandline.main([*words, *dry, "--output-dir", str(folder / "out")]) == 0


@pytest.mark.parametrize("words", lines_of("python run_all.py"), ids=" ".join)
def test_a_command_of_run_all_is_understood(words, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(notebooks, "run", lambda *_: 0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert understood_by_run_all(words if words != ["NUMBER", "--profile", "smoke"] else ["02", *words[1:]], tmp_path)


@pytest.mark.parametrize(
    "words", [words for words in lines_of("python -m lib.train") if words != ["--help"]], ids=" ".join
)
def test_a_command_of_train_is_understood(words, tmp_path):
    words = [str(tmp_path) if word in ("SHARDS", "DIR") else word for word in words]
    profile = vars(train.build_parser().parse_args(words))
    settings = {name: value for name, value in profile.items() if name not in ("profile", "output_dir")}
    assert set(settings) <= set(RunConfig().to_dict())


@pytest.mark.parametrize("words", lines_of("python -m lib.data.download"), ids=" ".join)
def test_a_data_set_that_can_be_downloaded_is_known(words):
    assert words[0] in SOURCES


@pytest.mark.parametrize("words", lines_of("attention-workbook"), ids=" ".join)
def test_a_command_of_the_workbook_is_there(words):
    if words and words[0][0].isalpha():  # not `docker build -t attention-workbook .`
        assert set(words[0].split("|")) <= {*COMMANDS, "python"}


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"`(--[a-z][a-z_-]+)", GUIDES))))
def test_a_flag_in_the_text_is_known(flag, capsys):
    """Of run_all.py, of its sweeps, of training, of another command line, or of a benchmark."""
    texts = SOURCE + "".join(path.read_text() for path in (ROOT / "benchmarks").rglob("*.py"))
    for words in (["--help"], ["sweep", "--help"]):
        with pytest.raises(SystemExit):
            commandline.main(words)
        texts += capsys.readouterr().out
    assert flag in texts or flag in train.build_parser().format_help()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:lib|tests|docs|protocols)/[\w./]+\.\w+)`", GUIDES))))
def test_a_file_that_is_named_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(lib(?:\.\w+)+)`", GUIDES))))
def test_a_name_of_lib_is_there(name):
    *parts, last = name.split(".")
    if importlib.util.find_spec(name) if parts == ["lib"] else not last[0].isupper() and _is_module(name):
        return
    assert hasattr(importlib.import_module(".".join(parts)), last)


def _is_module(name: str) -> bool:
    return any(ROOT.joinpath(*name.split(".")).with_suffix(end).exists() for end in ("", ".py"))


@pytest.mark.parametrize("error", re.findall(r"^## `(.*)`$", TEXTS["docs/faq.md"], re.MULTILINE))
def test_an_error_of_the_faq_is_one_of_ours(error):
    pattern = r"[^\n]*".join(re.escape(part) for part in error.split("…"))
    assert re.search(pattern, SOURCE)
