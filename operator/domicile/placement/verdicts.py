"""Verdicts of all candidates under one framework and one set of options, kept up to date as facts change.

Verdicts depend on candidate and framework, not on the workload, so they are computed once per change and held as bit
sets over slots: a decision is then an AND. Pure; the instant is an argument.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from domicile.model.facts import Candidate, Entities
from domicile.model.places import normalise
from domicile.model.verdicts import RuleVerdict, Verdict
from domicile.tiers.evaluate import NO_OPTIONS, Evaluation, evaluate
from domicile.tiers.framework import Framework
from domicile.tiers.reading import Options
from domicile.tiers.sharing import Shared

Key = tuple[str, str]  # cluster, pool
MAX_ANSWERS = 2048
BY_NAME = "by name"
SLICE = 50  # candidates: some 30 ms


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Verdict of one candidate, reduced to what decisions and explanations need."""

    candidate: Candidate
    levels: Mapping[int, Verdict]
    failed: tuple[RuleVerdict, ...]
    proven: int
    satisfied: int  # number of rules satisfied
    until: datetime | None
    touched: frozenset[str]
    _refusals: dict[int, tuple[RuleVerdict, ...]] = field(init=False, default_factory=dict)

    def refusals(self, level: int) -> tuple[RuleVerdict, ...]:
        """The rules that keep the candidate from ``level``; a rule that only counts for a score never does alone."""
        known = self._refusals.get(level)
        if known is None:
            satisfied = self.levels.get(level) is Verdict.SATISFIED
            known = () if satisfied else tuple([r for r in self.failed if r.level <= level])
            self._refusals[level] = known
        return known


class Bits:
    """Slots by property: for each rule, level, cluster, country and entity the set of slots it concerns."""

    __slots__ = ("clusters", "countries", "eligible", "proven", "single", "unknown", "violated")

    def __init__(self) -> None:
        self.eligible: defaultdict[int, int] = defaultdict(int)  # level -> slots
        self.violated: defaultdict[str, int] = defaultdict(int)  # rule -> slots
        self.unknown: defaultdict[str, int] = defaultdict(int)
        self.single: defaultdict[int, int] = defaultdict(int)  # level -> slots exactly one rule short
        self.clusters: defaultdict[str, int] = defaultdict(int)
        self.countries: defaultdict[str, int] = defaultdict(int)
        self.proven: defaultdict[int, int] = defaultdict(int)


