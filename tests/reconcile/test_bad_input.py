"""Wrong objects: each says what is wrong with it, in which field and what to do; everything else goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.reconcile.facts import Json, cluster_spec, day, entity_spec, fact_group, pool, workload
from tests.reconcile.stage import SYSTEM, Space, Stage, condition, eventually, kind_path, placements

ETCD_LIMIT = 1_500_000  # bytes an API server can store of one object


def connected(secret: str, provider: str = "nordlys", pools: list[Json] | None = None, **patch: Any) -> Json:
    """A cluster that is reached through a Secret."""
    connection = {"kubeconfigSecret": {"namespace": SYSTEM, "name": secret}}
    return cluster_spec(provider, pools or [pool("p", provider=provider, product="X")], connection=connection, **patch)


def unreachable(stage: Stage, name: str) -> str:
    """Why a cluster cannot be reached, once that is said."""

    def look() -> str:
        said = condition(stage.hub.get(kind_path("SovereignCluster", name)), "Reachable")
        return str(said["message"]) if said["reason"] == "Unreachable" and said["message"] != "connecting" else ""

    return eventually(look, f"{name} unreachable")


@pytest.fixture
def goes_on(stage: Stage, space: Space, product: str) -> Iterator[None]:
    """Whatever a scenario states wrongly, a decent workload is placed while that stands."""
    stage.two.add_pool("decent", product=product, nodes=1, gpus=8)
    yield
    space.apply(workload("decent", product=product))
    assert placements(space.serving("decent")) == [("union-2", "decent")]


@pytest.mark.usefixtures("goes_on")
def test_kubeconfigs(stage: Stage) -> None:
    good = yaml.safe_load(stage.plane.kubeconfig.read_text())
    program = json.loads(json.dumps(good))
    program["users"][0]["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh"}}
    stage.secret("malformed", "{")
    stage.secret("program", yaml.safe_dump(program))
    stage.secret("elsewhere", "x", key="config")
    names = ("malformed", "program", "elsewhere", "absent")
    for name in names:
        stage.state("SovereignCluster", name, connected(name))

    assert f"Secret {SYSTEM}/malformed" in unreachable(stage, "malformed")
    assert "is not YAML" in unreachable(stage, "malformed")
    said = unreachable(stage, "program")
    assert "users[0].user.exec" in said and "would run a program" in said and "ServiceAccount" in said
    assert "has no key 'kubeconfig'; put the kubeconfig there" in unreachable(stage, "elsewhere")
    assert f"Secret {SYSTEM}/absent cannot be read" in unreachable(stage, "absent")

    stage.secret("absent", stage.plane.kubeconfig.read_text())
    eventually(
        lambda: condition(stage.hub.get(kind_path("SovereignCluster", "absent")), "Reachable")["status"] == "True",
        "reached once the Secret is there",
        seconds=40,
    )
    stage.drop("SovereignCluster", *names)


@pytest.mark.usefixtures("goes_on")
def test_the_wrong_cluster(stage: Stage, space: Space, product: str) -> None:
    """Facts about one cluster never serve another, and no cluster is two."""
    spec = connected("hub", pools=[pool("p", provider="nordlys", product=product)])
    stage.secret("hub", stage.plane.kubeconfig.read_text())
    stage.state("SovereignCluster", "other", spec | {"identity": {"kubeSystemUID": "00000000"}})
    twin = connected("union-1", pools=[pool("p", provider="nordlys", product=product)])
    stage.state("SovereignCluster", "twin", twin)
    said = unreachable(stage, "other")
    assert "another cluster answers" in said and "spec.identity.kubeSystemUID is 00000000" in said
    assert "the same cluster as SovereignCluster/union-1" in unreachable(stage, "twin")
    stage.drop("SovereignCluster", "other", "twin")


@pytest.mark.usefixtures("goes_on")
def test_facts_that_cannot_be_true(stage: Stage) -> None:
    place = {"location": fact_group("location", country="XX", subdivision=None)}
    evidence = entity_spec()["evidence"]
    stage.state("SovereignCluster", "nowhere", cluster_spec("nordlys", [], facts=place))
    stage.state("SovereignCluster", "parentless", cluster_spec("nobody", []))
    never = evidence[0] | {"issued": "2026-02-30"}
    stage.state("SovereignCluster", "never", cluster_spec("nordlys", [], evidence=[never]))
    owner = {"capitalPercent": 100, "votesPercent": 100, "specialRights": []}
    for name, holder in (("chicken", "egg"), ("egg", "chicken"), ("dangling", "nobody")):
        ownership = {"ownership": {"owners": [owner | {"entity": holder}]}}
        stage.state("LegalEntity", name, entity_spec(**ownership))

    said = stage.accepted("SovereignCluster", "nowhere", "False")
    assert "spec.facts.location.country: XX is not an ISO 3166-1 alpha-2 country code" in said["message"]
    said = stage.accepted("SovereignCluster", "parentless", "False")
    assert said["message"] == "LegalEntity/nobody does not exist; create it or correct the reference"
    said = stage.accepted("SovereignCluster", "never", "False")
    assert said["message"].startswith("spec.evidence[0].issued: ") and "2026-02-30" in said["message"]
    for name in ("chicken", "egg"):
        cycle_told(stage, name)
    said = stage.accepted("LegalEntity", "dangling", "False")
    assert "owner LegalEntity/nobody does not exist" in said["message"]
    stage.accepted("LegalEntity", "nordlys", "True")

    stage.entity("nobody")
    stage.accepted("SovereignCluster", "parentless", "True")
    stage.accepted("LegalEntity", "dangling", "True")
    stage.entity("egg")
    stage.accepted("LegalEntity", "chicken", "True")
    stage.drop("SovereignCluster", "nowhere", "parentless", "never")
    stage.drop("LegalEntity", "chicken", "egg", "dangling", "nobody")


def cycle_told(stage: Stage, name: str) -> None:
    """The one that came first had a holder that did not exist yet."""

    def look() -> bool:
        message = stage.accepted("LegalEntity", name, "False")["message"]
        return "spec.ownership.owners: ownership cycle" in message and "chicken" in message and "egg" in message

    eventually(look, f"{name} tells of the cycle")


@pytest.mark.usefixtures("goes_on")
def test_frameworks(stage: Stage, space: Space, product: str) -> None:
    rule = {"id": "H.1", "clause": "house rule 1", "title": "The machines are at home", "level": 1}
    home: Json = {
        "id": "house",
        "version": "1",
        "territories": {"Home": {"countries": ["DK"]}},
        "tiers": [{"level": 1}],
        "rules": [rule | {"require": {"within": "Home", "facts": ["location"]}}],
    }
    stage.state("SovereigntyFramework", "house", home)
    stage.accepted("SovereigntyFramework", "house", "True")
    space.apply(workload("at-home", product=product, tier=1, sovereignty={"framework": "house"}))
    space.serving("at-home")

    stage.state("SovereigntyFramework", "house-again", home)
    for name, other in (("house", "house-again"), ("house-again", "house")):
        said = stage.accepted("SovereigntyFramework", name, "False")
        assert said["message"] == f"spec.id: house 1 is also defined by {other}; keep one"
    infd = space.says("at-home", "Accepted", "False", "FrameworkNotFound")
    assert condition(infd, "Available")["status"] == "True"
    eventually(lambda: "house-level-1" not in stage.two.labels("decent-0"), "no label of a framework not in force")

    broken = home | {"id": "broken", "rules": [rule | {"require": {"within": "Nowhere", "facts": ["locatoin"]}}]}
    stage.state("SovereigntyFramework", "broken", broken)
    said = stage.accepted("SovereigntyFramework", "broken", "False")
    assert said["message"].startswith("spec.rules[0] (H.1)"), said["message"]
    space.apply(workload("broken", product=product, tier=1, sovereignty={"framework": "broken"}))
    infd = space.says("broken", "Accepted", "False", "FrameworkNotFound")
    assert "SovereigntyFramework/broken" in condition(infd, "Accepted")["message"]

    stage.drop("SovereigntyFramework", "house-again", "broken")
    space.serving("at-home")
    eventually(lambda: stage.two.labels("decent-0").get("house-level-1") == "true", "the label of the one that is left")
    space.delete("at-home")
    space.gone("at-home")
    stage.drop("SovereigntyFramework", "house")


@pytest.mark.usefixtures("goes_on")
def test_pools_that_share_nodes(stage: Stage, space: Space, product: str) -> None:
    """A node that two pools name is in neither: nobody can tell which facts hold for it."""
    stage.one.add_pool("wide", product=product + "-w", nodes=1, gpus=8)
    space.apply(workload("first", product=product + "-w"))
    space.serving("first")
    overlap = pool("narrow", provider="nordlys", product=product + "-n")
    stage.one.pools.append(overlap | {"nodes": {"names": ["wide-0"]}})
    stage.one.state()

    said = eventually(
        lambda: (c := condition(stage.one.read(), "Stalled"))["reason"] == "PoolsOverlap" and c, "the overlap said"
    )
    assert "pool narrow: node wide-0 also matches wide" in said["message"]
    assert condition(stage.one.read(), "Ready")["status"] == "False"
    eventually(lambda: stage.one.labels("wide-0") == {}, "the labels withdrawn")
    space.apply(workload("second", product=product + "-w"), workload("third", product=product + "-n"))
    for name in ("second", "third"):
        infd = space.says(name, "Placed", "False", "InsufficientCapacity")
        assert "has room for 0" in condition(infd, "Placed")["message"]

    stage.one.pools.remove(stage.one.pools[-1])
    stage.one.state()
    space.serving("second")


@pytest.mark.usefixtures("goes_on")
def test_a_cluster_with_a_great_many_pools(stage: Stage) -> None:
    """The status of 128 pools that lack every fact can be stored and is said."""
    pools = [pool(f"p{number:03}", provider="nordlys", product="X") for number in range(128)]
    spec = cluster_spec("nordlys", pools) | {"facts": {}}
    stage.state("SovereignCluster", "huge", spec)

    def status() -> Json | None:
        found = stage.hub.get(kind_path("SovereignCluster", "huge")) or {}
        return found if condition(found, "Accepted")["status"] == "True" else None

    found = eventually(status, "a status")
    assert len(found["status"]["nodePools"]) == 128
    assert all(p["missing"] for p in found["status"]["nodePools"])
    assert len(json.dumps(found)) < ETCD_LIMIT
    stage.drop("SovereignCluster", "huge")


def test_names_that_cannot_be_used(stage: Stage, space: Space, product: str) -> None:
    """Names that Kubernetes takes for our kind but not for the objects that are delivered."""
    stage.one.add_pool("names", product=product, nodes=1, gpus=8)
    names = ("1st", "with.dot", "long-" * 13)
    space.apply(*(workload(name.strip("-"), product=product) for name in names))
    for name in names:
        infd = space.says(name.strip("-"), "Accepted", "False", "InvalidSpec")
        assert condition(infd, "Accepted")["message"].startswith("metadata.name: ")


def test_evidence_that_ends(stage: Stage, space: Space, product: str) -> None:
    """Evidence valid until yesterday is none; a later date makes the pool legal again."""
    evidence = entity_spec()["evidence"][0]
    stage.entity("lapsed", evidence=[evidence | {"validUntil": day(-1)}])
    stage.one.add_pool("lapsed", product=product, nodes=1, gpus=8, provider="lapsed")
    space.apply(workload("waits", product=product))
    space.says("waits", "Placed", "False", "NoEligibleCandidate")
    assert "level-1" not in stage.one.labels("lapsed-0")
    stage.entity("lapsed", evidence=[evidence | {"validUntil": day(30)}])
    infd = space.serving("waits")
    assert infd["status"]["nextEvaluationTime"] == day(31) + "T00:00:00Z"
    stage.drop("LegalEntity", "lapsed")
