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

    type: Annotated[str, StringConstraints(max_length=64)] = Field(description="Ready, Accepted, Compliant, ...")
    status: Annotated[str, StringConstraints(max_length=7, pattern=r"^(True|False|Unknown)$")] = Field(
        description="True, False or Unknown"
    )
    observed_generation: Count = Field(default=0, description="Generation of the object this speaks of")
    last_transition_time: Instant = Field(description="When status last changed")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")] = Field(
        description="Reason, one word of a documented list"
    )
    message: Annotated[str, StringConstraints(max_length=2048)] = Field(
        default="", description="What is the case and what to do, for people"
    )


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class FrameworkRef(Model):
    """The rule pack a decision used."""

    id: Word = Field(description="Id of the framework")
    version: Word = Field(description="Version of the framework")
    digest: DigestText = Field(description="Digest of the pack")


class Refusal(Model):
    """How many candidates one rule refused."""

    rule: Word = Field(description="Id of the rule")
    clause: Line = Field(default="", description="Where the text says so")
    violated: Count = Field(default=0, description="Candidates that violate it")
    unknown: Count = Field(default=0, description="Candidates whose facts do not say")


class NearestMiss(Model):
    """A candidate one rule short, with the fact that would have to change."""

    cluster: ObjectName = Field(description="Cluster of the candidate")
    node_pool: Label = Field(description="Node pool of the candidate")
    rule: Word = Field(description="The one rule it does not satisfy")
    fact: Line = Field(description="Path of the fact the rule looked at")
    found: Line = Field(description="Value found")
    wanted: Line = Field(description="Value wanted")


class DecisionStatus(Model):
    """The decision in short: which rules, which facts, how many candidates, what stood in the way."""

    framework: FrameworkRef
    inventory: DigestText = Field(description="Digest of all facts the decision saw")
    candidates: Count = Field(description="Pools looked at")
    eligible: Count = Field(description="Pools that satisfy every rule of the tier")
    refused: Annotated[list[Refusal], Field(max_length=64)] = Field(
        default_factory=list, description="Candidates refused per rule, most first"
    )
    nearest: Annotated[list[NearestMiss], Field(max_length=5)] = Field(
        default_factory=list, description="Candidates one rule short"
    )


class Placement(Model):
    """Where the workload was delivered."""

    cluster: ObjectName = Field(description="Cluster it runs on")
    node_pool: Label = Field(description="Node pool it runs on")
    country: Annotated[str, Field(max_length=6)] = Field(default="", description="Country of the pool, ISO 3166")
    desired: Count = Field(default=0, description="Pods wanted there")
    ready: Count = Field(default=0, description="Pods ready there")
    digest: DigestText = Field(default="", description="Digest of the delivered objects")


class ViolationStatus(Model):
    """A copy runs where the tier does not let it. Gone once it is resolved; the decision log keeps it."""

    candidate: Annotated[str, Field(max_length=320)] = Field(description="Where the copy runs, cluster/pool")
    verdict: Annotated[str, Field(max_length=16)] = Field(description="Violated or Unknown")
    cause: Annotated[str, Field(max_length=1024)] = Field(default="", description="Rule, clause and fact")
    opened: Instant = Field(description="When the fact changed or the date passed")
    detected: Instant = Field(description="When the operator saw it")
    acted: Instant | None = Field(default=None, description="When moving or stopping began")
    action: Annotated[str, Field(max_length=16)] = Field(description="Alert, Drain or ScaleToZero: what is to be done")
    due: Instant | None = Field(default=None, description="When the grace period ends")


