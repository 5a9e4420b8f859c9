"""The decision: one request, all candidates -> where it runs, or why nowhere. Pure and deterministic.

Law first (every rule for every candidate), then reachability and room, then preference with a stable tie-break;
the previous placement is kept while it is legal. What keeps a workload away is never a mixture of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from domicile.model.verdicts import Finding, RuleVerdict, Verdict
from domicile.placement.capacity import PoolRoom, Reservation, Shape, room_for
from domicile.placement.verdicts import Key, Row, Verdicts, members

NEAREST = 5
COUNTRIES_RULE = "spec.countries"
EXCLUDED_RULE = "spec.excludeClusters"


class Outcome(StrEnum):
    """How a decision ended; also the reason of the Placed condition."""

    PLACED = "Placed"
    HELD = "Held"
    NO_ELIGIBLE_CANDIDATE = "NoEligibleCandidate"
    CANDIDATES_UNREACHABLE = "CandidatesUnreachable"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"


@dataclass(frozen=True, slots=True)
class Request:
    """What one workload asks for. ``replicas`` pods of ``shape``, all in one pool."""

    key: str
    level: int
    shape: Shape
    replicas: int
    countries: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()


class Field(Protocol):
    """What a decision sees beside verdicts: room, promises and reachability of each candidate."""

    def room(self, key: Key) -> PoolRoom: ...
    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]: ...
    def reachable(self, cluster: str) -> bool: ...


class Refused(NamedTuple):
    """How many candidates a rule refused."""

    rule: str
    clause: str
    violated: int
    unknown: int


class Nearest(NamedTuple):
    """A candidate one rule short."""

    cluster: str
    pool: str
    rule: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Decision:
    """The result for one workload. ``chosen`` is None unless ``outcome`` is Placed; Held leaves a running copy where
    it is because facts about it are open, which neither admits nor moves anything."""

    outcome: Outcome
    chosen: Key | None
    kept: bool
    candidates: int
    eligible: int
    refused: tuple[Refused, ...]
    nearest: tuple[Nearest, ...]
    obstacle: str  # what stands in the way after the law, for people


def decide(request: Request, *, verdicts: Verdicts, field: Field, previous: Key | None) -> Decision:
    """Choose a candidate for ``request``. Same inputs, same decision, whatever the order of the inventory."""
    legal = verdicts.bits.eligible[request.level] & _allowed(request, verdicts)
    keys = [_key(verdicts.rows[slot]) for slot in members(legal)]
    chosen, outcome, obstacle = _choose(request, keys, verdicts, field, previous)
    return Decision(
        outcome=outcome,
        chosen=chosen,
        kept=chosen is not None and chosen == previous,
        candidates=len(verdicts.slots),
        eligible=len(keys),
        refused=_histogram(request, verdicts),
        nearest=_nearest(request, verdicts),
        obstacle=obstacle,
    )


def _key(row: Row | None) -> Key:
    assert row is not None
    return row.candidate.cluster, row.candidate.pool


def _allowed(request: Request, verdicts: Verdicts) -> int:
    """Slots the workload's own wishes leave; they only narrow."""
    allowed = verdicts.everyone & ~_excluded(request, verdicts)
    return allowed if request.countries is None else allowed & _inside(request.countries, verdicts)


def _inside(countries: frozenset[str], verdicts: Verdicts) -> int:
    inside = 0
    for country in countries:
        inside |= verdicts.bits.countries.get(country, 0)
    return inside


def _excluded(request: Request, verdicts: Verdicts) -> int:
    excluded = 0
    for cluster in request.excluded:
        excluded |= verdicts.bits.clusters.get(cluster, 0)
    return excluded


def _choose(
    request: Request, keys: list[Key], verdicts: Verdicts, field: Field, previous: Key | None
) -> tuple[Key | None, Outcome, str]:
    if previous is not None and previous in keys:
        return previous, Outcome.PLACED, ""
    if previous is not None and _open(request, previous, verdicts):
        return None, Outcome.HELD, f"facts about {'/'.join(previous)} are open; nothing is moved until they are settled"
    if not keys:
        return None, Outcome.NO_ELIGIBLE_CANDIDATE, ""
    reachable = [key for key in keys if field.reachable(key[0])]
    if not reachable:
        names = ", ".join(sorted({cluster for cluster, _ in keys})[:NEAREST])
        return None, Outcome.CANDIDATES_UNREACHABLE, f"cannot be reached: {names}"
    free = {key: room_for(field.room(key), request.shape, field.reserved(key, beside=request.key)) for key in reachable}
    enough = [key for key in reachable if free[key] >= request.replicas]
    if not enough:
        return None, Outcome.INSUFFICIENT_CAPACITY, _shortage(request, reachable, free, field)
    return min(enough, key=lambda key: _preference(request, key, verdicts, free)), Outcome.PLACED, ""


def _open(request: Request, key: Key, verdicts: Verdicts) -> bool:
    """Whether a candidate is neither legal nor illegal: no reason to move what runs there (5.5 X4)."""
    row = verdicts.row(key)
    allowed = row is not None and (_allowed(request, verdicts) >> verdicts.slots[key]) & 1
    return bool(allowed) and row is not None and row.levels.get(request.level) is Verdict.UNKNOWN


