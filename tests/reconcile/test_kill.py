"""The operator is killed at every step of a move, and the next one ends it as if nothing had been."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.running import run
from tests.reconcile.facts import Json, foreign_control, workload
from tests.reconcile.relay import Fault, Relay, Write
from tests.reconcile.stage import Cluster, Space, Stage, condition, eventually, placements
from tests.reconcile.test_violation import pack

REPLICAS = 2
MOST = 40  # writes that no move needs
OWNERS = {"union-1": "solvang", "union-2": "vestby"}
KINDS = (
    "apis/apps/v1|deployments",
    "apis/apps/v1|replicasets",
    "apis/networking.k8s.io/v1|networkpolicies",
    "api/v1|services",
    "api/v1|pods",
)


@pytest.fixture(scope="module")
def stage(relayed: Stage) -> Stage:
    return relayed


@pytest.fixture
def framework(stage: Stage, space: Space) -> Iterator[str]:
    """It drains, and lets a workload move again at once."""
    rules = pack(onViolation="Drain", disruption={"cooldown": "0s"}) | {"id": space.name}
    stage.state("SovereigntyFramework", space.name, rules)
    yield space.name
    stage.drop("SovereigntyFramework", space.name)


@pytest.fixture
def owners(stage: Stage) -> Iterator[None]:
    """Each member's pool has an owner of its own that can be taken over."""
    for owner in OWNERS.values():
        stage.entity(owner)
    yield
    stage.drop("LegalEntity", *OWNERS.values())


class Samples:
    """Looks at both members again and again while a move goes on. The old one first: what is missing there then must be
    on the new one already."""

    def __init__(self, space: Space, old: Cluster, new: Cluster) -> None:
        self._space, self._places = space, (old, new)
        self.pods: list[tuple[int, int]] = []  # on the old and the new
        self.ready: list[tuple[int, int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="samples")

    def __enter__(self) -> Samples:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.02):
            found = [place.pods(self._space) for place in self._places]
            self.pods.append((len(found[0]), len(found[1])))
            self.ready.append((sum(map(is_ready, found[0])), sum(map(is_ready, found[1]))))


def is_ready(pod: Json) -> bool:
    return condition(pod, "Ready")["status"] == "True" and "deletionTimestamp" not in pod["metadata"]


def of_the_move(write: Write) -> bool:
    """A write to the workload, or for it; what is said about clusters and owners meanwhile is another matter. What goes
    beside the Deployment is written at the same time: the policy stands for all of it."""
    if write.plane == "hub":
        return "/inferencedeployments/" in write.path or "/placementrecords" in write.path
    return "/deployments/" in write.path or "/networkpolicies/" in write.path


def test_every_step_of_a_move(stage: Stage, relay: Relay, space: Space, framework: str, owners: None) -> None:
    """Killed before the first write, then after the first, the second and so on, each carried out and never answered:
    that is every state a move can be left in. There and back again, until a move needs fewer writes."""
    product = space.name[:40]
    for cluster in (stage.one, stage.two):
        cluster.add_pool("owned", product=product, nodes=1, gpus=8, provider=OWNERS[cluster.name])
    old, new = stage.one, stage.two
    eventually(lambda: legal(old) and legal(new), "both are legal")
    stage.entity(OWNERS[new.name], **foreign_control())
    eventually(lambda: not legal(new), "only one is")
    space.apply(workload("w", product=product, replicas=REPLICAS, sovereignty={"framework": framework}))
    assert placements(space.serving("w")) == [(old.name, "owned")]
    for number in range(MOST):
        killed = move(stage, relay, space, old, new, number=max(number, 1), done=number > 0)
        if not killed:
            assert number > 5, "a move has more steps than that"
            verified = run("log", "verify", str(stage.operator.decisions))
            assert verified.exit_code == 0, verified.stdout + verified.stderr
            return
        old, new = new, old
    raise AssertionError(f"a move has {MOST} writes")


def move(stage: Stage, relay: Relay, space: Space, old: Cluster, new: Cluster, *, number: int, done: bool) -> bool:
    """Whether the operator was killed on the way."""
    stage.entity(OWNERS[new.name])
    eventually(lambda: legal(new), f"{new.name} is legal")
    before = stage.operator.process
    assert before is not None
    fault = Fault(number, of_the_move, before.kill, done=done, deadly=True)
    relay.arm(fault)
    with Samples(space, old, new) as samples:
        stage.entity(OWNERS[old.name], **foreign_control())
        eventually(lambda: fault.struck.is_set() or moved(space, new), "killed, or moved without it")
        killed = relay.disarm()
        step = f"killed {'after' if done else 'before'} {fault.seen[number - 1]}" if killed else "not killed"
        if killed:
            assert before.wait(5) == -signal.SIGKILL
            stage.operator.start()
        infd = eventually(lambda: moved(space, new), f"{step}: the move is completed")
    assert condition(infd, "Compliant")["status"] == "True" and "violation" not in infd["status"], step
    assert [(p["desired"], p["ready"]) for p in infd["status"]["placements"]] == [(REPLICAS, REPLICAS)], step
    assert left(old, space) == [], f"{step}: nothing is left behind"
    assert sum(map(is_ready, new.pods(space))) == len(new.pods(space)) == REPLICAS, step
    assert max(map(sum, samples.pods)) <= 2 * REPLICAS, f"{step}: {samples.pods}"
    assert min(map(sum, samples.ready)) >= REPLICAS, f"{step}: {samples.ready}"
    return killed


def legal(cluster: Cluster) -> bool:
    return 3 in (cluster.status_of("owned").get("levels") or [])


def moved(space: Space, new: Cluster) -> Json | None:
    infd = space.read("w")
    there = placements(infd) == [(new.name, "owned")] and condition(infd, "Ready")["status"] == "True"
    return infd if there else None


def left(cluster: Cluster, space: Space) -> list[Any]:
    """What a member still has in the scenario's namespace, beside what Kubernetes itself puts into every namespace."""
    found = []
    for group, _, plural in (kind.partition("|") for kind in KINDS):
        items = cluster.member.items(f"/{group}/namespaces/{space.name}/{plural}")
        found += [(plural, item["metadata"]["name"]) for item in items]
    accounts = cluster.member.items(f"/api/v1/namespaces/{space.name}/serviceaccounts")
    return found + [a["metadata"]["name"] for a in accounts if a["metadata"]["name"] != "default"]
