"""A drawn set is read once, and again when something of it has changed."""

import pytest

from lib.data import datasets, load_dataset
from lib.errors import WorkbookFileError


@pytest.fixture
def reads(monkeypatch, tmp_path):
    """The folders that were read, of a set of few images below `tmp_path`."""
    read, names = datasets.load_cub, []

    def counted(folder, name, skip_unreadable):
        names.append(folder.name)
        return read(folder, name, skip_unreadable)

    entry = datasets.DATASETS["phantom-needles"]
    load = datasets._phantoms(datasets.draw_needles, counted, 24)
    monkeypatch.setitem(datasets.DATASETS, "phantom-needles", datasets.replace(entry, load=load))
    return names


def test_a_drawn_set_is_read_once_and_again_after_a_change(reads, tmp_path):
    first, second = (load_dataset("phantom-needles", tmp_path) for _ in range(2))
    assert reads == ["24-images"]
    assert first.rows.equals(second.rows)
    first.rows["label"] = 0
    assert set(second.rows["label"]) == set(load_dataset("phantom-needles", tmp_path).rows["label"]) == {0, 1, 2, 3}
    boxes = tmp_path / "24-images" / "bounding_boxes.txt"
    boxes.write_text(boxes.read_text().replace("1 ", "1 0", 1))
    load_dataset("phantom-needles", tmp_path)
    assert len(reads) == 2
    next((tmp_path / "24-images" / "images").glob("*/*.jpg")).unlink()
    with pytest.raises(WorkbookFileError):
        load_dataset("phantom-needles", tmp_path)
