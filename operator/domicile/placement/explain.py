"""The explanation: one request, every candidate -> everything that speaks against it. Pure and deterministic.

What the law says of a candidate is the same for all workloads of one level, so it is put into words once; only the
workload's own wishes, and the room where the law leaves any, are worked out for each request.
"""

from __future__ import annotations

from typing import NamedTuple

from domicile.model.verdicts import RuleVerdict, Verdict
from domicile.placement.capacity import room_for
from domicile.placement.decide import Field, Request, none_carries, own_refusals, own_verdicts, too_full
from domicile.placement.verdicts import Key, Row, Verdicts, members

UNREACHABLE = "cannot be reached"


class Explained(NamedTuple):
    """One candidate in an explanation: its verdict for the request, and every rule that failed."""

    key: Key
    verdict: Verdict
    refusals: tuple[RuleVerdict, ...]
    satisfied: int
    obstacle: str  # after the law: unreachable or full, empty where nothing stands in the way


class Lawful(NamedTuple):
    """What the rules say of every candidate at one level, whatever a workload wishes besides."""

    by_name: tuple[Explained, ...]
    unrefused: tuple[int, ...]  # places in ``by_name``
    places: dict[int, int]  # slot -> place
    where: tuple[tuple[str, str], ...]  # cluster and country of each place


def explain(request: Request, *, verdicts: Verdicts, field: Field) -> list[Explained]:
    """Every candidate, in the order of its name, with everything that speaks against it."""
    lawful = _lawful(request.level, verdicts)
    result = list(lawful.by_name)
    unwished = _refuse_unwished(result, request, verdicts, lawful)
    lost = {cluster: "" if field.reachable(cluster) else UNREACHABLE for cluster in verdicts.bits.clusters}
    absent = none_carries(request.shape)
    for place in lawful.unrefused:
        if place in unwished:
            continue
        key, verdict, refusals, satisfied, _ = result[place]
        obstacle = lost[key[0]] or _obstacle(request, key, field, absent)
        if obstacle:
            result[place] = Explained(key, verdict, refusals, satisfied, obstacle)
    return result


def _refuse_unwished(result: list[Explained], request: Request, verdicts: Verdicts, lawful: Lawful) -> set[int]:
    """Put the workload's own wishes before the rules; gives the places of those candidates in ``result``."""
    slots = 0
    for _, refused in own_refusals(request, verdicts):
        slots |= refused
    unwished = {lawful.places[slot] for slot in members(slots)}
    own: dict[tuple[str, str], tuple[RuleVerdict, ...]] = {}  # pools of one cluster mostly share it
    for slot in members(slots):
        place = lawful.places[slot]
        wishes = own.get(lawful.where[place])
        if wishes is None:
            row = verdicts.rows[slot]
            assert row is not None
            wishes = own[lawful.where[place]] = tuple(own_verdicts(request, row))
        key, _, refusals, satisfied, _ = result[place]
        result[place] = Explained(key, Verdict.VIOLATED, wishes + refusals, satisfied, "")
    return unwished


def _lawful(level: int, verdicts: Verdicts) -> Lawful:
    known: Lawful | None = verdicts.answers.get(("lawful", level))
    if known is None:
        rows = [row for _, slot in verdicts.by_name if (row := verdicts.rows[slot]) is not None]
        by_name = tuple([_by_law(row, level) for row in rows])
        places = {slot: place for place, (_, slot) in enumerate(verdicts.by_name)}
        unrefused = tuple([place for place, one in enumerate(by_name) if not one.refusals])
        where = tuple([(row.candidate.cluster, row.candidate.country) for row in rows])
        known = Lawful(by_name, unrefused, places, where)
        verdicts.remember(("lawful", level), known)
    return known


def _by_law(row: Row, level: int) -> Explained:
    key = (row.candidate.cluster, row.candidate.pool)
    return Explained(key, row.levels.get(level, Verdict.UNKNOWN), row.refusals(level), row.satisfied, "")


def _obstacle(request: Request, key: Key, field: Field, absent: str) -> str:
    room = field.room(key)
    if not room.carries(request.shape):
        return absent
    free = room_for(room, request.shape, field.reserved(key, beside=request.key))
    return "" if free >= request.replicas else too_full(request, key, room, free)
