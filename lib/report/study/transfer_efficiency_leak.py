"""Tables 5 and 6 of the paper and the leak study: transfer between data sets, efficiency, inflation by a leaky split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib.errors import WorkbookError
from lib.evaluation.efficiency import Efficiency, Spread, measure_efficiency
from lib.evaluation.transfer import REASONS
from lib.report.study.comparisons import DIFFERENCE, TESTED_METRICS, Pair, comparisons
from lib.report.study.footnotes import LEVELS, notes_at_chance, notes_on, notes_on_tests
from lib.report.study.paper_tables import labels_of, level, of_runs, seeds_of
from lib.report.study.study import Answers, Row, Study
from lib.report.tables.cells import Absent, Cell, Missing, Quantity, Text
from lib.report.tables.table import Heading, Table
from lib.statistics.metric_names import METRICS
from lib.training.config import RunConfig

SEEN = {"image_id": "same id", "content": "same pixels", "group": "same lesion"}  # of REASONS
DROP = (
    "Drop: the metric on the own test set minus that on the other one. The networks are the same, the images are not, "
    "so a drop holds what the change of images costs and what the other images are harder by."
)
DROPPED = (
    "A test image is left out where the run trained on it or chose its epoch by it: the same image id, the same "
    "pixels, or another view of the same lesion, in this order."
)
SPLITS = (
    "Lesion-level: no lesion is in two parts. Image-level: images are shuffled, so that views of one lesion are on both "
    "sides. The two test parts hold different images and are compared unpaired; each is one draw of the split."
)
RATIOS = (
    "Ratios: time over the bare backbone's, both measured in turn in one process: median, lowest and highest round; the "
    "bare backbone's own times follow from them. "
    "MACs are multiply-accumulates of one image; memory is of one training step, beyond weights and optimiser state."
)


def transfer_table(study: Study) -> Table:
    """Table 5: trained on × tested on, what is lost, and which test images were left out."""
    rows, family = study.rows("transfer"), comparisons(study, "transfer")
    found = family.of("accuracy")
    drops = dict(zip(map(_key, found.pairs), found.columns, strict=True))
    cells: list[dict[Heading, Cell]] = []
    for row in rows:
        own = study.answers(row, row.config.dataset)
        none = dict.fromkeys(DIFFERENCE, Absent())
        cells.append({**_tested(own), **_renamed(none), **_account(own)})
        for pair in found.pairs:
            if pair.row is row or pair.row.config == row.config:
                there = pair.second
                cells.append({**_tested(there), **_renamed(drops[_key(pair)]), **_account(there)})
    chance = notes_at_chance(each for pair in found.pairs for each in (pair.first, pair.second))
    notes = [LEVELS, DROP, DROPPED, *notes_on_tests(family), *chance, *notes_on(rows)]
    return Table("table5_transfer", "Table 5. Trained on one data set, tested on another.", cells, notes, labels=2)


def _key(pair: Pair) -> tuple[RunConfig, str]:
    return pair.row.config, pair.second.dataset


def _tested(answers: Answers) -> dict[Heading, Cell]:
    config = answers.row.config
    return {
        ("", "trained on"): Text(config.dataset),
        ("", "backbone"): Text(config.backbone),
        ("", "tested on"): Text(answers.dataset),
        **seeds_of(answers.row),
        ("", "accuracy (%)"): level(answers, "accuracy"),
        ("", "balanced accuracy (%)"): level(answers, "balanced_accuracy"),
    }


def _renamed(columns: Mapping[Heading, Cell]) -> dict[Heading, Cell]:
    return {("", name.replace("difference", "drop")): cell for (_, name), cell in columns.items()}


def _account(answers: Answers) -> dict[Heading, Cell]:
    """How many test images were left out, by reason."""
    if answers.dataset == answers.row.config.dataset:
        return {("left out", SEEN[reason]): Absent() for reason in REASONS}
    if answers.missing:
        return {("left out", SEEN[reason]): Missing(answers.missing) for reason in REASONS}
    return {("left out", SEEN[reason]): Quantity(answers.dropped[reason]) for reason in REASONS}


@dataclass(frozen=True)
class Cost:
    """What the network of one row of Table 6 costs, and its bare backbone; or why it could not be measured."""

    row: Row
    network: Efficiency | None
    bare: Efficiency | None
    missing: str = ""


def measure_costs(study: Study, rows: Sequence[Row], folder: Path, seconds: float) -> list[Cost]:
    """Measure each row's network and its bare backbone, or read what `folder` keeps; about `seconds` for each."""
    return [_cost(study, row, folder, seconds) for row in rows]


