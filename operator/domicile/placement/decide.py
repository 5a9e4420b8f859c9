"""The decision: one request, all candidates -> where it runs, or why nowhere. Pure and deterministic.

Law first (every rule for every candidate), then reachability and room, then preference with a stable tie-break;
the previous placement is kept while it is legal. What keeps a workload away is never a mixture of the three.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from domicile.model.places import normalise
from domicile.model.verdicts import Finding, RuleVerdict, Verdict
from domicile.placement.capacity import Reservation, Room, Shape
from domicile.placement.verdicts import Key, Row, Verdicts, members

NEAREST = 5
COUNTRIES_RULE = "spec.countries"
EXCLUDED_RULE = "spec.excludeClusters"


class Outcome(StrEnum):
    """How a decision ended; also the reason of the Placed condition."""

    PLACED = "Placed"
    HELD = "Held"
    MOVE_QUEUED = "MoveQueued"
    MOVES_PAUSED = "MovesPaused"
    NO_ELIGIBLE_CANDIDATE = "NoEligibleCandidate"
    CANDIDATES_UNREACHABLE = "CandidatesUnreachable"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    DECISION_LOG_UNAVAILABLE = "DecisionLogUnavailable"


STAYING = (Outcome.HELD, Outcome.MOVE_QUEUED, Outcome.MOVES_PAUSED)


@dataclass(frozen=True, slots=True)
class Request:
    """What one workload asks for. ``replicas`` pods of ``shape``, all in one pool; countries as ISO spells them."""

    key: str
    level: int
    shape: Shape
    replicas: int
    countries: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()


class Field(Protocol):
    """What a decision sees beside verdicts: room, promises and reachability of each candidate."""

    def room(self, key: Key) -> Room: ...
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
    """The result for one workload. ``chosen`` is None unless ``outcome`` is Placed; where it is Held or a move waits,
    a running copy stays where it is, which neither admits nor moves anything."""

    outcome: Outcome
    chosen: Key | None
    kept: bool
    candidates: int
    eligible: int
    refused: tuple[Refused, ...]
    nearest: tuple[Nearest, ...]
    obstacle: str  # what stands in the way after the law, for people


def decide(request: Request, *, verdicts: Verdicts, field: Field, previous: Key | None, stay: str = "") -> Decision:
    """Choose a candidate for ``request``. Same inputs, same decision, whatever the order of the inventory. ``stay``
    says why a copy on ``previous`` is not to be moved although that place is not legal; empty where it is."""
    law = _law(request, verdicts)
    chosen, outcome, obstacle = _choose(request, law.legal, verdicts, field, previous, stay)
    return Decision(
        outcome=outcome,
        chosen=chosen,
        kept=chosen is not None and chosen == previous,
        candidates=len(verdicts.slots),
        eligible=law.legal.bit_count(),
        refused=law.refused,
        nearest=law.nearest,
        obstacle=obstacle,
    )


class Standing(NamedTuple):
    """What is to be said of the place of a running copy. ``wished`` where only the workload's wishes are against it."""

    verdict: Verdict
    wished: bool


def standing(request: Request, *, verdicts: Verdicts, place: Key) -> Standing:
    """The verdict of one place for a request. A place nobody states facts about any more is Violated."""
    row = verdicts.row(place)
    verdict = row.levels.get(request.level, Verdict.UNKNOWN) if row is not None else Verdict.VIOLATED
    if verdict is Verdict.SATISFIED and not _holds(_allowed(request, verdicts), place, verdicts):
        return Standing(Verdict.VIOLATED, wished=True)
    return Standing(verdict, wished=False)


class Law(NamedTuple):
    """What rules and wishes leave of all candidates; the same for every workload with the same level and wishes."""

    legal: int  # slots
    refused: tuple[Refused, ...]
    nearest: tuple[Nearest, ...]


def _law(request: Request, verdicts: Verdicts) -> Law:
    wishes = (request.level, request.countries, request.excluded)
    law: Law | None = verdicts.answers.get(wishes)
    if law is None:
        legal = verdicts.bits.eligible[request.level] & _allowed(request, verdicts)
        law = Law(legal, _histogram(request, verdicts), _nearest(request, verdicts))
        verdicts.remember(wishes, law)
    return law


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
    request: Request, legal: int, verdicts: Verdicts, field: Field, previous: Key | None, stay: str
) -> tuple[Key | None, Outcome, str]:
    if previous is not None and _holds(legal, previous, verdicts) and _still_carries(request, previous, field):
        return previous, Outcome.PLACED, ""
    if previous is not None and stay:
        return None, Outcome.HELD, stay
    if not legal:
        return None, Outcome.NO_ELIGIBLE_CANDIDATE, ""
    reachable = _reachable(legal, verdicts, field)
    if not reachable:
        names = ", ".join(sorted({cluster for cluster, _ in _keys(legal, verdicts)})[:NEAREST])
        return None, Outcome.CANDIDATES_UNREACHABLE, f"cannot be reached: {names}"
    for proven in sorted(verdicts.bits.proven):  # spare the highest tiers for those that need them
        best = _roomiest(request, _keys(reachable & verdicts.bits.proven[proven], verdicts), field)
        if best is not None:
            return best, Outcome.PLACED, ""
    return None, Outcome.INSUFFICIENT_CAPACITY, _shortage(request, _keys(reachable, verdicts), field)


