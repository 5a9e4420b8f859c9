"""From the first copy to the last: changes roll out, deletion takes back everything that was delivered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devcluster import Plane
from domicile.model.labels import FINALIZER
from tests.reconcile.facts import Json, image, workload
from tests.reconcile.stage import ROOT, Refused, Space, Stage, condition, eventually, placements

DELIVERED = (
    "/apis/apps/v1/namespaces/{}/deployments",
    "/api/v1/namespaces/{}/services",
    "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "/api/v1/namespaces/{}/pods",
)


def left_on_member(stage: Stage, space: Space) -> list[str]:
    """What of the scenario's workloads is on the first member."""
    names = [o["metadata"]["name"] for path in DELIVERED for o in stage.one.member.items(path.format(space.name))]
    accounts = stage.one.member.items(f"/api/v1/namespaces/{space.name}/serviceaccounts")
    return names + [a["metadata"]["name"] for a in accounts if a["metadata"]["name"] != "default"]


def test_changes_roll_out(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("roll", product=product, nodes=2, gpus=8)
    space.apply(workload("model", product=product))
    first = space.serving("model")

    space.patch("model", spec={"replicas": 3})
    infd = space.serving("model")
    assert infd["status"]["readyReplicas"] == 3 and len(stage.one.pods(space)) == 3

    space.patch("model", spec={"runtime": {"image": image("b")}})
    infd = space.serving("model")
    images = {c["image"] for pod in stage.one.pods(space) for c in pod["spec"]["containers"]}
    assert images == {image("b")}, "available only once every pod runs the new image"
    digests = {d["status"]["placements"][0]["digest"] for d in (first, infd)}
    assert len(digests) == 2

    stage.plane.kubectl("scale", "infd/model", "--replicas=2", "-n", space.name)
    eventually(lambda: space.serving("model")["status"]["readyReplicas"] == 2, "one pod less")
    scale = stage.hub.get(space.path("model") + "/scale")
    assert scale is not None
    assert (scale["status"]["replicas"], scale["status"]["selector"]) == (2, "domicile.dev/infd=model")


def test_suspend_keeps_the_decision(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("nap", product=product, nodes=1, gpus=2)
    space.apply(workload("sleeper", product=product, replicas=2))
    space.serving("sleeper")

    space.patch("sleeper", spec={"suspend": True})

    infd = space.says("sleeper", "Ready", "False", "Suspended")
    eventually(lambda: stage.one.pods(space) == [], "no pods")
    assert placements(infd) == [("union-1", "nap")]
    assert condition(infd, "Compliant")["status"] == "True"
    space.patch("sleeper", spec={"suspend": False})
    assert space.serving("sleeper")["status"]["readyReplicas"] == 2


def test_deletion_takes_everything_back(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("brief", product=product, nodes=1, gpus=8)
    space.apply(workload("guest", product=product, replicas=2), workload("stays", product=product))
    assert "domicile.dev/placement" in space.serving("guest")["metadata"]["finalizers"]
    space.serving("stays")

    space.delete("guest")

    space.gone("guest")
    assert set(left_on_member(stage, space)) == {"stays", *(p["metadata"]["name"] for p in stage.one.pods(space))}
    assert len(stage.one.pods(space)) == 1
    space.apply(workload("guest", product=product, tier=2))
    assert space.serving("guest")["status"]["tier"] == 2, "a new object of the name starts anew"


def test_deletion_of_what_was_delivered_in_part(stage: Stage, space: Space, product: str) -> None:
    """A member that refuses the Deployment leaves the objects beside it; they go with the workload."""
    stage.one.add_pool("quota", product=product, nodes=1, gpus=8)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    stage.one.member.apply(
        f"/api/v1/namespaces/{space.name}",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}},
    )
    stage.one.member.create(
        f"/api/v1/namespaces/{space.name}/resourcequotas",
        quota | {"spec": {"hard": {"count/deployments.apps": "0"}}},
    )
    eventually(lambda: _quota_in_force(stage, space), "the quota in force")
    space.apply(workload("half", product=product))
    infd = space.says("half", "Delivered", "False", "DeliveryFailed")
    assert "Deployment half on union-1" in condition(infd, "Delivered")["message"]
    assert "exceeded quota" in condition(infd, "Ready")["message"]
    assert condition(infd, "Stalled")["status"] == "True"
    assert "half" in left_on_member(stage, space)
    space.delete("half")
    space.gone("half")
    assert left_on_member(stage, space) == []


def _quota_in_force(stage: Stage, space: Space) -> bool:
    quota = stage.one.member.get(f"/api/v1/namespaces/{space.name}/resourcequotas/none")
    return quota is not None and "hard" in (quota.get("status") or {})


def test_what_somebody_deletes_on_the_member_comes_back(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("steady", product=product, nodes=1, gpus=8)
    space.apply(workload("steady", product=product))
    space.serving("steady")
    before = stage.one.deployment(space, "steady")
    assert before is not None
    stage.one.member.delete(f"/apis/apps/v1/namespaces/{space.name}/deployments/steady")
    uid = before["metadata"]["uid"]
    eventually(
        lambda: (found := stage.one.deployment(space, "steady")) and found["metadata"]["uid"] != uid,
        "the Deployment delivered again",
    )
    space.serving("steady")


def test_bad_changes_leave_what_runs(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("firm", product=product, nodes=1, gpus=8)
    space.apply(workload("firm", product=product))
    space.serving("firm")
    with pytest.raises(Refused):
        space.patch("firm", spec={"replicas": -1})
    space.patch("firm", spec={"runtime": {"args": ["--trust-remote-code"]}})
    infd = space.says("firm", "Accepted", "False", "ArgumentRefused")
    assert condition(infd, "Available")["status"] == "True"
    deployment = stage.one.deployment(space, "firm")
    assert deployment is not None
    assert "--trust-remote-code" not in deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_api_server_holds_new_workloads(stage: Stage, space: Space, product: str) -> None:
    """Where the policy does, the operator has one write less; where it does not, the operator holds them itself.
    Either way the finalizer outlasts later applies, and goes when the workload does."""
    stage.one.add_pool("held", product=product, nodes=1, gpus=8)
    space.apply(workload("early", product=product))
    assert FINALIZER in space.read("early")["metadata"]["finalizers"], "before anybody but the API server saw it"
    early = space.serving("early")
    assert managers_of_spec(early) == {"tests"}
    space.apply(workload("early", product=product, replicas=2))
    assert FINALIZER in space.read("early")["metadata"]["finalizers"]

    with finalizer_policy_removed(stage.plane):
        eventually(lambda: not _held_at_once(space, product), "the policy no longer in force")
        space.apply(workload("late", product=product))
        late = space.serving("late")
    assert FINALIZER in late["metadata"]["finalizers"]
    assert managers_of_spec(late) == {"tests", "domicile"}

    space.patch("early", metadata={"finalizers": ["example.org/first", FINALIZER]})
    for name in ("early", "late"):
        space.delete(name)
    space.gone("late")
    eventually(lambda: space.read("early")["metadata"]["finalizers"] == ["example.org/first"], "only our own gone")
    space.patch("early", metadata={"finalizers": []})


def managers_of_spec(infd: Json) -> set[str]:
    """Who wrote anything of the object but its status."""
    return {entry["manager"] for entry in infd["metadata"]["managedFields"] if "subresource" not in entry}


def _held_at_once(space: Space, product: str) -> bool:
    """A dry run, which the operator never sees."""
    document = workload("probe", product=product)
    document["metadata"] = {**document["metadata"], "namespace": space.name}
    probed = space.hub.request("POST", f"{space.path()}?dryRun=All", document)
    return FINALIZER in probed["metadata"].get("finalizers", [])


@contextmanager
def finalizer_policy_removed(hub: Plane) -> Iterator[None]:
    """A hub that does not serve such policies, as far as workloads can tell."""
    path = str(ROOT / "crds" / "finalizer-policy.yaml")
    hub.kubectl("delete", "-f", path)
    try:
        yield
    finally:
        hub.kubectl("apply", "--server-side", "-f", path)
