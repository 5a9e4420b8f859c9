"""A workload goes where its tier allows it, and nowhere else; where it cannot go, the status says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devcluster import DevclusterError, Plane
from domicile.model.workload import TIER_ANNOTATION, TIER_FLOOR_LABEL
from domicile.render.hardening import OWNED_ENVIRONMENT
from tests.reconcile.facts import Json, day, workload
from tests.reconcile.stage import ROOT, Refused, Space, Stage, condition, eventually, placements

IN_SWITZERLAND = {"location": {"country": "CH", "source": "attested"}}
IN_FRANCE = {"location": {"country": "FR", "source": "attested"}}


def test_placed_on_a_pool_of_its_tier(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("right", product=product, nodes=2, gpus=4)
    stage.two.add_pool("wrong", product=product, nodes=2, gpus=8, facts=IN_SWITZERLAND)
    egress = {"name": "mirror", "purpose": "weights", "cidr": "192.0.2.0/24", "ports": [443], "country": "DK"}
    space.apply(workload("assistant", product=product, replicas=3, gpus=2, egress=[egress]))

    infd = space.serving("assistant")

    status = infd["status"]
    assert placements(infd) == [("union-1", "right")]
    assert (status["tier"], status["replicas"], status["readyReplicas"]) == (3, 3, 3)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        name: "True" for name in ("Ready", "Accepted", "Compliant", "Placed", "Delivered", "Available", "EvidenceValid")
    }
    assert status["placements"][0] | {"digest": ""} == {
        "cluster": "union-1", "nodePool": "right", "country": "DK", "desired": 3, "ready": 3, "digest": "",
    }  # fmt: skip
    assert status["decision"]["framework"]["id"] == "cada"
    assert status["nextEvaluationTime"] > day(0)
    nodes = {pod["spec"].get("nodeName") for pod in stage.one.pods(space)}
    assert nodes == {"right-0", "right-1"}, "bound by the scheduler to nodes of the pool"
    assert not stage.two.deployments(space)
    shown = stage.plane.kubectl("get", "infd", "-n", space.name).splitlines()
    assert shown[0].split() == ["NAME", "TIER", "READY", "COMPLIANT", "CLUSTER", "POOL", "REASON", "AGE"]
    assert shown[1].split()[:7] == ["assistant", "3", "True", "True", "union-1", "right", "Serving"]
    _delivered_closed(stage, space)


def _delivered_closed(stage: Stage, space: Space) -> None:
    """What the member got is bound to tier and pool, without telemetry and without a way out."""
    deployment = stage.one.deployment(space, "assistant")
    assert deployment is not None
    pod = deployment["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {
        "domicile.node-restriction.kubernetes.io/level-3": "true",
        "domicile.node-restriction.kubernetes.io/pool": "right",
    }
    container = pod["containers"][0]
    environment = {v["name"]: v.get("value", "") for v in container["env"]}
    assert OWNED_ENVIRONMENT.items() <= environment.items()
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    account = stage.one.member.get(f"/api/v1/namespaces/{space.name}/serviceaccounts/assistant")
    assert account is not None and account["automountServiceAccountToken"] is False
    service = stage.one.member.get(f"/api/v1/namespaces/{space.name}/services/assistant")
    assert service is not None and service["spec"]["selector"] == {"domicile.dev/infd": "assistant"}
    policy = stage.one.member.get(f"/apis/networking.k8s.io/v1/namespaces/{space.name}/networkpolicies/assistant")
    assert policy is not None and policy["spec"]["policyTypes"] == ["Egress"]
    dns, mirror = policy["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53} and "namespaceSelector" in dns["to"][0]
    assert mirror == {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]}


def test_a_tier_that_nothing_satisfies(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("short", product=product, nodes=1, gpus=8)
    stage.two.add_pool("swiss", product=product, nodes=1, gpus=8, facts=IN_SWITZERLAND)
    space.apply(workload("triage", product=product, tier=4))

    infd = space.says("triage", "Placed", "False", "NoEligibleCandidate")

    assert condition(infd, "Compliant")["status"] == "False"
    assert condition(infd, "Stalled")["status"] == "True"
    assert condition(infd, "Reconciling")["status"] == ""
    decision = infd["status"]["decision"]
    assert decision["eligible"] == 0
    refused = {r["rule"]: r for r in decision["refused"]}
    assert refused["L4.x"]["violated"] + refused["L4.x"]["unknown"] == decision["candidates"]
    assert refused["L1.b"]["violated"] == 1 and refused["L1.b"]["clause"] == "Annex II 1.1(b)"
    near = {(n["cluster"], n["nodePool"]): n for n in decision["nearest"]}
    assert ("union-2", "swiss") not in near
    miss = near["union-1", "short"]
    assert (miss["rule"], miss["found"]) == ("L4.x", "3") and "opinion.level" in miss["fact"]
    message = condition(infd, "Ready")["message"]
    assert "L4.x" in message and "union-1/short" in message
    assert not stage.one.deployments(space) and not stage.two.deployments(space)


def test_no_room_is_not_the_law(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("tight", product=product, nodes=2, gpus=4)
    space.apply(workload("whole", product=product, gpus=8))

    infd = space.says("whole", "Placed", "False", "InsufficientCapacity")

    message = condition(infd, "Placed")["message"]
    assert "wants 1 pods with 8" in message and "largest free on a node 4" in message, "8 free, but on two nodes"
    assert condition(infd, "Compliant")["status"] == "True"
    assert condition(infd, "Reconciling")["status"] == "True", "room comes back by itself"
    stage.one.add_nodes("tight", first=2, count=1, gpus=8)
    assert placements(space.serving("whole")) == [("union-1", "tight")]
    assert stage.one.pods(space)[0]["spec"]["nodeName"] == "tight-2"


def test_room_that_another_workload_gives_back(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("single", product=product, nodes=1, gpus=2)
    space.apply(workload("first", product=product, gpus=2))
    space.serving("first")
    space.apply(workload("second", product=product, gpus=2))
    space.says("second", "Placed", "False", "InsufficientCapacity")
    space.delete("first")
    space.serving("second")


def test_an_accelerator_that_no_eligible_pool_has(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("other", product=product, nodes=1, gpus=8)
    space.apply(workload("picky", product=product + "-x"), workload("asleep", product=product + "-x", suspend=True))
    infd = space.says("picky", "Placed", "False", "InsufficientCapacity")
    assert f"no eligible candidate carries {product}-x" in condition(infd, "Placed")["message"]
    space.says("asleep", "Placed", "False", "InsufficientCapacity")
    stage.one.change_pool("other", accelerator={"product": product + "-x"})
    space.serving("picky")
    space.says("asleep", "Placed", "True", "Placed")


def test_wishes_only_narrow(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("danish", product=product, nodes=1, gpus=8)
    stage.two.add_pool("french", product=product, nodes=1, gpus=8, facts=IN_FRANCE)
    space.apply(
        workload("in-france", product=product, sovereignty={"countries": ["FR"]}),
        workload("not-one", product=product, sovereignty={"excludeClusters": ["union-1"]}),
        workload("fresh", product=product, sovereignty={"maxEvidenceAge": "1d"}),
        workload("swiss", product=product, tier=1, sovereignty={"countries": ["CH"]}),
    )
    assert placements(space.serving("in-france")) == [("union-2", "french")]
    assert placements(space.serving("not-one")) == [("union-2", "french")]
    stale = space.says("fresh", "Placed", "False", "NoEligibleCandidate")
    assert stale["status"]["decision"]["eligible"] == 0
    decision = space.says("swiss", "Placed", "False", "NoEligibleCandidate")["status"]["decision"]
    assert decision["refused"][0]["rule"] == "spec.countries", "a wish to be in CH makes nothing Swiss legal"
    near = {n["nodePool"]: n for n in decision["nearest"]}
    assert (near["danish"]["found"], near["danish"]["wanted"]) == ("DK", "CH")


def test_where_a_pool_stands_is_followed(stage: Stage, space: Space, product: str) -> None:
    """A move inside the Union changes no verdict, but it does change what a workload that names countries may use."""
    stage.one.add_pool("moving", product=product, nodes=1, gpus=8)
    space.apply(workload("danish", product=product, sovereignty={"countries": ["DK"]}))
    space.serving("danish")
    stage.one.change_pool("moving", facts=IN_FRANCE)
    infd = space.says("danish", "Placed", "False", "NoEligibleCandidate")
    assert placements(infd) == [("union-1", "moving")]


def test_tier_said_twice_and_differently(stage: Stage, space: Space, product: str) -> None:
    """At admission, and by the operator where the policy is not installed."""
    both = workload("both", product=product, tier=3, sovereignty={"tier": 2})
    with pytest.raises(DevclusterError, match="keep one"):
        stage.plane.kubectl("apply", "-n", space.name, "-f", "-", stdin=json.dumps(both))
    with policies_removed(stage.plane):
        eventually(lambda: _taken(space, both), "the policy no longer in force")
    infd = space.says("both", "Accepted", "False", "TierConflict")
    message = condition(infd, "Accepted")["message"]
    assert TIER_ANNOTATION in message and "spec.sovereignty.tier" in message
    assert condition(infd, "Stalled")["status"] == "True"
    assert placements(infd) == []


def test_floor_of_the_namespace(stage: Stage, space: Space, product: str) -> None:
    """A floor set later holds for what is there: the policy only sees changes of the workload itself."""
    stage.one.add_pool("floor", product=product, nodes=1, gpus=8)
    space.apply(workload("low", product=product, tier=2), workload("high", product=product, tier=3))
    space.serving("low")
    stage.namespace(space.name, **{TIER_FLOOR_LABEL: "3"})
    infd = space.says("low", "Accepted", "False", "TierBelowFloor")
    assert "tier 2 is below" in condition(infd, "Accepted")["message"]
    assert placements(infd) == [("union-1", "floor")], "what runs is not lost because a rule changed"
    assert stage.one.deployment(space, "low") is not None
    space.serving("high")


def test_tier_is_never_lowered(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("firm", product=product, nodes=1, gpus=8)
    space.apply(workload("firm", product=product, tier=3))
    space.serving("firm")
    lower = {"annotations": {TIER_ANNOTATION: "1"}}
    with pytest.raises(Refused, match="never lowered"):
        space.patch("firm", metadata=lower)
    with policies_removed(stage.plane):
        eventually(lambda: _patched(space, "firm", lower), "the policy no longer in force")
    infd = space.says("firm", "Accepted", "False", "TierLowered")
    assert infd["status"]["tier"] == 3
    deployment = stage.one.deployment(space, "firm")
    assert deployment is not None
    assert "domicile.node-restriction.kubernetes.io/level-3" in deployment["spec"]["template"]["spec"]["nodeSelector"]
    space.patch("firm", metadata={"annotations": {TIER_ANNOTATION: "3"}})
    space.serving("firm")


ENV = [{"name": "HF_TOKEN", "value": "x"}]
WAY_OUT = {"name": "out", "purpose": "none", "ports": [443]}


def test_what_opens_a_way_out_is_refused(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("closed", product=product, nodes=1, gpus=8)
    refused: dict[str, tuple[Json, str]] = {
        "argument": ({"runtime": {"args": ["--max-model-len=1", "--trust-remote-code"]}}, "spec.runtime.args[1]"),
        "environment": ({"runtime": {"env": ENV}}, "spec.runtime.env[0]"),
        "owned": ({"runtime": {"env": [{"name": "HF_HUB_OFFLINE", "value": "0"}]}}, "spec.runtime.env[0]"),
        "wide": ({"egress": [{**WAY_OUT, "cidr": "0.0.0.0/0", "country": "DK"}]}, "spec.egress[0].cidr"),
        "abroad": ({"egress": [{**WAY_OUT, "cidr": "192.0.2.0/24", "country": "US"}]}, "spec.egress[0].country"),
        "selector": (
            {"scheduling": {"nodeSelector": {"domicile.node-restriction.kubernetes.io/pool": "other"}}},
            "spec.scheduling.nodeSelector",
        ),
    }
    space.apply(*(workload(name, product=product, **spec) for name, (spec, _) in refused.items()))
    for name, (_, field) in refused.items():
        infd = space.says(name, "Accepted", "False", "ArgumentRefused")
        assert condition(infd, "Accepted")["message"].startswith(field), name
        assert placements(infd) == []
    space.apply(workload("decent", product=product))
    space.serving("decent")
    assert [d["metadata"]["name"] for d in stage.one.deployments(space)] == ["decent"]
    space.patch("argument", spec={"runtime": {"args": ["--max-model-len=1"]}})
    space.serving("argument")


@contextmanager
def policies_removed(hub: Plane) -> Iterator[None]:
    """A hub whose administrators did not install the admission policies."""
    path = "crds/policy.yaml"
    hub.kubectl("delete", "-f", str(ROOT / path))
    try:
        yield
    finally:
        hub.kubectl("apply", "--server-side", "-f", str(ROOT / path))


def _taken(space: Space, document: Json) -> bool:
    try:
        space.apply(document)
    except Refused:
        return False
    return True


def _patched(space: Space, name: str, metadata: Json) -> bool:
    try:
        space.patch(name, metadata=metadata)
    except Refused:
        return False
    return True
