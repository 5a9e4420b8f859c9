"""SovereigntyFramework: a versioned rule pack. Territories, schemes, tiers and rules are data, never code."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from domicile.model.rules import Keyed
from domicile.model.schema import (
    Age,
    Label,
    Level,
    Line,
    Model,
    Moment,
    ObjectName,
    Percent,
    Period,
    Places,
    Text,
    Word,
)
from domicile.model.verdicts import EvidenceClass

RuleId = Annotated[str, StringConstraints(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-]*$")]
TerritoryName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]


class TerritorySpec(Model):
    """A set of places. ``sameAs`` takes another set's places and adds to them."""

    same_as: TerritoryName | None = Field(default=None, description="Another territory whose places these are")
    countries: Places | None = Field(default=None, description="ISO 3166-1 codes of whole countries")
    including: Places | None = Field(default=None, description="Places inside although their country is not")
    excluding: Places | None = Field(default=None, description="Places outside although their country is inside")
    undetermined: Places | None = Field(default=None, description="Places whose status is open: Unknown")


class Route(StrEnum):
    """Ways to show cybersecurity, in the order the law tries them (Annex II (e))."""

    EUROPEAN = "european"
    NATIONAL = "national"
    STANDARDS = "standards"


class Scheme(Model):
    """A certification scheme and what it is worth."""

    name: Word = Field(description="Name of the scheme, as certificates state it")
    route: Route = Field(description="european, national or standards: the order the law tries them in")
    available: bool = Field(description="The scheme exists for such services, so lacking it is a violation")
    countries: Places | None = Field(default=None, description="Countries a national scheme serves")
    level: Word | None = Field(default=None, description="Level a certificate has when it states none")


class SubcontractorClass(Model):
    """Who counts as a subcontractor at a tier. A relation that is not stated counts."""

    direct_contract: bool = Field(default=False, description="Only those with a direct contract")
    may_access_sensitive: bool = Field(default=False, description="Only those that may need sensitive information")


class EvidenceFloor(Model):
    """How strong and how fresh the evidence of every fact must be at a tier."""

    at_least: EvidenceClass = Field(
        default=EvidenceClass.SELF_DECLARED,
        description="Weakest evidence that counts: none, selfDeclared, contractual, certified, audited or recognised",
    )
    reviewed_within: Age | None = Field(default=None, description="12mo: yearly review; absent = no review needed")


class OnViolation(StrEnum):
    """What happens to a running copy when its candidate stops satisfying the tier, mildest first."""

    ALERT = "Alert"
    DRAIN = "Drain"
    SCALE_TO_ZERO = "ScaleToZero"


class LogDemand(StrEnum):
    """Whether placing waits for the decision log."""

    REQUIRED = "Required"
    BEST_EFFORT = "BestEffort"


class ScoreGate(Model):
    """Weighted aggregation: the satisfied weight of the objectives must reach a share of all weight."""

    at_least: Percent = Field(description="Percent of the total weight")


class Tier(Model):
    """One step of the framework. Tiers are cumulative: a step asks for every step below it."""

    level: Level = Field(description="Number of the step; higher asks for more")
    name: Word | None = Field(default=None, description="What people call it")
    evidence: EvidenceFloor = Field(default_factory=EvidenceFloor)
    subcontractors: SubcontractorClass = Field(default_factory=SubcontractorClass)
    on_violation: OnViolation = Field(
        default=OnViolation.DRAIN,
        description="What happens to a copy whose pool violates the tier. Alert: it is reported. Drain: it moves once"
        " its successor is available, and stays while there is no other place. ScaleToZero: it is stopped first",
    )
    grace_period: Period = Field(
        default="0s", description="After a violation, how long the next milder action is taken before onViolation is"
    )
    on_unknown: OnViolation = Field(
        default=OnViolation.ALERT,
        description="The same for a copy whose facts became Unknown: evidence expired, a fact withdrawn",
    )
    unknown_grace_period: Period = Field(
        default="0s", description="How long the next milder action is taken before onUnknown is"
    )
    decision_log: LogDemand = Field(
        default=LogDemand.BEST_EFFORT,
        description="Required: nothing new is placed while decisions cannot be written to the decision log",
    )
    score: ScoreGate | None = Field(default=None, description="Weighted threshold beside the mandatory rules")


