"""One thread that answers what views wish for, so that the kernel's own thread stays free; of each asker the last wish."""

import threading
import time
from collections.abc import Callable, Hashable

PATIENCE = 0.25  # seconds that a job has though its asker wants something else by now: a slider shows where it was


class Overtaken(BaseException):
    """Its asker wants something else by now. No `except Exception` on the way holds it back."""


class Worker:
    """Does jobs one after the other in a thread of its own: two at once would disturb each other's hooks and gradients."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, Callable[[], None]] = {}  # of each asker, who keeps the place
        self._asked = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asker: Hashable = None  # whose job is being done
        self._began = 0.0

    def ask(self, asker: Hashable, job: Callable[[], None]) -> None:
        """Have `job` done soon, in place of what `asker` has waiting or, where that takes long, in hand."""
        with self._asked:
            self._jobs[asker] = job
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="views", daemon=True)
                self._thread.start()
            self._asked.notify()

    def checkpoint(self) -> None:
        """Give up the job in hand if it takes long and its asker wants something else by now; elsewhere do nothing.

        Raises:
            Overtaken: it is given up.
        """
        mine = threading.current_thread() is self._thread
        if mine and self._asker in self._jobs and time.monotonic() - self._began > PATIENCE:
            raise Overtaken

    def _work(self) -> None:
        while True:
            with self._asked:
                self._asked.wait_for(lambda: self._jobs)
                self._asker = next(iter(self._jobs))
                job = self._jobs.pop(self._asker)
            self._began = time.monotonic()
            try:
                job()
            except Overtaken:
                continue


WORKER = Worker()  # of all views of this process
