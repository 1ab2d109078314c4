"""A drawn set is read once, and again when something of it has changed; and made nowhere but where nothing else is."""

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


@pytest.mark.parametrize("name", [name for name, entry in datasets.DATASETS.items() if entry.built_in])
def test_what_is_built_in_is_never_made_among_somebodys_files(name, tmp_path):
    photos = tmp_path / "photos"
    photo = photos / "cats" / "1.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"a photo")
    for root in (photos, photo):
        with pytest.raises(
            WorkbookFileError, match=f"holds something else .* than {name}.* leave the data root out, or give"
        ):
            load_dataset(name, root, limit=24)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1.png", "cats", "photos"]


def test_drawings_of_several_sets_and_sizes_may_lie_side_by_side(tmp_path):
    (tmp_path / ".DS_Store").touch()
    load_dataset("phantom-needles", tmp_path, limit=24)
    load_dataset("phantom-marks", tmp_path, limit=27)
    assert len(load_dataset("phantom-needles", tmp_path, limit=24).rows) == 24
