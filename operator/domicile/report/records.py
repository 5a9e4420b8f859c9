"""Payloads of the decision log: facts as they were stated, and decisions with everything they were made from, so that
the log alone suffices to decide again, to the same bytes. And back: the inputs of a decision from its payload. Pure.

Everything is JSON; instants are RFC 3339 with microseconds, sets are sorted lists, numbers may come back as integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domicile.model.schema import API_VERSION
from domicile.model.verdicts import Finding, RuleVerdict
from domicile.placement.capacity import Shape
from domicile.placement.decide import Decision, Request
from domicile.placement.explain import Explained
from domicile.placement.verdicts import Key
from domicile.tiers.framework import Framework, digest_of
from domicile.tiers.reading import Options

Json = dict[str, Any]


def facts_payload(kind: str, *, name: str, spec: Json | None, void: str = "") -> Json:
    """An object that states facts, or a policy: its whole spec, None where it is gone or cannot be read. ``void`` says
    why the facts of a cluster count for nothing, where they do not."""
    payload: Json = {
        "subject": {"apiVersion": API_VERSION, "kind": kind, "name": name},
        "digest": None if spec is None else digest_of(spec),
        "spec": spec,
    }
    return payload | {"void": void} if void else payload


def workload_subject(namespace: str, *, name: str, uid: str, generation: int, spec: Json | None) -> Json:
    """Which InferenceDeployment a record is about, in which form."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceDeployment",
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "generation": generation,
        "specDigest": None if spec is None else digest_of(spec),
    }


@dataclass(frozen=True, slots=True)
class Decided:
    """One call of ``placement.decide.decide``: all it was given, and what it gave."""

    request: Request
    framework: Framework
    options: Options
    facts: str  # digest of the inventory
    at: datetime
    previous: Key | None
    stay: str
    field: Json | None  # what ``placement.recording.Recorded`` holds
    decision: Decision


def decision_payload(
    subject: Json,
    *,
    decided: Decided,
    operator_version: str,
    outcome: str = "",
    reason: str = "",
    explanation_digest: str = "",
    record: str = "",
) -> Json:
    """A decision that can be replayed. ``outcome`` and ``reason`` where what was done differs from what was decided: a
    budget, the breaker or the log held it back. ``record`` names the PlacementRecord."""
    decision = decided.decision
    payload: Json = {
        "subject": subject,
        "outcome": outcome or decision.outcome.value,
        "reason": reason or decision.obstacle,
        "policy": policy_document(decided.framework),
        "inputs": {
            "facts": decided.facts,
            "at": moment(decided.at),
            "request": request_document(decided.request),
            "options": options_document(decided.options),
            "previous": place_document(decided.previous),
            "stay": decided.stay,
            "field": decided.field,
        },
        "decision": decision_document(decision),
        "operatorVersion": operator_version,
    }
    optional = {"explanationDigest": explanation_digest, "record": record}
    return payload | {name: value for name, value in optional.items() if value}


def policy_document(framework: Framework) -> Json:
    """Which rule pack, by its digest."""
    spec = framework.spec
    return {
        "id": spec.id or framework.name,
        "version": spec.version,
        "digest": framework.digest,
        "name": framework.name,
    }


def decision_document(decision: Decision) -> Json:
    """Everything of a decision."""
    return {
        "outcome": decision.outcome.value,
        "chosen": place_document(decision.chosen),
        "kept": decision.kept,
        "candidates": decision.candidates,
        "eligible": decision.eligible,
        "refused": [row._asdict() for row in decision.refused],
        "nearest": [
            {"cluster": n.cluster, "nodePool": n.pool, "rule": n.rule, "finding": _finding(n.finding)}
            for n in decision.nearest
        ],
        "obstacle": decision.obstacle,
    }


def explanation_digest(explained: Iterable[Explained]) -> str:
    """sha256 of the canonical JSON of what the law and the workload's wishes say of every candidate, in their order.
    Room is left out: what was asked of it for an explanation is not recorded."""
    return digest_of(
        [
            {
                "cluster": one.key[0],
                "nodePool": one.key[1],
                "verdict": one.verdict.value,
                "refusals": [_refusal(rule) for rule in one.refusals],
            }
            for one in explained
        ]
    )


def _refusal(rule: RuleVerdict) -> Json:
    findings = [_finding(finding) for finding in rule.findings]
    return {"rule": rule.rule, "clause": rule.clause, "verdict": rule.verdict.value, "findings": findings}


def _finding(finding: Finding) -> Json:
    return finding._asdict() | {"verdict": finding.verdict.value}


def request_document(request: Request) -> Json:
    """Everything a workload asks for."""
    shape = request.shape
    return {
        "key": request.key,
        "level": request.level,
        "shape": {
            "products": list(shape.products),
            "accelerators": shape.accelerators,
            "minMemory": shape.min_memory,
            "cpu": shape.cpu,
            "memory": shape.memory,
        },
        "replicas": request.replicas,
        "countries": None if request.countries is None else sorted(request.countries),
        "excluded": sorted(request.excluded),
    }


def request_of(document: Mapping[str, Any]) -> Request:
    """The request that ``request_document`` wrote. Raises LookupError, TypeError or ValueError for anything else."""
    shape, countries = document["shape"], document["countries"]
    return Request(
        key=str(document["key"]),
        level=int(document["level"]),
        shape=Shape(
            products=tuple(shape["products"]),
            accelerators=int(shape["accelerators"]),
            min_memory=float(shape["minMemory"]),
            cpu=float(shape["cpu"]),
            memory=float(shape["memory"]),
        ),
        replicas=int(document["replicas"]),
        countries=None if countries is None else frozenset(countries),
        excluded=frozenset(document["excluded"]),
    )


def options_document(options: Options) -> Json:
    """Everything a workload asks for that changes a verdict."""
    return {
        "recognition": options.recognition,
        "requireUnionCitizens": options.require_union_citizens,
        "maxEvidenceAge": options.max_evidence_age,
        "waivers": sorted(options.waivers),
    }


def options_of(document: Mapping[str, Any]) -> Options:
    """The options that ``options_document`` wrote. Raises LookupError or TypeError for anything else."""
    return Options(
        recognition=document["recognition"],
        require_union_citizens=document["requireUnionCitizens"],
        max_evidence_age=document["maxEvidenceAge"],
        waivers=frozenset(document["waivers"]),
    )


def place_document(place: Key | None) -> Json | None:
    """A candidate by name."""
    return None if place is None else {"cluster": place[0], "nodePool": place[1]}


def place_of(document: Mapping[str, Any] | None) -> Key | None:
    """The candidate that ``place_document`` wrote."""
    return None if document is None else (str(document["cluster"]), str(document["nodePool"]))


def moment(at: datetime) -> str:
    """RFC 3339 in UTC, always with six digits of fraction."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
