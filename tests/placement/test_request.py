"""Which tier a workload asks for, and when it is refused instead."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.model.objects import read_spec
from domicile.model.schema import API_VERSION
from domicile.model.workload import TIER_ANNOTATION, TIER_FLOOR_LABEL, InferenceDeploymentSpec
from domicile.placement.capacity import Shape
from domicile.placement.request import Accepted, Refusal, TierSources, accept
from domicile.tiers.framework import Framework, load_framework
from tests.placement.fleet import frameworks

DIGEST = "sha256:" + "0" * 64


def spec_of(**fields: Any) -> InferenceDeploymentSpec:
    spec = {"model": {"name": "m", "source": "file:///m"}, "runtime": {"image": f"r@{DIGEST}"}} | fields
    read = read_spec({"apiVersion": API_VERSION, "kind": "InferenceDeployment", "spec": spec})
    assert isinstance(read, InferenceDeploymentSpec)
    return read


def ask(
    annotation: str | None = None,
    field: int | None = None,
    *,
    floor: str | None = None,
    in_force: int | None = None,
    packs: dict[str, Framework] | None = None,
    **sovereignty: Any,
) -> Accepted | Refusal:
    sources = TierSources(
        annotations={} if annotation is None else {TIER_ANNOTATION: annotation},
        namespace_labels={} if floor is None else {TIER_FLOOR_LABEL: floor},
        in_force=in_force,
    )
    wishes = sovereignty | ({} if field is None else {"tier": field})
    return accept("ns/w", spec_of(sovereignty=wishes), sources=sources, frameworks=packs or frameworks())


ACCEPTED: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("annotation", 3, {"annotation": "3"}),
    ("field", 2, {"field": 2}),
    ("both, alike", 3, {"annotation": "3", "field": 3}),
    ("written with a zero", 3, {"annotation": "03"}),
    ("on the floor", 2, {"annotation": "2", "floor": "2"}),
    ("above the floor", 4, {"annotation": "4", "floor": "2"}),
    ("an empty floor is none", 1, {"annotation": "1", "floor": ""}),
    ("as before", 3, {"annotation": "3", "in_force": 3}),
    ("raised", 4, {"annotation": "4", "in_force": 3}),
)


@pytest.mark.parametrize(("tier", "asked"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_tier(tier: int, asked: dict[str, Any]) -> None:
    answer = ask(**asked)
    assert isinstance(answer, Accepted) and answer.request.level == tier


REFUSED: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("no tier", "TierMissing", f"set the annotation {TIER_ANNOTATION} or spec.sovereignty.tier", {}),
    ("two tiers", "TierConflict", "says 3, spec.sovereignty.tier says 2; keep one", {"annotation": "3", "field": 2}),
    ("a word", "TierUnknown", "'high' is no tier; write a number", {"annotation": "high"}),
    ("empty", "TierUnknown", "'' is no tier; write a number", {"annotation": ""}),
    ("negative", "TierUnknown", "'-1' is no tier", {"annotation": "-1"}),
    ("a digit of another script", "TierUnknown", "is no tier; write a number", {"annotation": "٣"}),
    ("a superscript", "TierUnknown", "is no tier; write a number", {"annotation": "²"}),
    ("not in the framework", "TierUnknown", "tier 7 is not in cada/COM-2026-502; it has 1, 2, 3, 4", {"field": 7}),
    ("zero", "TierUnknown", "tier 0 is not in cada", {"annotation": "0"}),
    ("below the floor", "TierBelowFloor", "tier 1 is below the namespace's minimum 2", {"field": 1, "floor": "2"}),
    ("a floor that is none", "TierBelowFloor", f"label {TIER_FLOOR_LABEL}: 'x'", {"annotation": "4", "floor": "x"}),
    ("lowered", "TierLowered", "tier 2 is below 3, which is in force; delete", {"annotation": "2", "in_force": 3}),
    (
        "framework unknown",
        "FrameworkNotFound",
        "spec.sovereignty.framework: SovereigntyFramework/seal does not exist or does not load",
        {"annotation": "1", "framework": "seal"},
    ),
)


@pytest.mark.parametrize(("reason", "says", "asked"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused(reason: str, says: str, asked: dict[str, Any]) -> None:
    answer = ask(**asked)
    assert isinstance(answer, Refusal)
    assert answer.reason == reason and says in answer.message


def test_default_tier_of_a_framework() -> None:
    """A default is still held to the floor and to what is in force."""
    cada = frameworks()["cada"]
    packs = {"cada": load_framework("cada", cada.spec.model_copy(update={"default_tier": 2}))}
    answer = ask(packs=packs)
    assert isinstance(answer, Accepted) and answer.request.level == 2
    floored = ask(packs=packs, floor="3")
    assert isinstance(floored, Refusal) and floored.reason == "TierBelowFloor"
    lowered = ask(packs=packs, in_force=3)
    assert isinstance(lowered, Refusal) and lowered.reason == "TierLowered"


def test_wishes_become_the_request() -> None:
    spec = spec_of(
        replicas=3,
        resources={
            "accelerator": {"products": ["H100", "H200"], "count": 2, "minMemory": "80Gi"},
            "cpu": "1500m",
            "memory": "64Gi",
        },
        sovereignty={
            "tier": 3,
            "basis": "recognition",
            "countries": ["DK", "FR"],
            "excludeClusters": ["c1"],
            "maxEvidenceAge": "4320h",
            "requireUnionCitizens": True,
        },
    )
    answer = accept("ns/w", spec, sources=TierSources({}, {}, None), frameworks=frameworks())
    assert isinstance(answer, Accepted)
    request, options = answer.request, answer.options
    assert request.shape == Shape(("H100", "H200"), 2, 80 * 2.0**30, 1.5, 64 * 2.0**30)
    assert (request.key, request.replicas) == ("ns/w", 3)
    assert (request.excluded, request.countries) == (frozenset({"c1"}), frozenset({"DK", "FR"}))
    assert (options.recognition, options.require_union_citizens, options.max_evidence_age) == (True, True, "4320h")


def test_suspended_asks_for_no_pods() -> None:
    spec = spec_of(replicas=3, suspend=True, sovereignty={"tier": 1})
    answer = accept("ns/w", spec, sources=TierSources({}, {}, None), frameworks=frameworks())
    assert isinstance(answer, Accepted) and answer.request.replicas == 0
