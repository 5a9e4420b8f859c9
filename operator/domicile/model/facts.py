"""Facts as the evaluator reads them: plain documents with the evidence that covers each group.

Built from the API models at the door (projection), immutable after that. Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from domicile.model.cluster import NodePool, SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.evidence import Evidence, EvidenceStatus
from domicile.model.schema import read_instant
from domicile.model.verdicts import EvidenceClass

EVERY_POOL = "*"
PARTIES = ("provider", "facility", "burstsTo")
"""Groups a pool states about itself that are relations to other parties."""


class EvidenceItem(NamedTuple):
    """One attestation, instants parsed: valid while ``issued <= at < expires``."""

    covers: tuple[str, ...]
    strength: EvidenceClass
    issuer: str
    issued: datetime
    reviewed: datetime
    expires: datetime | None
    status: EvidenceStatus
    asserts: Mapping[str, str]

    def covers_fact(self, template: str) -> bool:
        """Whether the entry covers the fact at ``template`` (a path without indexes)."""
        return any(c == "*" or template == c or template.startswith(c + ".") for c in self.covers)


def read_evidence(entry: Evidence) -> EvidenceItem:
    """An evidence entry with its dates as UTC instants; a validity day counts to its end."""
    issued = read_instant(entry.issued)
    return EvidenceItem(
        covers=tuple(entry.covers),
        strength=entry.class_,
        issuer=entry.issuer,
        issued=issued,
        reviewed=read_instant(entry.reviewed) if entry.reviewed else issued,
        expires=read_instant(entry.valid_until, end_of_day=True) if entry.valid_until else None,
        status=entry.status,
        asserts={a.fact: a.value for a in entry.asserts or ()},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Something facts are about: an entity, or a cluster seen from one of its pools.

    ``own`` maps a fact group to the evidence for it where that differs from ``evidence``.
    """

    label: str
    doc: Mapping[str, Any]
    evidence: tuple[EvidenceItem, ...] = ()
    own: Mapping[str, tuple[EvidenceItem, ...]] = field(default_factory=dict)
    own_label: str = ""

    def evidence_of(self, group: str) -> tuple[EvidenceItem, ...]:
        """The attestations that may cover facts of ``group``."""
        return self.own.get(group, self.evidence)

    def label_of(self, group: str) -> str:
        """Who states the group: the pool where it speaks for itself, else the object."""
        return self.own_label if group in self.own else self.label


def entity_subject(name: str, spec: LegalEntitySpec) -> Subject:
    """A LegalEntity as the evaluator reads it."""
    doc = spec.plain()
    evidence = tuple(read_evidence(e) for e in spec.evidence or ())
    doc.pop("evidence", None)
    return Subject(label=f"LegalEntity/{name}", doc=doc, evidence=evidence)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A (cluster, node pool) pair with everything its verdict depends on, parties by name."""

    cluster: str
    pool: str
    facts: Subject
    providers: tuple[str, ...]
    void: str = ""  # why its facts count for nothing: another cluster answers in its name

    @property
    def name(self) -> str:
        """``cluster/pool``."""
        return f"{self.cluster}/{self.pool}"

    @property
    def country(self) -> str:
        """Country the pool states, or empty."""
        location = self.facts.doc.get("location") or {}
        return str(location.get("country", ""))


def candidates_of(name: str, spec: SovereignClusterSpec) -> tuple[Candidate, ...]:
    """One candidate for each node pool; pool groups replace the cluster's whole group, with their own evidence."""
    shared = _Shared(
        facts=spec.facts.plain() if spec.facts else {},
        evidence=tuple((read_evidence(e), e.node_pools or []) for e in spec.evidence or ()),
    )
    return tuple(_candidate(name, spec, pool, shared) for pool in spec.node_pools)


class _Shared(NamedTuple):
    """What all pools of a cluster have in common, read once; nobody changes it."""

    facts: Mapping[str, Any]
    evidence: tuple[tuple[EvidenceItem, list[str]], ...]  # with the pools whose own groups it vouches for


