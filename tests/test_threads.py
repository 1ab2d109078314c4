"""A training takes as many threads as find a core each, and as many as it is told where it is told."""

import time

import pytest
import torch

from lib import threads as module
from lib.threads import ProcessorTime, threads_beside_others
from lib.training import fit

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """A machine of two cores; `machine(n)` lets ten seconds pass in which others keep n cores busy, and this process one."""

    def ten_seconds(others: float) -> None:
        clock, every, own = seen[-1]
        seen.append(ProcessorTime(clock + 10, every + 10 * (others + 1), own + 10))

    seen = [ProcessorTime(0.0, 0.0, 0.0)]
    monkeypatch.setattr(ProcessorTime, "now", lambda: seen[-1])
    monkeypatch.setattr(module, "_cores", lambda: [(), ()])
    monkeypatch.setattr(time, "monotonic", lambda: seen[-1].clock)
    monkeypatch.delenv(module.FIXED, raising=False)
    ten_seconds.sleep = lambda others: monkeypatch.setattr(time, "sleep", lambda seconds: ten_seconds(others))
    ten_seconds.sleep(0)
    torch.set_num_threads(2)
    yield ten_seconds
    torch.set_num_threads(1)


def test_threads_leave_a_busy_core_at_once_and_come_back_with_an_epoch(machine, caplog):
    caplog.set_level("INFO")
    with threads_beside_others(CPU) as threads:
        threads.begin()
        assert (torch.get_num_threads(), caplog.messages) == (2, [])
        machine(0.4)  # a burst
        threads.look()
        assert torch.get_num_threads() == 2
        machine(1)
        threads.look()
        assert torch.get_num_threads() == 1
        assert "1 thread from here on: other processes keep 1.0 of 2 cores busy (OMP_NUM_THREADS=2" in caplog.text
        machine(0)
        threads.look()
        assert torch.get_num_threads() == 1
        threads.look(epoch_begins=True)
        assert torch.get_num_threads() == 2
        machine(9)  # never none
        threads.look()
        assert (torch.get_num_threads(), threads.numbers) == (1, [2, 1, 2, 1])
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("where", "processes", "told"), [("cpu", 1, True), ("cpu", 2, False), ("cuda", 1, False)])
def test_threads_stay_where_they_are_told_on_a_gpu_and_among_several_processes(
    machine, monkeypatch, where, processes, told
):
    if told:
        monkeypatch.setenv(module.FIXED, "2")
    with threads_beside_others(torch.device(where), processes) as threads:
        threads.begin()
        machine(2)
        threads.look(epoch_begins=True)
        assert (torch.get_num_threads(), threads.numbers) == (2, [2])


def test_a_run_tells_its_threads_also_those_before_it_was_resumed(machine, tiny, tmp_path, monkeypatch):
    def stop_in_the_second_epoch(rows, best):
        if len(rows) == 2:
            machine.sleep(2)  # a neighbour comes
            raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("lib.training.trainer.watcher", lambda *about: stop_in_the_second_epoch)
        with pytest.raises(RuntimeError, match="stopped"):
            fit(tiny, tmp_path)
    run = fit(tiny, tmp_path)
    assert run.provenance["threads"] == [2, 1]
    told = (run.path / "train.log").read_text()
    assert told.index("resuming after epoch 1") < told.index("1 thread from here on")


def test_what_others_do_is_all_that_is_done_without_our_own():
    before, now = ProcessorTime(0.0, 5.0, 1.0), ProcessorTime(2.0, 8.0, 2.0)
    assert now.others(before) == 1.0
    began, ran = ProcessorTime.now(), time.process_time()
    while time.process_time() - ran < 0.1:
        pass
    ended = ProcessorTime.now()
    assert 0.05 < ended.own - began.own < 1
    assert ended.all >= began.all > ended.own
