"""Objects -> an inventory, and what is wrong with its facts and rule packs although they can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from domicile.documents.load import Origin
from domicile.documents.yaml import read_documents
from domicile.inventory.inventory import PARTY_FIELDS, Inventory
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.objects import read_spec
from domicile.model.schema import Model
from domicile.report.answers import Note
from domicile.tiers.packs import BUILT_IN, pack_text

FieldPath = tuple[str | int, ...]


class Item(NamedTuple):
    """One object of ours; ``origin`` where it comes from a file."""

    kind: str
    name: str
    raw: Mapping[str, Any]
    spec: Model
    origin: Origin | None = None

    def at(self, path: FieldPath) -> str:
        """``file:line`` of a field, empty for an object from a cluster."""
        return self.origin.at(path) if self.origin else ""


def build(items: Iterable[Item], *, at: datetime) -> Inventory:
    """An inventory of the clusters, entities and frameworks among ``items``."""
    inventory = Inventory()
    items = list(items)
    inventory.set_entities({i.name: i.spec for i in items if isinstance(i.spec, LegalEntitySpec)}, at=at)
    for item in items:
        if isinstance(item.spec, SovereignClusterSpec):
            inventory.set_cluster(item.name, item.spec, at=at)
        elif isinstance(item.spec, SovereigntyFrameworkSpec):
            inventory.set_framework(item.name, item.spec)
    return inventory


def built_in(items: Iterable[Item], *, malformed: frozenset[str]) -> list[Item]:
    """The built-in packs that no object stands for. A broken object of that name is not replaced by the built-in one:
    whoever wrote it meant other rules."""
    given = [i for i in items if isinstance(i.spec, SovereigntyFrameworkSpec)]
    names = {i.name for i in given} | {m.partition("/")[2] for m in malformed if m.startswith("SovereigntyFramework/")}
    versions = {_version(i) for i in given}
    packs = []
    for name in BUILT_IN:
        item = _pack(name)
        if name not in names and _version(item) not in versions:
            packs.append(item)
    return packs


@cache
def _pack(name: str) -> Item:
    raw = read_documents(pack_text(name))[0].value
    return Item("SovereigntyFramework", name, raw, read_spec(raw))


def _version(item: Item) -> tuple[str, str]:
    assert isinstance(item.spec, SovereigntyFrameworkSpec)
    return item.spec.id or item.name, item.spec.version


def problems_of(inventory: Inventory, items: Iterable[Item]) -> list[Note]:
    """Unknown codes, dangling references, ownership cycles and packs that do not load, each with its place."""
    notes = []
    for item in items:
        if isinstance(item.spec, SovereigntyFrameworkSpec):
            found: Iterable[str] = inventory.framework_problems.get(item.name, ())
        elif isinstance(item.spec, SovereignClusterSpec | LegalEntitySpec):
            found = inventory.fact_problems(item.kind, item.name)
        else:
            continue
        notes += [Note(_place(item, text), f"{item.kind}/{item.name}", text) for text in found]
    return notes


def _place(item: Item, text: str) -> str:
    """The reference that leads nowhere, else the field the problem starts with."""
    dangling = re.search(r"LegalEntity/(\S+) does not exist", text)
    if dangling and (reference := next(_references(item.raw, dangling[1], ()), None)):
        return item.at(reference)
    field = re.match(r"spec(?:\.\w+|\[\d+\])*", text)
    return item.at(read_path(field[0]) if field else ())


def read_path(text: str) -> FieldPath:
    """``spec.facts.sinks[0]`` as a path."""
    return tuple(int(part[1:-1]) if part[0] == "[" else part for part in re.findall(r"\w+|\[\d+\]", text))


def _references(value: Any, name: str, path: FieldPath) -> Iterator[FieldPath]:
    """Paths of the fields that refer to the LegalEntity ``name``."""
    children: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Mapping):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        if key in PARTY_FIELDS and child == name:
            yield (*path, key)
        yield from _references(child, name, (*path, key))
