"""Facts that change: labels follow them, what waits is placed, what runs moves or is called by its name."""

from __future__ import annotations

from tests.reconcile.facts import entity_spec, foreign_control, workload
from tests.reconcile.stage import PREFIX, Space, Stage, condition, eventually, placements

IN_SWITZERLAND = {"location": {"country": "CH", "source": "attested"}}
LEVELS = {f"level-{n}": "true" for n in (1, 2, 3)}


def test_labels_say_what_is_proven(stage: Stage, space: Space, product: str) -> None:
    stage.entity("hired", **foreign_control())
    stage.one.add_pool("own", product=product, nodes=1, gpus=1)
    stage.one.add_pool("hired", product=product, nodes=1, gpus=1, provider="hired")
    stage.one.add_nodes("nobody", count=1, gpus=1, labels={f"{PREFIX}/level-4": "true"})
    eventually(lambda: stage.one.labels("own-0") == {"pool": "own"} | LEVELS, "all levels that are proven")
    eventually(lambda: stage.one.labels("hired-0") == {"pool": "hired"}, "no level under foreign control")
    eventually(lambda: stage.one.labels("nobody-0") == {}, "a forged label taken off")

    forged = {"metadata": {"labels": {f"{PREFIX}/level-4": "true", f"{PREFIX}/pool": "own"}}}
    stage.one.member.patch("/api/v1/nodes/hired-0", forged)
    eventually(lambda: stage.one.labels("hired-0") == {"pool": "hired"}, "labels forged on a node of another pool")

    stage.entity("hired")
    eventually(lambda: stage.one.labels("hired-0") == {"pool": "hired"} | LEVELS, "levels once control is Danish")
    stage.entity("hired", personnel={"allUnionCitizens": False})
    eventually(
        lambda: stage.one.labels("hired-0") == {"pool": "hired", "level-1": "true", "level-2": "true"},
        "only the level that is no longer proven withdrawn",
    )
    eventually(lambda: stage.one.status_of("hired").get("levels") == [1, 2], "levels in the status")
    missing = stage.one.status_of("hired")["missing"]
    assert {m["rule"] for m in missing} == {"L3.d"} and "LegalEntity/hired" in missing[0]["fact"]
    shown = stage.plane.kubectl("get", "sovc", "union-1").splitlines()
    assert shown[0].split() == ["NAME", "PROVIDER", "CONTROL", "POOLS", "LEVELS", "REACHABLE", "AGE"]
    assert shown[1].split()[:7] == ["union-1", "nordlys", "Union", "2", "own=3", "hired=2", "True"]
    stage.drop("LegalEntity", "hired")
    eventually(lambda: stage.one.labels("hired-0") == {"pool": "hired"}, "no level without the provider's facts")


def test_a_pool_that_becomes_eligible_takes_what_waits(stage: Stage, space: Space, product: str) -> None:
    stage.entity("late", **foreign_control())
    stage.one.add_pool("late", product=product, nodes=1, gpus=8, provider="late")
    space.apply(workload("patient", product=product))
    infd = space.says("patient", "Placed", "False", "NoEligibleCandidate")
    assert "L3.g" in condition(infd, "Ready")["message"]
    stage.entity("late")
    infd = space.serving("patient")
    assert placements(infd) == [("union-1", "late")]
    assert infd["metadata"]["generation"] == 1, "nobody touched the workload"
    stage.drop("LegalEntity", "late")


def test_a_pool_that_loses_eligibility_is_left(stage: Stage, space: Space, product: str) -> None:
    """The copy moves to another legal pool, and the old one goes only when the new one serves."""
    stage.entity("sold")
    stage.one.add_pool("sold", product=product, nodes=1, gpus=8, provider="sold")
    space.apply(workload("mover", product=product))
    assert placements(space.serving("mover")) == [("union-1", "sold")]
    stage.two.add_pool("refuge", product=product, nodes=1, gpus=8)

    stage.entity("sold", **foreign_control())

    eventually(lambda: placements(space.read("mover")) == [("union-2", "refuge")], "moved, and nothing left behind")
    infd = space.serving("mover")
    assert "union-2/refuge" in condition(infd, "Placed")["message"]
    assert stage.one.deployments(space) == [] and stage.one.pods(space) == []
    path = f"/apis/networking.k8s.io/v1/namespaces/{space.name}/networkpolicies"
    assert stage.one.member.items(path) == []
    assert len(stage.two.pods(space)) == 1
    stage.drop("LegalEntity", "sold")


