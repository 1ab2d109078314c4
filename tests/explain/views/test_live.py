"""A live view's side in the kernel: what is asked, answered, remembered, and given up."""

import threading
from itertools import count

import pytest
from matplotlib.figure import Figure

from lib.errors import WorkbookValueError
from lib.explain.views import worker
from lib.explain.views.live import LiveView, Memory
from lib.explain.views.worker import Worker
from tests.helpers import unpacked


class Asked:
    """A live view whose answers are its wishes, twice; it hears messages and keeps what it would send."""

    def __init__(self, answers=None, **options):
        self.sent, self.answered = [], threading.Semaphore(0)
        answers = answers or (lambda wish, buffer: iter([({"part": True}, b""), ({"n": wish["n"]}, buffer)]))
        self.view = LiveView(
            "save finder zoom lens live_explorer",
            {},
            answers,
            lambda look: Figure(),
            "A view.",
            lasting={"thing"},
            **options,
        )
        self.view.send = self._send
        self._numbers = count(1)

    def _send(self, message, numbers=b""):
        self.sent.append((message, numbers))
        if message.get("done"):
            self.answered.release()

    def ask(self, wish, buffers=()):
        self.view.hear(None, {"from": "me map", "number": next(self._numbers), "wish": wish}, buffers)
        assert self.answered.acquire(timeout=10)
        return self.sent[-1]


def test_a_wish_is_answered_in_parts_in_a_thread_of_the_views_and_remembered_where_it_lasts():
    threads, asked = [], []

    def answers(wish, buffer):
        threads.append(threading.current_thread().name)
        asked.append(wish["n"])
        yield {"part": True}, b""
        yield {"n": wish["n"]}, b"abc" + buffer

    view = Asked(answers)
    message, numbers = view.ask({"what": "thing", "n": 1}, [b"d"])
    assert (message, numbers) == (
        {"to": "me map", "number": 1, "answer": {"n": 1}, "done": True, "lasting": True},
        b"abcd",
    )
    assert [m["done"] for m, _ in view.sent] == [False, True]
    assert view.ask({"n": 1, "what": "thing"})[0]["answer"] == {"n": 1}  # the same wish, whatever its order
    view.ask({"what": "search", "n": 2})
    view.ask({"what": "search", "n": 2})
    assert asked == [1, 2, 2]
    assert set(threads) == {"views"} != {threading.current_thread().name}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WorkbookValueError("no such\nclass"), "no such class"),
        (MemoryError("800 GiB"), "MemoryError: 800 GiB"),
        (KeyError("<b>"), "KeyError: '<b>'"),
    ],
)
def test_an_error_is_one_line_and_the_next_wish_is_answered(error, line):
    def answers(wish, buffer):
        if wish["n"] == 1:
            raise error
        yield {"n": wish["n"]}, b""

    view = Asked(answers)
    assert view.ask({"what": "thing", "n": 1})[0] == {"to": "me map", "number": 1, "done": True, "error": line}
    assert view.ask({"what": "thing", "n": 2})[0]["answer"] == {"n": 2}


def test_what_was_looked_at_is_in_the_page_that_is_saved():
    view = Asked(answers=lambda wish, buffer: iter([({"n": wish["n"]}, bytes([wish["n"]] * 3))]))
    for n in (1, 2):
        view.ask({"what": "thing", "n": n})
    view.ask({"what": "search", "n": 3})
    data, _, numbers = unpacked(view.view.view())
    assert [(each["wish"]["n"], each["answer"], each["at"]) for each in data["answers"]] == [
        (1, {"n": 1}, 3),
        (2, {"n": 2}, 0),
    ]
    assert numbers.tolist() == [2, 2, 2, 1, 1, 1]


def test_memory_is_bounded_and_forgets_what_was_not_used_for_longest():
    memory = Memory(most=1000)
    for n in range(10):
        memory.add({"n": n}, ({}, bytes(190)))
        memory.get({"n": 0})
    assert [n for n in range(10) if memory.get({"n": n})] == [0, 6, 7, 8, 9]  # of 200 bytes each
    assert sum(each["size"] for each in memory.packed(most=450)[0]) <= 450


def test_of_each_asker_only_the_last_job_waits_and_one_that_takes_long_is_given_up(monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE", 0)
    jobs, done, going, last = Worker(), [], threading.Event(), threading.Event()

    def long():
        going.set()
        while True:
            jobs.checkpoint()

    jobs.ask("slider", long)
    assert going.wait(10)
    for n in range(200):
        jobs.ask("slider", lambda n=n: (done.append(n), n == 199 and last.set()))
    assert last.wait(10)
    assert done[-1] == 199
    assert len(done) < 200
    jobs.checkpoint()  # in another thread it does nothing
