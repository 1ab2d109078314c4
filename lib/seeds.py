"""The names of the projects that this workbook comes from, and what each of them is here.

`from lib.seeds import ResNet18` gives what does the same here, or raises an ImportError that says what to type. Unknown flags
and names are told so on command lines and in Python (`lib.errors`), and `docs/coming-from` shows the table.
"""

import re
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

GL, DCAL, LESA, GATTANET = "gl-attention", "dcal", "lesa", "gattanet"  # pages of docs/coming-from


class Former(NamedTuple):
    """A name of another project; texts are Markdown."""

    project: str
    there: str  # a name, a flag (--epochs), an argument, a file or a command
    here: str = ""  # what to type; "" where nothing is
    note: str = ""  # what else is to be known
    target: str = ""  # of a Python name that can be had: 'module:name'
    options: Mapping[str, Any] = {}  # the arguments that make it the same

    def __str__(self) -> str:
        """'`--epochs` is `--max_epoch` here: …'"""
        if not self.here:
            return f"`{self.there}`: {self.note}."
        return f"`{self.there}` is {self.here} here{': ' * bool(self.note)}{self.note}."


_GLSA = ("GLSABlock", "CBAM", "BAM", "BaseFusion", "ResidualStrategy", "FUSION_STRATEGIES", "RESIDUAL_STRATEGIES")
_DCAL = ("AttentionRollout", "AttentionRolloutHook", "GlobalLocalCrossAttention", "PairWiseCrossAttention")
_BRANCHES = "with `glca=` and `pwca=`; in training `--attention SA+GLCA`, `SA+PWCA` or `DCAL`"
_PAIRS = "random, inter_class, intra_class or hard; `--pairs` in training"
_STOCHASTIC = "stochastic depth is `drop_path_rate=`, and in training `--drop_path`, 0.1 where nothing is said"
_FITS = '`lib.fit(lib.profile_config("fgvc", dataset="CUB-200-2011", data_root=…, batch_size=16, max_epoch=100))`'

