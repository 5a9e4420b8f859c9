"""InferenceDeployment: the workload, its tier and its wishes. User fields only ever narrow."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from domicile.model.framework import OnViolation
from domicile.model.labels import DEFAULT_FRAMEWORK, GROUP, NODE_PREFIX
from domicile.model.rules import Check, Keyed, Transition
from domicile.model.schema import Age, Country, Digest, Label, Level, Line, Model, ObjectName, Quantity, Word

TIER_ANNOTATION = "domicile.dev/sovereignty-tier"
TIER_FLOOR_LABEL = "domicile.dev/minimum-tier"

ImageRef = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^@\s]+@sha256:[0-9a-f]{64}$")]

PINNED = "@sha256:[0-9a-f]{64}$"


class ModelSource(Model):
    """The model: what it is called and where the weights come from."""

    checks: ClassVar = (
        Check(
            f"!self.source.startsWith('oci://') || self.source.matches(r'{PINNED}') || has(self.digest)",
            "oci:// weights must be pinned; end source with @sha256:DIGEST or set digest"
            " (pvc:// and file:// need neither)",
            lambda m: not m.source.startswith("oci://") or re.search(PINNED, m.source) or m.digest is not None,
        ),
    )

    name: Word = Field(description="Name the endpoint serves it under")
    source: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^(oci|pvc|file)://[^\s]+$")] = (
        Field(description="oci://IMAGE or pvc://CLAIM, mounted at /models, or file:///PATH inside the image")
    )
    digest: Digest | None = Field(default=None, description="sha256 of the weights where the source names none")


class RuntimeName(StrEnum):
    """Serving runtimes with known arguments; Custom takes the image's own entry point."""

    VLLM = "vLLM"
    SGLANG = "SGLang"
    LLAMA_CPP = "LlamaCpp"
    TGI = "TGI"
    CUSTOM = "Custom"


OWN_TAINT = rf"^(([^/]*[.])?{re.escape(GROUP)}|{NODE_PREFIX.replace('.', '[.]')})(/|$)"


class EnvVar(Model):
    """One environment variable with a literal value."""

    name: Annotated[str, StringConstraints(max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = Field(
        description="Name of the variable"
    )
    value: Annotated[str, StringConstraints(max_length=4096)] = Field(default="", description="Literal value")


class Runtime(Model):
    """What serves the model."""

    name: RuntimeName = Field(default=RuntimeName.CUSTOM, description="vLLM, SGLang, LlamaCpp, TGI or Custom")
    image: ImageRef = Field(description="Image pinned by digest")
    args: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=64)] = Field(
        default_factory=list, description="Arguments; those that open a way out are refused"
    )
    env: Annotated[list[EnvVar], Field(max_length=64), Keyed("name")] = Field(
        default_factory=list, description="Environment; names Domicile owns are refused"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=8000, description="Port it serves on")


class Accelerator(Model):
    """Accelerators of one pod."""

    products: Annotated[list[Word], Field(min_length=1, max_length=16)] = Field(description="Any of these products")
    count: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Accelerators per pod")
    min_memory: Quantity | None = Field(default=None, description="Least memory of one accelerator, 80Gi")


class Resources(Model):
    """What one pod needs."""

    accelerator: Accelerator | None = None
    cpu: Quantity | None = Field(default=None, description="CPU per pod, cores or millicores")
    memory: Quantity | None = Field(default=None, description="Memory per pod, bytes")


class Probe(Model):
    """An HTTP probe of the runtime."""

    path: Annotated[str, StringConstraints(max_length=256, pattern=r"^/")] = Field(
        default="/health", description="HTTP path that answers 2xx or 3xx"
    )
    period_seconds: Annotated[int, Field(ge=1, le=300)] = Field(default=10, description="Seconds between two probes")
    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3, description="Failed probes in a row that count as a failure"
    )


class StartupProbe(Probe):
    """The probe that lets weights load before the others begin; ten minutes where nothing else is said."""

    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=60, description="Failed probes in a row that count as a failure"
    )


class Probes(Model):
    """Probes; the start-up probe leaves ten minutes for weights to load."""

    startup: StartupProbe = Field(default_factory=StartupProbe)
    readiness: Probe = Field(default_factory=Probe, description="Decides whether a pod gets requests")
    liveness: Probe = Field(default_factory=Probe, description="Decides whether a pod is restarted")


