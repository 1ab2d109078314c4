"""Protocols: what a file asks for, and every mistake in it with its line."""

from contextlib import nullcontext

import pytest

from lib.errors import WorkbookFileError, WorkbookValueError
from lib.training import config_of, profile_config
from lib.workbook.parameters import read_parameters
from lib.workbook.plan import find_notebooks
from lib.workbook.protocol import PROTOCOLS, TABLES, grid_protocol, read_protocol

NOTEBOOK = find_notebooks(["02"])[0]
SEEDS = {"quick": 3, "paper": 5}


def write(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", SEEDS)
def test_the_workbooks_protocols_hold_the_tables_and_every_run_can_be_configured(name):
    protocol = read_protocol(name)
    assert list(protocol.tables) == list(TABLES)
    assert len(protocol.seeds) == SEEDS[name]
    runs = protocol.runs()
    assert len(runs) >= 24
    assert len({config_of(run).hash for run in runs}) >= 24
    assert [path.stem[:2] for path in protocol.then] == ["03", "09"]


def test_the_papers_protocol_is_the_seeds():
    """8 baselines, 5 CBAM, 6 fusions, 4 residuals on HAM10000 at the readme's settings."""
    tables = read_protocol("paper").tables
    rows = {name: len(list(grid.settings())) for name, grid in tables.items()}
    assert [rows[name] for name in ("backbones", "attention", "fusion", "residual", "efficiency")] == [8, 5, 6, 4, 5]
    config = config_of(read_protocol("paper").run(next(tables["fusion"].settings()), 0))
    wanted = {
        "dataset": "HAM10000", "backbone": "resnet50", "attention": "CBAM", "batch_size": 32, "lr": 1e-3,
        "optimizer": "AdamW", "lr_scheduler": "ReduceLROnPlateau", "loss_type": "focal", "focal_alpha": 0.25,
        "focal_gamma": 2.0, "max_epoch": 100, "early_stopping_patience": 15, "pretrained": True, "image_size": 224,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in wanted} == wanted
    sweeps = {name: grid.axes for name, grid in read_protocol("paper").sweeps.items()}
    assert sweeps == {
        "learning rate": {"lr": [1e-2, 1e-3, 1e-4]},
        "batch size": {"batch_size": [16, 32, 64]},
        "focal loss against cross-entropy": {"loss_type": ["cross_entropy", "focal"]},
        "effect of the sampler": {"sampler": ["none", "sqrt", "inverse"]},
    }


def test_losses_and_samplers_are_a_study_whose_runs_differ_in_nothing_else():
    protocol = read_protocol("imbalance")
    configs = {
        name: [config_of(run) for run in map(protocol.run, grid.settings(), [0] * 9)]
        for name, grid in protocol.sweeps.items()
    }
    asked = [[(config.loss_type, config.sampler) for config in of_one] for of_one in configs.values()]
    assert asked == [
        [("cross_entropy", "none"), ("focal", "none")],
        [("cross_entropy", "none"), ("class_balanced", "none")],
        [("cross_entropy", "sqrt"), ("logit_adjusted", "sqrt")],
        [("cross_entropy", sampler) for sampler in ("none", "log", "sqrt", "inverse")],
    ]
    alike = {config.replace(loss_type="focal", sampler="none") for of_one in configs.values() for config in of_one}
    assert len(alike) == 1
    assert len(protocol.runs()) == 21  # seven networks, of which some stand in several sweeps


def test_every_part_of_the_recipe_is_a_parameter_and_the_profiles_until_it_is_given():
    known = read_parameters(NOTEBOOK)
    plain = {name: parameter.default for name, parameter in known.items()}
    given = {
        "loss_type": "focal", "sampler": "none", "optimizer": "SGD", "lr_scheduler": "none", "pretrained": True, "num_heads": 4,
        "focal_alpha": 1.0, "focal_gamma": 1.0, "label_smoothing": 0.2, "mixup": 0.2, "cutmix": 1.0, "ema_decay": 0.9,
        "accumulate_grad_batches": 2, "test_time_augmentation": "mirror", "wandb_project": "p",
    }  # fmt: skip
    ours = profile_config("quick", dataset="phantom-lesions", fusion_strategy="learnable_gate")
    assert config_of(plain) == ours
    config = config_of(plain | given)
    assert {name: getattr(config, name) for name in given} == given


def test_a_run_has_every_parameter_of_the_notebook(tmp_path):
    (tmp_path / "ham").mkdir()
    text = "notebook: 02\nseeds: [3]\ndata_roots: {HAM10000: ham}\ncommon: {lr: 1e-3}\n"
    text += "tables:\n  fusion: {dataset: [digits, HAM10000], fusion_strategy: original}\n  leak: {lr: 1e-3}\n"
    protocol = read_protocol(write(tmp_path, text))
    first, second, third = protocol.runs()
    known = read_parameters(NOTEBOOK)
    assert set(first) == set(known)
    assert (first["dataset"], first["data_root"], first["seed"], first["lr"]) == ("digits", None, 3, 0.001)
    assert (second["dataset"], second["data_root"]) == ("HAM10000", str(tmp_path / "ham"))
    assert third["fusion_strategy"] == known["fusion_strategy"].default


def test_efficiency_is_measured_and_runs_that_two_tables_share_are_one(tmp_path):
    text = "notebook: 02\ntables:\n  efficiency: {backbone: [vgg11]}\n  backbones: {lr: 0.1}\nsweeps:\n  a b: {lr: [0.1, 0.2]}\n"
    assert [run["lr"] for run in read_protocol(write(tmp_path, text)).runs()] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("notebok: 02", 1, "Unknown key 'notebok'. Did you mean 'notebook'"),
        ("title: x", 1, "the key 'notebook' is missing"),
        ("notebook: 42\ntables: {leak: {lr: 1}}", 1, "Unknown notebook '42'"),
        ("notebook: 01\ntables: {leak: {profile: quick}}", 1, "has no parameter 'seed'"),
        ("notebook: 02", 1, "neither a table nor a sweep"),
        ("notebook: 02\ntables:\n  fuson: {lr: 1}", 3, "Unknown table 'fuson'. Did you mean 'fusion'"),
        ("notebook: 02\ntables:\n  leak:\n    splt: [a]", 4, "Unknown parameter 'splt'. Did you mean 'split'"),
        ("notebook: 02\ntables:\n  leak:\n    lr: [0.1,\n     fast]", 5, "Parameter 'lr' must be float, or none, not 'fast'"),
        ("notebook: 02\ntables:\n  leak:\n    lr: []", 4, "the grid over lr is empty"),
        ("notebook: 02\ntables:\n  leak: {}", 3, "leak is empty"),
        ("notebook: 02\ntables:\n  leak: {lr: [1, 1.0]}", 3, "lr has the value 1.0 twice"),
        ("notebook: 02\ntables:\n  leak: {lr: 1}\n  leak: {lr: 2}", 4, "'leak' stands there twice"),
        ("notebook: 02\ntables:\n  leak: {lr: {a: 1}}", 3, "lr takes one value or a list"),
        ("notebook: 02\ntables: [leak]", 2, "tables must be 'name: value' pairs"),
        ("notebook: 02\ncommon:\n  epochs: 3\ntables: {leak: {lr: 1}}", 3, "Unknown parameter 'epochs'"),
        ("notebook: 02\nseeds: 3\ntables: {leak: {lr: 1}}", 2, "seeds must be a list"),
        ("notebook: 02\nseeds: [a]\ntables: {leak: {lr: 1}}", 2, "Parameter 'seed' must be int"),
        ("notebook: 02\nseeds: []\ntables: {leak: {lr: 1}}", 2, "the grid over seeds is empty"),
        ("notebook: 02\ntables: {leak: {seed: [1]}}", 2, "Unknown parameter 'seed'."),
        ("notebook: 02\nthen: 03\ntables: {leak: {lr: 1}}", 2, "then must be a list"),
        ("notebook: 02\ndata_roots: {HAM10000: nowhere}\ntables: {leak: {lr: 1}}", 2, "does not exist or is not a folder"),
        ("notebook: 02\ntables: {leak: {dataset: [HAM1000]}}", 2, "Unknown dataset 'HAM1000'. Did you mean 'HAM10000'"),
        ("notebook: 02\ndata_roots: {HAM1000: .}\ntables: {leak: {lr: 1}}", 2, "Unknown dataset 'HAM1000'. Did you mean"),
        ("notebook: 02\ntest_also_on: [isic-2018-task4]\ntables: {leak: {lr: 1}}", 2, "Did you mean 'isic-2018-task-3'"),
        ("notebook: 02\nthen: [03,\n 01]\ntables: {leak: {lr: 1}}", 3, "has no parameter 'protocol'"),
        ("notebook: 02\nsweeps:\n  fusion: {lr: 1}", 3, "'fusion' is the name of a table"),
        ("notebook: 02\nsweeps:\n  efficiency: {lr: 1}", 3, "'efficiency' is the name of a table"),
        ("notebook: 02\ntables:\n  ? [a, b]\n  : 1", 3, "a single value is wanted here"),
        ("notebook: 02\ntables:\n  leak:\n    lr: !!int abc", 4, "'abc' cannot be read as int"),
        ("notebook: 02\ntables:\n  leak:\n    lr: !!int ''", 4, "'' cannot be read as int"),
        ("notebook: 02\ntables:\n  leak:\n    lr: !foo abc", 4, "'abc' cannot be read as !foo"),
        ("notebook: 02\ntables:\n  leak:\n    backbone: 2020-13-45", 4, "'2020-13-45' cannot be read as timestamp"),
        ("notebook: 02\ntables:\n  leak:\n    backbone: !!timestamp x", 4, "'x' cannot be read as timestamp"),
        ("notebook: 02\ntables:\n  leak:\n    backbone: !!bool x", 4, "'x' cannot be read as bool"),
        ("notebook: 02\nseeds: [010]\ntables: {leak: {lr: 1}}", 2, "YAML takes 010 for the number 8 "),
        ("notebook: 02\ntables:\n  leak: {limit_images: 1:30}", 3, "YAML takes 1:30 for the number 90 "),
        ("notebook: 02\ntables:\n  leak: {lr: -1:30.5}", 3, "YAML takes -1:30.5 for the number -90.5 "),
        ("notebook: 02\ntables: {leak: {output_dir: [a, b]}}", 2, "Unknown parameter 'output_dir'"),
        ("- notebook", 1, "must be 'name: value' pairs"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path, text, line, message):
    with pytest.raises(WorkbookValueError) as raised:
        read_protocol(write(tmp_path, text))
    assert f"study.yaml, line {line}: " in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "tables:\n  fusion:\n    fusion_strategy: [original,\n      orignal]",
            5,
            "'orignal'. Did you mean 'original'",
        ),
        ("common:\n  profile: ful\ntables: {leak: {lr: 1}}", 3, "Unknown profile 'ful'. Did you mean 'full'"),
        ("sweeps:\n  rate: {lr: [0.1]}\n  other:\n    lr: [-1.0]", 5, "lr=-1.0 must be above 0"),
        ("tables:\n  efficiency:\n    backbone: [resnet0]", 4, "'resnet0'. Did you mean"),
        ("seeds: [0,\n  -1]\ntables: {leak: {lr: 1}}", 3, "seed=-1 must be at least 0"),
        ("tables:\n  attention: {attention: [cbam,\n    CBAM]}", 4, "attention has one value twice: 'cbam' and 'CBAM'"),
    ],
)
def test_what_the_notebook_will_refuse_is_told_with_its_line(tmp_path, text, line, message):
    protocol = read_protocol(write(tmp_path, f"notebook: 02\n{text}\n"))
    with pytest.raises(WorkbookValueError) as raised:
        protocol.check()
    assert f"study.yaml, line {line}: " in str(raised.value)
    assert message in str(raised.value)


