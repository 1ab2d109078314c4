"""What a live view is answered about networks and images."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from lib.errors import WorkbookError, WorkbookValueError
from lib.evaluation.test_images import select_images
from lib.explain import compare_networks, deletion, explain, explore_networks, map_figure, methods_of
from lib.explain.views.brush import FILLS, painted
from lib.explain.views.live_opening import answers_about
from lib.explain.views.networks import Networks
from lib.explain.views.pictures import over_all
from lib.training import RunStore, prepare
from lib.training.inference import decoded_size
from tests.helpers import unpacked

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def images(finished, tiny):
    return select_images(tiny, prepare(tiny, RunStore(finished.path.parent)), order="classes in turn")


@pytest.fixture(scope="module")
def answers(finished, images):
    return answers_about({"toy": finished}, images, "cpu")


def answer(answers, what, buffer=b"", **rest):
    *_, last = answers({"what": what, **rest}, buffer)
    return last


def map_of(answers, image, method="gradient-x-input", **rest):
    wish = {"image": image, "network": "toy", "method": method, "target": "answer", "layer": "", "head": 0, "at": None}
    told, levels = answer(answers, "map", **{**wish, **rest})
    return told, np.frombuffer(levels, np.uint8).reshape(told["grid"])


def test_a_map_is_that_of_explain(answers, images, finished):
    model, batch = finished.model(), images[[0]].batch(finished.model())
    for target, k in (("answer", None), (3, 3), ("truth", int(images.labels[0]))):
        told, levels = map_of(answers, images.ids[0], target=target)
        expected = explain(model, batch, k, "gradient-x-input")[0].numpy()
        np.testing.assert_array_equal(levels, np.round(255 * expected).astype(np.uint8))
        assert told["target"] == (int(model(batch).argmax()) if k is None else k)
        drawn = map_figure(*told["source"], "gradient-x-input", target).axes[0].images[1].get_array()
        np.testing.assert_array_equal(drawn, levels)  # what is copied makes the picture


def test_an_image_comes_with_its_truth_and_the_likeliest_answers(answers, images, finished):
    told, _ = answer(answers, "image", image=images.ids[1], network="toy")
    p = images.probabilities(finished.model())[1]
    assert told["truth"] == images.labels[1]
    assert dict(told["ranked"])[int(p.argmax())] == pytest.approx(p.max(), abs=1e-4)
    assert told["truth"] in dict(told["ranked"])
    described, _ = answer(answers, "network", network="toy")
    assert [m["name"] for m in described["methods"]] == list(methods_of(finished.model()))


def test_an_enlarged_image_has_the_pixels_of_its_file(answers, tmp_path):
    Image.fromarray(RNG.integers(0, 256, (700, 900, 3), np.uint8)).save(file := io.BytesIO(), "PNG")
    mine = answer(answers, "bring", file.getvalue(), name="large.png", part=0, parts=1)[0]["image"]
    sizes = [size_of(answer(answers, what, image=mine, network="toy")[0]["src"]) for what in ("image", "sharp")]
    assert sizes == [384, 900]


def size_of(uri: str) -> int:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        return max(picture.size)


def test_maps_of_many_positions_are_those_of_each(attentive, images):
    answers = answers_about({"toy": attentive}, images, "cpu")
    kind, [layer] = next((kind, at) for kind, at in answers.own_kinds("toy").items() if at[0]["queries"])
    chosen = {"image": images.ids[0], "network": "toy", "method": kind, "layer": layer["name"], "head": 0}
    told, levels = answer(answers, "positions", **chosen)
    height, width = told["grid"]
    maps = np.frombuffer(levels, np.uint8).reshape(len(told["rows"]), len(told["columns"]), height, width)
    for i, j in ((0, 0), (1, -1)):
        at = [told["rows"][i], told["columns"][j], *told["of"]]
        one, expected = map_of(answers, images.ids[0], kind, layer=layer["name"], at=at)
        np.testing.assert_allclose(maps[i, j], expected, atol=1)
        assert told["ranges"][i * maps.shape[1] + j % maps.shape[1]] == pytest.approx(
            [one["low"], one["high"]], rel=1e-3
        )
        assert told["source"] == one["source"]


def test_images_are_found_by_id_class_answer_and_confidence(answers, images, finished):
    table = finished.predictions.set_index("image_id").loc[images.ids]
    right = (table["label"] == table["prediction"]).to_numpy()
    sure = dict(zip(finished.predictions["image_id"], finished.probabilities.max(axis=1), strict=True))

    def found(**search):
        wish = {"text": "", "label": "", "answered": "all", "order": "as stored", "start": 0}
        told, _ = answer(answers, "find", network="toy", **{**wish, **search})
        return told["count"], [image["id"] for image in told["images"]]

    assert found() == (len(images), images.ids[:24])
    assert found(start=24)[1] == images.ids[24:48]
    assert found(text=images.ids[2][-3:])[1] == [i for i in images.ids if images.ids[2][-3:] in i]
    assert found(text="(.*")[0] == 0  # no pattern
    assert found(label=images.classes[1])[0] == (images.labels == 1).sum()
    assert found(answered="right")[0] == right.sum()
    assert found(answered="wrong")[0] == (~right).sum()
    surest = [sure[i] for i in found(order="surest first")[1]]
    assert surest == sorted(surest, reverse=True)


def as_file(kind, picture, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def bring(answers, name, content):
    return answer(answers, "bring", content, name=name, part=0, parts=1)[0]["image"]


def test_a_file_is_brought_in_pieces_and_seen_as_predict_sees_it(answers):
    pixels = RNG.integers(0, 255, (30, 40, 3), np.uint8)
    content = as_file("PNG", Image.fromarray(pixels))
    assert answer(answers, "bring", content[:50], name="a.png", part=0, parts=2)[0]["image"] is None
    image = answer(answers, "bring", content[50:], name="a.png", part=1, parts=2)[0]["image"]
    side = answers.networks["toy"].config.size
    expected = np.asarray(Image.fromarray(pixels).resize(side[::-1], Image.Resampling.BILINEAR, reducing_gap=3.0))
    np.testing.assert_array_equal(answers.seen(image, "toy").pixels[0], expected)
    assert answer(answers, "image", image=image, network="toy")[0]["truth"] is None
    with pytest.raises(WorkbookValueError, match="Nobody has said what 'a.png .yours.' is"):
        map_of(answers, image, target="truth")


@pytest.mark.parametrize("mode", ["L", "I;16", "CMYK", "RGBA", "P"])
def test_a_picture_of_any_mode_can_be_brought(answers, mode):
    picture = Image.fromarray(RNG.integers(0, 255, (20, 30), np.uint8)).convert(mode)
    image = bring(answers, "<b>x</b>", as_file("TIFF", picture))
    assert map_of(answers, image)[0]["grid"] == list(answers.networks["toy"].config.size)


def test_a_picture_on_its_side_is_turned(answers):
    exif = Image.Exif()
    exif[274] = 6  # the orientation
    content = as_file("JPEG", Image.new("RGB", (40, 20)), exif=exif)
    shown = answers.pictures.set_of(bring(answers, "turned.jpg", content))
    assert shown.picture_size(next(shown.rows.itertuples())) == (20, 40)


@pytest.mark.parametrize("content", [b"", b"no image", as_file("PNG", Image.new("RGB", (9, 9)))[:40]])
def test_a_file_that_is_no_image_is_named_and_leaves_nothing(answers, content):
    files = set(answers.pictures.folder.iterdir())
    with pytest.raises(WorkbookError, match=r"^not\.png: corrupt or truncated image") as error:
        bring(answers, "not.png", content)
    assert "\n" not in str(error.value)
    assert set(answers.pictures.folder.iterdir()) == files


def test_what_is_painted_out_changes_and_nothing_else_does(answers, images):
    missing = np.zeros((32, 32), np.uint8)
    missing[8:16, 8:24] = 1
    size = answers.networks["toy"].config.size
    whole = np.asarray(Image.fromarray(missing).resize((40, 30), Image.Resampling.NEAREST)) > 0
    before = np.asarray(Image.open(images.images.rows["path"].iloc[0]).convert("RGB"))
    for fill in FILLS:
        wish = {"image": images.ids[0], "network": "toy", "fill": fill, "grid": [32, 32]}
        new = answer(answers, "paint", missing.tobytes(), **wish)[0]["image"]
        after = np.asarray(Image.open(answers.pictures.set_of(new).rows["path"].iloc[0]))
        np.testing.assert_array_equal(after[~whole], before[~whole])
        assert (after[whole] != before[whole]).any(-1).mean() > 0.9
        told, _ = answer(answers, "image", image=new, network="toy")
        then, now = (answers.probabilities(each, "toy") for each in (images.ids[0], new))
        assert told["before"]["class"] == then.argmax()
        assert told["before"]["now"] == pytest.approx(now[then.argmax()], abs=1e-4)
        assert told["truth"] == images.labels[0]
    assert size == answers.seen(new, "toy").pixels.shape[1:3]


def test_fills_are_what_they_are_called():
    picture = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[:, None, None], (1, 24, 3))  # brighter from row to row
    hole = np.zeros((24, 24), bool)
    hole[8:16, 8:16] = True
    assert abs(painted(picture, hole, "neighbours").astype(int) - picture).max() <= 6  # goes on as its surroundings do
    assert np.unique(painted(picture, hole, "mean colour")[hole]).tolist() == [int(picture[~hole].mean())]
    assert painted(picture, ~hole & False, "blur") is picture
    with pytest.raises(WorkbookValueError, match="All of the image"):
        painted(picture, ~hole | hole, "blur")


def test_a_mask_over_what_is_shown_covers_the_middle_of_an_image_that_is_cropped(tiny):
    config = tiny.replace(augmentation="fine_grained", image_size=32)
    whole = over_all(np.ones((4, 4), bool), config)
    assert whole.shape == decoded_size(config) > config.size
    assert whole.sum() == 32 * 32
    assert whole[16:20, 16:20].all()


def test_curves_are_those_of_the_scores_finer_in_each_part(answers, images, finished):
    wish = {"method": "gradient-x-input", "target": "answer", "layer": "", "head": 0, "at": None}
    wish |= {"what": "curve", "kind": "deletion", "steps": 16, "image": images.ids[0], "network": "toy"}
    parts = [told for told, _ in answers(wish)]
    assert [len(part["points"]) for part in parts] == [3, 5, 9, 17]
    assert [part["part"] for part in parts] == [True, True, True, False]
    model, batch = finished.model(), images[[0]].batch(finished.model())
    expected = deletion(model, batch, explain(model, batch, None, "gradient-x-input"), steps=16)
    np.testing.assert_allclose(parts[-1]["points"], expected.probabilities[0], atol=1e-3)


def test_networks_of_a_store_are_those_that_are_there_now(finished, tmp_path):
    networks = Networks(RunStore(finished.path.parent))
    assert networks.names == [finished.path.name]
    with pytest.raises(WorkbookValueError, match="Unknown network 'gone'"):
        networks["gone"]
    gone = tmp_path / "runs" / finished.path.name
    gone.parent.mkdir()
    gone.symlink_to(finished.path)
    networks = Networks(RunStore(gone.parent))
    gone.unlink()
    with pytest.raises(WorkbookError, match="has no"):
        networks.model(gone.name)
    with pytest.raises(WorkbookValueError, match="no finished run"):
        Networks(RunStore(tmp_path))


def test_a_report_holds_a_tour_and_a_notebook_only_what_was_looked_at(finished, images):
    before = torch.get_rng_state()
    view = explore_networks({"toy": finished}, images)
    view.visit(view.first)
    opened = unpacked(view.view())[0]
    assert [each["wish"]["what"] for each in opened["answers"]] == ["network", "image", "map"]
    view.visit(view.tour)
    toured = unpacked(view.view())[0]
    maps = {
        (each["wish"]["image"], each["wish"]["method"]) for each in toured["answers"] if each["wish"]["what"] == "map"
    }
    usual = [name for name, method in methods_of(finished.model()).items() if method.by_default]
    quick = [name for name in usual if name not in ("ablation-cam", "integrated-gradients")]
    assert maps == {(image, name) for image in images.ids[:4] for name in quick}
    assert torch.equal(torch.get_rng_state(), before)  # a training may go on beside a view


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([("toy", "rollout"), ("toy", "noise")], "Unknown method 'rollout'"),
        ([("toys", "noise")] * 2, "Unknown network 'toys'.*Did you mean 'toy'"),
        ([("toy", "noise")], "2 to 6 panels, not 1"),
        ([("toy", "noise")] * 7, "2 to 6 panels, not 7"),
    ],
)
def test_a_comparison_says_what_it_cannot_show(finished, images, panels, message):
    with pytest.raises(WorkbookValueError, match=message):
        compare_networks({"toy": finished}, images, panels)


def test_a_comparison_opens_with_its_panels(finished, images):
    view = compare_networks({"toy": finished, "again": finished}, images)
    assert [panel["network"] for panel in view.data["now"]["panels"]] == ["toy", "again"]
    assert len(compare_networks({"toy": finished}, images).data["now"]["panels"]) == 2
    assert torch.is_grad_enabled()
