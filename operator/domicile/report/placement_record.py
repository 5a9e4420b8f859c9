"""PlacementRecords: one decision for whoever reads the cluster, every candidate with every rule that failed. Pure.

A decision about many candidates is told in slices, since etcd takes no object above 1.5 MB. The decision log has the
same decision with its inputs; a record in the cluster is the copy that kubectl can show.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domicile.model.labels import RECORD, WORKLOAD
from domicile.model.records import MAX_FINDINGS, MAX_RULES, SLICE
from domicile.model.schema import API_VERSION
from domicile.model.verdicts import Finding, RuleVerdict
from domicile.placement.decide import Outcome
from domicile.placement.explain import Explained
from domicile.placement.verdicts import Key
from domicile.report.records import (
    Decided,
    decision_document,
    moment,
    options_document,
    place_document,
    request_document,
)
from domicile.tiers.framework import digest_of

Json = dict[str, Any]

MAX_BYTES: Final = 900_000  # of one object as it is sent
NAMED: Final = 52  # characters of the workload's name in the record's, which is also a label value and ends in a digest
LINE: Final = 512
WORD: Final = 128


@dataclass(frozen=True, slots=True)
class Told:
    """One decision and what is said of it, as ``records.decision_payload`` takes it.

    ``subject`` is what ``records.workload_subject`` gives, with a spec digest. ``outcome`` and ``reason`` where what
    was done differs from what was decided.
    """

    subject: Json
    decided: Decided
    operator_version: str
    outcome: str = ""
    reason: str = ""

    @property
    def said(self) -> str:
        """How it ended, in one word."""
        return self.outcome or self.decided.decision.outcome.value

    @property
    def why(self) -> str:
        """The reason in words, empty where the outcome says it all."""
        return self.reason or self.decided.decision.obstacle


def record_name(told: Told) -> str:
    """The name of the first slice: the workload's, cut, and ten digits of a digest of what was decided, from what and
    when. The decision log can name it before the record knows its place in the log. At most 63 characters."""
    decided = told.decided
    content = {
        "subject": told.subject,
        "outcome": told.said,
        "reason": told.why,
        "framework": decided.framework.digest,
        "facts": decided.facts,
        "at": moment(decided.at),
        "request": request_document(decided.request),
        "options": options_document(decided.options),
        "previous": place_document(decided.previous),
        "decision": decision_document(decided.decision),
        "operatorVersion": told.operator_version,
    }
    cut = str(told.subject["name"])[:NAMED].rstrip("-.")
    return f"{cut}-{digest_of(content).removeprefix('sha256:')[:10]}"


def placement_records(told: Told, *, explained: Sequence[Explained], log: tuple[int, str] | None = None) -> list[Json]:
    """The PlacementRecord objects of one decision, at least one, ready to be applied; equal arguments give equal ones.

    ``explained`` is what ``placement.explain.explain`` gave for the same request. ``log`` is (seq, hash) of the record
    in the decision log. Each holds at most 100 candidates and 900 kB. They go with the InferenceDeployment they are of.
    """
    name, header = record_name(told), _header(told, log)
    room = MAX_BYTES - _size(_document(told, name, 1, header | {"slice": {"index": SLICE, "of": SLICE}, "entries": []}))
    slices = _sliced([_entry(one, room) for one in _ordered(told, explained)], room)
    return [
        _document(told, name, index + 1, header | {"slice": {"index": index, "of": len(slices)}, "entries": entries})
        for index, entries in enumerate(slices)
    ]


def _document(told: Told, name: str, number: int, spec: Json) -> Json:
    subject = told.subject
    owner = {"apiVersion": API_VERSION, "kind": subject["kind"], "name": subject["name"], "uid": subject["uid"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "PlacementRecord",
        "metadata": {
            "namespace": subject["namespace"],
            "name": name if number == 1 else f"{name}-{number}",
            "labels": {WORKLOAD: subject["name"], RECORD: name},
            "ownerReferences": [owner | {"controller": False, "blockOwnerDeletion": False}],
        },
        "spec": spec,
    }


def _header(told: Told, log: tuple[int, str] | None) -> Json:
    """Everything but the candidates; the same in each slice."""
    subject, decided, decision = told.subject, told.decided, told.decided.decision
    framework = decided.framework
    placed = told.said == Outcome.PLACED
    places = {"chosen": decision.chosen if placed else None, "previous": decided.previous}
    return {
        "workload": {key: subject[key] for key in ("name", "uid", "generation", "specDigest")},
        "decidedAt": moment(decided.at),
        "outcome": _cut(told.said, WORD),
        "reason": _cut(told.why, LINE),
        "level": decided.request.level,
        "framework": {
            "id": _cut(framework.spec.id or framework.name, WORD),
            "version": _cut(framework.spec.version, WORD),
            "digest": framework.digest,
        },
        "inventory": decided.facts,
        "operatorVersion": _cut(told.operator_version, WORD),
        **{name: place_document(place) for name, place in places.items() if place is not None},
        "candidates": decision.candidates,
        "eligible": decision.eligible,
        **({"log": {"seq": log[0], "hash": log[1]}} if log is not None else {}),
    }


def _ordered(told: Told, explained: Iterable[Explained]) -> list[Explained]:
    """The chosen candidate, the nearest misses, then all others by name."""
    decision = told.decided.decision
    nearest = [(near.cluster, near.pool) for near in decision.nearest]
    leading: list[Key] = [decision.chosen, *nearest] if decision.chosen else nearest
    rank = {key: place for place, key in enumerate(dict.fromkeys(leading))}
    return sorted(explained, key=lambda one: (rank.get(one.key, len(rank)), one.key))


def _entry(one: Explained, room: int) -> Json:
    """One candidate. What would not fit into an object by itself keeps every rule and loses findings."""
    for findings in (MAX_FINDINGS, 1, 0):
        entry = {
            "cluster": one.key[0],
            "nodePool": one.key[1],
            "verdict": one.verdict.value,
            "satisfied": one.satisfied,
            "obstacle": _cut(one.obstacle, LINE),
            "rules": [_rule(rule, findings) for rule in one.refusals[:MAX_RULES]],
        }
        if _size(entry) < room:
            break
    return entry


def _rule(rule: RuleVerdict, findings: int) -> Json:
    return {
        "rule": _cut(rule.rule, WORD),
        "clause": _cut(rule.clause, LINE),
        "verdict": rule.verdict.value,
        "findings": [_finding(finding) for finding in rule.reasons[:findings]],
    }


def _finding(finding: Finding) -> Json:
    told = {name: getattr(finding, name) for name in ("subject", "fact", "found", "wanted", "evidence")}
    return {name: _cut(text, LINE) for name, text in told.items()}


def _sliced(entries: Iterable[Json], room: int) -> list[list[Json]]:
    """Entries in their order, as many to a slice as fit; a decision without candidates has one slice, too."""
    slices: list[list[Json]] = [[]]
    left = room
    for entry in entries:
        size = _size(entry) + 1
        if slices[-1] and (len(slices[-1]) == SLICE or size > left):
            slices.append([])
            left = room
        slices[-1].append(entry)
        left -= size
    return slices


def _size(document: Json) -> int:
    """Bytes of JSON as they are sent: ASCII, so never fewer than what is stored."""
    return len(json.dumps(document, separators=(",", ":")))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
