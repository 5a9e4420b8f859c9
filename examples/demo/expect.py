"""What must be true at the end of each act of the demo, looked up on the API servers."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from devcluster.progress import Progress
from examples.demo.stage import POOLS, DemoError, Operator, Stage

WORKLOAD_LABEL = "domicile.dev/infd"
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.3

Place = tuple[str, str]
"""Plane and pool."""


class Expected(NamedTuple):
    """One workload of examples/workloads: its tier, its pods and where they may be."""

    namespace: str
    name: str
    tier: int
    reason: str
    pods: int
    places: frozenset[Place]


EXPECTED = (
    Expected("health", "assistant", 3, "Serving", pods=2, places=frozenset({("nordlys-1", "h100")})),
    Expected(
        "health",
        "summaries",
        2,
        "Serving",
        pods=2,
        places=frozenset({("nordlys-1", "h100"), ("nordlys-1", "h100-hall2")}),
    ),
    Expected("health", "triage", 4, "NoEligibleCandidate", pods=0, places=frozenset()),
    Expected("research", "notebook", 1, "Serving", pods=1, places=frozenset({("rhein-1", "a100")})),
)


MOVES = EXPECTED[0]
"""The workload of the second act."""

AFTER_TAKEOVER = (MOVES._replace(places=frozenset({("sodra-1", "h100")})), *EXPECTED[1:])


def wait_for_all(
    stage: Stage, operator: Operator, progress: Progress, *, expected: tuple[Expected, ...] = EXPECTED
) -> None:
    """Until every expectation holds; DemoError with those that do not, if that takes too long."""
    deadline = time.monotonic() + WAIT_SECONDS
    while found := problems(stage, expected):
        operator.check()
        if time.monotonic() > deadline:
            raise DemoError(f"after {WAIT_SECONDS:.0f} s this is not as it must be:\n  " + "\n  ".join(found))
        progress.update(found[0])
        time.sleep(POLL_SECONDS)


def problems(stage: Stage, expected: tuple[Expected, ...] = EXPECTED) -> list[str]:
    """What is not as expected, by what the hub says, or else by where the members' pods are."""
    stated = {_key(infd): infd.get("status", {}) for infd in stage.read("hub", "infd", "-A")}
    found = [problem for e in expected for problem in _stated_problems(e, stated.get((e.namespace, e.name), {}))]
    if found:
        return found
    running = _running_pods(stage)
    return [problem for e in expected for problem in _pod_problems(e, running.get((e.namespace, e.name), []))]


def _stated_problems(expected: Expected, status: dict[str, Any]) -> list[str]:
    name = f"{expected.namespace}/{expected.name}"
    if status.get("reason") != expected.reason:
        return [f"{name} is {status.get('reason') or 'not looked at yet'}, not {expected.reason}"]
    if status.get("tier") != expected.tier:
        return [f"{name} has tier {status.get('tier')}, not {expected.tier}"]
    placed = {(entry["cluster"], entry["nodePool"]) for entry in status.get("placements", ())}
    wrong = placed - expected.places
    return [f"{name} is placed on {'/'.join(place)}" for place in sorted(wrong)]


def _running_pods(stage: Stage) -> dict[tuple[str, str], list[Place]]:
    """By workload, the place of every pod; a pod that does not run has no pool."""
    found: dict[tuple[str, str], list[Place]] = {}
    for plane in stage.planes:
        pools = {node["metadata"]["name"]: _pool(plane, node) for node in stage.read(plane, "nodes")}
        for pod in stage.read(plane, "pods", "-A", "-l", WORKLOAD_LABEL):
            key = (pod["metadata"]["namespace"], pod["metadata"]["labels"][WORKLOAD_LABEL])
            runs = pod["status"].get("phase") == "Running"
            found.setdefault(key, []).append((plane, pools.get(pod["spec"].get("nodeName"), "") if runs else ""))
    return found


def _pod_problems(expected: Expected, places: list[Place]) -> list[str]:
    name = f"{expected.namespace}/{expected.name}"
    wrong = [place for place in places if place not in expected.places]
    found = [f"a pod of {name} is on {plane}/{pool or 'no node yet'}" for plane, pool in wrong]
    if len(places) != expected.pods:
        found.append(f"{name} has {len(places)} pods, not {expected.pods}")
    return found


def _pool(plane: str, node: dict[str, Any]) -> str:
    provider_id: str = node["spec"].get("providerID", "")
    return next((p.name for p in POOLS if p.plane == plane and provider_id.startswith(p.prefix)), "")


def _key(document: dict[str, Any]) -> tuple[str, str]:
    return document["metadata"]["namespace"], document["metadata"]["name"]
