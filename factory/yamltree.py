"""From YAML text to plain data that knows the line of every field.

Works on the tree of nodes rather than on loaded data, so that duplicate keys, tags and endless
aliases are all found at once instead of one by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from factory.errors import ConfigErrors, Problem
from factory.textfile import INIT, refusal
from factory.yamlsyntax import explain, not_a_mapping

Loc = tuple[str | int, ...]
"""Path of a field: keys and, for list items, positions from 0."""

MAX_VALUES = 100_000
"""Most values a file may hold once its aliases are expanded."""

MAX_DEPTH = 30
"""Deepest nesting that is read; the schema itself is four levels deep."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + kind for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge")}


def dotted(loc: Sequence[str | int]) -> str:
    """A field's path for people, list items counted from 1: `seeds.2.output`."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in loc)


@dataclass(frozen=True, slots=True)
class Document:
    """A persona file as plain data: dicts, lists, texts, finite numbers, true, false, None."""

    data: dict[str, Any]
    problems: tuple[tuple[int, Problem], ...]
    """What is wrong with the YAML although it could be read, each with its line."""
    text: str
    root: Node

    def line(self, loc: Sequence[str | int]) -> int | None:
        """Line (from 1) of a field's key or list item; None if the file does not have it."""
        node, found = self.root, self.root
        for part in loc:
            if isinstance(node, MappingNode):
                pairs = [pair for pair in node.value if pair[0].value == part]
                if not pairs:
                    return None
                found, node = pairs[-1]
            elif isinstance(node, SequenceNode) and isinstance(part, int):
                if part >= len(node.value):
                    return None
                found = node = node.value[part]
            else:
                return None
        return _line(self.text, found)


def parse(path: Path, text: str) -> Document:
    """Parse the text of a persona file; `path` is only named in problems.

    Raises:
        ConfigErrors: If the text is not YAML, or not a mapping.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if root is None or (isinstance(root, ScalarNode) and root.tag == f"{_TAG}null"):
            raise refusal(path, "this file holds no fields, only comments", hint=INIT)
        if not isinstance(root, MappingNode):
            line = _line(text, root)
            raise ConfigErrors(not_a_mapping(path, text, line, isinstance(root, SequenceNode)))
        tree = _Tree(path, text)
        tree.mend(root, ())
        return Document(tree.construct(yaml, root), tuple(tree.problems), text, root)
    except MarkedYAMLError as error:
        raise ConfigErrors(explain(path, text, error)) from error
    except YAMLError as error:
        raise refusal(path, f"this is not valid YAML: {error}") from error
    except RecursionError as error:
        raise refusal(path, "lists or mappings are nested too deeply") from error


def parse_value(text: str) -> Any:
    """Parse one YAML value, such as the right side of `--set path=value`.

    Raises:
        ValueError: In plain words, if it is no YAML value.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if root is None:
            return None
        tree = _Tree(Path(), text)
        tree.mend(root, ())
        value = tree.construct(yaml, root)
    except (YAMLError, RecursionError) as error:
        raise ValueError("this value is not valid YAML") from error
    if tree.problems:
        raise ValueError(tree.problems[0][1].what)
    return value


def _line(text: str, node: Node) -> int:
    # Counted here because YAML's own line numbers also count U+2028, which editors do not.
    return text.count("\n", 0, node.start_mark.index) + 1


class _Tree:
    """Mends nodes in place until they are plain data, and notes what was wrong with them."""

    def __init__(self, path: Path, text: str) -> None:
        self.problems: list[tuple[int, Problem]] = []
        self._path = path
        self._text = text
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def construct(self, yaml: YAML, root: Node) -> Any:
        """Plain data of a mended tree; empty if its aliases would make it huge."""
        if self._sizes[id(root)] > MAX_VALUES:
            self._note(root, (), f"its aliases expand this file to more than {MAX_VALUES} values")
            return {}
        return yaml.constructor.construct_document(root)

    def mend(self, node: Node, loc: Loc) -> int:
        """Mend a node and all below it; returns its number of values, aliases expanded."""
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        self._open.add(id(node))
        if str(node.tag) not in _PLAIN:
            self._drop_tag(node, loc)
        size = 1
        if isinstance(node, ScalarNode):
            self._mend_scalar(node, loc)
        elif isinstance(node, SequenceNode):
            node.value = [item for item in node.value if not self._endless(item, loc)]
            size += sum(self.mend(item, (*loc, i)) for i, item in enumerate(node.value))
        elif isinstance(node, MappingNode):
            node.value = self._pairs(node, loc)
            size += sum(self.mend(value, (*loc, key.value)) for key, value in node.value)
        self._open.discard(id(node))
        self._sizes[id(node)] = size
        return size

    def _note(self, node: Node, loc: Loc, what: str, hint: str | None = None) -> None:
        line = _line(self._text, node)
        self.problems.append((line, Problem(f"{self._path}:{line}", dotted(loc), what, hint=hint)))

    def _endless(self, node: Node, loc: Loc) -> bool:
        if id(node) in self._open:
            self._note(node, loc, "this value contains itself")
        elif len(loc) >= MAX_DEPTH:
            self._note(node, loc[:4], "lists or mappings are nested too deeply")
        else:
            return False
        return True

    def _drop_tag(self, node: Node, loc: Loc) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        if isinstance(node, ScalarNode):
            node.tag = f"{_TAG}str"
            if tag == "!!timestamp":  # a date is the text it was written as
                return
        else:
            node.tag = f"{_TAG}map" if isinstance(node, MappingNode) else f"{_TAG}seq"
        self._note(
            node,
            loc,
            f"the YAML tag `{tag}` is not allowed",
            "a text that begins with ! needs quotes",
        )

    def _mend_scalar(self, node: ScalarNode, loc: Loc) -> None:
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and not _finite(node.value):
            node.tag = f"{_TAG}str"  # and so it is refused where a number is wanted
        try:  # an emoji written as two JSON escapes arrives as two halves
            node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._note(node, loc, "an escape like \\ud83d stands for half a character")
            node.value = node.value.encode("utf-8", "replace").decode("utf-8")

    def _pairs(self, node: MappingNode, loc: Loc) -> list[tuple[Node, Node]]:
        """The pairs of a mapping with text keys; of a key written twice, the last."""
        kept: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self._note(
                    key, loc, "a key must be a word", "texts that begin with { or [ need quotes"
                )
                continue
            if key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
                self._mend_scalar(key, loc)
            if self._endless(value, (*loc, key.value)):
                continue
            if key.value in kept:
                lines = [_line(self._text, twin) for twin in (kept[key.value][0], key)]
                self._note(
                    key,
                    (*loc, key.value),
                    f"this key is written twice, on line {lines[0]} and on line {lines[1]}",
                    "keep one of the two",
                )
            kept[key.value] = (key, value)
        return list(kept.values())


def _finite(number: str) -> bool:
    try:
        return len(number) < 400 and math.isfinite(float(number.replace("_", "")))
    except ValueError:
        return number.lstrip("+-")[:2] in ("0x", "0o", "0b")
