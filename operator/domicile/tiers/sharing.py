"""What candidates evaluated under the same options have in common: answers about the same legal entities.

A few dozen entities stand behind thousands of candidates. An answer is shared with the instants between which it
holds and the names it depends on, so that sharing changes no verdict, no finding and no time to look again. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from domicile.model.facts import Entities, Subject
from domicile.model.framework import EvidenceFloor
from domicile.model.verdicts import Finding, Verdict

MAX_SHARES = 200_000


class Share(NamedTuple):
    """What one predicate says of one entity, as of ``asked``: good for every candidate and until ``until``."""

    result: tuple[Verdict, tuple[Finding, ...]]
    asked: datetime
    until: datetime | None
    touched: frozenset[str]


class Shared:
    """What candidates evaluated under the same options have in common, because it is about the same entities.

    Holds for one inventory of entities: whoever changes that tells which names changed."""

    __slots__ = ("_known", "entities")

    def __init__(self) -> None:
        self.entities: Entities | None = None
        self._known: dict[tuple[object, Subject, EvidenceFloor], Share] = {}

    def get(self, predicate: object, subject: Subject, floor: EvidenceFloor, *, at: datetime) -> Share | None:
        """The share known for ``at``, an instant in UTC."""
        known = self._known.get((predicate, subject, floor))
        good = known is not None and known.asked <= at and (known.until is None or at < known.until)
        return known if good else None

    def put(self, predicate: object, subject: Subject, floor: EvidenceFloor, share: Share) -> None:
        """Remember; what was known before is replaced."""
        if len(self._known) >= MAX_SHARES:
            self._known.clear()
        self._known[predicate, subject, floor] = share

    def move_to(self, entities: Entities, *, changed: Collection[str] | None = None) -> None:
        """Forget what may differ among ``entities``: what depends on a changed name, or everything."""
        if changed is None:
            self._known.clear()
        else:
            self._known = {key: s for key, s in self._known.items() if s.touched.isdisjoint(changed)}
        self.entities = entities
