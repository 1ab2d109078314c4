"""What a run is trained and tested on is refused before training where its test would fail."""

import dataclasses

import pytest

from lib.data import load_dataset
from lib.errors import WorkbookValueError
from lib.training import RunStore, profile_config
from lib.training.material import material_of


def test_a_query_that_is_a_distractor(tmp_path):
    config = profile_config("reid-smoke", dataset="phantom-people", limit_images=300, image_size=64, image_width=32)
    images = load_dataset(config.dataset, config.data_root, config.limit_images)
    rows, store = images.rows.copy(), RunStore(tmp_path / "runs")
    assert (material_of(config, store, images).parts == "query").any()
    asked = rows.index[rows["part"] == "query"][3]
    rows.loc[asked, "identity"] = 0
    message = f"Query {rows.loc[asked, 'image_id']}.* has the identity 0"
    with pytest.raises(WorkbookValueError, match=message):
        material_of(config, store, dataclasses.replace(images, rows=rows))
