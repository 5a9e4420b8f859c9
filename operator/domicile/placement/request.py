"""From a workload to a request: the tier it asks for, the wishes that narrow it, or why it is refused. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domicile.model.places import normalise
from domicile.model.workload import TIER_ANNOTATION, TIER_FLOOR_LABEL, Basis, InferenceDeploymentSpec, Resources
from domicile.placement.capacity import Shape, read_quantity
from domicile.placement.decide import Request
from domicile.tiers.framework import Framework
from domicile.tiers.reading import Options


class RefusalReason(StrEnum):
    """Why a workload is not accepted; also the reason of the Accepted condition."""

    INVALID_SPEC = "InvalidSpec"
    TIER_MISSING = "TierMissing"
    TIER_CONFLICT = "TierConflict"
    TIER_UNKNOWN = "TierUnknown"
    TIER_BELOW_FLOOR = "TierBelowFloor"
    TIER_LOWERED = "TierLowered"
    FRAMEWORK_NOT_FOUND = "FrameworkNotFound"
    ARGUMENT_REFUSED = "ArgumentRefused"
    WITHDRAWAL_BLOCKED = "WithdrawalBlocked"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A workload that is not accepted; the message names field and remedy."""

    reason: RefusalReason
    message: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A workload that can be decided."""

    request: Request
    framework: str
    options: Options


@dataclass(frozen=True, slots=True)
class TierSources:
    """Everything that speaks about the tier of one workload."""

    annotations: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    in_force: int | None  # tier of the last accepted generation


def accept(
    key: str, spec: InferenceDeploymentSpec, *, sources: TierSources, frameworks: Mapping[str, Framework]
) -> Accepted | Refusal:
    """The request of a workload, or why it is refused."""
    name = spec.sovereignty.framework
    framework = frameworks.get(name)
    if framework is None:
        message = f"spec.sovereignty.framework: SovereigntyFramework/{name} does not exist or does not load"
        return Refusal(RefusalReason.FRAMEWORK_NOT_FOUND, message)
    tier = _tier(spec, sources, framework)
    if isinstance(tier, Refusal):
        return tier
    request = Request(
        key=key,
        level=tier,
        shape=shape_of(spec.resources),
        replicas=0 if spec.suspend else spec.replicas,
        countries=frozenset(map(normalise, spec.sovereignty.countries)) if spec.sovereignty.countries else None,
        excluded=frozenset(spec.sovereignty.exclude_clusters),
    )
    options = Options(
        recognition=spec.sovereignty.basis is Basis.RECOGNITION,
        require_union_citizens=spec.sovereignty.require_union_citizens,
        max_evidence_age=spec.sovereignty.max_evidence_age,
    )
    return Accepted(request, name, options)


def shape_of(resources: Resources) -> Shape:
    """What one pod needs, in cores, bytes and pieces."""
    wanted = resources.accelerator
    return Shape(
        products=tuple(wanted.products) if wanted else (),
        accelerators=wanted.count if wanted else 0,
        min_memory=read_quantity(wanted.min_memory) if wanted else 0.0,
        cpu=read_quantity(resources.cpu),
        memory=read_quantity(resources.memory),
    )


def _tier(spec: InferenceDeploymentSpec, sources: TierSources, framework: Framework) -> int | Refusal:
    written = sources.annotations.get(TIER_ANNOTATION)
    field = spec.sovereignty.tier
    if written is not None and not (written.isascii() and written.isdigit()):
        message = f"metadata.annotations[{TIER_ANNOTATION}]: {written!r} is no tier; write a number"
        return Refusal(RefusalReason.TIER_UNKNOWN, message)
    if written is not None and field is not None and int(written) != field:
        message = f"annotation {TIER_ANNOTATION} says {written}, spec.sovereignty.tier says {field}; keep one"
        return Refusal(RefusalReason.TIER_CONFLICT, message)
    tier = int(written) if written is not None else field if field is not None else framework.spec.default_tier
    if tier is None:
        message = f"no tier; set the annotation {TIER_ANNOTATION} or spec.sovereignty.tier"
        return Refusal(RefusalReason.TIER_MISSING, message)
    if framework.tier(tier) is None:
        known = ", ".join(map(str, framework.levels))
        return Refusal(RefusalReason.TIER_UNKNOWN, f"tier {tier} is not in {framework.id}; it has {known}")
    return _bounded(tier, sources)


def _bounded(tier: int, sources: TierSources) -> int | Refusal:
    floor = sources.namespace_labels.get(TIER_FLOOR_LABEL, "")
    if floor and not (floor.isascii() and floor.isdigit()):
        message = f"namespace label {TIER_FLOOR_LABEL}: {floor!r} is no tier; have it corrected"
        return Refusal(RefusalReason.TIER_BELOW_FLOOR, message)
    if floor and tier < int(floor):
        message = f"tier {tier} is below the namespace's minimum {floor}; raise the tier"
        return Refusal(RefusalReason.TIER_BELOW_FLOOR, message)
    if sources.in_force is not None and tier < sources.in_force:
        message = f"tier {tier} is below {sources.in_force}, which is in force; delete the object and create it again"
        return Refusal(RefusalReason.TIER_LOWERED, message)
    return tier