class InferenceDeploymentStatus(Model):
    """What became of the workload."""

    observed_generation: Count = Field(default=0, description="Generation of the spec this status speaks of")
    tier: Level | None = Field(default=None, description="Tier in force")
    replicas: Count = Field(default=0, description="Pods that exist")
    ready_replicas: Count = Field(default=0, description="Pods that are ready")
    selector: Annotated[str, Field(max_length=512)] = Field(default="", description="Label selector of the pods")
    cluster: Annotated[str, Field(max_length=253)] = Field(default="", description="Cluster of the placement")
    node_pool: Annotated[str, Field(max_length=63)] = Field(default="", description="Node pool of the placement")
    reason: Annotated[str, Field(max_length=128)] = Field(default="", description="Reason of Ready, for people")
    conditions: Conditions = Field(default_factory=list, description="What is the case, one condition per type")
    placements: Annotated[
        list[Placement],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["cluster", "nodePool"],
            },
        ),
    ] = Field(default_factory=list, description="Where it was delivered")
    decision: DecisionStatus | None = None
    next_evaluation_time: Instant | None = Field(default=None, description="When time alone may change a verdict")
    violation: ViolationStatus | None = None
    last_moved: Instant | None = Field(default=None, description="When it was last moved or stopped by the operator")
    stopped: Instant | None = Field(default=None, description="Since when the operator has scaled it to zero")
    records: Annotated[list[ObjectName], Field(max_length=32)] = Field(
        default_factory=list, description="PlacementRecords kept, newest first"
    )


class MissingRule(Model):
    """A rule a pool does not satisfy for the next level, with the fact."""

    rule: Word = Field(description="Id of the rule")
    verdict: Word = Field(description="Violated or Unknown")
    fact: Line = Field(default="", description="Path of the fact the rule looked at")
    found: Line = Field(default="", description="Value found")
    wanted: Line = Field(default="", description="Value wanted")


class PoolStatus(Model):
    """What one pool proves."""

    name: Label = Field(description="Name of the pool")
    nodes: Count = Field(default=0, description="Nodes that belong to it")
    levels: Annotated[list[Level], Field(max_length=10)] = Field(default_factory=list, description="Levels proven")
    missing: Annotated[list[MissingRule], Field(max_length=64)] = Field(
        default_factory=list, description="Rules missing for the next level"
    )
    problem: Line = Field(default="", description="Why its nodes cannot be told, where they cannot")


class SovereignClusterStatus(Model):
    """What the cluster proves and whether it can be reached."""

    observed_generation: Count = Field(default=0, description="Generation of the spec this status speaks of")
    control: Annotated[str, Field(max_length=128)] = Field(
        default="", description="Union, ThirdCountry or Unknown: control of the provider"
    )
    levels: Line = Field(default="", description="h100=4 h100-hall2=2")
    reachable: Annotated[str, Field(max_length=7)] = Field(default="", description="True, False or Unknown")
    kube_system_uid: Annotated[str, Field(max_length=64, alias="kubeSystemUID")] = Field(
        default="", description="UID of the kube-system namespace of the cluster that the facts were first used for"
    )
    pool_count: Count = Field(default=0, description="Number of node pools")
    node_pools: Annotated[
        list[PoolStatus],
        Field(
            max_length=128,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = Field(default_factory=list, description="What each pool proves")
    conditions: Conditions = Field(default_factory=list, description="What is the case, one condition per type")


class ObjectStatus(Model):
    """Status of a LegalEntity: whether it can be used, and why not."""

    observed_generation: Count = Field(default=0, description="Generation of the spec this status speaks of")
    digest: DigestText = Field(default="", description="Digest of the spec that was judged")
    conditions: Conditions = Field(default_factory=list, description="What is the case, one condition per type")


class BreakerStatus(Model):
    """The circuit breaker of a framework while it is open: nothing that runs is moved or stopped."""

    id: Word = Field(description="What the annotation domicile.dev/resume-moves must say to release it")
    opened: Instant = Field(description="When it opened")
    lost: Count = Field(description="Workloads that lost eligibility inside the window")
    placed: Count = Field(description="Workloads placed under the framework then")


class FrameworkStatus(ObjectStatus):
    """Status of a SovereigntyFramework: whether it can be used, and whether its breaker is open."""

    breaker: BreakerStatus | None = None
