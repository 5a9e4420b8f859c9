"""The explanation: one request, every candidate -> everything that speaks against it. Pure and deterministic.

What the law says of a candidate is the same for all workloads of one level, so it is put into words once; only the
workload's own wishes, and the room where the law leaves any, are worked out for each request.
"""

from __future__ import annotations

from typing import NamedTuple

from domicile.model.verdicts import RuleVerdict, Verdict
from domicile.placement.capacity import room_for
from domicile.placement.decide import Field, Request, none_carries, own_verdicts, too_full
from domicile.placement.verdicts import Key, Row, Verdicts

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


class Grouped(NamedTuple):
    """Candidates that are alike to every wish of a workload: those of one cluster in one country."""

    groups: tuple[tuple[str, str], ...]  # cluster and country
    of: tuple[int, ...]  # candidate, in the order of the names -> its group


def explain(request: Request, *, verdicts: Verdicts, field: Field) -> list[Explained]:
    """Every candidate, in the order of its name, with everything that speaks against it."""
    lawful, grouped = _lawful(request.level, verdicts), _grouped(verdicts)
    result = list(lawful.by_name)
    own = [tuple(own_verdicts(request, cluster, country)) for cluster, country in grouped.groups]
    for place, group in enumerate(grouped.of):
        if own[group]:
            key, _, refusals, satisfied, _ = result[place]
            result[place] = Explained(key, Verdict.VIOLATED, own[group] + refusals, satisfied, "")
    lost = {cluster: "" if field.reachable(cluster) else UNREACHABLE for cluster in verdicts.bits.clusters}
    absent = none_carries(request.shape)
    for place in lawful.unrefused:
        if not own[grouped.of[place]]:
            key, verdict, refusals, satisfied, _ = result[place]
            obstacle = lost[key[0]] or _obstacle(request, key, field, absent)
            if obstacle:
                result[place] = Explained(key, verdict, refusals, satisfied, obstacle)
    return result


def _lawful(level: int, verdicts: Verdicts) -> Lawful:
    known: Lawful | None = verdicts.answers.get(("lawful", level))
    if known is None:
        rows = [(key, row) for key, slot in verdicts.by_name if (row := verdicts.rows[slot]) is not None]
        unopposed = _unopposed(rows, verdicts)
        by_name = tuple(
            [
                one if row.levels.get(level) is Verdict.SATISFIED else _by_law(key, row, level)
                for one, (key, row) in zip(unopposed, rows, strict=True)
            ]
        )
        known = Lawful(by_name, tuple([place for place, one in enumerate(by_name) if not one.refusals]))
        verdicts.remember(("lawful", level), known)
    return known


def _unopposed(rows: list[tuple[Key, Row]], verdicts: Verdicts) -> tuple[Explained, ...]:
    """How each candidate stands at a level it satisfies: one and the same at all of them."""
    known: tuple[Explained, ...] | None = verdicts.answers.get("unopposed")
    if known is None:
        known = tuple([Explained(key, Verdict.SATISFIED, (), row.satisfied, "") for key, row in rows])
        verdicts.remember("unopposed", known)
    return known


def _by_law(key: Key, row: Row, level: int) -> Explained:
    return Explained(key, row.levels.get(level, Verdict.UNKNOWN), row.refusals(level), row.satisfied, "")


def _grouped(verdicts: Verdicts) -> Grouped:
    known: Grouped | None = verdicts.answers.get("grouped")
    if known is None:
        numbers: dict[tuple[str, str], int] = {}
        of = []
        for (cluster, _), slot in verdicts.by_name:
            row = verdicts.rows[slot]
            assert row is not None
            of.append(numbers.setdefault((cluster, row.candidate.country), len(numbers)))
        known = Grouped(tuple(numbers), tuple(of))
        verdicts.remember("grouped", known)
    return known


def _obstacle(request: Request, key: Key, field: Field, absent: str) -> str:
    room = field.room(key)
    if not room.carries(request.shape):
        return absent
    free = room_for(room, request.shape, field.reserved(key, beside=request.key))
    return "" if free >= request.replicas else too_full(request, key, room, free)
