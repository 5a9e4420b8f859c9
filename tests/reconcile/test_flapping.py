"""Facts that change faster than anything should move."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.reconcile.facts import foreign_control, workload
from tests.reconcile.stage import Cluster, Space, Stage, condition, eventually, placements
from tests.reconcile.test_kill import OWNERS, Samples, legal
from tests.reconcile.test_violation import events, pack

FLIPS = 10
APART = 0.7  # seconds between two of them: about the time a move takes


@pytest.fixture
def framework(stage: Stage, space: Space) -> Iterator[str]:
    """It drains; its cool-down is what every framework has that names none."""
    stage.state("SovereigntyFramework", space.name, pack(onViolation="Drain") | {"id": space.name})
    yield space.name
    stage.drop("SovereigntyFramework", space.name)


@pytest.fixture
def owners(stage: Stage) -> Iterator[None]:
    """Each member's pool has an owner of its own that can be taken over."""
    for owner in OWNERS.values():
        stage.entity(owner)
    yield
    stage.drop("LegalEntity", *OWNERS.values())


def test_a_fact_that_flips_ten_times(stage: Stage, space: Space, framework: str, owners: None) -> None:
    """Of two places now one is legal, now the other: the workload moves once and then waits for the cool-down."""
    clusters = (stage.one, stage.two)
    for cluster in clusters:
        cluster.add_pool("owned", product=space.name[:40], nodes=1, gpus=8, provider=OWNERS[cluster.name])
    stage.entity(OWNERS["union-2"], **foreign_control())
    eventually(lambda: [legal(c) for c in clusters] == [True, False], "only one is legal")
    space.apply(workload("w", product=space.name[:40], sovereignty={"framework": framework}))
    assert placements(space.serving("w")) == [("union-1", "owned")]
    moved: set[str] = set()
    with Samples(space, stage.one, stage.two) as samples:
        for number in range(FLIPS):
            flip(stage, *(clusters if number % 2 == 0 else clusters[::-1]))
            until = time.monotonic() + APART
            while time.monotonic() < until:
                moved.add(space.read("w")["status"].get("lastMoved", ""))
                time.sleep(0.05)
        for owner in OWNERS.values():
            stage.entity(owner)
        eventually(lambda: len(placements(space.read("w"))) == 1, "one copy in the end")
        infd = space.serving("w")
    assert condition(infd, "Compliant")["status"] == "True" and "violation" not in infd["status"]
    assert len(moved - {""}) == 1, "one move within the cool-down"
    assert events(stage, space).count("Moving") == 1
    assert min(map(sum, samples.ready)) >= 1 and max(map(sum, samples.pods)) <= 2
    assert sum(len(cluster.pods(space)) for cluster in clusters) == 1


def flip(stage: Stage, lost: Cluster, won: Cluster) -> None:
    stage.entity(OWNERS[won.name])
    stage.entity(OWNERS[lost.name], **foreign_control())