def _holds(slots: int, key: Key, verdicts: Verdicts) -> bool:
    slot = verdicts.slots.get(key)
    return slot is not None and bool(slots >> slot & 1)


def _keys(slots: int, verdicts: Verdicts) -> list[Key]:
    return [verdicts.keys[slot] for slot in members(slots)]


def _reachable(slots: int, verdicts: Verdicts, field: Field) -> int:
    for cluster, there in verdicts.bits.clusters.items():
        if slots & there and not field.reachable(cluster):
            slots &= ~there
    return slots


def _roomiest(request: Request, keys: list[Key], field: Field) -> Key | None:
    """The candidate with room for most such pods, by name among equals; None where no candidate has enough."""
    best: Key | None = None
    most, least = 0, request.replicas
    for key in keys:
        room = field.room(key)
        if not room.carries(request.shape) or room.fits(request.shape) < least:
            continue  # promises take room and never make it
        free = _free(request, key, field)
        if free >= request.replicas and (best is None or (-free, key) < (-most, best)):
            best, most, least = key, free, max(free, request.replicas)
    return best


def _free(request: Request, key: Key, field: Field) -> int:
    return field.room(key).free(request.shape, field.reserved(key, beside=request.key))


def _still_carries(request: Request, key: Key, field: Field) -> bool:
    """Whether a pool still has the accelerator that the spec asks for now. What cannot be seen is kept."""
    return not field.reachable(key[0]) or field.room(key).carries(request.shape)


def _shortage(request: Request, keys: list[Key], field: Field) -> str:
    """What is missing where there is most: in words for the condition."""
    free = {key: _free(request, key, field) for key in keys if field.room(key).carries(request.shape)}
    if not free:
        return none_carries(request.shape)
    best = min(free, key=lambda key: (-free[key], key))
    return too_full(request, best, field.room(best), free[best])


def none_carries(shape: Shape) -> str:
    """In words: the accelerator asked for is not there."""
    memory = f" with at least {shape.min_memory / 2**30:g}Gi" if shape.min_memory else ""
    return f"no eligible candidate carries {' or '.join(shape.products)}{memory}"


def too_full(request: Request, key: Key, room: Room, free: int) -> str:
    """In words: ``free`` pods of the request fit, which are too few."""
    shape, where = request.shape, f"{key[0]}/{key[1]}"
    wants = f"{request.replicas} pods"
    if shape.accelerators:
        wants += f" with {shape.accelerators} {' or '.join(shape.products)} each"
        return f"wants {wants}; {where} has room for {free}, largest free on a node {room.largest_free}"
    return f"wants {wants}; {where} has room for {free}"


def _histogram(request: Request, verdicts: Verdicts) -> tuple[Refused, ...]:
    """Candidates refused per rule, most refusing first."""
    rows = []
    bits = verdicts.bits
    short = ~bits.eligible[request.level]
    for rule in verdicts.framework.rules:
        if rule.spec.level > request.level:
            continue
        violated, unknown = bits.violated.get(rule.spec.id, 0) & short, bits.unknown.get(rule.spec.id, 0) & short
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
    """Candidates that fail exactly one rule or wish, by name; with the fact that would have to change."""
    (_, outside), (_, excluded) = _own_refusals(request, verdicts)
    bits, level = verdicts.bits, request.level
    single = (bits.single[level] & ~(outside | excluded)) | (bits.eligible[level] & (outside ^ excluded))
    rows = (verdicts.row(key) for key in heapq.nsmallest(NEAREST, _keys(single, verdicts)))
    return tuple(_miss(request, row) for row in rows if row is not None)


def _miss(request: Request, row: Row) -> Nearest:
    """The workload's own wishes come before the rules."""
    own = own_verdicts(request, row.candidate.cluster, row.candidate.country)
    rule = (*own, *row.refusals(request.level))[0]
    return Nearest(row.candidate.cluster, row.candidate.pool, rule.rule, rule.findings[0])


def own_verdicts(request: Request, cluster: str, country: str) -> list[RuleVerdict]:
    """What the workload's own wishes say against the candidates of a cluster in a country."""
    found = []
    label, clause = f"SovereignCluster/{cluster}", "the workload's own wish"
    if request.countries is not None and normalise(country) not in request.countries:
        wanted = " or ".join(sorted(request.countries))
        finding = Finding(Verdict.VIOLATED, label, "location.country", country or "not stated", wanted)
        found.append(RuleVerdict(COUNTRIES_RULE, clause, 0, Verdict.VIOLATED, (finding,)))
    if cluster in request.excluded:
        finding = Finding(Verdict.VIOLATED, label, "name", cluster, "a cluster not excluded")
        found.append(RuleVerdict(EXCLUDED_RULE, clause, 0, Verdict.VIOLATED, (finding,)))
    return found
