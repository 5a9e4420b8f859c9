"""The facts of the log as they stood before a record: the newest statement of each object, and an inventory of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domicile.evidence.record import Entry, RecordType
from domicile.inventory.inventory import Inventory
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.objects import ObjectError, read_spec
from domicile.model.schema import API_VERSION, Model
from domicile.report.replayed import Difference
from domicile.tiers.framework import digest_of

STATING = frozenset({RecordType.FACTS_STATED.value, RecordType.POLICY_CHANGED.value})


class Unusable(ValueError):
    """A record that cannot be replayed; the message says why."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The newest record about one object. ``spec`` is None where the object was gone or could not be read."""

    seq: int
    kind: str
    name: str
    digest: str | None
    spec: Model | None
    void: str

    @property
    def contradiction(self) -> Difference | None:
        """Where the spec is not the one that the digest beside it was taken of."""
        found = None if self.spec is None else digest_of(self.spec.plain())
        path = f"records[{self.seq}].digest ({self.kind}/{self.name})"
        return None if found == self.digest else Difference(path, self.digest, found)


Newest = dict[tuple[str, str], Entry]


def remember(newest: Newest, entry: Entry) -> None:
    """Take over what ``entry`` states, if it states anything."""
    if entry.type not in STATING:
        return
    subject = entry.body.get("subject")
    named = subject if isinstance(subject, Mapping) else {}
    newest[str(named.get("kind", "")), str(named.get("name", ""))] = entry


def statements(newest: Newest) -> list[Statement]:
    """What was stated last about each object, by name. Raises Unusable for what cannot be read."""
    return [_statement(kind, name, newest[kind, name]) for kind, name in sorted(newest)]


def _statement(kind: str, name: str, entry: Entry) -> Statement:
    body = entry.body
    if not kind or not name:
        raise Unusable(f"record {entry.seq} states facts and does not say of what")
    if "spec" not in body:
        raise Unusable(f"record {entry.seq} ({kind}/{name}) does not hold the whole spec")
    digest, void = body.get("digest"), body.get("void", "")
    return Statement(entry.seq, kind, name, digest, _spec(kind, name, entry.seq, body["spec"]), str(void))


def _spec(kind: str, name: str, seq: int, document: Any) -> Model | None:
    if document is None:
        return None
    try:
        return read_spec({"apiVersion": API_VERSION, "kind": kind, "spec": document})
    except ObjectError as error:
        raise Unusable(f"the facts of {kind}/{name} in record {seq} cannot be read: {error}") from None


def inventory_of(stated: Iterable[Statement], *, at: datetime) -> Inventory:
    """The inventory as it stood at ``at``."""
    inventory = Inventory()
    known = [statement for statement in stated if statement.spec is not None]
    inventory.set_entities({s.name: s.spec for s in known if isinstance(s.spec, LegalEntitySpec)}, at=at)
    for statement in known:
        if isinstance(statement.spec, SovereignClusterSpec):
            inventory.set_cluster(statement.name, statement.spec, at=at)
            inventory.void(statement.name, statement.void, at=at)
        elif isinstance(statement.spec, SovereigntyFrameworkSpec):
            inventory.set_framework(statement.name, statement.spec)
    return inventory
