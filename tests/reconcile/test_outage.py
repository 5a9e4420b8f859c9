"""A member that stops answering, for a while or with a deletion under way. Planes are frozen, so connections hang."""

from __future__ import annotations

from tests.reconcile.facts import foreign_control, workload
from tests.reconcile.stage import Space, Stage, condition, eventually, placements

NOTICED = 40.0  # seconds within which a silent member must be called unreachable


def reachable(stage: Stage, status: str, *, seconds: float = NOTICED) -> None:
    eventually(
        lambda: condition(stage.one.read(), "Reachable")["status"] == status, f"Reachable={status}", seconds=seconds
    )


def test_a_member_that_is_cut_off(stage: Stage, space: Space, product: str) -> None:
    """What runs there is unverified, nothing new goes there, deletion waits and says so; all of it ends by itself."""
    stage.entity("lessor")
    stage.one.add_pool("far", product=product, nodes=2, gpus=8, provider="lessor")
    space.apply(*(workload(name, product=product) for name in ("stays", "leaves", "moves")))
    for name in ("stays", "leaves", "moves"):
        assert placements(space.serving(name)) == [("union-1", "far")]

    with stage.cut_off(1):
        space.delete("leaves")
        reachable(stage, "False")

        assert "no answer" in condition(stage.one.read(), "Reachable")["message"]
        infd = space.says("stays", "Available", "Unknown", "UnverifiedDelivery")
        assert condition(infd, "Delivered")["reason"] == "UnverifiedDelivery"
        assert condition(infd, "Ready")["status"] == "Unknown"
        assert condition(infd, "Compliant")["status"] == "True", "the law did not change"
        assert placements(infd) == [("union-1", "far")], "and it is not started a second time elsewhere"

        space.says("leaves", "Ready", "False", "WithdrawalBlocked", seconds=NOTICED)
        eventually(lambda: "union-1 cannot be reached" in condition(space.read("leaves"), "Stalled")["message"], "why")

        space.apply(workload("new", product=product))
        infd = space.says("new", "Placed", "False", "CandidatesUnreachable")
        assert condition(infd, "Compliant")["status"] == "True"
        assert "union-1" in condition(infd, "Placed")["message"]
        stage.two.add_pool("near", product=product, nodes=1, gpus=8)
        assert placements(space.serving("new")) == [("union-2", "near")]

        stage.entity("lessor", **foreign_control())
        infd = space.says("moves", "Available", "True", "PodsReady")
        assert placements(infd) == [("union-2", "near"), ("union-1", "far")], "the old copy is not forgotten"
        stage.entity("lessor")
    reachable(stage, "True")
    space.gone("leaves", seconds=40)
    eventually(lambda: placements(space.read("moves")) == [("union-2", "near")], "the old copy withdrawn")
    eventually(lambda: len(placements(space.serving("stays"))) == 1, "one copy of what moved meanwhile")
    names = {d["metadata"]["name"] for d in stage.one.deployments(space) + stage.two.deployments(space)}
    assert names == {"stays", "moves", "new"}


def test_an_api_server_that_restarts(stage: Stage, space: Space, product: str) -> None:
    """A short absence costs a short absence."""
    stage.two.add_pool("blink", product=product, nodes=1, gpus=8)
    space.apply(workload("blink", product=product))
    space.serving("blink")
    stage.members[1].restart("kube-apiserver")
    space.apply(workload("after", product=product))
    space.serving("after", seconds=30)
    space.serving("blink")


def test_the_hub_restarts_while_a_fact_changes(stage: Stage, space: Space, product: str) -> None:
    """What changed while nobody watched is found when the watch is back."""
    stage.entity("lessor")
    stage.one.add_pool("leased", product=product, nodes=1, gpus=8, provider="lessor")
    space.apply(workload("w", product=product))
    space.serving("w")
    stage.two.add_pool("ours", product=product, nodes=1, gpus=8)
    stage.plane.restart("kube-apiserver")
    stage.entity("lessor", **foreign_control())
    eventually(lambda: placements(space.read("w")) == [("union-2", "ours")], "moved", seconds=40)
    assert condition(space.serving("w"), "Compliant")["status"] == "True"
    assert stage.one.pods(space) == []