def _preference(request: Request, key: Key, verdicts: Verdicts, free: Mapping[Key, int]) -> tuple[int, int, str, str]:
    """Lower is better: spare the highest tiers for those that need them, then spread, then the name."""
    row = verdicts.row(key)
    surplus = row.proven - request.level if row else 0
    return surplus, -free[key], *key


def _shortage(request: Request, keys: list[Key], free: Mapping[Key, int], field: Field) -> str:
    """What is missing where there is most: in words for the condition."""
    best = min(keys, key=lambda key: (-free[key], key))
    room, shape = field.room(best), request.shape
    where = f"{best[0]}/{best[1]}"
    if shape.accelerators and not any(field.room(key).carries(shape) for key in keys):
        return f"no eligible candidate carries {' or '.join(shape.products)}"
    wants = f"{request.replicas} pods"
    if shape.accelerators:
        wants += f" with {shape.accelerators} {' or '.join(shape.products)} each"
        return f"wants {wants}; {where} has room for {free[best]}, largest free on a node {room.largest_free}"
    return f"wants {wants}; {where} has room for {free[best]}"


def _histogram(request: Request, verdicts: Verdicts) -> tuple[Refused, ...]:
    """Candidates refused per rule, most refusing first."""
    rows = []
    bits = verdicts.bits
    for rule in verdicts.framework.rules:
        if rule.spec.level > request.level:
            continue
        violated, unknown = bits.violated.get(rule.spec.id, 0), bits.unknown.get(rule.spec.id, 0)
        if violated or unknown:
            rows.append(Refused(rule.spec.id, rule.spec.clause, violated.bit_count(), unknown.bit_count()))
    for name, outside in _own_refusals(request, verdicts):
        if outside:
            rows.append(Refused(name, "the workload's own wish", outside.bit_count(), 0))
    return tuple(sorted(rows, key=lambda r: -(r.violated + r.unknown)))


def _own_refusals(request: Request, verdicts: Verdicts) -> list[tuple[str, int]]:
    countries = 0
    if request.countries is not None:
        countries = verdicts.everyone & ~_inside(request.countries, verdicts)
    return [(COUNTRIES_RULE, countries), (EXCLUDED_RULE, _excluded(request, verdicts))]


def _nearest(request: Request, verdicts: Verdicts) -> tuple[Nearest, ...]:
    """Candidates that fail exactly one rule, by name; with the fact that would have to change."""
    single = verdicts.bits.single[request.level] & _allowed(request, verdicts)
    rows = [row for slot in members(single) if (row := verdicts.rows[slot]) is not None]
    rows.sort(key=_key)
    return tuple(_miss(row, row.refusals(request.level)[0]) for row in rows[:NEAREST])


def _miss(row: Row, rule: RuleVerdict) -> Nearest:
    return Nearest(row.candidate.cluster, row.candidate.pool, rule.rule, rule.findings[0])


class Explained(NamedTuple):
    """One candidate in an explanation: its verdict for the request, and every rule that failed."""

    key: Key
    verdict: Verdict
    refusals: tuple[RuleVerdict, ...]
    satisfied: int
    obstacle: str  # after the law: unreachable or full, empty where nothing stands in the way


def explain(request: Request, *, verdicts: Verdicts, field: Field) -> list[Explained]:
    """Every candidate, in the order of its name, with everything that speaks against it."""
    result = []
    for key in sorted(verdicts.slots):
        row = verdicts.rows[verdicts.slots[key]]
        assert row is not None
        own = tuple(_own_verdicts(request, row))
        verdict = Verdict.VIOLATED if own else row.levels.get(request.level, Verdict.UNKNOWN)
        refusals = own + row.refusals(request.level)
        obstacle = "" if refusals else _obstacle(request, key, field)
        result.append(Explained(key, verdict, refusals, row.satisfied, obstacle))
    return result


def _obstacle(request: Request, key: Key, field: Field) -> str:
    if not field.reachable(key[0]):
        return "cannot be reached"
    free = {key: room_for(field.room(key), request.shape, field.reserved(key, beside=request.key))}
    return "" if free[key] >= request.replicas else _shortage(request, [key], free, field)


def _own_verdicts(request: Request, row: Row) -> list[RuleVerdict]:
    found = []
    label, clause = f"SovereignCluster/{row.candidate.cluster}", "the workload's own wish"
    if request.countries is not None and row.candidate.country not in request.countries:
        wanted = " or ".join(sorted(request.countries))
        finding = Finding(Verdict.VIOLATED, label, "location.country", row.candidate.country or "not stated", wanted)
        found.append(RuleVerdict(COUNTRIES_RULE, clause, 0, Verdict.VIOLATED, (finding,)))
    if row.candidate.cluster in request.excluded:
        finding = Finding(Verdict.VIOLATED, label, "name", row.candidate.cluster, "a cluster not excluded")
        found.append(RuleVerdict(EXCLUDED_RULE, clause, 0, Verdict.VIOLATED, (finding,)))
    return found


