"""One owner at a time, whoever dies."""

import json
import os
import platform
import subprocess
import sys
import threading
import time

import psutil
import pytest

from lib import files
from lib.disk import file_claims
from lib.disk.file_claims import FileClaim
from lib.errors import WorkbookError
from lib.paths import ROOT

HOLDER = """
import sys, time
from lib.disk.file_claims import FileClaim
print(FileClaim(sys.argv[1]).acquire(), flush=True)
time.sleep(60)
"""
RACER = """
import sys
from lib.disk.file_claims import FileClaim
print(sys.stdin.readline() and FileClaim(sys.argv[1]).acquire(), flush=True)
sys.stdin.readline()
"""


def start(code, path):
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_claim_has_one_owner_until_it_is_released(tmp_path):
    first, second = FileClaim(tmp_path / "work"), FileClaim(tmp_path / "work")
    assert first.acquire()
    assert not second.acquire()
    assert second.owner() == f"process {os.getpid()} on {platform.node()}"
    first.check()
    first.release()
    assert second.acquire()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".work.claim-1", ".work.claim-2"]


def test_a_claim_can_be_given_back_on_a_full_disk(tmp_path, monkeypatch):
    claim = FileClaim(tmp_path / "work")
    assert claim.acquire()
    with monkeypatch.context() as full:
        full.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        claim.release()
    assert FileClaim(tmp_path / "work").acquire()


def test_of_many_processes_one_gets_it(tmp_path):
    racers = [start(RACER, tmp_path / "work") for _ in range(4)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    got = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("\n")
    assert sorted(got) == ["False", "False", "False", "True"]


def test_a_killed_owner_is_replaced_at_once_on_its_machine(tmp_path):
    owner = start(HOLDER, tmp_path / "work")
    assert owner.stdout.readline() == "True\n"
    claim = FileClaim(tmp_path / "work")
    assert not claim.acquire()
    owner.kill()
    owner.wait()
    assert claim.acquire()


def test_a_used_process_number_is_not_the_owner(tmp_path):
    owner = file_claims._ourselves()
    (tmp_path / ".work.claim-1").write_text(json.dumps(owner | {"started": owner["started"] - 100}))
    assert FileClaim(tmp_path / "work").acquire()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began apart from the clock")
def test_an_owner_lives_on_when_the_clock_is_set(tmp_path, monkeypatch):
    assert FileClaim(tmp_path / "work").acquire()
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + 3600)
    assert not FileClaim(tmp_path / "work").acquire()


def test_who_acts_late_on_what_it_saw_does_not_become_a_second_owner(tmp_path, monkeypatch):
    """It finds generation 1 dead; before it creates the second, others have taken over twice."""
    FileClaim(tmp_path / "work")._file(1).write_text('{"released": true}')
    late, quick = FileClaim(tmp_path / "work"), [FileClaim(tmp_path / "work") for _ in range(2)]
    create = FileClaim._create

    def overtaken(claim, generation):
        if claim is late and generation == 2:
            assert quick[0].acquire()
            quick[0].release()
            assert quick[1].acquire()
        return create(claim, generation)

    monkeypatch.setattr(FileClaim, "_create", overtaken)
    assert not late.acquire()
    quick[1].check()
    quick[1].release()
    assert late.acquire()


def test_a_name_may_hold_brackets(tmp_path):
    assert FileClaim(tmp_path / "a [1]").acquire()
    assert not FileClaim(tmp_path / "a [1]").acquire()


def elsewhere(tmp_path, content='{"machine": "elsewhere", "host": "elsewhere", "pid": 1, "started": 0}'):
    file = tmp_path / ".work.claim-1"
    file.write_text(content)
    os.utime(file, (10**9, 10**9))  # another machine's clock may say anything
    return file


@pytest.mark.parametrize("content", ['{"machine": "elsewhere"}', "", '{"mach'], ids=["whole", "empty", "cut off"])
def test_another_machines_owner_is_dead_when_its_sign_of_life_stands_still(tmp_path, monkeypatch, content):
    file, now = elsewhere(tmp_path, content), [1000.0]
    monkeypatch.setattr(file_claims.time, "monotonic", lambda: now[0])
    claim = FileClaim(tmp_path / "work")
    assert not claim.acquire()
    now[0] += 59
    assert not claim.acquire()
    os.utime(file, (10**9 + 5, 10**9 + 5))  # it lives
    now[0] += 59
    assert not claim.acquire()
    now[0] += 59
    assert not claim.acquire()
    now[0] += 2
    assert claim.acquire()


def test_an_owner_that_was_taken_over_learns_it_and_leaves_the_other_alone(tmp_path):
    claim = FileClaim(tmp_path / "work")
    assert claim.acquire()
    (tmp_path / ".work.claim-2").write_text('{"host": "other", "pid": 7}')
    with pytest.raises(WorkbookError, match="process 7 on other has taken over"):
        claim.check()
    claim.release()
    assert json.loads((tmp_path / ".work.claim-2").read_text()) == {"host": "other", "pid": 7}


def test_an_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(file_claims, "BEAT_S", 0.01)
    beaten = threading.Event()
    monkeypatch.setattr(file_claims.os, "utime", lambda file: beaten.set())
    claim = FileClaim(tmp_path / "work")
    assert claim.acquire()
    assert beaten.wait(10)
    claim.release()


def test_waiting_tells_the_owner_once_and_ends_with_the_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(file_claims, "POLL_S", 0.01)
    first, told = FileClaim(tmp_path / "work"), []
    assert first.acquire()
    polls = []

    def sleep(seconds):
        polls.append(seconds)
        if len(polls) == 3:
            first.release()

    monkeypatch.setattr(time, "sleep", sleep)
    FileClaim(tmp_path / "work").wait(told.append)
    assert len(polls) == 3
    assert told == [f"process {os.getpid()} on {platform.node()}"]


@pytest.mark.parametrize("content", ["", '{"machine": ', "[]", "\x00\x00"])
def test_a_damaged_claim_is_named_and_given_up_in_the_end(content, tmp_path, monkeypatch, caplog):
    file = tmp_path / ".work.claim-1"
    file.write_text(content)
    waiting = FileClaim(tmp_path / "work")
    assert not waiting.acquire()  # its writer may be at it
    assert not waiting.acquire()
    assert f"{file} is damaged: it counts as given up after 60 s" in caplog.text
    monkeypatch.setattr(file_claims, "STALE_S", 0.0)
    assert waiting.acquire()