def test_nowhere_left_to_go(stage: Stage, space: Space, product: str) -> None:
    """The last copy is left as it is, and it is said that it may not be there."""
    stage.entity("only")
    stage.one.add_pool("only", product=product, nodes=1, gpus=8, provider="only")
    space.apply(workload("last", product=product))
    space.serving("last")

    stage.entity("only", **foreign_control())

    infd = space.says("last", "Compliant", "False", "CandidateLostEligibility")
    assert "L3.g" in condition(infd, "Compliant")["message"] and "US" in condition(infd, "Compliant")["message"]
    assert (condition(infd, "Ready")["status"], condition(infd, "Ready")["reason"]) == ("False", "NotCompliant")
    assert condition(infd, "Placed")["reason"] == "NoEligibleCandidate"
    assert "left as it is" in condition(infd, "Placed")["message"]
    assert condition(infd, "Available")["status"] == "True", "and it still runs"
    assert placements(infd) == [("union-1", "only")]
    assert [p["status"]["phase"] for p in stage.one.pods(space)] == ["Running"]

    spec = entity_spec()
    spec.pop("personnel")
    stage.state("LegalEntity", "only", spec)
    infd = space.says("last", "Compliant", "Unknown", "FactsUnknown")
    assert condition(infd, "EvidenceValid")["status"] == "False"
    stage.entity("only")
    space.serving("last")
    stage.drop("LegalEntity", "only")


def test_a_better_pool_moves_nothing(stage: Stage, space: Space, product: str) -> None:
    """Room, spare level and name would all speak for the newcomer; what runs stays where it is legal."""
    stage.two.add_pool("humble", product=product, nodes=1, gpus=4)
    space.apply(workload("settled", product=product, tier=2))
    assert placements(space.serving("settled")) == [("union-2", "humble")]
    stage.entity("modest", personnel={"allUnionCitizens": False})
    stage.one.add_pool("grand", product=product, nodes=4, gpus=8, provider="modest")
    space.apply(workload("newcomer", product=product, tier=2))
    assert placements(space.serving("newcomer")) == [("union-1", "grand")], "the better one, for whoever is new"
    space.patch("settled", spec={"replicas": 2})
    assert placements(space.serving("settled")) == [("union-2", "humble")]
    stage.drop("LegalEntity", "modest")


def test_other_hardware_asked_for(stage: Stage, space: Space, product: str) -> None:
    """A placement is kept only as long as the pool has what the spec asks for."""
    stage.one.add_pool("old", product=product + "-a", nodes=1, gpus=4)
    stage.two.add_pool("new", product=product + "-b", nodes=1, gpus=4)
    space.apply(workload("upgrade", product=product + "-a"))
    assert placements(space.serving("upgrade")) == [("union-1", "old")]
    space.apply(workload("upgrade", product=product + "-b"))
    eventually(lambda: placements(space.read("upgrade")) == [("union-2", "new")], "moved to the other accelerator")
    space.serving("upgrade")
    assert stage.one.deployments(space) == []


def test_a_cluster_whose_facts_are_withdrawn(stage: Stage, space: Space, product: str) -> None:
    """Without a statement about its pool nothing is known of a copy, and it is not called compliant."""
    stage.one.add_pool("stated", product=product, nodes=1, gpus=8)
    space.apply(workload("orphan", product=product))
    space.serving("orphan")
    pools, stage.one.pools = stage.one.pools, []
    stage.one.state()
    infd = space.says("orphan", "Compliant", "Unknown", "FactsUnknown")
    assert "no facts about union-1/stated" in condition(infd, "Compliant")["message"]
    eventually(lambda: stage.one.labels("stated-0") == {}, "no labels on nodes of no pool")
    stage.one.pools = pools
    stage.one.state()
    space.serving("orphan")


def test_a_cluster_that_is_no_longer_stated(stage: Stage, space: Space, product: str) -> None:
    """Its nodes lose the labels, so that nothing is scheduled there on facts nobody states any more."""
    stage.one.add_pool("given-up", product=product, nodes=2, gpus=8)
    eventually(lambda: stage.one.labels("given-up-1") == {"pool": "given-up"} | LEVELS, "labels")
    stage.drop("SovereignCluster", "union-1")
    eventually(lambda: stage.one.labels("given-up-0") == stage.one.labels("given-up-1") == {}, "labels withdrawn")
    stage.one.state()
    eventually(lambda: stage.one.labels("given-up-1") == {"pool": "given-up"} | LEVELS, "labels again")
