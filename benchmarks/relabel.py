"""A cluster stops being eligible while something runs there: what the whole operator does about it, case by case.

    python -m benchmarks.relabel

The cases in which Karmada and OCM were looked at by changing a cluster's label. Here nobody labels a cluster: a company
is taken over, the pools it provides no longer satisfy tier 3, and their nodes lose the label. The rule pack is cada as
it is delivered. A last case changes labels of nodes by hand.

JSON on stdout, progress on stderr. Times run from the API server's answer to the change to this client's watch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import machine, tell
from benchmarks.pods import PODS, Pods
from benchmarks.scenery import Pool, ownership, pooled
from benchmarks.sightings import WORKLOADS, follow
from benchmarks.stage import Stage, stage, workload
from domicile.kube.client import KubeClient
from domicile.kube.connect import hub_client
from domicile.model.labels import level_label
from domicile.tiers.packs import pack_text

EAST, EAST_HALL, WEST = Pool("member-1", "east", 2), Pool("member-1", "east-hall", 2), Pool("member-2", "west", 2)
POOLS = (EAST, EAST_HALL, WEST)
ENTITIES = "/apis/domicile.dev/v1alpha1/legalentities"
TIER = 3
REPLICAS = 4


class Case(NamedTuple):
    """Workloads by name with the pool each is to start in, the pools legal beside those, and whose place is lost."""

    name: str
    like: tuple[str, ...]  # Karmada's cases in the same situation
    workloads: dict[str, Pool]
    legal: tuple[Pool, ...]
    lost: Pool
    replicas: int = REPLICAS


CASES = (
    Case("another_cluster", ("dupsc", "divsc"), {"moves": EAST}, (EAST, WEST), EAST),
    Case("another_pool_of_the_cluster", (), {"changes-pool": EAST}, (EAST, EAST_HALL), EAST),
    Case("beside_a_twin", ("dup", "div"), {"twin-east": EAST, "twin-west": WEST}, (EAST, WEST), EAST, 2),
    Case("no_other_place", ("duplast", "divlast"), {"stays": EAST}, (EAST,), EAST),
)


@dataclass
class Bench:
    """What all cases share; ``told`` holds each status seen, with its moment."""

    arguments: argparse.Namespace
    stage: Stage
    hub: KubeClient
    members: dict[str, KubeClient]
    pods: Pods
    told: dict[str, list[tuple[float, dict[str, Any]]]] = field(default_factory=dict)

    def on_hub(self, kind: str, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment changed."""
        name = raw["metadata"]["name"]
        if kind == "DELETED":
            self.told.pop(name, None)
        else:
            self.told.setdefault(name, []).append((time.perf_counter(), dict(raw.get("status") or {})))

    def status(self, name: str) -> dict[str, Any]:
        """The newest status."""
        return self.told[name][-1][1] if self.told.get(name) else {}

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait for what the watches tell; whether it came in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.arguments.timeout):
                while not condition():
                    self.stage.check()
                    await asyncio.sleep(0.02)
                return True
        return False