def _candidate(name: str, spec: SovereignClusterSpec, pool: NodePool, shared: _Shared) -> Candidate:
    pool_evidence = tuple(item for item, pools in shared.evidence if pool.name in pools or EVERY_POOL in pools)
    doc: dict[str, Any] = dict(shared.facts)
    own_groups: dict[str, Any] = pool.facts.plain() if pool.facts else {}
    stated = pool.plain()
    own_groups |= {group: stated[group] for group in PARTIES if group in stated}
    if spec.subcontractors is not None:
        here = [s for s in spec.subcontractors if s.node_pools is None or pool.name in s.node_pools]
        doc["subcontractors"] = [s.plain() for s in here]
    doc["clusterProvider"] = spec.provider
    doc |= own_groups
    return Candidate(
        cluster=name,
        pool=pool.name,
        facts=Subject(
            label=f"SovereignCluster/{name}",
            doc=doc,
            evidence=tuple(item for item, _ in shared.evidence),
            own=dict.fromkeys(own_groups, pool_evidence),
            own_label=f"SovereignCluster/{name} pool {pool.name}",
        ),
        providers=tuple(dict.fromkeys((spec.provider, pool.provider))),
    )


@dataclass(frozen=True, slots=True)
class Entities:
    """All legal entities by name, and what is wrong with the ownership graph: name -> problem."""

    by_name: Mapping[str, Subject]
    problems: Mapping[str, str]
    _above: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # filled as it is asked for

    def above(self, name: str) -> tuple[str, ...]:
        """``name`` and every LegalEntity above it in the ownership chain, existing or not, sorted."""
        known = self._above.get(name)
        if known is None:
            found: set[str] = set()
            todo = [name]
            while todo:
                current = todo.pop()
                if current not in found:
                    found.add(current)
                    if current in self.by_name:
                        todo += owner_names(self.by_name[current])
            known = self._above[name] = tuple(sorted(found))
        return known

    @staticmethod
    def of(subjects: Mapping[str, Subject]) -> Entities:
        """Entities with cycles and dangling owners found; both make ownership and control unknown."""
        return Entities(by_name=subjects, problems=ownership_problems(subjects))


def owner_names(subject: Subject) -> Iterable[str]:
    """Names of the LegalEntities that hold shares in ``subject``."""
    owners = (subject.doc.get("ownership") or {}).get("owners") or ()
    return (o["entity"] for o in owners if "entity" in o)


def ownership_problems(subjects: Mapping[str, Subject]) -> dict[str, str]:
    """For every entity whose ownership chain is broken: the cycle it reaches, or the holder that does not exist."""
    problems: dict[str, str] = {}
    settled: set[str] = set()
    for start in sorted(subjects):
        if start in settled:
            continue
        path: list[str] = []
        stack: list[tuple[str, list[str]]] = [(start, sorted(owner_names(subjects[start])))]
        path.append(start)
        while stack:
            name, owners = stack[-1]
            if not owners:
                stack.pop()
                path.pop()
                settled.add(name)
                _inherit(problems, name, subjects)
                continue
            owner = owners.pop()
            if owner in path:
                cycle = [*path[path.index(owner) :], owner]
                for member in cycle:
                    loop = " -> ".join(cycle)
                    problems.setdefault(member, f"ownership cycle {loop}; correct the owners of one of them")
            elif owner in subjects and owner not in settled:
                path.append(owner)
                stack.append((owner, sorted(owner_names(subjects[owner]))))
    return problems


def _inherit(problems: dict[str, str], name: str, subjects: Mapping[str, Subject]) -> None:
    for owner in owner_names(subjects[name]):
        if owner not in subjects:
            problems.setdefault(name, f"owner LegalEntity/{owner} does not exist; create it or correct the reference")
        elif owner in problems:
            problems.setdefault(name, problems[owner])
