"""lib.predict: a file, a folder or a table in, one row an image out, the same numbers as in the run's own test."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.errors import WorkbookError, WorkbookFileError
from lib.predict import find_images, main, predict
from tests.helpers import unsealed


@pytest.fixture(scope="module")
def store(finished):
    return ["--output-dir", str(finished.path.parent.parent)]


def test_a_metadata_table_gives_the_runs_own_test_probabilities(finished, shared_ham, tmp_path, store):
    output = tmp_path / "out.csv"
    assert main([finished.config.hash, str(shared_ham / "HAM10000_metadata.csv"), "--output", str(output), *store]) == 0
    mine = pd.read_csv(output).set_index("image_id")
    assert len(mine) == 84
    theirs = finished.predictions.set_index("image_id")
    columns = [f"prob_{c}" for c in finished.classes]
    assert np.allclose(mine.loc[theirs.index, columns], theirs[columns], atol=1e-4)
    assert (mine.loc[theirs.index, "prediction"] == theirs["prediction"]).all()
    assert np.allclose(mine[columns].sum(axis=1), 1, atol=1e-4)


def test_a_folder_leaves_masks_out_and_a_file_is_one_row(finished, shared_ham, tmp_path):
    assert predict(finished, shared_ham, tmp_path / "all.csv") == 84
    assert predict(finished, shared_ham / "HAM10000_images_part_1" / "ISIC_0000000.jpg", tmp_path / "one.csv") == 1
    assert pd.read_csv(tmp_path / "one.csv")["image_id"].tolist() == ["ISIC_0000000"]


def test_the_banner_that_a_set_cuts_off_is_cut_off_here_too(finished, tmp_path, store):
    run, images = tmp_path / finished.path.name, tmp_path / "images"
    unsealed(shutil.copytree(finished.path, run))
    (run / "config.json").write_text(json.dumps(finished.config.to_dict() | {"dataset": "FGVCAircraft"}))
    images.mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (100, 90, 3), dtype=np.uint8)
    for colour in (0, 255):
        picture[-20:] = colour
        Image.fromarray(picture).save(images / f"{colour}.png")
    assert main([str(run), str(images), "--output", str(tmp_path / "out.csv")]) == 0
    first, second = pd.read_csv(tmp_path / "out.csv").filter(like="prob_").to_numpy()
    assert (first == second).all()


def test_images_of_other_sizes_and_modes(finished, tmp_path):
    for mode in ("L", "P", "RGBA"):
        Image.new("RGB", (123, 77), "brown").convert(mode).save(tmp_path / f"{mode}.png")
    assert predict(finished, tmp_path, tmp_path / "out.csv") == 3
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["image_id"].tolist() == ["L", "P", "RGBA"]


def test_a_table_may_give_paths(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "a" / "x.png")
    (tmp_path / "list.csv").write_text("path,note\na/x.png,first\na/y.png,second\n")
    found, missing = find_images(tmp_path / "list.csv")
    assert found == [("x", tmp_path / "a" / "x.png")]
    assert "row 3: no image file for 'a/y.png'" in missing[0]


def test_names_are_found_however_they_are_listed(tmp_path):
    (tmp_path / "images" / "sub dir").mkdir(parents=True)
    for name in ("ISIC_1.jpg", "sub dir/ISIC_2.JPG"):
        Image.new("RGB", (9, 9)).save(tmp_path / "images" / name)
    wanted = [
        ("ISIC_1", tmp_path / "images" / "ISIC_1.jpg"),
        ("ISIC_2", tmp_path / "images" / "sub dir" / "ISIC_2.JPG"),
    ]
    for text in (
        "image_name,target\nISIC_1,0\nISIC_2,1\n",
        "Image_ID,dx\nISIC_1.jpg,nv,\nISIC_2.jpg,mel,\n",
        "filepath\nimages\\ISIC_1.jpg\nimages\\sub dir\\ISIC_2.JPG\n",
        "Image_ID,site (a|b|c|d)\nISIC_1,\nISIC_2,\n",
        "path;dx\n/elsewhere/ISIC_1.png;nv\nimages/sub dir/ISIC_2.JPG;mel\n;\n",
    ):
        (tmp_path / "list.csv").write_text(text)
        assert find_images(tmp_path / "list.csv") == (wanted, [])
    (tmp_path / "list.csv").write_text('image_id,note\n\nISIC_1,"two\nlines"\nISIC_3,\n')
    assert "list.csv, row 5: no image file for 'ISIC_3'" in find_images(tmp_path / "list.csv")[1][0]


@pytest.mark.parametrize("header", ["image_id,Image_ID", "Image_ID;note;IMAGE_ID", "image_id,dx,image_id"])
def test_two_columns_of_one_name_are_refused(tmp_path, header):
    names = " and ".join(name for name in re.split("[,;]", header) if name.lower() == "image_id")
    sign = ";" if ";" in header else ","
    (tmp_path / "list.csv").write_text(f"{header}\n{sign.join(['ISIC_1'] * len(re.split('[,;]', header)))}\n")
    with pytest.raises(WorkbookError, match=f"list.csv has the columns {names}, and which is meant nobody can tell"):
        find_images(tmp_path / "list.csv")


def test_a_table_of_one_column(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "ISIC_1.png")
    for header in ("image_id", "path", "image"):
        (tmp_path / "list.csv").write_text(f"{header}\nISIC_1{'.png' if header == 'path' else ''}\n")
        assert find_images(tmp_path / "list.csv")[0] == [("ISIC_1", tmp_path / "ISIC_1.png")]


def test_mistakes_are_named_and_nothing_is_written(finished, tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "images" / "good.png")
    (tmp_path / "images" / "bad.png").write_bytes(b"broken")
    output = tmp_path / "out.csv"
    with pytest.raises(WorkbookFileError, match=r"bad\.png: corrupt.*--skip-unreadable"):
        predict(finished, tmp_path / "images", output)
    assert [p.name for p in tmp_path.iterdir()] == ["images"]
    assert predict(finished, tmp_path / "images", output, skip_unreadable=True) == 1
    with pytest.raises(WorkbookFileError, match="does not exist"):
        predict(finished, tmp_path / "nothing", output)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkbookFileError, match="holds no image"):
        predict(finished, tmp_path / "empty", output)
    for text in ("name\nx\n", "good.png\n"):  # the second is a list of one image, which has no header
        (tmp_path / "table.csv").write_text(text)
        with pytest.raises(WorkbookFileError, match=r"none of the columns path.* it has (name|good\.png)\."):
            predict(finished, tmp_path / "table.csv", output)
    with pytest.raises(WorkbookError, match=r"Cannot write .*table\.csv.*\. Choose another place; "):
        predict(finished, tmp_path / "images" / "good.png", tmp_path / "table.csv" / "out.csv")


def test_the_table_is_never_written_over_what_is_read(finished, tmp_path):
    picture, table = tmp_path / "a.png", tmp_path / "list.csv"
    Image.new("RGB", (9, 9)).save(picture)
    table.write_text("path\na.png\n")
    before = {path: path.read_bytes() for path in (picture, table)}
    for source, output in ((tmp_path, picture), (picture, picture), (table, table), (table, picture)):
        with pytest.raises(WorkbookFileError, match="is one of the files to read: name another"):
            predict(finished, source, output)
    assert {path: path.read_bytes() for path in before} == before
    assert predict(finished, table, tmp_path / "out.csv") == predict(finished, table, tmp_path / "out.csv") == 1