class Objective(Model):
    """A group of rules with a weight, for weighted aggregation (EU CSF: SOV-1 to SOV-8)."""

    id: RuleId = Field(description="Id of the objective, SOV-1")
    title: Line | None = Field(default=None, description="What it is about")
    weight: Annotated[float, Field(ge=0, le=1000)] = Field(default=1, description="Weight beside the other objectives")


class RuleKind(StrEnum):
    """Which of the two verdicts a rule speaks to; they are kept apart."""

    CRITERIA = "criteria"
    RECOGNITION = "recognition"


class RuleSpec(Model):
    """One rule: an id, a clause, the tier it enters at, the parties it looks at and one predicate."""

    id: RuleId = Field(description="Id of the rule, unique in the pack, L3.g")
    clause: Line = Field(description="Where the text says so")
    title: Line = Field(description="What must hold, in one sentence")
    level: Level = Field(description="Tier it enters at")
    verdict: RuleKind = Field(default=RuleKind.CRITERIA, description="criteria or recognition")
    objective: RuleId | None = Field(default=None, description="Objective it counts for; absent = mandatory only")
    mandatory: bool = Field(default=True, description="False: it only counts for the weighted score")
    waivable: bool = Field(default=False, description="A customer may waive it (only where the text says so)")
    evidence: EvidenceFloor | None = Field(default=None, description="Floor where it differs from the tier's")
    of: Annotated[list[Word], Field(max_length=8)] | None = Field(
        default=None, description="Parties: provider, subcontractors, supportVendors, facility; absent = the candidate"
    )
    require: dict[str, Any] = Field(
        description="One predicate; see docs/rule-packs.md",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class Breaker(Model):
    """When so many placed workloads lose their place at once that the facts are more likely wrong than the places."""

    share: Percent = Field(default=25, description="Percent of the placed workloads that may lose eligibility")
    window: Period = Field(default="10m", description="Within this time")
    at_least: Annotated[int, Field(ge=1, le=100000)] = Field(
        default=10, description="Fewer workloads than this never open the breaker"
    )


class Disruption(Model):
    """How much may be moved at once, and when moving stops."""

    moves_per_tier: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=20, description="Workloads of one tier that may be on the move at once"
    )
    moves_per_cluster: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=10, description="Workloads that may leave or enter one cluster at once"
    )
    cooldown: Period = Field(
        default="5m", description="Least time from one move or stop of a workload to its next move or its return"
    )
    breaker: Breaker = Field(default_factory=Breaker)


class Source(Model):
    """Where the rules come from."""

    title: Line = Field(description="Title of the text")
    celex: Word | None = Field(default=None, description="CELEX number of the text")
    url: Line | None = Field(default=None, description="Address of the text")
    date: Moment | None = Field(default=None, description="Date of the text")


class SovereigntyFrameworkSpec(Model):
    """A rule pack. Loading it checks every fact path, territory and code, and compiles it once."""

    id: Label | None = Field(default=None, description="Id of the framework; default: the object's name")
    version: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(description="COM-2026-502")
    source: Source | None = None
    description: Text | None = Field(default=None, description="What the framework is and how far it goes")
    default_tier: Level | None = Field(default=None, description="Tier of workloads that name none; absent = refused")
    control_rule: RuleId | None = Field(
        default=None, description="Rule whose verdict the CONTROL column of clusters shows"
    )
    territories: Annotated[dict[TerritoryName, TerritorySpec], Field(max_length=32)] = Field(
        default_factory=dict, description="Sets of places by name; rules say within: NAME"
    )
    certificate_levels: Annotated[list[Word], Field(max_length=16)] = Field(
        default_factory=list, description="Levels of certificates, weakest first"
    )
    schemes: Annotated[list[Scheme], Field(max_length=64)] = Field(
        default_factory=list, description="Certification schemes and what they are worth"
    )
    objectives: Annotated[list[Objective], Field(max_length=32)] = Field(
        default_factory=list, description="Groups of rules with weights, for weighted aggregation"
    )
    tiers: Annotated[list[Tier], Field(min_length=1, max_length=10), Keyed("level")] = Field(
        description="Steps, each cumulative over those below"
    )
    disruption: Disruption = Field(default_factory=Disruption)
    rules: Annotated[list[RuleSpec], Field(min_length=1, max_length=256), Keyed("id")] = Field(
        description="What must hold, rule by rule"
    )


FrameworkName = ObjectName