def test_a_grid_of_the_command_line_is_checked_by_the_notebook_too():
    with pytest.raises(WorkbookValueError, match="^Unknown fusion.strategy 'orignal'. Did you mean 'original'"):
        grid_protocol(NOTEBOOK, {"fusion_strategy": ["orignal"]}, {}).check()


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"backbone": ["ResNet18", "resnet18"]}, "backbone has one value twice: 'ResNet18' and 'resnet18'"),
        ({"lr": ["none", "0.001"]}, "lr has one value twice: None and 0.001 are the same run"),
        ({"seed": ["1"], "profile": ["smoke", "quick", "Smoke"]}, "profile='Smoke' is written 'smoke'"),
        (
            {"attention": ["none", "CBAM"], "fusion_strategy": ["original", "cross_attn"]},
            None,
        ),  # what is bare fuses nothing
        ({"compare": ["true", "false"]}, None),
    ],
)
def test_two_spellings_of_a_value_are_no_axis(axes, told):
    protocol = grid_protocol(NOTEBOOK, axes, {} if "profile" in axes else {"profile": "smoke"})
    with pytest.raises(WorkbookValueError, match=f"^{told}") if told else nullcontext():
        protocol.check()


def test_a_set_or_a_notebook_that_is_named_twice_is_taken_once(tmp_path):
    text = "notebook: 02\ntest_also_on: [digits, Digits]\nthen: [9, '09']\ntables: {leak: {lr: 1}}"
    protocol = read_protocol(write(tmp_path, text))
    assert protocol.test_also_on == ["digits"]
    assert [path.stem for path in protocol.then] == ["09_paper_tables"]