def main() -> None:
    """Run all cases and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watched", type=float, default=20.0, help="seconds a case is watched where nothing may move")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds anything may take")
    arguments = parser.parse_args()
    log = Path(tempfile.gettempdir()) / f"domicile-relabel-{os.getpid()}.log"
    try:
        with stage(pooled(POOLS, pack=pack_text("cada")), log=log) as ready:
            figures = asyncio.run(_run(arguments, ready))
    except BaseException:
        tell(f"operator log: {log}")
        raise
    log.unlink()
    size = {**vars(arguments), "pools": [str(pool) for pool in POOLS], "tier": TIER}
    json.dump({"machine": machine(), "size": size, "framework": "cada as delivered", **figures}, sys.stdout, indent=2)
    print()


async def _run(arguments: argparse.Namespace, ready: Stage) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_client(kubeconfig=str(ready.hub.kubeconfig)))
        members = {
            name: await stack.enter_async_context(hub_client(kubeconfig=str(plane.kubeconfig)))
            for name, plane in ready.members.items()
        }
        bench = Bench(arguments, ready, hub, members, Pods())
        tasks = [asyncio.create_task(follow(hub, WORKLOADS, bench.on_hub))]
        tasks += [asyncio.create_task(follow(member, PODS, bench.pods.on_member)) for member in members.values()]
        try:
            found = {case.name: await _case(bench, case) for case in CASES}
            return found | {"node_labels_by_hand": await _labels_by_hand(bench)}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


# -- a case --------------------------------------------------------------------------------------------------------


async def _case(bench: Bench, case: Case) -> dict[str, Any]:
    """Start the workload whose place will be lost while no other is legal, then its twin, and take the place."""
    tell(case.name)
    await _legal(bench, [case.lost])
    for name, pool in case.workloads.items():
        wish = {} if pool == case.lost else {"excludeClusters": [case.lost.cluster]}
        await bench.hub.create(WORKLOADS, workload(name, replicas=case.replicas, **wish))
        if not await bench.until(partial(_serves, bench, name, pool, case.replicas)):
            raise RuntimeError(f"{name} does not serve in {pool}: {bench.status(name)}")
        await _legal(bench, case.legal)
    await asyncio.sleep(2)  # what the change to more legal places set off
    lost = [name for name, pool in case.workloads.items() if pool == case.lost]
    uids = {name: bench.pods.uids(name, pool.name) for name, pool in case.workloads.items()}
    began = await _own(bench, case.lost, lawful=False)
    elsewhere = [pool for pool in case.legal if pool != case.lost]
    figures = {name: await _lost(bench, case, name, began, elsewhere) for name in lost}
    untouched = [name for name in case.workloads if name not in lost]
    result: dict[str, Any] = {"like": case.like, "replicas": case.replicas, "workloads": figures}
    if untouched:
        same = {name: bench.pods.uids(name, case.workloads[name].name) == uids[name] for name in untouched}
        result["pods_of_others_untouched"] = same
    if not elsewhere:
        result["after_the_facts_healed"] = await _healed(bench, case, lost[0], uids[lost[0]])
    await _clear(bench, case)
    return result


async def _lost(bench: Bench, case: Case, name: str, began: float, elsewhere: Sequence[Pool]) -> dict[str, Any]:
    """What becomes of one workload that lost its place."""
    if elsewhere:
        complete = await bench.until(lambda: any(_serves(bench, name, pool, case.replicas) for pool in elsewhere))
    else:
        await asyncio.sleep(bench.arguments.watched)
        complete = True
    statuses = [(at, status) for at, status in bench.told[name] if at >= began]
    noncompliant = [(at, status) for at, status in statuses if _condition(status, "Compliant")["status"] == "False"]
    moved = [at for at, status in statuses if status.get("nodePool") != case.lost.name]
    left = bench.pods.count(name, case.lost.name)
    gone = [
        c.at
        for c in bench.pods.changes
        if (c.workload, c.pool) == (name, case.lost.name) and not c.pods and c.at >= began
    ]
    least, gap = _service(bench.pods, name, began, case.replicas)
    return {
        "complete": complete,
        "detected_after": _after(began, [at for at, _ in noncompliant]),
        "decided_after": _after(began, moved),
        "vacated_after": _after(began, gone[-1:]) if not left else None,
        "last_copy_kept": left == case.replicas if not elsewhere else None,
        "least_ready_pods": least,
        "seconds_without_a_ready_pod": gap,
        "message": _condition(noncompliant[0][1], "Compliant")["message"] if noncompliant else "",
        "violation": noncompliant[0][1].get("violation") if noncompliant else None,
        "placed_says": _condition((noncompliant or statuses)[-1][1], "Placed") if statuses else None,
        "finally": bench.status(name).get("reason"),
    }


async def _healed(bench: Bench, case: Case, name: str, uids: frozenset[str]) -> dict[str, Any]:
    """The place is legal again: the same pods serve on, and the status says so."""
    began = await _own(bench, case.lost, lawful=True)
    complete = await bench.until(lambda: _serves(bench, name, case.lost, case.replicas))
    return {
        "compliant_again_after": round(time.perf_counter() - began, 3) if complete else None,
        "same_pods": bench.pods.uids(name, case.lost.name) == uids,
    }


def _service(pods: Pods, name: str, began: float, replicas: int) -> tuple[int, float]:
    """The least ready pods since ``began``, all pools together, and the seconds with none."""
    by_pool: dict[str, int] = {}
    least, gap, since = replicas, 0.0, began
    for change in (c for c in pods.changes if c.workload == name):
        if change.at >= began and by_pool and not sum(by_pool.values()):
            gap += change.at - since
        by_pool[change.pool] = change.ready
        since = change.at
        if change.at >= began:
            least = min(least, sum(by_pool.values()))
    if not sum(by_pool.values()):
        gap += time.perf_counter() - since
    return least, round(gap, 3)


# -- labels of nodes -----------------------------------------------------------------------------------------------


async def _labels_by_hand(bench: Bench) -> dict[str, Any]:
    """Somebody takes the tier's label off a proven node, and puts it on one that is not proven."""
    tell("node_labels_by_hand")
    await _legal(bench, [WEST])
    label = level_label("cada", TIER)
    proven, unproven = (WEST, f"{WEST.name}-0"), (EAST, f"{EAST.name}-0")
    found = {}
    for what, (pool, node), by_hand, right in (("taken_off", proven, None, "true"), ("put_on", unproven, "true", None)):
        client = bench.members[pool.cluster]
        path = f"/api/v1/nodes/{node}"
        answer = await client.merge_patch(path, {"metadata": {"labels": {label: by_hand}}})
        began = time.perf_counter()
        if answer["metadata"]["labels"].get(label) != by_hand:
            raise RuntimeError(f"{node}: the API server did not take {label}={by_hand}")
        found[f"{what}_put_right_after"] = await _label_is(bench, client, path, label, right, began)
    return found


