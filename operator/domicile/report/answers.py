"""What the commands answer, as plain data: the one thing every renderer (table, JSON, JUnit, SARIF) is given.

Field names are the keys of the JSON output, in camelCase; ``docs/cli.md`` documents them. Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from pydantic.alias_generators import to_camel


@dataclass(frozen=True, slots=True)
class Note:
    """Something wrong with the input, or worth a warning: where, about what, and what to do."""

    place: str
    subject: str
    message: str

    @property
    def line(self) -> str:
        """``file:line: subject: message``; what is not known is left out."""
        return ": ".join(part for part in (self.place, self.subject, self.message) if part)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact a rule looked at: found, wanted, on whose word and how old that word is."""

    verdict: str
    subject: str
    fact: str
    found: str
    wanted: str
    evidence: str
    evidence_age_days: int | None

    @property
    def sentence(self) -> str:
        """One line for people."""
        age = "" if self.evidence_age_days is None else f", {self.evidence_age_days} days ago"
        source = f" ({self.evidence}{age})" if self.evidence else ""
        return f"{self.subject} {self.fact}: {self.found}{source}; wanted {self.wanted}"


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """What one rule says of one candidate. ``findings`` are its reasons, or all facts on demand."""

    rule: str
    clause: str
    title: str
    level: int
    verdict: str
    recognition: bool
    findings: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class CandidateAnswer:
    """One candidate: ``satisfied`` of ``rules_asked`` rules hold; ``rules`` are those that do not (or all)."""

    cluster: str
    node_pool: str
    country: str
    verdict: str
    satisfied: int
    rules_asked: int
    obstacle: str
    rules: tuple[RuleAnswer, ...]

    @property
    def name(self) -> str:
        """``cluster/pool``."""
        return f"{self.cluster}/{self.node_pool}"


@dataclass(frozen=True, slots=True)
class CandidateName:
    """Which candidate."""

    cluster: str
    node_pool: str

    @property
    def name(self) -> str:
        """``cluster/pool``."""
        return f"{self.cluster}/{self.node_pool}"


@dataclass(frozen=True, slots=True)
class RefusedBy:
    """How many candidates one rule refuses."""

    rule: str
    clause: str
    title: str
    violated: int
    unknown: int


@dataclass(frozen=True, slots=True)
class NearestMiss:
    """A candidate one rule short, with the fact that would have to change."""

    cluster: str
    node_pool: str
    rule: str
    fact: Fact

    @property
    def name(self) -> str:
        """``cluster/pool``."""
        return f"{self.cluster}/{self.node_pool}"


@dataclass(frozen=True, slots=True)
class WorkloadAnswer:
    """The decision on one workload. ``outcome`` is Placed, or the reason why not; ``explanation`` every candidate."""

    namespace: str
    name: str
    file: str
    line: int
    tier: int | None
    framework: str
    outcome: str
    placeable: bool
    message: str
    placement: CandidateName | None
    candidates: int
    eligible: tuple[CandidateName, ...]
    refused: tuple[RefusedBy, ...]
    nearest: tuple[NearestMiss, ...]
    explanation: tuple[CandidateAnswer, ...]

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """All workloads of a plan, and everything wrong with its input."""

    at: str
    workloads: tuple[WorkloadAnswer, ...]
    problems: tuple[Note, ...]
    warnings: tuple[Note, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 all placeable, 1 some not, 2 bad input."""
        if self.problems:
            return 2
        return 0 if all(w.placeable for w in self.workloads) else 1


@dataclass(frozen=True, slots=True)
class Observed:
    """A condition of a live workload, as its status has it."""

    type: str
    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True, slots=True)
class ExplainAnswer:
    """One workload explained; ``conditions`` and ``running_on`` come from the cluster and are empty for files."""

    at: str
    workload: WorkloadAnswer
    running_on: tuple[CandidateName, ...]
    conditions: tuple[Observed, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LevelAnswer:
    """One level of one pool: both verdicts, which are kept apart."""

    level: int
    criteria: str
    recognition: str


@dataclass(frozen=True, slots=True)
class PoolAnswer:
    """What a pool proves, and what is missing for the next level (None at the top)."""

    node_pool: str
    country: str
    proven: int
    levels: tuple[LevelAnswer, ...]
    next_level: int | None
    missing: tuple[RuleAnswer, ...]


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """The pools of one cluster at every level of one framework."""

    at: str
    cluster: str
    provider: str
    framework: str
    pools: tuple[PoolAnswer, ...]
    conditions: tuple[Observed, ...]

    @property
    def exit_code(self) -> int:
        """0 where some pool proves a level, 1 where none does."""
        return 0 if any(pool.proven for pool in self.pools) else 1


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """One case of a scenario file. ``failed`` are the rules found not Satisfied, with their reasons."""

    file: str
    name: str
    place: str
    passed: bool
    bad_input: bool
    mismatches: tuple[str, ...]
    levels: Mapping[str, str]
    failed: tuple[RuleAnswer, ...]


@dataclass(frozen=True, slots=True)
class ScenarioAnswer:
    """All cases of all files, and the files that could not be run."""

    cases: tuple[CaseAnswer, ...]
    problems: tuple[Note, ...]

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 some failed, 2 bad input."""
        if self.problems or any(case.bad_input for case in self.cases):
            return 2
        return 0 if all(case.passed for case in self.cases) else 1


def plain(answer: Any) -> Any:
    """The JSON form of an answer: objects with camelCase keys in the order of the fields, nothing left out."""
    if is_dataclass(answer) and not isinstance(answer, type):
        return {to_camel(f.name): plain(getattr(answer, f.name)) for f in fields(answer)}
    if isinstance(answer, Enum):
        return answer.value
    if isinstance(answer, Mapping):
        return {str(key): plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(item) for item in answer]
    return answer
