"""Status of our kinds: a cache of what was decided and observed. The lists are bounded; records hold the rest."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from domicile.model.schema import Label, Level, Line, Model, ObjectName, Word

Instant = Annotated[str, StringConstraints(max_length=40)]
DigestText = Annotated[str, StringConstraints(max_length=71)]
Count = Annotated[int, Field(ge=0)]


class Condition(Model):
    """metav1.Condition: one observation, with the generation it speaks of."""

    type: Annotated[str, StringConstraints(max_length=64)]
    status: Annotated[str, StringConstraints(max_length=7, pattern=r"^(True|False|Unknown)$")]
    observed_generation: Count = 0
    last_transition_time: Instant
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    message: Annotated[str, StringConstraints(max_length=2048)] = ""


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class FrameworkRef(Model):
    """The rule pack a decision used."""

    id: Word
    version: Word
    digest: DigestText


class Refusal(Model):
    """How many candidates one rule refused."""

    rule: Word
    clause: Line = ""
    violated: Count = 0
    unknown: Count = 0


class NearestMiss(Model):
    """A candidate one rule short, with the fact that would have to change."""

    cluster: ObjectName
    node_pool: Label
    rule: Word
    fact: Line
    found: Line
    wanted: Line


class DecisionStatus(Model):
    """The decision in short: which rules, which facts, how many candidates, what stood in the way."""

    framework: FrameworkRef
    inventory: DigestText = Field(description="Digest of all facts the decision saw")
    candidates: Count
    eligible: Count
    refused: Annotated[list[Refusal], Field(max_length=64)] = Field(
        default_factory=list, description="Candidates refused per rule, most first"
    )
    nearest: Annotated[list[NearestMiss], Field(max_length=5)] = Field(
        default_factory=list, description="Candidates one rule short"
    )


class Placement(Model):
    """Where the workload was delivered."""

    cluster: ObjectName
    node_pool: Label
    country: Annotated[str, Field(max_length=6)] = ""
    desired: Count = 0
    ready: Count = 0
    digest: DigestText = Field(default="", description="Digest of the delivered objects")


class InferenceDeploymentStatus(Model):
    """What became of the workload."""

    observed_generation: Count = 0
    tier: Level | None = Field(default=None, description="Tier in force")
    replicas: Count = 0
    ready_replicas: Count = 0
    selector: Annotated[str, Field(max_length=512)] = ""
    cluster: Annotated[str, Field(max_length=253)] = Field(default="", description="Cluster of the placement")
    node_pool: Annotated[str, Field(max_length=63)] = Field(default="", description="Node pool of the placement")
    reason: Annotated[str, Field(max_length=128)] = Field(default="", description="Reason of Ready, for people")
    conditions: Conditions = Field(default_factory=list)
    placements: Annotated[
        list[Placement],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["cluster", "nodePool"],
            },
        ),
    ] = Field(default_factory=list)
    decision: DecisionStatus | None = None
    next_evaluation_time: Instant | None = Field(default=None, description="When time alone may change a verdict")


class MissingRule(Model):
    """A rule a pool does not satisfy for the next level, with the fact."""

    rule: Word
    verdict: Word
    fact: Line = ""
    found: Line = ""
    wanted: Line = ""


class PoolStatus(Model):
    """What one pool proves."""

    name: Label
    nodes: Count = 0
    levels: Annotated[list[Level], Field(max_length=10)] = Field(default_factory=list, description="Levels proven")
    missing: Annotated[list[MissingRule], Field(max_length=64)] = Field(
        default_factory=list, description="Rules missing for the next level"
    )
    problem: Line = Field(default="", description="Why its nodes cannot be told, where they cannot")


class SovereignClusterStatus(Model):
    """What the cluster proves and whether it can be reached."""

    observed_generation: Count = 0
    control: Word = Field(default="", description="Union, ThirdCountry or Unknown: control of the provider")
    levels: Line = Field(default="", description="h100=4 h100-hall2=2")
    reachable: Annotated[str, Field(max_length=7)] = ""
    pool_count: Count = 0
    node_pools: Annotated[
        list[PoolStatus],
        Field(
            max_length=128,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list)
    conditions: Conditions = Field(default_factory=list)


class ObjectStatus(Model):
    """Status of a LegalEntity or a SovereigntyFramework: whether it can be used, and why not."""

    observed_generation: Count = 0
    digest: DigestText = ""
    conditions: Conditions = Field(default_factory=list)