def _cost(study: Study, row: Row, folder: Path, seconds: float) -> Cost:
    try:
        configs = (row.config, row.config.replace(attention="none"))
        classes = study.classes(row.config)
        return Cost(row, *(measure_efficiency(config, classes, folder, seconds=seconds) for config in configs))
    except WorkbookError as error:
        return Cost(row, None, None, " ".join(str(error).split()))


def efficiency_table(costs: Sequence[Cost]) -> Table:
    """Table 6: parameters by part, MACs, speed and memory of each network beside its bare backbone."""
    cells = []
    for cost in costs:
        if cost.network is None:
            cells.append({**labels_of(cost.row), ("", "network"): Missing(cost.missing)})
            continue
        cells.append({**labels_of(cost.row), ("", "network"): Text("bare"), **_cost_cells(_bare(cost), ratios=False)})
        told = f"{cost.row.config.attention}, {cost.row.config.fusion_strategy}"
        cells.append({**labels_of(cost.row), ("", "network"): Text(told), **_cost_cells(cost.network, ratios=True)})
    where = dict.fromkeys(_conditions(cost.network) for cost in costs if cost.network)
    notes = [RATIOS, f"Measured {'; '.join(where)}."] if where else []
    return Table("table6_efficiency", "Table 6. What the networks cost.", cells, notes)


def _bare(cost: Cost) -> Efficiency:
    """The bare backbone, with the times at which it took turns with the network, so that they agree with the ratios."""
    network = cost.network
    return replace(
        cost.bare,
        train_images_per_s=network.train_images_per_s * network.train_ratio[0],
        inference_images_per_s=network.inference_images_per_s * network.inference_ratio[0],
        latency_ms=network.latency_ms / network.latency_ratio[0],
    )


def _cost_cells(found: Efficiency, ratios: bool) -> dict[Heading, Cell]:
    parts = {name: found.parameters.get(name) for name in ("total", "global", "local", "fusion", "residual")}
    spread = _ratio if ratios else lambda _: Absent()
    return {
        **{("parameters (M)", n): Absent() if v is None else Quantity(v / 1e6, 3) for n, v in parts.items()},
        ("", "MACs (M)"): Quantity(found.macs / 1e6, 1),
        ("training", "images/s"): Quantity(found.train_images_per_s),
        ("training", "ratio"): spread(found.train_ratio),
        ("training", "memory (MiB)"): Quantity(found.peak_memory_mib),
        ("inference", "images/s"): Quantity(found.inference_images_per_s),
        ("inference", "ratio"): spread(found.inference_ratio),
        ("latency, one image", "ms"): Quantity(found.latency_ms, 1),
        ("latency, one image", "ratio"): spread(found.latency_ratio),
    }


def _ratio(spread: Spread) -> Quantity:
    return Quantity(spread[0], 2, low=spread[1], high=spread[2])


def _conditions(found: Efficiency) -> str:
    return (
        f"on {found.device}, {found.threads} thread{'s' * (found.threads > 1)}, training in {found.precision}, batches of "
        f"{found.batch_size} at {found.image_size}×{found.image_size} pixels"
    )


def leak_table(study: Study) -> Table:
    """The same network under both splits: by how much views of known lesions inflate a result."""
    family = comparisons(study, "leak")
    pairs = family.of("accuracy").pairs
    cells = []
    for i, pair in enumerate(pairs):
        for metric in TESTED_METRICS:
            columns = family.of(metric).columns[i]
            inflation = {("", n.replace("difference", "inflation")): c for (_, n), c in columns.items()}
            cells.append(
                {
                    ("", "backbone"): Text(pair.row.config.backbone),
                    **seeds_of(pair.row),
                    ("", "metric"): Text(METRICS[metric]),
                    ("", "lesion-level split (%)"): level(pair.second, metric),
                    ("", "image-level split (%)"): level(pair.first, metric),
                    **inflation,
                    ("", "leaked test images (%)"): of_runs(pair.row, _leaked, 1),
                }
            )
    answers = [each for pair in pairs for each in (pair.second, pair.first)]
    about = [*notes_at_chance(answers), *notes_on([each.row for each in answers])]
    notes = [LEVELS, SPLITS, *notes_on_tests(family), *about]
    return Table(
        "leak", "The leak study. The same network under a split that leaks and one that does not.", cells, notes
    )


def _leaked(run: object) -> float:
    return 100 * run.provenance["leaked_test_share"]