TABLE = (
    # commands, files
    Former(GL, "python train.py", "`python -m lib.train`", "with the same flags"),
    Former(GL, "requirement.txt", "`pyproject.toml`", "`pip install -e .`"),
    Former(GL, "run_paper_experiments.sh", "`python run_all.py sweep protocols/paper.yaml`", "its runs with five seeds each"),
    Former(GL, "analysis_script.py", "notebook 09", "its six tables, with intervals and tests; the script itself takes `lib.training.trackers.tracked_runs` in place of `wandb.Api().runs`"),
    Former(GL, "datasets/dataset.py", "`lib.load_dataset`"),
    Former(GL, "trainer/trainer.py", "`lib.fit`", "of a `lib.RunConfig`"),
    Former(GL, "utils/losses.py", "`lib.training.losses.LOSSES`"),
    Former(GL, "utils/logger.py", "`train.log`", "in the run's folder, for DEBUG and INFO"),
    Former(GL, "logs/GL-Attention_*.log", "`train.log`", "in the run's folder"),
    Former(GL, "logs/training_metrics_*.log", "`training_metrics.log`", "in the run's folder"),
    Former(GL, "logs/training_log.csv", "`training_log.csv`", "in the run's folder; `run.log` is the table"),
    Former(GL, "utils/grad_cam.py", "`lib.explain.explain`", 'with `method="grad-cam"`'),
    # names in Python
    Former(GL, "create_model", "`lib.create_model`", target="lib.models:create_model"),
    Former(GL, "ResNet18", '`lib.create_model("resnet18", …)`', target="lib.models:create_model", options={"backbone_name": "resnet18"}),
    Former(GL, "VGG16", '`lib.create_model("vgg16", …)`', target="lib.models:create_model", options={"backbone_name": "vgg16"}),
    Former(GL, "model.mha_block", "`model.block`", "the old name is one of its own, too"),
    *(Former(GL, name, f"`lib.glsa.{name}`", target=f"lib.glsa:{name}") for name in _GLSA),
    Former(GL, "scSE", "`lib.glsa.SCSE`", '`attn_type="scSE"` as it was', target="lib.glsa:SCSE"),
    Former(GL, "GeneralDataset", "", "a data set is a function that returns a `lib.data.ImageSet`, and a line in `lib.data.DATASETS`; its parts are drawn by `--split`"),
    # arguments and values
    Former(GL, "wandb_api_key", "the environment variable `WANDB_API_KEY`", "it is written nowhere"),
    Former(GL, "pets", "`oxford-iiit-pet`"),
    Former(GL, "Oxford-IIIT Pets", "`oxford-iiit-pet`"),
    Former(GL, "{base}_{fusion}_{residual}_{attention}", "the name of a run in Weights & Biases", "unchanged"),

    Former(DCAL, "python complete_example.py", "`python -m lib.train`", "with `--task fgvc` or `--task reid`; its quick test is `--profile fgvc-smoke`, seconds on drawn birds"),
    Former(DCAL, "python test_components.py", "`python -m pytest tests/dcal`"),
    *(Former(DCAL, name, f"`lib.dcal.{name}`", target=f"lib.dcal:{name}") for name in _DCAL),
    Former(DCAL, "create_dcal_model", "`lib.create_dcal_model`", target="lib.dcal:create_dcal_model"),
    Former(DCAL, "DCALModel", "`lib.create_dcal_model`", _BRANCHES),
    Former(DCAL, "GLCAWithBackbone", "`lib.create_dcal_model`", _BRANCHES),
    Former(DCAL, "PWCAWithBackbone", "`lib.create_dcal_model`", _BRANCHES),
    Former(DCAL, "PWCAWrapper", "`lib.create_dcal_model`", _BRANCHES),
    Former(DCAL, "create_advanced_dcal_model", "`lib.create_dcal_model`", f"without `task_type=`; {_STOCHASTIC}"),
    Former(DCAL, "DCALModelWithStochasticDepth", "`lib.create_dcal_model`", _STOCHASTIC),
    Former(DCAL, "ImagePairSampler", "`lib.dcal.PAIR_STRATEGIES`", _PAIRS),
    Former(DCAL, "AdvancedImagePairSampler", "`lib.dcal.PAIR_STRATEGIES`", _PAIRS),
    Former(DCAL, "TripletLoss", "`lib.training.triplet.BatchHardTriplet`", target="lib.training.triplet:BatchHardTriplet"),
    Former(DCAL, "FGVCDataLoader", "`lib.load_dataset`", "and `lib.fit` makes its batches"),
    Former(DCAL, "ReIDDataLoader", "`lib.load_dataset`", "and `lib.fit` makes its batches of identities"),
    Former(DCAL, "create_fgvc_trainer", _FITS),
    Former(DCAL, "DCALTrainer", _FITS, 'for identities `lib.profile_config("reid", …)`'),
    Former(DCAL, "ConfigManager", "`lib.RunConfig`", "`lib.profile_config` makes one of a recipe"),
    Former(DCAL, "BatchStrategyManager", "`lib.RunConfig`", "`sampler`, `images_per_identity` and `pairs` say what a batch is"),
    Former(DCAL, "--advanced", "", f"leave it out; {_STOCHASTIC}, and pairs are `--pairs`"),
    Former(DCAL, "--demo", "`--profile fgvc-smoke`", "seconds, on drawn birds"),
    Former(DCAL, "cub", "`CUB-200-2011`"),

    Former(LESA, "python train.py", "`python -m lib.train`", "with the flags below"),
    Former(LESA, "pip install tqdm", "`pip install -e .`"),
    Former(LESA, "config/lesa_resnet.py", "`--profile lesa-imagenet`", '`lib.create_model("lesa_resnet50")` is the network'),
    Former(LESA, "config/lesa_wrn.py", "`--profile lesa-imagenet --backbone lesa_wrn50 --attention none`", '`lib.create_model("lesa_wrn50")` is the network'),
    Former(LESA, "--cfg", "`--profile lesa-imagenet`", "for `config/lesa_wrn.py` with `--backbone lesa_wrn50 --attention none`"),
    Former(LESA, "--model", "`--backbone`", "the profile has it"),
    Former(LESA, "--gpu_id", "`--devices`", "their number, of those that CUDA_VISIBLE_DEVICES leaves"),
    Former(LESA, "--val_batch_size", "", "leave it out; it follows `--batch_size`"),
    Former(LESA, "--nesterov", "`--optimizer Nesterov`", "the profile has it"),
    Former(LESA, "--epochs", "`--max_epoch`", "those of `--warmup_epochs` included"),
    Former(LESA, "--name", "", "leave it out; a run is named by its settings"),
    Former(LESA, "--work_dirs", "`--output_dir`"),
    Former(LESA, "--test", "`python -m lib.evaluate results/lesa_resnet50 --data_root ILSVRC`", "top-1 and top-5 on ImageNet's validation images"),
    Former(LESA, "--test_weight", "the first word of `python -m lib.evaluate`", "a checkpoint or its folder; in Python `lib.lesa.load_official`; every key and shape is checked"),
    Former(LESA, "the layer", "`lib.lesa.LESA`", "or `lib.lesa.SelfAttention` without local term and gate"),
    Former(LESA, "the detector's backbone", "`lib.lesa.lesa_backbone`", "for torchvision's detectors"),

    Former(GATTANET, "GAttANet", "`lib.gattanet.GAttANet`", target="lib.gattanet:GAttANet"),
    Former(GATTANET, "src/model/gatta_cnn.py", "`lib.gattanet.GAttANet`"),
    Former(GATTANET, "src/backbone/resnet_wrapper.py", "any network that torch.fx can follow", "`freeze=True` leaves it as it is"),
    Former(GATTANET, "src/attention/kq_projection.py", "`lib.gattanet.MapAgreement`", "and `lib.gattanet.UnitAgreement` for dense layers"),
    Former(GATTANET, "src/attention/agreement.py", "`lib.gattanet.MapAgreement`", "and `lib.gattanet.UnitAgreement` for dense layers"),
    Former(GATTANET, "src/attention/global_query.py", "the map `queries` of `model.maps()`"),
    Former(GATTANET, "src/modulation/gain_control.py", "`lib.gattanet.gains`"),
    Former(GATTANET, "src/layers/normalization.py", '`norm="layer"`', "`--gatta_norm layer` in training"),
    Former(GATTANET, "src/config.py", "the arguments `dim`, `layers`, `alpha_init`, `passes`, `norm`", "in training `--gatta_dim`, `--gatta_layers`, `--gatta_alpha_init`, `--gatta_passes`, `--gatta_norm`"),
)  # fmt: skip
NAMES = {former.there: former for former in TABLE if former.there.isidentifier()}
__all__ = sorted(name for name, former in NAMES.items() if former.target)


def told(name: str) -> str | None:
    """What a name, a flag or an argument of another project is here, in a sentence; None where none had it, or where it is
    imported from here."""
    return next((str(f) for f in TABLE if not f.target and _plain(f.there) == _plain(name)), None)


def _plain(name: str) -> str:
    """As names are compared, where case, '-' and '_' do not matter; a flag stays one."""
    return re.sub(r"(?<!^)(?<!^-)[-_ ]", "", name).casefold()


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    former = NAMES[name]
    if not former.target:
        raise ImportError(str(former))
    module, _, attribute = former.target.partition(":")
    thing = getattr(import_module(module), attribute)
    return partial(thing, **former.options) if former.options else thing


def __dir__() -> list[str]:
    return [*globals(), *__all__]
