"""A fact changes under a running copy: what each policy does, with and without another place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from domicile.evidence.layout import entries
from tests.cli.running import run
from tests.reconcile.facts import Json, foreign_control, workload
from tests.reconcile.stage import ROOT, Refused, Space, Stage, condition, eventually, kind_path, placements

PACK: Json = yaml.safe_load((ROOT / "operator/domicile/frameworks/cada.yaml").read_text())["spec"]


def pack(*, disruption: Json | None = None, **tier: Any) -> Json:
    """The cada pack under another id, its tiers changed as told."""
    changed = copy.deepcopy(PACK)
    changed["id"] = "drill"
    changed["tiers"] = [{**t, "gracePeriod": "0s", **tier} for t in changed["tiers"]]
    return changed | ({"disruption": disruption} if disruption else {})


@pytest.fixture
def framework(stage: Stage, space: Space) -> Iterator[str]:
    """A framework of the scenario's own, so that its policies are no one else's."""
    name = space.name[:50]
    yield name
    stage.drop("SovereigntyFramework", name)


@pytest.fixture
def owner(stage: Stage) -> Iterator[str]:
    """A provider that can be taken over."""
    stage.entity("solvang")
    yield "solvang"
    stage.drop("LegalEntity", "solvang")


def taken_over(stage: Stage, owner: str) -> None:
    stage.entity(owner, **foreign_control())


def asks(framework: str, name: str, product: str, **spec: Any) -> Json:
    return workload(name, product=product, **{"sovereignty": {"framework": framework}, **spec})


def test_drain_moves_to_another_place_and_leaves_nothing_behind(
    stage: Stage, space: Space, product: str, framework: str, owner: str
) -> None:
    stage.state("SovereigntyFramework", framework, pack(onViolation="Drain") | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=2, gpus=8, provider=owner)
    space.apply(asks(framework, "w", product, replicas=2))
    space.serving("w")
    stage.two.add_pool("spare", product=product, nodes=2, gpus=8)
    taken_over(stage, owner)
    eventually(lambda: placements(space.read("w")) == [("union-2", "spare")], "moved")
    infd = space.serving("w")
    assert condition(infd, "Compliant")["status"] == "True"
    assert "violation" not in infd["status"] and infd["status"]["lastMoved"]
    assert stage.one.pods(space) == [] and stage.one.deployment(space, "w") is None
    life = {"ViolationOpened", "Moving", "Moved", "ViolationResolved"}
    eventually(lambda: life <= set(events(stage, space)), "its life is told in Events")


def test_drain_without_another_place_keeps_the_last_copy(
    stage: Stage, space: Space, product: str, framework: str, owner: str
) -> None:
    stage.state("SovereigntyFramework", framework, pack(onViolation="Drain") | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    space.apply(asks(framework, "w", product))
    space.serving("w")
    taken_over(stage, owner)
    infd = space.says("w", "Compliant", "False", "CandidateLostEligibility")
    assert "Parent Inc" in condition(infd, "Compliant")["message"]
    said = infd["status"]["violation"]
    assert (said["candidate"], said["verdict"], said["action"]) == ("union-1/owned", "Violated", "Drain")
    assert len(stage.one.pods(space)) == 1
    stage.entity(owner)
    infd = space.serving("w")
    assert "violation" not in infd["status"]


def test_alert_only_tells(stage: Stage, space: Space, product: str, framework: str, owner: str) -> None:
    stage.state("SovereigntyFramework", framework, pack(onViolation="Alert") | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    space.apply(asks(framework, "w", product))
    space.serving("w")
    stage.two.add_pool("spare", product=product, nodes=1, gpus=8)
    taken_over(stage, owner)
    infd = space.says("w", "Compliant", "False", "CandidateLostEligibility")
    assert condition(infd, "Placed")["reason"] == "Held" and placements(infd) == [("union-1", "owned")]
    space.patch("w", spec={"sovereignty": {"onViolation": "Drain"}})
    eventually(lambda: placements(space.read("w")) == [("union-2", "spare")], "a stricter wish of its own counts")


def test_scale_to_zero_stops_the_last_copy_and_brings_it_back(
    stage: Stage, space: Space, product: str, framework: str, owner: str
) -> None:
    rules = pack(onViolation="ScaleToZero", disruption={"cooldown": "2s"})
    stage.state("SovereigntyFramework", framework, rules | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    space.apply(asks(framework, "w", product))
    space.serving("w")
    taken_over(stage, owner)
    infd = space.says("w", "Compliant", "False", "Stopped")
    eventually(lambda: stage.one.pods(space) == [], "no pod is left")
    assert infd["status"]["stopped"]
    eventually(lambda: "Stopped" in events(stage, space), "an Event says so")
    stage.entity(owner)
    space.serving("w")
    assert len(stage.one.pods(space)) == 1


def test_scale_to_zero_moves_on_where_there_is_another_place(
    stage: Stage, space: Space, product: str, framework: str, owner: str
) -> None:
    stage.state("SovereigntyFramework", framework, pack(onViolation="ScaleToZero") | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    space.apply(asks(framework, "w", product))
    space.serving("w")
    stage.two.add_pool("spare", product=product, nodes=1, gpus=8)
    taken_over(stage, owner)
    eventually(lambda: placements(space.read("w")) == [("union-2", "spare")], "moved")
    space.serving("w")
    assert stage.one.pods(space) == []


def test_a_move_within_a_cluster_has_the_new_pod_first(
    stage: Stage, space: Space, product: str, framework: str, owner: str
) -> None:
    stage.state("SovereigntyFramework", framework, pack(onViolation="Drain") | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    space.apply(asks(framework, "w", product))
    space.serving("w")
    stage.one.add_pool("spare", product=product, nodes=1, gpus=8)
    ready: list[int] = []

    def moved() -> bool:
        found = stage.one.deployment(space, "w")
        ready.append(((found or {}).get("status") or {}).get("readyReplicas", 0))
        return placements(space.read("w")) == [("union-1", "spare")]

    taken_over(stage, owner)
    eventually(moved, "moved")
    assert min(ready) == 1, "never without a ready pod"
    space.serving("w")
    assert [pod["spec"]["nodeName"] for pod in stage.one.pods(space)] == ["spare-0"]


def events(stage: Stage, space: Space) -> list[str]:
    found = stage.hub.items(f"/apis/events.k8s.io/v1/namespaces/{space.name}/events")
    return [event["reason"] for event in found]


def breaker_of(stage: Stage, name: str) -> Json:
    found = stage.hub.get(kind_path("SovereigntyFramework", name)) or {}
    said: Json = (found.get("status") or {}).get("breaker") or {}
    return said


def test_mass_loss_opens_the_breaker_until_somebody_releases_it(
    stage: Stage, space: Space, product: str, framework: str, owner: str
) -> None:
    disruption = {"breaker": {"share": 25, "atLeast": 2, "window": "10m"}}
    stage.state("SovereigntyFramework", framework, pack(onViolation="Drain", disruption=disruption) | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    names = [f"w{n}" for n in range(3)]
    space.apply(*(asks(framework, name, product) for name in names))
    for name in names:
        space.serving(name)
    taken_over(stage, owner)
    for name in names:
        space.says(name, "Placed", "False", "NoEligibleCandidate")
    stage.two.add_pool("spare", product=product, nodes=1, gpus=8)
    infd = space.says("w0", "Placed", "True", "MovesPaused")
    assert condition(infd, "Compliant")["status"] == "False", "an open breaker excuses nothing"
    said = eventually(lambda: breaker_of(stage, framework), "the framework tells")
    assert (said["lost"], said["placed"]) == (3, 3)
    space.apply(asks(framework, "new", product))
    assert placements(space.serving("new")) == [("union-2", "spare")], "new ones are admitted as before, not elsewhere"
    path = kind_path("SovereigntyFramework", framework)
    stage.hub.patch(path, {"metadata": {"annotations": {"domicile.dev/resume-moves": "another"}}})
    assert placements(space.read("w0")) == [("union-1", "owned")]
    stage.hub.patch(path, {"metadata": {"annotations": {"domicile.dev/resume-moves": said["id"]}}})
    for name in names:
        eventually(lambda n=name: placements(space.read(n)) == [("union-2", "spare")], f"{name} moved")  # type: ignore[misc]
    eventually(lambda: not breaker_of(stage, framework), "released")


def test_drift_is_put_back(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("drift", product=product, nodes=1, gpus=8)
    space.apply(workload("w", product=product))
    space.serving("w")
    member = stage.one.member
    policy = f"/apis/networking.k8s.io/v1/namespaces/{space.name}/networkpolicies/w"
    before = (member.get(policy) or {})["spec"]
    member.patch(policy, {"spec": {"egress": [{}]}})
    eventually(lambda: (member.get(policy) or {}).get("spec") == before, "egress is closed again")
    member.delete(policy)
    eventually(lambda: (member.get(policy) or {}).get("spec") == before, "and again")
    account = f"/api/v1/namespaces/{space.name}/serviceaccounts/w"
    member.patch(account, {"automountServiceAccountToken": True})
    eventually(lambda: (member.get(account) or {}).get("automountServiceAccountToken") is False, "the account too")
    path = f"/apis/apps/v1/namespaces/{space.name}/deployments/w"
    patch = {"spec": {"template": {"spec": {"nodeSelector": {"domicile.node-restriction.kubernetes.io/pool": "any"}}}}}
    member.patch(path, patch)

    def selects() -> bool:
        found = (member.get(path) or {})["spec"]["template"]["spec"]["nodeSelector"]
        return bool(found["domicile.node-restriction.kubernetes.io/pool"] == "drift")

    eventually(selects, "the node selector too")
    eventually(lambda: events(stage, space).count("DriftPutBack") >= 4, "each one is told")


def test_a_pod_whose_node_left_the_pool(stage: Stage, space: Space, product: str, framework: str, owner: str) -> None:
    """The node is re-registered for a pool whose owner is foreign: labels follow, and the pod may not stay."""
    stage.state("SovereigntyFramework", framework, pack(onViolation="Drain") | {"id": framework})
    stage.one.add_pool("legal", product=product, nodes=2, gpus=1)
    space.apply(asks(framework, "w", product))
    space.serving("w")
    (pod,) = stage.one.pods(space)
    node = pod["spec"]["nodeName"]
    stage.one.change_pool(
        "legal", nodes={"names": [n for n in ("legal-0", "legal-1") if n != node], "providerIDPrefix": None}
    )
    infd = space.says("w", "Compliant", "False", "ObservedOutsidePlacement")
    assert node in condition(infd, "Compliant")["message"]


def test_a_takeover_is_proven(stage: Stage, space: Space, product: str, framework: str, owner: str) -> None:
    """Decisions and the life of the violation are in the log, which verifies and can be decided again; each decision
    is a PlacementRecord that nobody can change."""
    stage.state("SovereigntyFramework", framework, pack(onViolation="Drain") | {"id": framework})
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    stage.two.add_pool("spare", product=product, nodes=1, gpus=8)
    space.apply(asks(framework, "w", product, sovereignty={"framework": framework, "excludeClusters": ["union-2"]}))
    space.serving("w")
    space.patch("w", spec={"sovereignty": {"excludeClusters": None}})
    taken_over(stage, owner)
    eventually(lambda: placements(space.read("w")) == [("union-2", "spare")], "moved")
    infd = space.serving("w")
    log = stage.operator.decisions
    mine = [
        e for e in entries(log) if (e.body["subject"].get("namespace"), e.body["subject"]["name"]) == (space.name, "w")
    ]
    told = [e.type for e in mine]
    expected = ["Placed", "ViolationOpened", "ViolationActed", "Placed", "Moved", "ViolationResolved"]
    assert sorted(told) == sorted(expected) and told[:2] == expected[:2]
    assert run("log", "verify", str(log)).exit_code == 0
    for entry in mine:
        if entry.type == "Placed":
            again = run("replay", str(entry.seq), "--log-dir", str(log))
            assert again.exit_code == 0, again.stdout + again.stderr
    newest, oldest = infd["status"]["records"]
    path = f"/apis/domicile.dev/v1alpha1/namespaces/{space.name}/placementrecords"
    record = stage.hub.get(f"{path}/{newest}")
    assert record is not None
    assert record["spec"]["chosen"] == {"cluster": "union-2", "nodePool": "spare"}
    refused = next(e for e in record["spec"]["entries"] if e["nodePool"] == "owned")
    assert "Parent Inc" in str(refused["rules"])
    with pytest.raises(Refused, match="never changed"):
        stage.hub.patch(f"{path}/{oldest}", {"spec": {"eligible": 7}})
    space.delete("w")
    eventually(lambda: stage.hub.items(path) == [], "records go with their workload")
