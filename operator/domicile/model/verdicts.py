"""Three-valued verdicts and what explains them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """Answer of a predicate, a rule or a tier. Only ``SATISFIED`` ever admits."""

    SATISFIED = "Satisfied"
    UNKNOWN = "Unknown"
    VIOLATED = "Violated"


S, U, V = Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Logical AND: Violated before Unknown before Satisfied; nothing to ask is Satisfied."""
    result = S
    for verdict in verdicts:
        if verdict is V:
            return V
        if verdict is U:
            result = U
    return result


def best(verdicts: Iterable[Verdict]) -> Verdict:
    """Logical OR: Satisfied before Unknown before Violated; nothing to choose from is Violated."""
    result = V
    for verdict in verdicts:
        if verdict is S:
            return S
        if verdict is U:
            result = U
    return result


class EvidenceClass(StrEnum):
    """How strong the evidence behind a fact is, weakest first (order of definition)."""

    NONE = "none"
    SELF_DECLARED = "selfDeclared"
    CONTRACTUAL = "contractual"
    CERTIFIED = "certified"
    AUDITED = "audited"
    RECOGNISED = "recognised"

    @property
    def rank(self) -> int:
        """0 (none) to 5 (recognised)."""
        return EVIDENCE_RANK[self]


EVIDENCE_RANK = {cls: rank for rank, cls in enumerate(EvidenceClass)}


class Finding(NamedTuple):
    """One fact that one predicate looked at: everything a reviewer needs to check it."""

    verdict: Verdict
    subject: str  # "SovereignCluster/nordlys-1", "SovereignCluster/nordlys-1/h100", "LegalEntity/nordlys"
    fact: str  # path below the subject, "telemetry.sinks[0].country"
    found: str
    wanted: str
    evidence: str = ""  # "audited by revisor, reviewed 2026-09-01"
    revoked: bool = False  # what vouched for the fact was taken back; no waiver speaks to that

    def sentence(self) -> str:
        """One line for people: what was found, what was wanted, on whose word."""
        source = f" ({self.evidence})" if self.evidence else ""
        return f"{self.subject} {self.fact}: {self.found}{source}; wanted {self.wanted}"


class RuleVerdict(NamedTuple):
    """What one rule says of one candidate."""

    rule: str
    clause: str
    level: int
    verdict: Verdict
    findings: tuple[Finding, ...]
    recognition: bool = False  # speaks to the recognition verdict, not to the criteria
    waived: bool = False

    @property
    def reasons(self) -> tuple[Finding, ...]:
        """The findings that make the verdict what it is, each once."""
        decisive = [f for f in self.findings if f.verdict is self.verdict]
        return tuple(dict.fromkeys(decisive or self.findings))
