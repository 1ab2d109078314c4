"""`python -m lib.train` as a user types it: the seeds' flags, one-line errors, an interruption that loses nothing."""

import os
import signal
import subprocess
import sys

import pytest

from lib.dcal import PAIR_STRATEGIES
from lib.errors import WorkbookError, WorkbookValueError
from lib.paths import ROOT
from lib.train import build_parser, main
from lib.training import RunConfig, RunStore, profile_config
from lib.training.losses import LOSSES
from lib.training.profiles import seed_config
from lib.training.settings import BRANCHES, SETTINGS
from lib.workbook.protocol import read_protocol

SEED_COMMAND = (
    "--dataset HAM10000 --backbone ResNet18 --attention CBAM --fusion_strategy learnable_gate --residual_strategy progressive "
    "--batch_size 32 --lr 1e-3 --max_epoch 50 --optimizer AdamW --lr_scheduler ReduceLROnPlateau --loss_type focal "
    "--focal_alpha 0.25 --focal_gamma 2.0 --early_stopping_patience 15 --verbose "
    "--wandb_project gl-attention-experiments --wandb_run experiment_v1"
)


def parse(line):
    settings = vars(build_parser().parse_args(line.split()))
    return {k: v for k, v in settings.items() if k not in ("profile", "output_dir")}


def test_the_seeds_command_line_runs_as_it_stands():
    config = RunConfig.from_dict(parse(SEED_COMMAND))
    assert (config.backbone, config.lr, config.max_epoch, config.verbose) == ("resnet18", 1e-3, 50, True)
    assert config.wandb_name == "experiment_v1_learnable_gate_progressive_CBAM"
    assert RunConfig.from_dict(parse("--dataset isic-2018-task-3 --attention none")).attention == "none"


def test_a_seeds_run_starts_from_imagenet_as_its_protocol_does():
    """GL-Attention's networks do: the command line's default, the `paper` profile and protocol are equal."""
    seed = seed_config(parse("--dataset HAM10000 --attention CBAM"))
    assert seed.pretrained
    assert seed_config(parse(SEED_COMMAND)).pretrained
    assert profile_config("paper").pretrained
    paper = read_protocol("paper")
    runs = [profile_config(**{k: v for k, v in run.items() if k in {*SETTINGS, "profile"}}) for run in paper.runs()[:3]]
    assert all(run.pretrained for run in runs)
    for other in (
        "--dataset HAM10000 --no-pretrained",
        "--dataset HAM10000 --weights resnet18_small --backbone resnet18_small",
        "--dataset HAM10000 --backbone toynet",  # there are none
        "--dataset HAM10000 --attention gatta",  # another paper's
        "--dataset digits",  # built in: nothing is downloaded
        "--attention CBAM",
    ):
        assert not seed_config(parse(other)).pretrained


def test_a_profiles_pretrained_weights_give_way():
    assert profile_config("paper", backbone="vgg16").pretrained
    assert not profile_config("paper", backbone="toynet").pretrained
    started = profile_config("full", backbone="resnet18_small", weights="resnet18_small")
    assert (started.weights, started.pretrained) == ("resnet18_small", False)
    assert profile_config("full", weights="none").pretrained


def test_flags_take_hyphens_none_and_lists():
    found = parse("--fusion-strategy original --early-stopping-patience none --focal-alpha 1,2,3 --data-root none")
    config = RunConfig.from_dict(found | {"sampler": "none"})
    assert set(found) == {"fusion_strategy", "early_stopping_patience", "focal_alpha", "data_root"}
    assert (config.early_stopping_patience, config.focal_alpha, config.data_root) == (None, (1.0, 2.0, 3.0), None)
    assert RunConfig.from_dict(parse("--augmentation none")).augmentation == "none"  # the name of one
    layers = parse("--attention gatta --gatta_layers layer3,layer4 --gatta_alpha_init 0.5 --freeze_backbone")
    assert RunConfig.from_dict(layers).gatta_layers == ("layer3", "layer4")
    with pytest.raises(WorkbookError, match="--batch_size '3.5' must be a whole number"):
        parse("--batch_size 3.5")
    with pytest.raises(WorkbookError, match="Unknown flag '--fusion_strateg'. Did you mean '--fusion_strategy'"):
        parse("--fusion_strateg original")


def test_a_run_from_the_command_line(finished, tiny, capsys, tmp_path):
    line = f"--profile smoke --dataset HAM10000 --data-root {tiny.data_root} --backbone toynet --attention none --max_epoch 2 --batch_size 16"
    assert main([*line.split(), "--output-dir", str(finished.path.parent.parent)]) == 0
    assert finished.path.name in capsys.readouterr().out  # the run was there: found, not trained


def command(*words, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", "lib.train", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fusion_strategy", "learnable_gat"], "Did you mean 'learnable_gate'"),
        (["--dataset", "HAM10000", "--data_root", "/nowhere"], "does not exist"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(words, message, tmp_path):
    process = command(*words, "--output_dir", tmp_path / "out")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 2
    assert err.startswith("error: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_ctrl_c_keeps_what_is_finished(tiny, tmp_path):
    line = f"--profile smoke --dataset HAM10000 --data-root {tiny.data_root} --attention none --max_epoch 500 --early-stopping-patience none"
    process = command(*line.split(), "--output-dir", tmp_path / "out", env=os.environ | {"OMP_NUM_THREADS": "1"})
    for text in process.stderr:
        if "epoch 3/500" in text:
            process.send_signal(signal.SIGINT)
            break
    err = process.communicate(timeout=600)[1]
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    (run,) = RunStore(tmp_path / "out" / "runs")
    assert not run.finished
    assert len(run.log) >= 2
    assert (run.path / "last.ckpt").exists()


def test_none_on_the_command_line_wins_over_a_profile_and_the_profiles_word_leaves_its_own():
    assert profile_config("ambiguous", **parse("--gatta_norm none")).gatta_norm is None
    assert profile_config("paper", **parse("--early_stopping_patience none")).early_stopping_patience is None
    assert profile_config("smoke", **parse("--sampler profile --loss_type profile --lr_scheduler none")) == (
        profile_config("smoke").replace(lr_scheduler="none")
    )


def test_switches_can_be_switched_off_and_a_recipes_task_goes_with_its_profile():
    settings = vars(build_parser().parse_args(["--no-pretrained"]))
    assert settings["pretrained"] is False
    assert "pretrained" not in vars(build_parser().parse_args([]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "fgvc", "--profile", "fgvc-smoke", "--dataset", "phantom-people"], "choose task='reid'"),
        (["--task", "reid", "--attention", "none"], "attention='DCAL'"),
    ],
)
def test_networks_and_data_that_do_not_go_with_the_task(tmp_path, arguments, message):
    with pytest.raises(WorkbookValueError, match=message):
        main([*arguments, "--limit_images", "320", "--output_dir", str(tmp_path)])


def test_help_tells_what_a_flag_can_be(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for names in (PAIR_STRATEGIES, BRANCHES, LOSSES):
        assert ", ".join(names) in told
    assert "Width of keys and queries. For GAttANet only. Default 64; at least 1 and at most 65,536." in told
    assert "Seed of the split. For all data sets but shards only. Default 0; finite" in told  # 0 is not off
    assert "left out, as suits the data set. Default left out; one of none," in told  # where none is a choice
    assert all(" ".join(field.metadata["help"].split()) in told.replace("- ", "-") for field in SETTINGS.values())
