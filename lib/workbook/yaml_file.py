"""A YAML file read node by node, since YAML's nodes know their lines: whatever is wrong in it is told with its line."""

import ast
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lib.errors import WorkbookError, WorkbookValueError, unknown

Pairs = dict[str, tuple[yaml.Node, yaml.Node]]  # name → (its node, its value's node)


class YamlFile:
    """The file at `path`. Every method that reads a node raises a WorkbookValueError where it is not of that kind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def parse(self) -> yaml.Node:
        """The file's top node."""
        try:
            root = yaml.compose(self.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise WorkbookValueError(f"{self.path} is not valid YAML: {' '.join(str(error).split())}.") from None
        except RecursionError:
            raise WorkbookValueError(f"{self.path} is nested too deeply to be read: three levels are enough.") from None
        if root is None:
            raise WorkbookValueError(f"{self.path} is empty; protocols/quick.yaml is an example.")
        return root

    def mapping(self, node: yaml.Node, what: str, known: Iterable[str] | None = None, kind: str = "key") -> Pairs:
        """'name: value' pairs, each name once and, where `known` is given, one of these."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, f"{what} must be 'name: value' pairs")
        pairs: Pairs = {}
        for key, value in node.value:
            name = self.text(key)
            if name in pairs:
                raise self.wrong(key, f"{name!r} stands there twice; remove one")
            pairs[name] = (key, value)
        for name, (key, _) in pairs.items():
            if known is not None and name not in known:
                raise self.wrong(key, unknown(kind, name, known))
        return pairs

    def section(self, top: Pairs, name: str, known: Iterable[str] | None = None, kind: str = "key") -> Pairs:
        """`mapping` of a section of the file; empty where there is none."""
        return self.mapping(top[name][1], name, known, kind) if name in top else {}

    def sequence(self, top: Pairs, name: str, example: str = "[A, B]") -> list[yaml.Node]:
        """The items of a section that is a list; empty where there is none."""
        if name not in top:
            return []
        if not isinstance(top[name][1], yaml.SequenceNode):
            raise self.wrong(top[name][1], f"{name} must be a list, as in {example}")
        return top[name][1].value

    def text(self, node: yaml.Node) -> str:
        """A single value as it is written."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.wrong(node, "a single value is wanted here")
        return node.value

    def plain(self, node: yaml.ScalarNode) -> Any:
        """A single value of YAML's own type; a number must be the one that a person reads there."""
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError):  # the latter three are slips of the library
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            raise self.wrong(node, f"{node.value!r} cannot be read as {kind}; quote it if it is text") from None
        if isinstance(value, (int, float)) and math.isfinite(value) and node.style is None and not _reads(node, value):
            raise self.wrong(
                node,
                f"YAML takes {node.value} for the number {value!r} (a leading 0 is octal, colons are base 60): write the number "
                "that is meant in plain digits, or quote it if it is text",
            )
        return value

    @contextmanager
    def at(self, node: yaml.Node) -> Iterator[None]:
        """What is raised within about a value is told with its line."""
        try:
            yield
        except WorkbookError as error:
            raise self.wrong(node, error) from None

    def wrong(self, node: yaml.Node, what: object) -> WorkbookValueError:
        """The error that says `what` is wrong with `node`."""
        return WorkbookValueError(f"{self.path}, line {node.start_mark.line + 1}: {str(what).rstrip('.')}.")


def _reads(node: yaml.ScalarNode, value: float) -> bool:
    """Whether a person, or Python, reads `value` there as well; true and false are no numbers."""
    try:
        return isinstance(value, bool) or ast.literal_eval(node.value) == value
    except (SyntaxError, ValueError):
        return False
