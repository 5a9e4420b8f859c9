"""Nodes and pods as membership and room need them: who belongs where, and what is free."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.inventory.delivered import Observed, project_deployment
from domicile.inventory.nodes import NodeFacts, PodFacts, belongs, our_labels, project_node, project_pod, room_of
from domicile.model.cluster import NodePool
from domicile.placement.capacity import NodeRoom

Json = dict[str, Any]
PREFIX = "domicile.node-restriction.kubernetes.io"
READY = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]


def node(name: str = "n", *, provider_id: str = "", labels: Json | None = None, **more: Any) -> NodeFacts:
    spec = {"providerID": provider_id} | more.pop("spec", {})
    status = {"conditions": READY, "allocatable": {"cpu": "8", "memory": "1Ki", "nvidia.com/gpu": "4"}} | more
    return project_node({"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status})


def pool(**nodes: Any) -> NodePool:
    accelerator = {"product": "H100", "memory": "80Gi"}
    raw = {"name": "p", "provider": "x", "nodes": nodes, "accelerator": accelerator}
    return NodePool.model_validate(raw)


def test_a_node() -> None:
    seen = node("a", provider_id="x://1", labels={f"{PREFIX}/pool": "p", "kubernetes.io/hostname": "a"})
    assert seen == NodeFacts(
        name="a",
        provider_id="x://1",
        labels=((f"{PREFIX}/pool", "p"),),
        usable=True,
        virtual=False,
        allocatable=(("cpu", 8.0), ("memory", 1024.0), ("nvidia.com/gpu", 4.0)),
    )
    assert our_labels(seen) == {f"{PREFIX}/pool": "p"}


USABLE: tuple[tuple[str, Json, bool], ...] = (
    ("ready", {}, True),
    ("cordoned", {"spec": {"unschedulable": True}}, False),
    ("not ready", {"conditions": [{"type": "Ready", "status": "False"}]}, False),
    ("unknown", {"conditions": [{"type": "Ready", "status": "Unknown"}]}, False),
    ("never heard of", {"conditions": []}, False),
)


@pytest.mark.parametrize(("fields", "usable"), [u[1:] for u in USABLE], ids=[u[0] for u in USABLE])
def test_usable(fields: Json, usable: bool) -> None:
    assert node(**fields).usable is usable


def test_a_node_without_anything() -> None:
    bare = project_node({"metadata": {"name": "bare"}})
    assert (bare.usable, bare.allocatable, bare.labels, bare.provider_id) == (False, (), (), "")


OWN = {"team.node-restriction.kubernetes.io/hall": "2"}
MEMBERSHIP: tuple[tuple[str, Json, Json, bool], ...] = (
    ("prefix", {"providerIDPrefix": "x://dk/"}, {"provider_id": "x://dk/1"}, True),
    ("another prefix", {"providerIDPrefix": "x://dk/"}, {"provider_id": "x://de/1"}, False),
    ("a prefix is no substring", {"providerIDPrefix": "dk/"}, {"provider_id": "x://dk/1"}, False),
    ("no provider id", {"providerIDPrefix": "x://"}, {}, False),
    ("name", {"names": ["n"]}, {}, True),
    ("another name", {"names": ["m"]}, {}, False),
    ("no names select nothing", {"names": []}, {}, False),
    ("restricted label", {"labels": OWN}, {"labels": OWN}, True),
    ("another value", {"labels": OWN}, {"labels": {**OWN, next(iter(OWN)): "3"}}, False),
    ("all labels are needed", {"labels": OWN | {f"{PREFIX}/x": "1"}}, {"labels": OWN}, False),
    ("no labels select nothing", {"labels": {}}, {"labels": OWN}, False),
    ("virtual", {"names": ["n"]}, {"labels": {"type": "virtual-kubelet"}}, False),
)


@pytest.mark.parametrize(("wanted", "fields", "mine"), [m[1:] for m in MEMBERSHIP], ids=[m[0] for m in MEMBERSHIP])
def test_membership(wanted: Json, fields: Json, mine: bool) -> None:
    assert belongs(node(**fields), pool(**wanted)) is mine


def container(**amounts: str) -> Json:
    return {"resources": {"requests": {k.replace("gpu", "nvidia.com/gpu"): v for k, v in amounts.items()}}}


def pod(*containers: Json, init: list[Json] | None = None, phase: str = "Running", **spec: Any) -> PodFacts | None:
    return project_pod(
        {
            "metadata": {"name": "p", "namespace": "ns", "labels": {"domicile.dev/infd": "w"}},
            "spec": {"containers": list(containers), "initContainers": init or [], "nodeName": "n"} | spec,
            "status": {"phase": phase, "conditions": READY},
        }
    )


REQUESTS: tuple[tuple[str, tuple[Json, ...], list[Json], Json], ...] = (
    ("summed", (container(cpu="1", gpu="2"), container(cpu="500m")), [], {"cpu": 1.5, "nvidia.com/gpu": 2.0}),
    ("a larger init container", (container(cpu="1"),), [container(cpu="4")], {"cpu": 4.0}),
    ("init containers run one by one", (container(cpu="1"),), [container(cpu="2"), container(cpu="2")], {"cpu": 2.0}),
    (
        "a limit stands for a request",
        ({"resources": {"limits": {"nvidia.com/gpu": "3"}}},),
        [],
        {"nvidia.com/gpu": 3.0},
    ),
    ("sidecars stay", (container(cpu="1"),), [container(cpu="2") | {"restartPolicy": "Always"}], {"cpu": 3.0}),
    ("nothing asked for", ({},), [], {}),
)


@pytest.mark.parametrize(("containers", "init", "total"), [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS])
def test_requests(containers: tuple[Json, ...], init: list[Json], total: Json) -> None:
    seen = pod(*containers, init=init)
    assert seen is not None and dict(seen.requests) == total


def test_overhead_of_the_sandbox() -> None:
    seen = pod(container(cpu="1"), overhead={"cpu": "250m", "memory": "1Ki"})
    assert seen is not None and dict(seen.requests) == {"cpu": 1.25, "memory": 1024.0}


def test_whose_pod() -> None:
    seen = pod(container())
    assert seen is not None and (seen.workload, seen.node, seen.ready) == ("ns/w", "n", True)
    foreign = project_pod({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": []}})
    assert foreign is not None and (foreign.workload, foreign.node, foreign.ready) == ("", "", False)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_holds_nothing(phase: str) -> None:
    assert pod(container(cpu="1"), phase=phase) is None


def test_room_is_what_pods_leave() -> None:
    used = {"a": {"nvidia.com/gpu": 3.0, "cpu": 2.0, "pods": 5.0}}
    cordoned = node("c", spec={"unschedulable": True})
    room = room_of(pool(names=["a", "b", "c"]), [node("a"), node("b"), cordoned], used)
    assert room.nodes == (NodeRoom(1.0, 6.0, 1024.0, 105.0), NodeRoom(4.0, 8.0, 1024.0, 110.0))
    assert (room.product, room.accelerator_memory) == ("H100", 80 * 2.0**30)


def test_room_of_a_pool_without_accelerators() -> None:
    plain = NodePool.model_validate({"name": "p", "provider": "x", "nodes": {"names": ["a"]}})
    room = room_of(plain, [node("a")], {})
    assert (room.nodes[0].accelerators, room.product) == (0.0, "")


def deployment(*, replicas: int = 2, generation: int = 1, **status: Any) -> Observed:
    seen = {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2} | status
    metadata = {"annotations": {"domicile.dev/rendered-digest": "sha256:1"}, "generation": generation}
    return project_deployment({"metadata": metadata, "spec": {"replicas": replicas}, "status": seen})


SETTLED: tuple[tuple[str, Json, bool], ...] = (
    ("all ready", {}, True),
    ("some are not", {"readyReplicas": 1}, False),
    ("some are of an older version", {"updatedReplicas": 1}, False),
    ("the controller has not looked", {"generation": 2}, False),
    ("none wanted, none there", {"replicas": 0, "readyReplicas": 0, "updatedReplicas": 0}, True),
)


@pytest.mark.parametrize(("fields", "settled"), [s[1:] for s in SETTLED], ids=[s[0] for s in SETTLED])
def test_settled(fields: Json, settled: bool) -> None:
    assert deployment(**fields).settled is settled


def test_stuck() -> None:
    late = {"type": "Progressing", "status": "False", "message": "deadline exceeded"}
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    fine = {"type": "Progressing", "status": "True", "message": "progressing"}
    assert deployment(conditions=[late, refused]).stuck == "deadline exceeded; exceeded quota"
    assert deployment(conditions=[fine]).stuck == ""
    assert deployment().digest == "sha256:1"