def test_numbers_in_any_of_pythons_ways_are_read(tmp_path):
    text = "notebook: 02\nseeds: [0, 00, 0x1F, '010', 1_000]\ntables: {leak: {lr: [.5, 1e-3, 2., +1.5e+0]}}"
    with pytest.raises(WorkbookValueError, match="seeds has the value 0 twice"):
        read_protocol(write(tmp_path, text))
    protocol = read_protocol(write(tmp_path, text.replace("00, ", "", 1)))
    assert protocol.seeds == [0, 31, 10, 1000]
    assert protocol.tables["leak"].axes == {"lr": [0.5, 0.001, 2.0, 1.5]}


def test_a_relative_path_begins_at_the_protocols_folder(tmp_path):
    runs = read_protocol(write(tmp_path, "notebook: 02\ntables: {leak: {data_root: [ham, ../other, /x, ~]}}")).runs()
    assert [run["data_root"] for run in runs] == [str(tmp_path / "ham"), str(tmp_path.parent / "other"), "/x", None]


def test_a_data_set_may_be_written_in_any_way(tmp_path):
    (tmp_path / "ham").mkdir()
    text = "notebook: 02\ndata_roots: {ham-10000: ham}\ntest_also_on: [ISIC-2018-task3]\ntables: {leak: {dataset: ham10000}}"
    protocol = read_protocol(write(tmp_path, text))
    assert protocol.test_also_on == ["isic-2018-task-3"]
    assert protocol.runs()[0]["data_root"] == str(tmp_path / "ham")


