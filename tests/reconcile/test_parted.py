"""The operator parted from the hub, or from a member in the middle of a move. Connections break instead of hanging."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from devcluster import Plane
from tests.reconcile.facts import foreign_control, workload
from tests.reconcile.relay import Fault, Relay, Write
from tests.reconcile.stage import Space, Stage, condition, eventually, placements
from tests.reconcile.test_violation import pack


@pytest.fixture(scope="module")
def stage(relayed: Stage) -> Stage:
    return relayed


@pytest.fixture
def owner(stage: Stage) -> Iterator[str]:
    """A provider that can be taken over."""
    stage.entity("solvang")
    yield "solvang"
    stage.drop("LegalEntity", "solvang")


@pytest.fixture
def framework(stage: Stage, space: Space) -> Iterator[str]:
    stage.state("SovereigntyFramework", space.name, pack(onViolation="Drain") | {"id": space.name})
    yield space.name
    stage.drop("SovereigntyFramework", space.name)


def test_deletions_that_nobody_saw(
    stage: Stage, relay: Relay, space: Space, product: str, framework: str, owner: str, hub: Plane
) -> None:
    """What is deleted while the operator cannot see is gone for it afterwards: facts and workloads, placed or not, also
    where somebody took the finalizer off, so that no watch ever tells."""
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    policy = {"framework": framework}
    served = ("goes", "stays", "torn")
    space.apply(*(workload(name, product=product, sovereignty=policy) for name in served))
    space.apply(workload("waits", product=product, gpus=16, sovereignty=policy))
    for name in served:
        space.serving(name)
    space.says("waits", "Placed", "False", "InsufficientCapacity")
    with relay.parted(hub):
        for name in ("goes", "torn", "waits"):
            space.delete(name)
        for name in ("torn", "waits"):
            space.patch(name, metadata={"finalizers": None})
            assert stage.hub.get(space.path(name)) is None, "gone, since somebody took the finalizer off"
        stage.drop("LegalEntity", owner)
    space.gone("goes")
    infd = space.says("stays", "Compliant", "Unknown", "FactsUnknown")
    assert placements(infd) == [("union-1", "owned")]
    stage.entity(owner)
    space.serving("stays")
    stage.one.add_pool("larger", product=product, nodes=1, gpus=16)
    eventually(lambda: stage.one.status_of("larger").get("nodes") == 1, "there is room for what waited")
    time.sleep(1.0)  # whoever waits is told a moment later
    space.apply(workload("later", product=product, gpus=16, sovereignty=policy))
    assert placements(space.serving("later")) == [("union-1", "larger")], "whoever waited no longer holds the room"
    eventually(lambda: {d["metadata"]["name"] for d in stage.one.deployments(space)} == {"stays", "later"}, "no others")
    eventually(lambda: len(stage.one.pods(space)) == 2, "nor their pods")


@pytest.mark.parametrize(("member", "method"), [("member-2", "PATCH"), ("member-1", "DELETE")])
def test_a_member_is_cut_off_during_a_move(
    stage: Stage, relay: Relay, space: Space, product: str, framework: str, owner: str, member: str, method: str
) -> None:
    """First the new place, just as the Deployment is delivered there; then the old one, as it is to be withdrawn."""
    stage.one.add_pool("owned", product=product, nodes=1, gpus=8, provider=owner)
    space.apply(workload("w", product=product, sovereignty={"framework": framework}))
    space.serving("w")
    stage.two.add_pool("spare", product=product, nodes=1, gpus=8)
    plane = next(plane for plane in stage.members if plane.name == member)
    fault = Fault(1, lambda write: concerns(write, member, method), lambda: relay.part(plane))
    relay.arm(fault)
    try:
        stage.entity(owner, **foreign_control())
        eventually(fault.struck.is_set, "cut off in the middle of the move")
        relay.disarm()
        if member == "member-2":
            infd = space.says("w", "Delivered", "Unknown", "UnverifiedDelivery")
        else:
            infd = space.says("w", "Available", "True", "PodsReady")
        assert condition(infd, "Compliant")["reason"] == "Vacating", "the old copy still runs"
        assert condition(infd, "Ready")["status"] == "False"
        assert placements(infd) == [("union-2", "spare"), ("union-1", "owned")]
        assert len(stage.one.pods(space)) == 1, "the old copy stays until the new one is known to serve"
    finally:
        relay.disarm()
        relay.join(plane)
    eventually(lambda: placements(space.read("w")) == [("union-2", "spare")], "the move is completed", seconds=40)
    assert condition(space.serving("w"), "Compliant")["status"] == "True"
    assert stage.one.pods(space) == [] and stage.one.deployment(space, "w") is None
    assert len(stage.two.pods(space)) == 1


def concerns(write: Write, member: str, method: str) -> bool:
    return write.plane == member and write.method == method and "/deployments/" in write.path
