"""YAML as Kubernetes means it: strings stay strings, and every node knows its line.

Dates are not converted and only ``true`` and ``false`` are booleans, so that Norway's ``NO`` stays a country.
Used by the command line and the scenario runner; knows nothing of our kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import yaml

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
MAX_NODES = 2_000_000  # anchors can unfold a small text into a huge one


class YamlError(ValueError):
    """A text that is no YAML; the message starts with the line."""


class Document(NamedTuple):
    """One YAML document: its value, and the line of every node by its path from the root."""

    value: Any
    lines: dict[tuple[str | int, ...], int]

    def line(self, path: Sequence[str | int]) -> int:
        """Line of the node at ``path``, or of its nearest parent that exists."""
        for end in range(len(path), -1, -1):
            if tuple(path[:end]) in self.lines:
                return self.lines[tuple(path[:end])]
        return 1


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there


class _Loader(_Base):  # type: ignore[misc]
    """A safe loader with the scalars of YAML 1.2 that refuses a key said twice: the first would be lost silently."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key_node.start_mark)
            if key in seen and key != "<<":
                problem = f"key {key!r} is said twice, first in line {seen[key]}; remove one, or add the missing ---"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.setdefault(key, key_node.start_mark.line + 1)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^(?:<<)$"), ["<"])


def read_documents(text: str) -> list[Document]:
    """All non-empty documents of a text. Raises YamlError with the line of the first mistake."""
    if len(text) > MAX_BYTES:
        raise YamlError(f"1: larger than {MAX_BYTES >> 20} MiB; split the file")
    try:
        _check_depth(text)
        return _load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise YamlError(f"{mark.line + 1 if mark else 1}: {what}") from error


def _check_depth(text: str) -> None:
    """Refuse what is nested beyond any manifest: libyaml composes by recursion and would take the process down."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=cast(yaml.Mark, event.start_mark))


def _load(text: str) -> list[Document]:
    loader = _Loader(text)
    try:
        documents = []
        while loader.check_node():
            node = loader.get_node()
            value = loader.construct_document(node)
            if value is not None:
                lines: dict[tuple[str | int, ...], int] = {}
                for path, line in _lines(node, ()):
                    lines[path] = line
                    if len(lines) > MAX_NODES:
                        raise YamlError(f"{line}: more than {MAX_NODES} values; split the file")
                documents.append(Document(value, lines))
        return documents
    finally:
        loader.dispose()


def _lines(node: yaml.Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*path, str(key.value)))
            yield (*path, str(key.value)), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*path, number))
