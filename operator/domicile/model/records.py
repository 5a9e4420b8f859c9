"""What the operator writes for reviewers: PlacementRecord, one decision in full, and DecisionLog, the log's head."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from domicile.model.rules import Transition
from domicile.model.schema import Label, Level, Line, Model, ObjectName, Word
from domicile.model.status import Conditions, Count, DigestText, FrameworkRef, Instant

SLICE = 100  # candidates in one record
MAX_RULES = 258  # all a framework can have, and the two wishes of a workload
MAX_FINDINGS = 4
MAX_SINKS = 16


class WorkloadRef(Model):
    """The workload that was decided."""

    name: ObjectName = Field(description="Name of the InferenceDeployment")
    uid: Annotated[str, StringConstraints(max_length=64)] = Field(description="Its uid")
    generation: Count = Field(description="Its generation")
    spec_digest: DigestText = Field(description="Digest of its spec")


class PlaceRef(Model):
    """A candidate by name."""

    cluster: ObjectName = Field(description="Cluster")
    node_pool: Label = Field(description="Node pool")


class FactFound(Model):
    """One fact that speaks against a candidate."""

    subject: Line = Field(description="Who the fact is about")
    fact: Line = Field(description="Path of the fact")
    found: Line = Field(description="Value found")
    wanted: Line = Field(description="Value wanted")
    evidence: Line = Field(default="", description="On whose word, and how old it is")


class FailedRule(Model):
    """One rule that a candidate does not satisfy."""

    rule: Word = Field(description="Id of the rule")
    clause: Line = Field(default="", description="Where the text says so")
    verdict: Word = Field(description="Violated or Unknown")
    findings: Annotated[list[FactFound], Field(max_length=MAX_FINDINGS)] = Field(
        default_factory=list, description="The facts it looked at, the first few"
    )


class CandidateEntry(Model):
    """One candidate with everything that spoke against it."""

    cluster: ObjectName = Field(description="Cluster")
    node_pool: Label = Field(description="Node pool")
    verdict: Word = Field(description="Satisfied, Violated or Unknown")
    satisfied: Count = Field(default=0, description="Rules that hold")
    obstacle: Line = Field(default="", description="What stood in the way after the law: reach or room")
    rules: Annotated[list[FailedRule], Field(max_length=MAX_RULES)] = Field(
        default_factory=list, description="Every rule that failed"
    )


class SliceRef(Model):
    """Which part of the decision this is; each holds up to 100 candidates."""

    index: Count = Field(description="Number of this part, from 0")
    of: Annotated[int, Field(ge=1)] = Field(description="Number of parts")


class LogRef(Model):
    """The record of the decision log that says the same."""

    seq: Count = Field(description="Its number")
    hash: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")] = Field(
        description="Its hash, RFC 6962"
    )


class PlacementRecordSpec(Model):
    """One decision, as it was made. Never changed; the decision log has the same and can be decided again."""

    transitions: ClassVar = (
        Transition("self == oldSelf", "a record is never changed", lambda new, old: bool(new == old)),
    )

    workload: WorkloadRef
    decided_at: Instant = Field(description="When it was decided")
    outcome: Word = Field(description="Placed, or why not")
    reason: Line = Field(default="", description="In words")
    level: Level = Field(description="Tier decided for")
    framework: FrameworkRef
    inventory: DigestText = Field(description="Digest of all facts the decision saw")
    operator_version: Word = Field(description="Version of the operator")
    chosen: PlaceRef | None = Field(default=None, description="Where it was placed")
    previous: PlaceRef | None = Field(default=None, description="Where it was before")
    candidates: Count = Field(description="Pools looked at")
    eligible: Count = Field(description="Pools that satisfy every rule of the tier")
    log: LogRef | None = Field(default=None, description="Where the decision log has it")
    slice: SliceRef
    entries: Annotated[list[CandidateEntry], Field(max_length=SLICE)] = Field(
        default_factory=list, description="The candidates: the chosen one and the nearest misses first, then by name"
    )


class NoStatus(Model):
    """Nothing is said beside the spec."""


class DecisionLogSpec(Model):
    """The head of the operator's decision log. Written by the operator; there is one, named domicile."""


class SinkStatus(Model):
    """A place outside the log that checkpoints are published to."""

    name: Line = Field(description="The sink")
    size: Count = Field(default=0, description="Records covered by the newest checkpoint it took")
    error: Line = Field(default="", description="Why it did not take the newest")


class DecisionLogStatus(Model):
    """The newest signed checkpoint of the log, for whoever keeps it elsewhere."""

    origin: Line = Field(default="", description="Name of the log and of its key")
    size: Count = Field(default=0, description="Records covered")
    root: Annotated[str, StringConstraints(max_length=64)] = Field(default="", description="Tree hash, RFC 6962")
    checkpoint: Annotated[str, StringConstraints(max_length=4096)] = Field(
        default="", description="The signed note (C2SP)"
    )
    verifier_key: Line = Field(default="", description="Public key it is signed with")
    published_at: Instant = Field(default="", description="When it was published")
    sinks: Annotated[list[SinkStatus], Field(max_length=MAX_SINKS)] = Field(
        default_factory=list, description="Other sinks"
    )
    conditions: Conditions = Field(default_factory=list, description="What is the case")
