"""The operator ends and starts again: nothing is placed twice, nothing is lost, and a quiet state stays quiet."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from typing import Any

from tests.reconcile.facts import workload
from tests.reconcile.stage import PLURALS, Space, Stage, eventually, kind_path, placements

BURST = 20
QUIET = 10.0  # seconds
WRITE = re.compile(
    r'^apiserver_request_total\{.*resource="(\w+)".*subresource="(\w*)".*verb="(POST|PUT|PATCH|APPLY)".*\} (\S+)$'
)


def test_killed_in_the_middle_of_a_burst(stage: Stage, space: Space, product: str) -> None:
    """There is room for each of them once: a forgotten promise would fill a pool twice."""
    stage.one.add_pool("left", product=product, nodes=2, gpus=5)
    stage.two.add_pool("right", product=product, nodes=2, gpus=5)
    names = [f"w{number:02}" for number in range(BURST)]
    space.apply(*(workload(name, product=product) for name in names))
    eventually(lambda: any(placements(infd) for infd in everything(space)), "some are placed")
    stage.operator.end(signal.SIGKILL)
    placed = {infd["metadata"]["name"]: placements(infd)[0] for infd in everything(space) if placements(infd)}
    assert placed
    stage.operator.start()

    for name in names:
        infd = space.serving(name, seconds=40)
        assert placements(infd)[0] == placed.get(name, placements(infd)[0]), "what was decided stays decided"
        assert len(placements(infd)) == 1
    delivered = [d["metadata"]["name"] for c in (stage.one, stage.two) for d in c.deployments(space)]
    assert sorted(delivered) == names, "each exactly once"
    pods = [pod for cluster in (stage.one, stage.two) for pod in cluster.pods(space)]
    assert len(pods) == BURST and all(pod["spec"].get("nodeName") for pod in pods)


def test_ends_when_told_and_starts_without_a_trace(stage: Stage, space: Space, product: str) -> None:
    stage.one.add_pool("calm", product=product, nodes=1, gpus=8)
    space.apply(workload("calm", product=product), workload("waits", product=product, tier=4))
    space.serving("calm")
    space.says("waits", "Placed", "False", "NoEligibleCandidate")
    before = everything(space)

    began = time.monotonic()
    assert stage.operator.end(signal.SIGTERM, within=5.0) == 0
    assert time.monotonic() - began < 5.0
    space.delete("waits")
    assert "deletionTimestamp" in space.read("waits")["metadata"], "held until an operator says that nothing is left"
    stage.operator.start()
    space.gone("waits")
    space.apply(workload("after", product=product))
    space.serving("after")

    calm = space.read("calm")
    was = next(infd for infd in before if infd["metadata"]["name"] == "calm")
    assert calm["status"] == was["status"]
    assert calm["metadata"]["resourceVersion"] == was["metadata"]["resourceVersion"], "a restart writes nothing"


def test_quiet(stage: Stage, space: Space, product: str) -> None:
    """No writes to the hub while nothing changes, and none to the member's nodes and Deployments."""
    stage.one.add_pool("quiet", product=product, nodes=2, gpus=8)
    space.apply(*(workload(name, product=product) for name in ("a", "b")), workload("c", product=product, tier=4))
    space.serving("a")
    space.serving("b")
    space.says("c", "Placed", "False", "NoEligibleCandidate")
    eventually(lambda: settled(stage), "everything said")

    versions, counted = resource_versions(stage), writes(stage)
    time.sleep(QUIET)

    assert resource_versions(stage) == versions
    assert writes(stage) == counted


def everything(space: Space) -> list[dict[str, Any]]:
    return space.hub.items(space.path())


def settled(stage: Stage) -> bool:
    """Whether two looks, a little apart, see the same."""
    before = resource_versions(stage)
    time.sleep(1.0)
    return resource_versions(stage) == before


def resource_versions(stage: Stage) -> dict[str, str]:
    """The versions of all objects of our kinds, and of the Deployments on the first member."""
    paths = [kind_path(k) for k in ("InferenceDeployment", "SovereignCluster", "LegalEntity", "SovereigntyFramework")]
    found = [o for path in paths for o in stage.hub.items(path)]
    found += stage.one.member.items("/apis/apps/v1/deployments")
    return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in found}


def writes(stage: Stage) -> Counter[tuple[str, ...]]:
    """Writes to our kinds that the hub's API server counted, whoever sent them and whatever came of them: an apply
    that changes nothing moves no resourceVersion. Deletions are left out: the namespace controller sends its own."""
    counted: Counter[tuple[str, ...]] = Counter()
    for line in stage.hub.metrics().splitlines():
        if (match := WRITE.match(line)) and match[1] in PLURALS.values():
            counted[match[1], match[2], match[3]] += int(float(match[4]))
    assert counted["inferencedeployments", "status", "APPLY"], "the counter is read as it is written"
    return counted
