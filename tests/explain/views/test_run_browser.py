"""The run browser tells what the store holds: finished runs, unfinished ones, and folders that are no runs."""

import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure

from lib.errors import WorkbookValueError
from lib.explain import View, browse_runs
from lib.explain.views.run_browser import MOST_STILLS, SCRIPT, _still
from lib.explain.views.run_rows import MOST_CLASSES, MOST_POINTS, FollowedRuns
from lib.training import Run, RunStore
from tests.helpers import unpacked, unsealed

WEIGHTS = shutil.ignore_patterns("*.ckpt", "*.safetensors")


@pytest.fixture
def store(finished, tmp_path):
    """A finished run, one that was interrupted, one whose metrics are cut off, one whose config is."""
    for name in ("finished", "interrupted", "cut", "broken"):
        unsealed(shutil.copytree(finished.path, tmp_path / name, ignore=WEIGHTS))
    (tmp_path / "interrupted" / "metrics.json").unlink()
    (tmp_path / "cut" / "metrics.json").write_text('{"test": ')
    (tmp_path / "broken" / "config.json").write_text("{")
    return RunStore(tmp_path)


def test_every_run_has_a_row_with_what_is_known_of_it(store, finished):
    rows = {row["name"]: row for row in unpacked(browse_runs(store))[0]["runs"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "finished": "finished",
        "interrupted": "unfinished",
        "cut": "unreadable",
        "broken": "unreadable",
    }
    assert "not valid JSON" in rows["cut"]["problem"]
    row, log = rows["finished"], finished.log
    assert row["metrics"]["accuracy"] == pytest.approx(finished.metrics["test"]["accuracy"], rel=1e-3)
    assert row["intervals"]["accuracy"] == pytest.approx(finished.metrics["intervals"]["accuracy"], rel=1e-3)
    np.testing.assert_allclose(row["log"]["val_loss"], log["val_loss"], rtol=1e-3)
    assert rows["interrupted"]["log"] == row["log"]
    assert row["best"] == finished.metrics["best_epoch"]


def test_a_confusion_matrix_counts_the_test_images(store, finished):
    (row,) = [row for row in unpacked(browse_runs(store))[0]["runs"] if row["confusion"]]
    table, counts = finished.predictions, np.array(row["confusion"]["counts"])
    for i, true in enumerate(finished.classes):
        for j, answer in enumerate(finished.classes):
            assert counts[i, j] == ((table["label"] == true) & (table["prediction"] == answer)).sum()


def test_columns_are_the_settings_that_differ(finished, tiny, tmp_path):
    other = Run(tmp_path / tiny.replace(seed=1).name)
    unsealed(shutil.copytree(finished.path, other.path, ignore=WEIGHTS))
    config = (other.path / "config.json").read_text()
    (other.path / "config.json").write_text(config.replace('"seed": 0', '"seed": 1'))
    assert unpacked(browse_runs([finished, other]))[0]["settings"] == ["seed"]
    assert "dataset" in unpacked(browse_runs([finished]))[0]["settings"]


def test_only_what_has_changed_is_read_and_sent_again(store, monkeypatch):
    """A run that goes on, one that comes and one that goes; those that stay as they are keep their keys."""
    followed = FollowedRuns(store)
    first = followed.since(0)
    keys = {row["name"]: row["key"] for row in first["runs"]}
    assert followed.since(first["version"])["runs"] == []
    log = store.root / "interrupted" / "training_log.csv"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    shutil.copytree(store.root / "finished", store.root / "another")
    shutil.rmtree(store.root / "broken")
    news = followed.since(first["version"])
    assert {row["name"]: len(row["log"]["epoch"]) for row in news["runs"]} == {"another": 2, "interrupted": 1}
    (another,) = {row["key"] for row in news["runs"]} - set(keys.values())
    assert news["keys"] == [another, keys["cut"], keys["finished"], keys["interrupted"]]
    assert followed.since(news["version"]) | {"settings": []} == news | {"runs": [], "settings": []}


def test_long_logs_are_thinned_and_it_is_told(finished, tmp_path):
    unsealed(shutil.copytree(finished.path, tmp_path / "long", ignore=WEIGHTS))
    header, line, *_ = (finished.path / "training_log.csv").read_text().splitlines()
    epochs = 2 * MOST_POINTS // len([name for name in header.split(",") if "recall" not in name])
    lines = [f"{n},{line.partition(',')[2]}" for n in range(1, epochs)]
    (tmp_path / "long" / "training_log.csv").write_text("\n".join([header, *lines]))
    view = browse_runs([Run(tmp_path / "long")])
    assert unpacked(view)[0]["runs"][0]["log"]["epoch"][:3] == [1, 3, 5]
    assert view.left_out == ["Curves show one epoch of 2."]


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(WorkbookValueError, match=r"no runs to browse.*fit\(config\)"):
        browse_runs(RunStore(tmp_path))


def test_the_picture_tells_how_many_runs_it_leaves_out_and_leaves_room_for_long_names():
    def still(name: str, runs: int) -> Figure:
        row = {"name": name, "metrics": {"loss": 1.0}, "intervals": {"loss": [0.5, 1.5]}}
        return _still([row | {"settings": {"data": f"{name} {n}"}} for n in range(runs)], ["loss"], False)

    assert f"(the first {MOST_STILLS} of 21 runs)" in still("a", 21).axes[0].get_title(loc="left")
    assert "runs" not in still("a", MOST_STILLS).axes[0].get_title(loc="left")
    assert still("five words of a name " * 6, 20).get_figheight() > 2 * still("a", 20).get_figheight()


def test_what_is_wrong_with_a_run_is_told_in_words(browser, store):
    page = browser.new_page()
    page.set_content(browse_runs(store).html)
    page.wait_for_selector(".live:not([hidden])")
    told = page.get_by_role("list", name="problems").get_by_role("listitem")
    assert [text.partition(":")[0] for text in told.all_text_contents()] == ["broken", "cut"]
    assert "not valid JSON" in told.first.text_content()
    assert page.locator(".runs [title]").count() == 0
    page.close()


def test_long_names_and_large_matrices_are_not_cut(browser):
    """Neither on a phone nor on paper; only the table of runs has a height of its own, on screens."""
    size, name = MOST_CLASSES, "a-run-of-a-long-name-" * 6
    confusion = {"classes": [f"class {n}" for n in range(size)], "counts": np.eye(size, dtype=int).tolist()}
    settings = {"dataset": "dataset" * 20, "lr": 0.1}
    run = {"name": name, "state": "finished", "settings": settings, "metrics": {"accuracy": 0.5}, "log": {}}
    runs = [run | {"confusion": confusion, "intervals": {"accuracy": [0.4, 0.6]}, "log": {"epoch": [1], "loss": [1.0]}}]
    data = {
        "runs": [run | {"key": str(n)} for n, run in enumerate(runs * 20)],
        "settings": list(settings),
        "metrics": ["accuracy"],
    }
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.set_content(View(f"live {SCRIPT}", data, Figure(), "Runs.").html)
    page.wait_for_selector(".live:not([hidden])")
    cut = "box => box.scrollHeight > box.clientHeight"
    matrix, table = page.locator(".confusions .scrolls").first, page.locator(".scrolls:has(.runs)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert table.evaluate(cut)
    assert not matrix.evaluate(cut)
    assert name in matrix.locator("caption").text_content()
    assert not matrix.locator("caption").evaluate("caption => caption.scrollWidth > caption.clientWidth")
    page.set_viewport_size({"width": 1000, "height": 800})
    page.emulate_media(media="print")
    assert not table.evaluate(cut)
    for selector, style, value in (
        (".scrolls", "overflow", "visible"),
        ("tr, .chart, .confusions > div", "breakInside", "avoid"),
        (".attention-view", "breakInside", "auto"),  # it is longer than a page
    ):
        found = page.locator(selector).evaluate_all(f"all => all.map(each => getComputedStyle(each).{style})")
        assert set(found) == {value}, selector
    page.close()