def test_each_study_has_a_name_of_its_own(tmp_path):
    grids = [
        grid_protocol(NOTEBOOK, axes, fixed).name
        for axes, fixed in (
            ({"lr": ["1"]}, {}), ({"lr": ["2"]}, {}), ({"lr": ["1"]}, {"profile": "smoke"}), ({"lr": ["1"], "seed": ["1"]}, {}),
        )
    ]  # fmt: skip
    assert len(set(grids)) == 4
    assert grids[0].startswith("02_glsa_training-lr-")
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(read_protocol(write(tmp_path / folder, "notebook: 02\ntables: {leak: {lr: 1}}")).name)
    assert files[0] != files[1]
    assert read_protocol("quick").name == "quick"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a: [", "is not valid YAML"),
        ("\tb", "is not valid YAML"),
        ("a: " + "[" * 10_000, "is nested too deeply"),
        ("{a: " * 1000 + "1" + "}" * 1000, "is nested too deeply"),
    ],
)
def test_what_is_no_protocol_is_told(tmp_path, text, message):
    with pytest.raises(WorkbookValueError, match=message):
        read_protocol(write(tmp_path, text))


def test_a_study_of_millions_is_refused_with_its_size(tmp_path):
    axes = {"lr": range(1, 101), "batch_size": range(2, 102), "max_epoch": range(1, 101)}
    lines = "".join(f"    {name}: {list(values)}\n" for name, values in axes.items())
    study = f"notebook: 02\nseeds: [0, 1, 2]\nsweeps:\n  small: {{lr: [1, 2]}}\n  huge:\n{lines}"
    told = r"study.yaml is of 3,000,006 runs, 3,000,000 of them in 'huge', and 100,000 are the most"
    with pytest.raises(WorkbookValueError, match=told):
        read_protocol(write(tmp_path, study))
    notebook, grid = find_notebooks(["02"])[0], {name: list(map(str, values)) for name, values in axes.items()}
    with pytest.raises(WorkbookValueError, match="The grid is of 1,000,000 runs"):
        grid_protocol(notebook, grid, {})


