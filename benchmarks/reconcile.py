"""The whole operator on real control planes: from applied to placed, into the member, and ready.

    python -m benchmarks.reconcile                                # bursts of 300 and 1,000, paced at 1/s and 20/s
    python -m benchmarks.reconcile --burst 50                     # one short scenario

JSON on stdout, progress on stderr. Hub, members with all controllers and KWOK, operator and this client share the
machine's cores. Times are those at which this client's watches received a state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import meters
from benchmarks.figures import machine, tell
from benchmarks.meters import Writes
from benchmarks.scenery import uniform
from benchmarks.sightings import DEPLOYMENTS, STATES, WORKLOADS, Sightings, follow
from benchmarks.stage import Stage, stage, workload
from domicile.kube.client import KubeClient
from domicile.kube.connect import hub_client

CLIENTS = 8  # creations under way at once in a burst


@dataclass(frozen=True)
class Load:
    """What is created: ``count`` workloads, all at once or ``per_second``."""

    name: str
    count: int
    per_second: float | None = None


@dataclass(frozen=True)
class Bench:
    """What all scenarios share."""

    arguments: argparse.Namespace
    stage: Stage
    hub: KubeClient
    sightings: Sightings


def main() -> None:
    """Run the scenarios asked for and print one JSON document."""
    arguments = _arguments()
    loads = [Load(f"burst-{count}", count) for count in arguments.burst]
    loads += [Load(f"paced-{rate:g}", round(rate * arguments.seconds), rate) for rate in arguments.pace]
    log = Path(tempfile.gettempdir()) / f"domicile-bench-{os.getpid()}.log"
    try:
        with stage(uniform(members=arguments.members, nodes=arguments.nodes), log=log) as ready:
            figures = asyncio.run(_run(arguments, ready, loads))
    except BaseException:
        tell(f"operator log: {log}")
        raise
    log.unlink()
    json.dump({"machine": machine(), "size": vars(arguments), **figures}, sys.stdout, indent=2)
    print()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--burst", type=int, action="append", default=[], help="workloads at once; repeatable")
    parser.add_argument("--pace", type=float, action="append", default=[], help="workloads a second; repeatable")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a paced scenario")
    parser.add_argument("--replicas", type=int, default=2, help="pods of each workload")
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=20, help="KWOK nodes of each member")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds afterwards in which nothing may be written")
    parser.add_argument("--bare", action="store_true", help="members without controllers and pods: delivery alone")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds a scenario may take")
    arguments = parser.parse_args()
    if not arguments.burst and not arguments.pace:
        arguments.burst, arguments.pace = [300, 1000], [1.0, 20.0]
    return arguments


async def _run(arguments: argparse.Namespace, ready: Stage, loads: list[Load]) -> dict[str, Any]:
    sightings = Sightings()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_client(kubeconfig=str(ready.hub.kubeconfig)))
        tasks = [asyncio.create_task(follow(hub, WORKLOADS, sightings.on_hub))]
        for plane in ready.members.values():
            member = await stack.enter_async_context(hub_client(kubeconfig=str(plane.kubeconfig)))
            tasks.append(asyncio.create_task(follow(member, DEPLOYMENTS, sightings.on_member)))
        bench = Bench(arguments, ready, hub, sightings)
        try:
            if arguments.bare:
                _bare(ready)
            await _warm_up(bench)
            return {load.name: await _scenario(bench, load) for load in loads}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _bare(ready: Stage) -> None:
    """Freeze everything in the members but their API servers: what is left is what delivery costs."""
    for plane in ready.members.values():
        for component in ("kube-controller-manager", "kube-scheduler", "kwok"):
            plane.pause(component)


async def _warm_up(bench: Bench) -> None:
    """One workload first: namespaces in the members, connections and code paths are there before anything counts."""
    bench.sightings.begin()
    await _create(bench, Load("warm-up", 4))
    await _settled(bench, 4)
    await _clear(bench, 4)
    await asyncio.sleep(2)


async def _scenario(bench: Bench, load: Load) -> dict[str, Any]:
    tell(f"{load.name}: {load.count} workloads")
    bench.sightings.begin()
    before = await asyncio.to_thread(bench.stage.cost)
    began = time.perf_counter()
    await _create(bench, load)
    complete = await _settled(bench, load.count)
    took = time.perf_counter() - began
    figures = bench.sightings.figures(began)
    await asyncio.sleep(1)  # what is still on its way, such as events
    after = await asyncio.to_thread(bench.stage.cost)
    cost = after.since(before)
    quiet = await _quiet(bench, after.hub)
    cleared = await _clear(bench, load.count)
    tell(f"{load.name}: {took:.1f} s, gone after {cleared:.1f} s")
    return {
        "workloads": load.count,
        "complete": complete,
        "unready": bench.sightings.unready(),
        "seconds": round(took, 2),
        **figures,
        "hub_writes": _writes(cost.hub, load.count),
        "hub_writes_quiet": quiet,
        "member_writes": _writes(cost.members, load.count),
        "cpu_seconds": cost.cpu,
        "deleted_per_second": round(load.count / cleared, 1),
    }


async def _create(bench: Bench, load: Load) -> None:
    began = time.perf_counter()
    limit = asyncio.Semaphore(CLIENTS)

    async def one(number: int) -> None:
        if load.per_second is not None:
            await asyncio.sleep(began + number / load.per_second - time.perf_counter())
        async with limit:
            name = f"{load.name}-{number:04}".replace(".", "-")
            await bench.hub.create(WORKLOADS, workload(name, replicas=bench.arguments.replicas))
            bench.sightings.created[name] = time.perf_counter()

    await asyncio.gather(*(one(number) for number in range(load.count)))


async def _settled(bench: Bench, count: int) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(bench.arguments.timeout):
            states = STATES[:2] if bench.arguments.bare else STATES
            await bench.sightings.until(lambda: bench.sightings.complete(count, states=states), check=bench.stage.check)
            return True
    return False


async def _quiet(bench: Bench, before: Writes) -> dict[str, int]:
    """Hub writes while nothing changes; there should be none."""
    await asyncio.sleep(bench.arguments.quiet)
    after = await asyncio.to_thread(meters.writes, bench.stage.hub)
    return dict(after - before)


async def _clear(bench: Bench, count: int) -> float:
    """Delete all workloads; seconds until the last is gone, which is after its pods are."""
    began = time.perf_counter()
    await bench.hub.delete(WORKLOADS)
    async with asyncio.timeout(bench.arguments.timeout):
        await bench.sightings.until(lambda: len(bench.sightings.gone) >= count, check=bench.stage.check)
    return time.perf_counter() - began


def _writes(made: Writes, count: int) -> dict[str, Any]:
    """Writes per workload by resource and verb, and in sum without the client's own creation."""
    own = min(count, made.get("inferencedeployments POST", 0))
    per = {what: round(n / count, 3) for what, n in made.most_common()}
    return {"per_workload": round((sum(made.values()) - own) / count, 3), "by_request": per}


if __name__ == "__main__":
    main()
