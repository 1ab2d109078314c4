"""The model card: what the Hub shows of a network, and what a reader has to know before using it."""

from collections.abc import Iterator
from typing import Any

import yaml

from lib.publish.licences import licence_text
from lib.report.tables.run_tables import provenance_text, recipe_text
from lib.training import Run

CARD = """---
{head}---

# {name}

{recipe}.

## How good it is

{metrics}

Each number is that of the run's own test part ({test}), with its 95 % interval, which resamples lesions or identities and
says nothing of other trainings.{phantom}

## Data

{data}

## Licence

{licence}

## Use

`config.json` has the classes and how images are prepared: {size} pixels, scaled to [0, 1], less the mean, by the standard
deviation.{onnx} With the workbook: `{build}`, then `model.load_state_dict(load_file("model.safetensors"))`.

## Where it comes from

{provenance} Split seed {split_seed}, training seed {seed}, {parameters:,} parameters.
{maps}"""
PHANTOM = " The images are drawn by the workbook: a demonstration, not a result about real images."
MAPS = """
## What it looks at

![A test image under each method](maps.png)

*One test image under maps of several methods. A map persuades, whether or not it is true: notebook 05 scores them.*
"""


def model_card(run: Run, config: dict[str, Any], licence: str, maps: bool) -> str:
    """The card of `run` in Markdown; `config` is what config.json says, `maps` whether maps.png is there."""
    facts = run.provenance
    return CARD.format(
        head=yaml.safe_dump(_head(run, licence), sort_keys=False, allow_unicode=True),
        name=run.path.name,
        recipe=recipe_text(run.config),
        metrics="\n".join(_metrics(run)),
        test=f"split {run.config.split}",
        phantom=PHANTOM * facts["is_phantom"],
        data=_data(run),
        licence=licence_text(licence),
        size="×".join(map(str, config["image_size"])),
        onnx=_onnx(config),
        build=config["build"],
        provenance=provenance_text(run),
        split_seed=facts["split_seed"],
        seed=facts["seed"],
        parameters=facts["parameters"],
        maps=MAPS * maps,
    )


def _head(run: Run, licence: str) -> dict[str, Any]:
    """The metadata that the Hub reads."""
    reid = run.config.task == "reid"
    task = "image-feature-extraction" if reid else "image-classification"
    of_set = {"name": run.config.dataset, "type": run.config.dataset}
    results = [{"type": name, "value": value} for name, value in run.metrics["test"].items() if value == value]
    return {
        "license": licence,
        "library_name": "pytorch",
        "pipeline_tag": task,
        "tags": ["attention", run.config.attention, run.config.backbone],
        "model-index": [
            {"name": run.path.name, "results": [{"task": {"type": task}, "dataset": of_set, "metrics": results}]}
        ],
    }


def _metrics(run: Run) -> Iterator[str]:
    if not run.metrics["test"]:
        yield "It was trained on all images, so there is no test."
        return
    yield "| metric | value | 95 % interval |\n| :-- | --: | :-- |"
    for name, value in run.metrics["test"].items():
        low, high = run.metrics["intervals"][name]
        yield f"| {name} | {value:.3f} | [{low:.3f}, {high:.3f}] |"


def _data(run: Run) -> str:
    facts = run.provenance
    leak = facts["leaked_test_share"]
    leaks = f" {leak:.1%} of the test images have another view of themselves in training." if leak else ""
    classes = "" if run.config.task == "reid" else f" Classes: {', '.join(run.classes)}."
    return (
        f"{run.config.dataset}, {facts['images']:,} images, fingerprint `{facts['data_fingerprint']}`.{leaks}{classes}"
    )


def _onnx(config: dict[str, Any]) -> str:
    if "onnx" not in config:
        return ""
    number = "any number of images" if config["onnx"]["images"] is None else "one image at a time"
    return f" `model.onnx` takes {number}; onnxruntime answers as PyTorch to {config['onnx']['tolerance']:g}."
