"""The parties a rule can look at, found from the candidate's references.

``provider``        who provides the cluster's control plane, the pool, and capacity the pool bursts to
``subcontractors``  declared subcontractors, and everybody the facts show to take part: operators and owners of the
                    building, of sinks and of outside services, key store operators and support vendors of the
                    provider; only those of the tier's class. A relation that is not stated counts.
``supportVendors``  who support is outsourced to, the whole chain
``facility``        operator and owner of the building
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from domicile.model.facts import Subject
from domicile.model.verdicts import Finding, Verdict
from domicile.tiers.paths import CANDIDATE, ENTITY, Path, compile_path
from domicile.tiers.reading import Context, Reading, missing_entity, read, root

Party = Subject | Finding
PARTIES = ("provider", "subcontractors", "supportVendors", "facility")
BY_CLASS = "subcontractors"
"""The party that depends on the tier's class of subcontractors."""


def _candidate_path(text: str) -> Path:
    return compile_path(text, CANDIDATE)[0]


PROVIDERS = tuple(map(_candidate_path, ("clusterProvider", "provider")))
BURSTS = _candidate_path("burstsTo[].provider")
DECLARED = _candidate_path("subcontractors[]")
FACILITY = tuple(map(_candidate_path, ("facility.operator", "facility.owner")))
SINKS = _candidate_path("telemetry.sinks[]")
SINK_OPERATORS = _candidate_path("telemetry.sinks[].operator")
OPERATORS = tuple(map(_candidate_path, ("externalServices[].operator", "keys.operator")))
VENDORS = compile_path("support.outsourcedTo[]", ENTITY)[0]


def parties_of(ctx: Context, name: str) -> tuple[Party, ...]:
    """The entities behind a party's name, each once; a Finding in place of what is unclear."""
    key = ("parties", name, ctx.group if name == BY_CLASS else None)
    known: tuple[Party, ...] | None = ctx.memo.found.get(key)
    if known is None:
        finders = {
            "provider": _providers,
            "subcontractors": _subcontractors,
            "supportVendors": _support_vendors,
            "facility": _facility,
        }
        unique: dict[str, Party] = {}
        for party in finders[name](ctx):
            same = party.label if isinstance(party, Subject) else party.subject + party.fact + party.found
            unique.setdefault(same, party)
        known = ctx.memo.found[key] = tuple(unique.values())
    return known


def _resolve(ctx: Context, reading: Reading) -> Party:
    if reading.value is None or reading.standing.verdict is not Verdict.SATISFIED:
        return reading.finding(reading.standing.verdict, "a LegalEntity")
    entity = ctx.entity(reading.value)
    if entity is None:
        return missing_entity(reading.subject, reading.fact, reading.value).finding(Verdict.UNKNOWN, "a LegalEntity")
    return entity


def _stated(ctx: Context, path: Path) -> Iterator[Party]:
    """Parties under a path that need not be stated: no building of others, no operator, no burst."""
    for reading in read(ctx, root(ctx.candidate.facts), path):
        if reading.value is not None:
            yield _resolve(ctx, reading)


def _providers(ctx: Context) -> Iterator[Party]:
    for path in PROVIDERS:
        for reading in read(ctx, root(ctx.candidate.facts), path):
            yield _resolve(ctx, reading)
    yield from _stated(ctx, BURSTS)


def _facility(ctx: Context) -> Iterator[Party]:
    for path in FACILITY:
        yield from _stated(ctx, path)


def _sink_operators(ctx: Context) -> Iterator[Party]:
    """Operators of the sinks that are not proven off."""
    items = read(ctx, root(ctx.candidate.facts), SINKS)
    off = {r.fact for r in items if isinstance(r.value, Mapping) and r.value.get("enabled") is False}
    for reading in read(ctx, root(ctx.candidate.facts), SINK_OPERATORS):
        if reading.value is not None and reading.fact.removesuffix(".operator") not in off:
            yield _resolve(ctx, reading)


def _direct_vendors(ctx: Context) -> Iterator[Party]:
    """Vendors that a provider itself hands support to; whom they hand it on to has no contract with the provider."""
    for provider in _providers(ctx):
        if isinstance(provider, Subject):
            for reading in read(ctx, root(provider), VENDORS):
                yield _resolve(ctx, reading)


def _support_vendors(ctx: Context) -> Iterator[Party]:
    """The support chain of the providers: vendors, and the vendors of vendors."""
    todo: list[Party] = list(_providers(ctx))
    seen = {p.label for p in todo if isinstance(p, Subject)}
    while todo:
        party = todo.pop(0)
        if not isinstance(party, Subject):
            yield party
            continue
        for reading in read(ctx, root(party), VENDORS):
            vendor = _resolve(ctx, reading)
            if isinstance(vendor, Subject) and vendor.label in seen:
                continue
            if isinstance(vendor, Subject):
                seen.add(vendor.label)
                todo.append(vendor)
            yield vendor


def _subcontractors(ctx: Context) -> Iterator[Party]:
    counted: set[str] = set()
    others: set[str] = set()
    for reading in read(ctx, root(ctx.candidate.facts), DECLARED):
        if not isinstance(reading.value, Mapping):
            yield reading.finding(reading.standing.verdict, "a list of subcontractors")
            continue
        name = reading.value["entity"]
        (counted if _counts(ctx, reading.value) else others).add(name)
        if name in counted:
            yield _resolve(ctx, reading._replace(value=name, fact=f"{reading.fact}.entity"))
    implied = [*_facility(ctx), *_sink_operators(ctx), *(p for path in OPERATORS for p in _stated(ctx, path))]
    left_out = (others - counted) | set(ctx.candidate.providers)
    for party in (*implied, *_direct_vendors(ctx)):
        if not isinstance(party, Subject) or party.label.partition("/")[2] not in left_out:
            yield party


def _counts(ctx: Context, relation: Mapping[str, Any]) -> bool:
    wanted = ctx.subcontractors
    return not (
        (wanted.direct_contract and relation.get("directContract") is False)
        or (wanted.may_access_sensitive and relation.get("mayAccessSensitive") is False)
    )