def test_a_protocol_is_found_by_its_name_or_path():
    assert read_protocol("quick").path == read_protocol(PROTOCOLS / "quick.yaml").path
    with pytest.raises(WorkbookFileError, match="no protocol 'quik'. Did you mean 'quick'"):
        read_protocol("quik")


def test_a_grid_from_the_command_line():
    protocol = grid_protocol(NOTEBOOK, {"lr": ["1e-2", "1e-3"], "seed": ["0", "1"]}, {"profile": "smoke"})
    assert [(run["lr"], run["seed"], run["profile"]) for run in protocol.runs()] == [
        (0.01, 0, "smoke"), (0.01, 1, "smoke"), (0.001, 0, "smoke"), (0.001, 1, "smoke"),
    ]  # fmt: skip
    assert [run["seed"] for run in grid_protocol(NOTEBOOK, {"lr": ["1"]}, {"seed": "7"}).runs()] == [7]


@pytest.mark.parametrize(
    ("axes", "fixed", "message"),
    [
        ({"fusion": ["a"]}, {}, "Unknown parameter 'fusion'. Did you mean 'fusion_strategy'"),
        ({"lr": []}, {}, "--grid lr= is empty"),
        ({"lr": ["fast"]}, {}, "'lr' must be float"),
        ({"lr": ["1", "1.0"]}, {}, "has a value twice"),
        ({"lr": ["1"]}, {"epochs": "3"}, "Unknown parameter 'epochs'"),
        ({"lr": ["1"]}, {"max_epoch": "few"}, "'max_epoch' must be int"),
        ({"seed": ["0", "1"]}, {"seed": "3"}, "^seed is an axis of the grid and '3' in every run, too: give it once"),
        ({"profile": ["smoke"]}, {"profile": "quick"}, "^profile is an axis of the grid and 'quick'"),
        ({"output_dir": ["x", "y"]}, {}, "^output_dir is none of a run's own.* give it as --output-dir"),
        ({"lr": ["1"]}, {"output_dir": "x"}, "^output_dir is none of a run's own"),
    ],
)
def test_a_wrong_grid_is_told(axes, fixed, message):
    with pytest.raises(WorkbookValueError, match=message):
        grid_protocol(NOTEBOOK, axes, fixed)
