"""A view that asks the kernel while there is one, and goes on with what it was answered where there is none.

Two outputs of a cell: the view, one piece of HTML like any other, and an anywidget that draws nothing and hands the view a
line to the kernel. So what is saved or exported works as every view does. The view sends *wishes* (JSON), each on a channel
of its own, and gets *answers* (JSON and bytes) from one thread; of each channel only the last wish counts. Answers that
last are kept within a bound of memory, and are in the page that is saved.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from threading import Lock
from typing import Any
from uuid import uuid4

from matplotlib.figure import Figure
from PIL import Image

from lib.errors import WorkbookError
from lib.explain.views.packing import MOST_BYTES
from lib.explain.views.view import View
from lib.explain.views.worker import WORKER
from lib.progress import is_interactive
from lib.view_files import view_file

PART = "part"  # of an answer: there is more to come
MOST_KEPT = 16_000_000  # bytes of answers that a view remembers
log = logging.getLogger(__name__)

Wish = Mapping[str, Any]  # {"what": the kind of wish, …}, JSON types
Answer = tuple[dict[str, Any], bytes]  # JSON types, and what the script gets as a Uint8Array
Answers = Callable[[Wish, bytes], Iterable[Answer]]  # to a wish and the bytes that came with it; the last one counts


class LiveView:
    """What a notebook displays: `script` names the files in views/ that draw `data`, beside live.js.

    Args:
        answers: see `Answers`; called in the views' own thread. A `WorkbookError` is one line in the view.
        still: the static picture, of the view as it opens; given `look`, which remembers.
        lasting: kinds of wishes whose answers are kept, and embedded in what is saved.
        first: wishes that are answered before the view opens.
        tour: wishes that are answered for a page that no person explores before it is saved, as in a report.
        caption, phantom: see `View`.
    """

    def __init__(
        self,
        script: str,
        data: Mapping[str, Any],
        answers: Answers,
        still: Callable[[Callable[[Wish], Iterator[Answer]]], Figure | Image.Image],
        caption: str,
        *,
        lasting: Collection[str] = (),
        first: Iterable[Wish] = (),
        tour: Iterable[Wish] = (),
        phantom: bool = False,
    ) -> None:
        self.script, self.data, self.answers, self.caption = script, dict(data), answers, caption
        self.lasting, self.first, self.tour, self.phantom = lasting, first, tour, phantom
        self._still, self.name, self.memory = still, f"view-{uuid4().hex}", Memory()

    @cached_property
    def still(self) -> Figure | Image.Image:
        """The static picture of the view as it opens, drawn when it is first wanted."""
        return self._still(self.look)

    def look(self, wish: Wish, buffer: bytes = b"") -> Iterator[Answer]:
        """The answer to `wish`, in parts where it comes in parts: remembered, or made and remembered."""
        remembered = self.memory.get(wish)
        if remembered is not None:
            yield remembered
            return
        answer = None
        for answer in self.answers(wish, buffer):
            yield answer
        if answer is not None and wish["what"] in self.lasting:
            self.memory.add(wish, answer)

    def view(self, bridged: bool = False) -> View:
        """The view as it is now, with what was looked at."""
        answers, numbers = self.memory.packed()
        data, bridge = self.data | {"answers": answers}, self.name if bridged else ""
        return View(f"live {self.script}", data, self.still, self.caption, numbers, (), self.phantom, bridge)

    def visit(self, wishes: Iterable[Wish]) -> None:
        """Have `wishes` answered now, for the view to hold."""
        for wish in wishes:
            for _ in self.look(wish):
                pass

    def _ipython_display_(self) -> None:
        from IPython.display import display

        live = is_interactive()
        self.visit(self.first if live else [*self.first, *self.tour])
        display(self.view(live), display_id=self.name)
        if live:
            display(self.bridge_bundle(), raw=True)

    def bridge_bundle(self) -> dict[str, Any]:
        """What is displayed beside the view: where nobody knows widgets, as in an exported page, nothing at all."""
        self.bridge.on_msg(self.hear)
        reference = {"version_major": 2, "version_minor": 0, "model_id": self.bridge.model_id}
        return {"application/vnd.jupyter.widget-view+json": reference, "text/html": ""}

    @cached_property
    def bridge(self) -> Any:
        """The anywidget that hands the view its line to the kernel."""
        import anywidget
        import traitlets

        class Bridge(anywidget.AnyWidget):
            _esm = view_file("bridge.js")
            view = traitlets.Unicode().tag(sync=True)

        return Bridge(view=self.name)

    def hear(self, bridge: object, message: Mapping[str, Any], buffers: Sequence[memoryview] = ()) -> None:
        """What the script sends: a wish, which the views' thread answers, or that the person has left."""
        if "keep" in message:
            self.keep(message["keep"])
        else:
            WORKER.ask((self.name, message["from"]), partial(self._reply, message, b"".join(buffers)))

    def keep(self, state: Mapping[str, Any]) -> None:
        """Put what was looked at into the notebook's output, which opens as `state` says."""
        from IPython.display import update_display

        self.data["now"] = state
        update_display(self.view(bridged=True), display_id=self.name)

    def send(self, message: Mapping[str, Any], numbers: bytes = b"") -> None:
        """Tell the script something, asked or not."""
        self.bridge.send(dict(message), [numbers])

    def _reply(self, message: Mapping[str, Any], buffer: bytes) -> None:
        wish, to = message["wish"], {"to": message["from"], "number": message["number"]}
        lasting = wish["what"] in self.lasting
        try:
            for answer, numbers in self.look(wish, buffer):
                done = not answer.get(PART)
                self.send({**to, "answer": answer, "done": done, "lasting": lasting and done}, numbers)
        except WorkbookError as error:
            self.send({**to, "done": True, "error": _line(str(error))})
        except Exception as error:
            log.debug("a wish of a view failed: %s", wish, exc_info=True)
            self.send({**to, "done": True, "error": _line(f"{type(error).__name__}: {error}")})


def _line(text: str, longest: int = 400) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest]}…"


class Memory:
    """Answers by wish, those that were used last, within `most` bytes."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most, self._answers, self._size = most, OrderedDict[str, Answer](), 0
        self._lock = Lock()  # the views' thread adds while the kernel's packs

    def get(self, wish: Wish) -> Answer | None:
        """The answer to `wish`, which now counts as used last; None where it is not remembered."""
        key = _key(wish)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def add(self, wish: Wish, answer: Answer) -> None:
        """Remember `answer`, and forget those that were not used for longest while there are more than `most` bytes; one
        stays."""
        key = _key(wish)
        with self._lock:
            if key in self._answers:
                self._size -= _size(key, self._answers.pop(key))
            self._answers[key] = answer
            self._size += _size(key, answer)
            while self._size > self.most and len(self._answers) > 1:
                self._size -= _size(*self._answers.popitem(last=False))

    def packed(self, most: int = MOST_BYTES) -> tuple[list[dict[str, Any]], bytes]:
        """The latest answers, of `most` bytes together, as the script reads them: [{wish, answer, at, size}] and bytes."""
        answers, numbers, total = [], b"", 0
        with self._lock:
            latest = list(reversed(self._answers.items()))
        for key, (answer, data) in latest:
            total += _size(key, (answer, data))
            if total > most:
                break
            answers.append({"wish": json.loads(key), "answer": answer, "at": len(numbers), "size": len(data)})
            numbers += data
        return answers[::-1], numbers


def _key(wish: Wish) -> str:
    return json.dumps(wish, sort_keys=True)


def _size(key: str, answer: Answer) -> int:
    return len(key) + len(json.dumps(answer[0])) + len(answer[1])
