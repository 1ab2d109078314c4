"""A piece of `benchmarks.soak`: two sweeps on one store, some killed, leave what a quiet one leaves.

Not three minutes of it under random kills, which would be a fifth of the time of all tests, and strike what chance finds:
here each kill is aimed at a moment that matters. `python -m benchmarks.soak --minutes 3` is the rest.
"""

import subprocess

import pytest

from benchmarks import soak
from benchmarks.aimed_kills import write_aims
from lib.training import RunStore

# In this order each strikes: who has trained an epoch has its test before it, and that its record.
AIMS = [
    ("after", "it", "last.ckpt"),
    ("half", "it", "predictions.csv"),
    ("before", "sweep", "metrics.json"),
    ("half", "sweep", "04_train.json"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two trainings."""
    return soak.write_study(tmp_path_factory.mktemp("study"), seeds=[0])


def test_two_sweeps_some_killed_leave_the_store_of_a_quiet_one(study, tmp_path):
    quiet, out = tmp_path / "quiet", tmp_path / "out"
    assert soak.sweep(study, quiet).wait() == 0, (tmp_path / "quiet.log").read_text()
    aims = write_aims(tmp_path / "aims", AIMS)
    died = soak.fill(study, out, lambda sweeps: True, aims)
    told = (tmp_path / "out.log").read_text()
    assert [*aims.iterdir()] == []
    assert 2 <= died <= len(AIMS)
    found = soak.results(quiet)
    assert len(found) == 2 * len(soak.RESULTS)
    assert soak.differences(found, soak.results(out)) == []
    logs = [(run.path / "train.log").read_text() for run in RunStore(out / "runs")]
    assert [log.count("epoch 1/") for log in logs] == [1, 1]  # by one of the two sweeps, and never again
    assert any("resuming after epoch 1" in log for log in logs)
    assert told.count("2 of 2 runs ok") >= 2
    assert not (out / "runs" / "superseded").exists()
    assert [path for path in out.rglob(".*.????????.*") if ".claim-" not in path.name] == []  # of the killed writers


def test_sweeps_that_fail_without_a_kill_are_not_begun_for_ever(tmp_path, monkeypatch):
    (tmp_path / "out.log").write_text("no such data set")
    monkeypatch.setattr(soak, "sweep", lambda *_: subprocess.Popen(["false"]))
    with pytest.raises(RuntimeError, match=r"3\d sweeps ended badly:\nno such data set"):
        soak.fill(tmp_path / "study.yaml", tmp_path / "out", lambda sweeps: True)