async def _label_is(
    bench: Bench, client: KubeClient, path: str, label: str, value: str | None, began: float
) -> float | None:
    """Seconds since ``began`` until a node's label is as it should be, looked up all the time."""
    while time.perf_counter() - began < bench.arguments.timeout:
        node = await client.get(path)
        took = time.perf_counter() - began
        if node["metadata"]["labels"].get(label) == value:
            return round(took, 3)
        await asyncio.sleep(0.01)
    return None


# -- facts and workloads -------------------------------------------------------------------------------------------


async def _legal(bench: Bench, pools: Sequence[Pool]) -> None:
    """Exactly these pools satisfy the tier, and their nodes say so."""
    for pool in POOLS:
        await _own(bench, pool, lawful=pool in pools)
    label = level_label("cada", TIER)
    for pool in POOLS:
        path, value = f"/api/v1/nodes/{pool.name}-0", "true" if pool in pools else None
        await _label_is(bench, bench.members[pool.cluster], path, label, value, time.perf_counter())


async def _own(bench: Bench, pool: Pool, *, lawful: bool) -> float:
    """Change who owns a pool's provider; when that was answered."""
    await bench.hub.merge_patch(f"{ENTITIES}/{pool.provider}", ownership(lawful=lawful))
    return time.perf_counter()


async def _clear(bench: Bench, case: Case) -> None:
    await bench.hub.delete(WORKLOADS)
    if not await bench.until(lambda: not any(name in bench.told for name in case.workloads)):
        raise RuntimeError(f"{case.name}: not gone in time")


def _serves(bench: Bench, name: str, pool: Pool, replicas: int) -> bool:
    status = bench.status(name)
    there = (status.get("cluster"), status.get("nodePool")) == (pool.cluster, pool.name)
    return there and status.get("reason") == "Serving" and bench.pods.ready(name, pool.name) == replicas


def _condition(status: Mapping[str, Any], kind: str) -> dict[str, Any]:
    said: dict[str, Any] = next((c for c in status.get("conditions") or () if c["type"] == kind), {})
    return {key: said.get(key, "") for key in ("status", "reason", "message")}


def _after(began: float, moments: Sequence[float]) -> float | None:
    return round(max(0.0, moments[0] - began), 3) if moments else None


if __name__ == "__main__":
    main()
