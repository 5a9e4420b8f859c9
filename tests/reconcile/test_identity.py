"""Another cluster answers under a name that facts were stated for."""

from __future__ import annotations

from typing import Any

from devcluster import Plane
from tests.reconcile.facts import workload
from tests.reconcile.stage import Api, Space, Stage, condition, eventually, placements


def uid_of(member: Api) -> str:
    found: dict[str, Any] | None = member.get("/api/v1/namespaces/kube-system")
    assert found is not None
    return str(found["metadata"]["uid"])


def test_a_cluster_replaced_under_its_name(stage: Stage, space: Space, product: str, hub: Plane) -> None:
    """The facts are void while another cluster answers, across a restart too, and hold again once the first is back."""
    stage.one.add_pool("known", product=product, nodes=1, gpus=8)
    space.apply(workload("w", product=product))
    assert placements(space.serving("w")) == [("union-1", "known")]

    stage.secret("union-1", hub.kubeconfig.read_text())
    stage.operator.end()
    stage.operator.start()
    reached = eventually(lambda: refused(stage), "another cluster is noticed")
    assert uid_of(stage.one.member) in reached["message"] and uid_of(stage.hub) in reached["message"]
    infd = eventually(lambda: not_compliant(space), "what runs there is no longer known to be legal")
    assert condition(infd, "Ready")["status"] != "True"
    assert placements(infd) == [("union-1", "known")], "it is not forgotten"
    space.apply(workload("new", product=product))
    infd = space.says("new", "Placed", "False", "NoEligibleCandidate")
    assert placements(infd) == []
    names = [d["metadata"]["name"] for d in stage.one.deployments(space)]
    assert names == ["w"] and stage.hub.items(f"/apis/apps/v1/namespaces/{space.name}/deployments") == []

    stage.secret("union-1-again", stage.members[0].kubeconfig.read_text())
    stage.one.secret = "union-1-again"
    stage.one.state()
    eventually(lambda: condition(stage.one.read(), "Reachable")["status"] == "True", "the first cluster is back")
    assert condition(space.serving("w"), "Compliant")["status"] == "True"
    assert placements(space.serving("new")) == [("union-1", "known")]


def refused(stage: Stage) -> dict[str, Any] | None:
    said = condition(stage.one.read(), "Reachable")
    return dict(said) if said["status"] == "False" and "another cluster answers" in said["message"] else None


def not_compliant(space: Space) -> dict[str, Any] | None:
    infd = space.read("w")
    return infd if condition(infd, "Compliant")["status"] != "True" else None
