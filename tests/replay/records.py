"""Logs to replay: the facts of a small fleet, and a decision made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from domicile.evidence.canonical import canonical, parse
from domicile.evidence.record import Entry, Record, RecordType
from domicile.inventory.inventory import Inventory
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.schema import Model
from domicile.placement.decide import Request, decide
from domicile.placement.explain import explain
from domicile.placement.recording import Recorded
from domicile.placement.verdicts import Key
from domicile.report.records import (
    Decided,
    decision_payload,
    explanation_digest,
    facts_payload,
    workload_subject,
)
from domicile.tiers.reading import Options
from tests.placement import fleet
from tests.placement.fleet import AT, Rooms

Json = dict[str, Any]
FIVE_PODS = Request("ns/name", 3, fleet.SHAPES[1], 5)


def framework_spec() -> SovereigntyFrameworkSpec:
    return fleet.frameworks()["cada"].spec


def objects() -> dict[tuple[str, str], Model]:
    """Two clusters, of which only one will do for tier 3."""
    pools = (("p1", "nordlys", ()), ("p2", "nordlys", ()))
    return {
        ("LegalEntity", "nordlys"): fleet.entity(),
        ("SovereignCluster", "c1"): fleet.cluster("nordlys", (), pools),
        ("SovereignCluster", "c2"): fleet.cluster("nordlys", ("in Switzerland",), pools),
        ("SovereigntyFramework", "cada"): framework_spec(),
    }


def facts(known: Mapping[tuple[str, str], Model | None], void: Mapping[str, str] | None = None) -> list[Record]:
    return [
        Record.of(
            RecordType.POLICY_CHANGED if kind == "SovereigntyFramework" else RecordType.FACTS_STATED,
            facts_payload(kind, name=name, spec=spec.plain() if spec else None, void=(void or {}).get(name, "")),
        )
        for (kind, name), spec in known.items()
    ]


def inventory(known: Mapping[tuple[str, str], Any], void: Mapping[str, str] | None = None) -> Inventory:
    result = Inventory()
    for (kind, name), spec in known.items():
        match kind:
            case "LegalEntity":
                result.set_entity(name, spec, at=AT)
            case "SovereignCluster":
                result.set_cluster(name, spec, at=AT)
            case _:
                result.set_framework(name, spec)
    for name, why in (void or {}).items():
        result.void(name, why, at=AT)
    return result


def decision(known: Inventory, request: Request = FIVE_PODS, *, rooms: Rooms | None = None, previous: Key | None = None,
             keep_field: bool = True) -> Json:  # fmt: skip
    """The payload of a decision over these facts."""
    verdicts = known.verdicts("cada", Options(), at=AT)
    field = Recorded(rooms or Rooms({}), request=request)
    made = decide(request, verdicts=verdicts, field=field, previous=previous)
    document = field.document() if keep_field else None
    call = Decided(request, verdicts.framework, Options(), known.digest, AT, previous, "", document, made)
    explained = explain(request, verdicts=verdicts, field=rooms or Rooms({}))
    subject = workload_subject("ns", name="name", uid="u-1", generation=3, spec={"replicas": 5})
    return decision_payload(
        subject, decided=call, operator_version="0.1.0", explanation_digest=explanation_digest(explained)
    )


def placed(payload: Json) -> Record:
    return Record.of(RecordType.PLACED, payload)


def lines(records: list[Record], *, first: int = 0) -> list[bytes]:
    """The lines of a log, without its chain: replaying does not look at it."""
    time, prev = "2026-11-01T00:00:01.000000Z", "0" * 64
    return [record.line(seq, time=time, prev=prev) for seq, record in enumerate(records, start=first)]


def entries(records: list[Record], *, first: int = 0) -> list[Entry]:
    return [Entry.parse(line) for line in lines(records, first=first)]


def amended(line: bytes, path: tuple[str | int, ...], value: Any) -> bytes:
    """A record with one value replaced, as canonical as before."""
    document = parse(line)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return canonical(document)


def more(request: Request, replicas: int) -> Request:
    return replace(request, replicas=replicas)