class Verdicts:
    """The table. One instance per (framework, options); ``generation`` counts changes."""

    def __init__(self, framework: Framework, options: Options = NO_OPTIONS) -> None:
        self.framework = framework
        self.options = options
        self.generation = 0
        self.bits = Bits()
        self.rows: list[Row | None] = []
        self.keys: list[Key] = []  # of each slot
        self.answers: dict[Hashable, Any] = {}  # what decisions worked out from the bits as they are now
        self.slots: dict[Key, int] = {}
        self.everyone = 0
        self._free: list[int] = []
        self._by_entity: defaultdict[str, set[int]] = defaultdict(set)
        self._due: list[tuple[datetime, int]] = []
        self._shared = Shared()

    def row(self, key: Key) -> Row | None:
        """The row of a candidate, if it exists."""
        slot = self.slots.get(key)
        return None if slot is None else self.rows[slot]

    @property
    def by_name(self) -> list[tuple[Key, int]]:
        """All candidates with their slots, in the order of their names."""
        if BY_NAME not in self.answers:
            self.remember(BY_NAME, sorted(self.slots.items()))
        order: list[tuple[Key, int]] = self.answers[BY_NAME]
        return order

    def remember(self, question: Hashable, answer: Any) -> None:
        """Keep something worked out from the bits until they change; as many as there are likely to be askers."""
        if len(self.answers) >= MAX_ANSWERS:
            self.answers.clear()
        self.answers[question] = answer

    def update(
        self, *, present: Iterable[Candidate], gone: Iterable[Key], entities: Entities, at: datetime
    ) -> list[Key]:
        """Evaluate new and changed candidates and drop those gone. Returns the keys whose verdict changed."""
        if self._shared.entities is not entities:
            self._shared.move_to(entities)
        changed = [key for key in gone if self._drop(key)]
        kin: list[Row] = []  # rows of one cluster that differ in more than the name of their pool
        for candidate in present:
            if kin and kin[0].candidate.cluster != candidate.cluster:
                kin = []
            row = next((_renamed(row, candidate) for row in kin if _alike(row.candidate, candidate)), None)
            if row is None:
                row = self._evaluate(candidate, entities, at)
                kin.append(row)
            if self._put(row):
                changed.append((candidate.cluster, candidate.pool))
        self.generation += bool(changed)
        return changed

    def build(
        self,
        clusters: Iterable[Iterable[Candidate]],
        *,
        entities: Callable[[], Entities],
        at: Callable[[], datetime],
        size: int = SLICE,
    ) -> Iterator[int]:
        """Fill the table in slices, for a caller that has other things to do between them. Yields how many candidates
        are in, after about every ``size`` of them. ``clusters`` gives all candidates of one cluster at a time and is
        drawn as late as possible, so that a generator tells what is true then; what changes between two slices is
        told as for any table, with ``update``, ``entities_changed`` and ``advance``."""
        done = unseen = 0
        for candidates in clusters:
            present = tuple(candidates)
            self.update(present=present, gone=(), entities=entities(), at=at())
            done, unseen = done + len(present), unseen + len(present)
            if unseen >= size:
                yield done
                unseen = 0
        yield done

    def _evaluate(self, candidate: Candidate, entities: Entities, at: datetime) -> Row:
        shared, options = self._shared, self.options
        found = evaluate(self.framework, candidate, entities=entities, at=at, options=options, shared=shared)
        return _reduce(candidate, found, options)

    def entities_changed(self, names: Iterable[str], *, entities: Entities, at: datetime) -> list[Key]:
        """Evaluate again whoever depends on these entities. Returns the keys whose verdict changed."""
        names = set(names)
        self._shared.move_to(entities, changed=names)
        slots = set().union(*(self._by_entity.get(name, ()) for name in names))
        return self._again(slots, entities, at)

    def advance(self, *, entities: Entities, at: datetime) -> list[Key]:
        """Evaluate again whoever the passing of time concerns. Returns the keys whose verdict changed."""
        slots = set()
        while self._due and self._due[0][0] <= at:
            due, slot = heapq.heappop(self._due)
            row = self.rows[slot]
            if row is not None and row.until == due:
                slots.add(slot)
        return self._again(slots, entities, at)

    @property
    def next_due(self) -> datetime | None:
        """When time alone may next change a verdict."""
        return self._due[0][0] if self._due else None

    def _again(self, slots: set[int], entities: Entities, at: datetime) -> list[Key]:
        rows = [row for slot in sorted(slots) if (row := self.rows[slot]) is not None]
        return self.update(present=[row.candidate for row in rows], gone=(), entities=entities, at=at)

    def _put(self, row: Row) -> bool:
        key = (row.candidate.cluster, row.candidate.pool)
        slot = self.slots.get(key)
        before = None if slot is None else self.rows[slot]
        if slot is None:
            slot = self._free.pop() if self._free else len(self.rows)
            if slot == len(self.rows):
                self.rows.append(None)
                self.keys.append(key)
            self.slots[key] = slot
            self.keys[slot] = key
        else:
            self._mark(slot, before, present=False)
        self.rows[slot] = row
        self._mark(slot, row, present=True)
        if row.until is not None:
            heapq.heappush(self._due, (row.until, slot))
        return before is None or _told(before) != _told(row)

    def _drop(self, key: Key) -> bool:
        slot = self.slots.pop(key, None)
        if slot is None:
            return False
        self._mark(slot, self.rows[slot], present=False)
        self.rows[slot] = None
        self._free.append(slot)
        return True

    def _mark(self, slot: int, row: Row | None, *, present: bool) -> None:
        if row is None:
            return
        self.answers.clear()
        bit, bits = 1 << slot, self.bits

        def put(sets: defaultdict[str, int] | defaultdict[int, int], name: str | int) -> None:
            held = sets[name] & ~bit  # type: ignore[index]
            sets[name] = held | bit if present else held  # type: ignore[index]

        self.everyone = self.everyone | bit if present else self.everyone & ~bit
        put(bits.clusters, row.candidate.cluster)
        put(bits.countries, normalise(row.candidate.country))
        put(bits.proven, row.proven)
        for level, verdict in row.levels.items():
            if verdict is Verdict.SATISFIED:
                put(bits.eligible, level)
            elif len(row.refusals(level)) == 1:
                put(bits.single, level)
        for rule in row.failed:
            put(bits.violated if rule.verdict is Verdict.VIOLATED else bits.unknown, rule.rule)
        for name in row.touched:
            (self._by_entity[name].add if present else self._by_entity[name].discard)(slot)


def _told(row: Row) -> tuple[object, ...]:
    """What of a row decisions and explanations depend on."""
    return row.levels, row.failed, row.candidate.country


def _reduce(candidate: Candidate, evaluation: Evaluation, options: Options) -> Row:
    """Keep what failed; what holds can be evaluated again on demand."""
    top = max(evaluation.levels, default=0)
    failed = tuple(r._replace(findings=r.reasons) for r in evaluation.failed(top, recognition=options.recognition))
    return Row(
        candidate=candidate,
        levels=evaluation.levels,
        failed=failed,
        proven=evaluation.proven,
        satisfied=len(evaluation.rules) - len(failed),
        until=evaluation.until,
        touched=evaluation.touched,
    )


def _alike(one: Candidate, other: Candidate) -> bool:
    """Whether two pools of a cluster differ in nothing but their names, so that every rule says the same of both."""
    a, b = one.facts, other.facts
    mine, others = (one.providers, one.void, a.doc, a.own), (other.providers, other.void, b.doc, b.own)
    return mine == others and a.evidence == b.evidence


def _renamed(row: Row, candidate: Candidate) -> Row:
    """The row of a pool that differs from this one's in nothing but its name."""
    before, after = row.candidate.facts.own_label, candidate.facts.own_label
    failed = tuple(
        rule._replace(findings=tuple(f._replace(subject=after) if f.subject == before else f for f in rule.findings))
        if any(f.subject == before for f in rule.findings)
        else rule
        for rule in row.failed
    )
    return replace(row, candidate=candidate, failed=failed)


def members(bits: int) -> Iterable[int]:
    """Slots of a bit set, ascending."""
    text = bin(bits)
    size = len(text) - 1
    at = text.find("1", 2)
    while at != -1:
        yield size - at
        at = text.find("1", at + 1)
