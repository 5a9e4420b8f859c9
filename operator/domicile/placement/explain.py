"""The explanation: one request, every candidate -> everything that speaks against it. Pure and deterministic.

What the law says of a candidate is the same for all workloads of one level, so it is put into words once; only the
workload's own wishes, and the room where the law leaves any, are worked out for each request.
"""

from __future__ import annotations

from typing import NamedTuple

from domicile.model.verdicts import RuleVerdict, Verdict
from domicile.placement.decide import Field, Request, none_carries, own_verdicts, too_full
from domicile.placement.verdicts import Key, Verdicts, members

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


class Listed(NamedTuple):
    """All candidates in the order of their names, as they stand where nothing speaks against them."""

    unopposed: tuple[Explained, ...]
    slots: dict[int, int]  # slot -> place in ``unopposed``
    groups: tuple[tuple[str, str], ...]  # cluster and country: candidates that are alike to every wish of a workload
    of: tuple[int, ...]  # place -> group


def explain(request: Request, *, verdicts: Verdicts, field: Field) -> list[Explained]:
    """Every candidate, in the order of its name, with everything that speaks against it."""
    lawful, listed = _lawful(request.level, verdicts), _listed(verdicts)
    result = list(lawful.by_name)
    own = [tuple(own_verdicts(request, cluster, country)) for cluster, country in listed.groups]
    for place, group in enumerate(listed.of):
        if own[group]:
            key, _, refusals, satisfied, _ = result[place]
            result[place] = Explained(key, Verdict.VIOLATED, own[group] + refusals, satisfied, "")
    lost = {cluster: "" if field.reachable(cluster) else UNREACHABLE for cluster in verdicts.bits.clusters}
    absent = none_carries(request.shape)
    for place in lawful.unrefused:
        if not own[listed.of[place]]:
            key, verdict, refusals, satisfied, _ = result[place]
            obstacle = lost[key[0]] or _obstacle(request, key, field, absent)
            if obstacle:
                result[place] = Explained(key, verdict, refusals, satisfied, obstacle)
    return result


def _lawful(level: int, verdicts: Verdicts) -> Lawful:
    known: Lawful | None = verdicts.answers.get(("lawful", level))
    if known is None:
        listed = _listed(verdicts)
        by_name, refused = list(listed.unopposed), set()
        for slot in members(verdicts.everyone & ~verdicts.bits.eligible[level]):
            row, place = verdicts.rows[slot], listed.slots[slot]
            assert row is not None
            key, refusals = by_name[place].key, row.refusals(level)
            by_name[place] = Explained(key, row.levels.get(level, Verdict.UNKNOWN), refusals, row.satisfied, "")
            if refusals:
                refused.add(place)
        known = Lawful(tuple(by_name), tuple([place for place in range(len(by_name)) if place not in refused]))
        verdicts.remember(("lawful", level), known)
    return known


def _listed(verdicts: Verdicts) -> Listed:
    known: Listed | None = verdicts.answers.get("listed")
    if known is None:
        numbers: dict[tuple[str, str], int] = {}
        unopposed, slots, of = [], {}, []
        for place, (key, slot) in enumerate(verdicts.by_name):
            row = verdicts.rows[slot]
            assert row is not None
            slots[slot] = place
            unopposed.append(Explained(key, Verdict.SATISFIED, (), row.satisfied, ""))
            of.append(numbers.setdefault((key[0], row.candidate.country), len(numbers)))
        known = Listed(tuple(unopposed), slots, tuple(numbers), tuple(of))
        verdicts.remember("listed", known)
    return known


def _obstacle(request: Request, key: Key, field: Field, absent: str) -> str:
    room = field.room(key)
    if not room.carries(request.shape):
        return absent
    free = room.free(request.shape, field.reserved(key, beside=request.key))
    return "" if free >= request.replicas else too_full(request, key, room, free)