class Toleration(Model):
    """A toleration; those for Domicile's own taints and wildcards are refused."""

    checks: ClassVar = (
        Check(
            f"!self.key.matches(r'{OWN_TAINT}')",
            f"keys of {GROUP} and {NODE_PREFIX} are Domicile's own; remove it",
            lambda t: re.search(OWN_TAINT, t.key) is None,
        ),
    )

    key: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(description="Key of the taint")
    operator: Annotated[str, StringConstraints(max_length=8, pattern=r"^(Equal|Exists)$")] = Field(
        default="Equal", description="Equal or Exists"
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="Value of the taint")
    effect: (
        Annotated[str, StringConstraints(max_length=32, pattern=r"^(NoSchedule|PreferNoSchedule|NoExecute)$")] | None
    ) = Field(default=None, description="NoSchedule, PreferNoSchedule or NoExecute; absent = all of them")


class Scheduling(Model):
    """Scheduling wishes that only narrow; added to what the tier demands."""

    node_selector: Annotated[
        dict[Annotated[str, Field(max_length=253)], Annotated[str, Field(max_length=63)]], Field(max_length=16)
    ] = Field(default_factory=dict, description="Labels nodes must carry besides the tier's")
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = Field(
        default_factory=list, description="Tolerations of the pods; never of Domicile's own taints"
    )
    priority_class_name: ObjectName | None = Field(default=None, description="PriorityClass of the pods")
    runtime_class_name: ObjectName | None = Field(default=None, description="RuntimeClass of the pods")


class EgressRule(Model):
    """One destination the pods may reach. Every one needs a purpose and a country."""

    name: Label = Field(description="Name of the destination")
    purpose: Line = Field(description="Why it is needed")
    cidr: Annotated[str, StringConstraints(max_length=43, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")] = Field(
        description="Network of the destination, 192.0.2.0/24"
    )
    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(min_length=1, max_length=16)] = Field(
        description="TCP ports"
    )
    country: Country = Field(description="Where the destination is; must lie inside the tier's territory")


class Basis(StrEnum):
    """Which verdict admits."""

    CRITERIA = "criteria"
    RECOGNITION = "recognition"


class Sovereignty(Model):
    """The tier, and wishes that narrow it."""

    tier: Level | None = Field(default=None, description="Sovereignty tier; or the annotation on the object")
    framework: ObjectName = Field(
        default=DEFAULT_FRAMEWORK, description="SovereigntyFramework that gives the tier its meaning"
    )
    basis: Basis = Field(default=Basis.CRITERIA, description="recognition also demands a repository entry")
    countries: Annotated[list[Country], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Only these countries"
    )
    exclude_clusters: Annotated[list[ObjectName], Field(max_length=64)] = Field(
        default_factory=list, description="Never on these clusters"
    )
    max_evidence_age: Age | None = Field(default=None, description="Older evidence counts as absent, 4320h")
    require_union_citizens: bool = Field(default=False, description="Demand Union citizens (Annex II 2.1(d))")
    on_violation: OnViolation | None = Field(
        default=None, description="Alert, Drain or ScaleToZero; counts where it is stricter than the tier's own choice"
    )


class InferenceDeploymentSpec(Model):
    """A model served by a runtime on accelerators, under a sovereignty tier."""

    transitions: ClassVar = (
        Transition(
            "!has(oldSelf.sovereignty) || !has(oldSelf.sovereignty.tier) || (has(self.sovereignty)"
            " && has(self.sovereignty.tier) && self.sovereignty.tier >= oldSelf.sovereignty.tier)",
            "sovereignty.tier is never lowered or removed in place; delete the object and create it again",
            lambda new, old: (
                old.sovereignty.tier is None
                or (new.sovereignty.tier is not None and new.sovereignty.tier >= old.sovereignty.tier)
            ),
        ),
        Transition(
            f"(has(self.sovereignty) ? self.sovereignty.framework : '{DEFAULT_FRAMEWORK}')"
            f" == (has(oldSelf.sovereignty) ? oldSelf.sovereignty.framework : '{DEFAULT_FRAMEWORK}')",
            "sovereignty.framework is never changed in place; delete the object and create it again",
            lambda new, old: new.sovereignty.framework == old.sovereignty.framework,
        ),
    )

    model: ModelSource
    runtime: Runtime
    replicas: Annotated[int, Field(ge=0, le=10000)] = Field(default=1, description="Pods")
    resources: Resources = Field(default_factory=Resources)
    sovereignty: Sovereignty = Field(default_factory=Sovereignty)
    probes: Probes = Field(default_factory=Probes)
    scheduling: Scheduling = Field(default_factory=Scheduling)
    egress: Annotated[list[EgressRule], Field(max_length=32), Keyed("name")] = Field(
        default_factory=list, description="Allowed destinations; everything else but DNS is denied"
    )
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=8)] = Field(
        default_factory=list, description="Names of pull Secrets in the delivery namespace"
    )
    suspend: bool = Field(default=False, description="Scale to zero, keep the decision")


Plain = dict[str, Any]
