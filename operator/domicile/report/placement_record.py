"""A decision as PlacementRecords: every candidate with every rule that failed, 100 candidates to an object. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domicile.model.labels import RECORD, WORKLOAD
from domicile.model.records import MAX_FINDINGS, MAX_RULES, SLICE
from domicile.model.schema import API_VERSION
from domicile.model.verdicts import RuleVerdict
from domicile.placement.decide import Decision
from domicile.placement.explain import Explained
from domicile.placement.verdicts import Key
from domicile.report.conditions import instant
from domicile.tiers.framework import Framework, digest_of

SLICE_BYTES: Final = 800_000  # of entries; an API server stores about 1.5 MB of one object
LINE: Final = 512
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """Whose decision it is, and what it was made from."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec_digest: str
    level: int
    framework: Framework
    inventory: str
    at: datetime
    previous: Key | None
    operator_version: str


def record_name(about: About, decision: Decision) -> str:
    """The name of the first object: the same for the same decision, another for any other."""
    content = [about.uid, about.generation, about.inventory, about.framework.digest, instant(about.at)]
    content += [str(decision.outcome), list(decision.chosen or ()), decision.obstacle]
    return f"{about.name[:40].rstrip('-')}-{digest_of(content).removeprefix('sha256:')[:10]}"


def placement_records(about: About, decision: Decision, explained: Iterable[Explained]) -> list[Json]:
    """The objects; the chosen candidate and the nearest misses are in the first."""
    first = [*([decision.chosen] if decision.chosen else []), *((near.cluster, near.pool) for near in decision.nearest)]
    order = {key: place for place, key in enumerate(first)}
    ranked = sorted(explained, key=lambda one: (order.get(one.key, len(order)), one.key))
    slices = _sliced([_entry(one) for one in ranked])
    name = record_name(about, decision)
    head = _head(about, decision)
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "PlacementRecord",
            "metadata": _metadata(about, name, number),
            "spec": head | {"slice": {"index": number, "of": len(slices)}, "entries": entries},
        }
        for number, entries in enumerate(slices)
    ]


def _sliced(entries: list[Json]) -> list[list[Json]]:
    slices: list[list[Json]] = [[]]
    size = 0
    for entry in entries:
        grown = size + len(json.dumps(entry))
        if slices[-1] and (len(slices[-1]) == SLICE or grown > SLICE_BYTES):
            slices.append([])
            grown = len(json.dumps(entry))
        slices[-1].append(entry)
        size = grown
    return slices


def _metadata(about: About, name: str, number: int) -> Json:
    owner = {"apiVersion": API_VERSION, "kind": "InferenceDeployment", "name": about.name, "uid": about.uid}
    return {
        "name": name if number == 0 else f"{name}-{number + 1}",
        "namespace": about.namespace,
        "labels": {WORKLOAD: about.name[:63], RECORD: name},
        "ownerReferences": [owner | {"controller": False, "blockOwnerDeletion": False}],
    }


def _head(about: About, decision: Decision) -> Json:
    spec = about.framework.spec
    head: Json = {
        "workload": {
            "name": about.name,
            "uid": about.uid,
            "generation": about.generation,
            "specDigest": about.spec_digest,
        },
        "decidedAt": instant(about.at),
        "outcome": str(decision.outcome),
        "reason": decision.obstacle[:LINE],
        "level": about.level,
        "framework": {
            "id": spec.id or about.framework.name,
            "version": spec.version,
            "digest": about.framework.digest,
        },
        "inventory": about.inventory,
        "operatorVersion": about.operator_version,
        "candidates": decision.candidates,
        "eligible": decision.eligible,
    }
    places = {"chosen": decision.chosen, "previous": about.previous}
    return head | {name: _place(key) for name, key in places.items() if key is not None}


def _place(key: Key) -> Mapping[str, str]:
    return {"cluster": key[0], "nodePool": key[1]}


def _entry(one: Explained) -> Json:
    return {
        **_place(one.key),
        "verdict": str(one.verdict),
        "satisfied": one.satisfied,
        "obstacle": one.obstacle[:LINE],
        "rules": [_rule(rule) for rule in one.refusals[:MAX_RULES]],
    }


def _rule(rule: RuleVerdict) -> Json:
    return {
        "rule": rule.rule,
        "clause": rule.clause[:LINE],
        "verdict": str(rule.verdict),
        "findings": [
            {
                "subject": finding.subject[:LINE],
                "fact": finding.fact[:LINE],
                "found": finding.found[:LINE],
                "wanted": finding.wanted[:LINE],
                "evidence": finding.evidence[:LINE],
            }
            for finding in rule.findings[:MAX_FINDINGS]
        ],
    }
