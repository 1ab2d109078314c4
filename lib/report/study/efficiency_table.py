"""Table 6 of the paper: what the networks cost beside their bare backbones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib.errors import WorkbookError
from lib.evaluation.efficiency import Efficiency, Spread, measure_efficiency
from lib.report.study.row_cells import labels_of
from lib.report.study.study import Row, Study
from lib.report.tables.cells import Cell
from lib.report.tables.table import Heading, Table

RATIOS = (
    "Ratios: time over the bare backbone's, both measured in turn in one process: median, lowest and highest round; the "
    "bare backbone's own times follow from them. "
    "MACs are multiply-accumulates of one image; memory is of one training step, beyond weights and optimiser state."
)


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
        labels, config = labels_of(cost.row), cost.row.config
        if cost.network is None:
            cells.append({**labels, ("", "network"): Cell.missing(cost.missing)})
            continue
        network = Cell.words(f"{config.attention}, {config.fusion_strategy}")
        cells.append({**labels, ("", "network"): Cell.words("bare"), **_cost_cells(_bare(cost), ratios=False)})
        cells.append({**labels, ("", "network"): network, **_cost_cells(cost.network, ratios=True)})
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


def _cost_cells(cost: Efficiency, ratios: bool) -> dict[Heading, Cell]:
    parts = {name: cost.parameters.get(name) for name in ("total", "global", "local", "fusion", "residual")}

    def spread(ratio: Spread) -> Cell:
        return Cell.quantity(ratio[0], 2, *ratio[1:]) if ratios else Cell.absent()

    return {
        **{("parameters (M)", n): Cell.absent() if v is None else Cell.quantity(v / 1e6, 3) for n, v in parts.items()},
        ("", "MACs (M)"): Cell.quantity(cost.macs / 1e6, 1),
        ("training", "images/s"): Cell.quantity(cost.train_images_per_s),
        ("training", "ratio"): spread(cost.train_ratio),
        ("training", "memory (MiB)"): Cell.quantity(cost.peak_memory_mib),
        ("inference", "images/s"): Cell.quantity(cost.inference_images_per_s),
        ("inference", "ratio"): spread(cost.inference_ratio),
        ("latency, one image", "ms"): Cell.quantity(cost.latency_ms, 1),
        ("latency, one image", "ratio"): spread(cost.latency_ratio),
    }


def _conditions(cost: Efficiency) -> str:
    return (
        f"on {cost.device}, {cost.threads} thread{'s' * (cost.threads > 1)}, training in {cost.precision}, batches of "
        f"{cost.batch_size} at {cost.image_size}×{cost.image_size} pixels"
    )
