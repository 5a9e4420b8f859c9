"""The whole operator while facts keep changing: how soon it notices, moves and still serves everybody else.

    python -m benchmarks.churn                                        # 200 deployments, 1, 10 and 100 flips a second
    python -m benchmarks.churn --deployments 1000 --rates 10
    python -m benchmarks.churn --moves-at-once 10000 --rates 10       # no budget holds a move back
    python -m benchmarks.churn --deployments 20 --seconds 10          # a short look

A flip changes the owner of one pool's provider: to a third-country company, which makes the pool illegal for tier 3, or
back. Each of the pools (one per hundredth of the deployments) has a provider of its own; at most a quarter of them is
illegal at a time, the one that has been so the longest is healed first. Beside the flips, one new deployment a second.

JSON on stdout, progress on stderr. Hub, members with all controllers and KWOK, operator and this client share the
machine's cores. Times run from the API server's answer to a flip to this client's watch showing the state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.concerns import Concerns
from benchmarks.figures import machine, spread, tell
from benchmarks.meters import Writes
from benchmarks.pods import PODS, in_pools
from benchmarks.scenery import Pool, disruption, ownership, pack_with, pooled
from benchmarks.sightings import WORKLOADS, follow
from benchmarks.stage import Cost, Stage, stage, workload
from domicile.kube.client import KubeClient
from domicile.kube.connect import hub_client

MEMBERS = ("member-1", "member-2")
MOST_POOLS = 100
ILLEGAL_SHARE = 4  # one in so many pools
CLIENTS = 16  # requests of this client under way at once
ENTITIES = "/apis/domicile.dev/v1alpha1/legalentities"
FRAMEWORK = "cada with other disruption limits, in its place on the hub"


@dataclass
class Bench:
    """What all scenarios share."""

    arguments: argparse.Namespace
    stage: Stage
    pools: list[Pool]
    hub: KubeClient
    members: dict[str, KubeClient]
    concerns: Concerns
    news: asyncio.Event
    order: list[Pool] = field(default_factory=list)  # pools to break next, first first
    broken: list[Pool] = field(default_factory=list)  # illegal ones, the longest first
    created: int = 0


@dataclass(frozen=True)
class Flip:
    """One flip as it went."""

    lawful: bool
    late: float  # seconds after it was due when it was sent
    concerned: int


def main() -> None:
    """Run the scenarios asked for and print one JSON document."""
    arguments = _arguments()
    count = min(MOST_POOLS, arguments.deployments)
    pools = [Pool(MEMBERS[n % len(MEMBERS)], f"pool-{n:03}") for n in range(count)]
    limits = disruption(moves_at_once=arguments.moves_at_once)
    log = Path(tempfile.gettempdir()) / f"domicile-churn-{os.getpid()}.log"
    try:
        with stage(pooled(pools, pack=pack_with(limits)), log=log) as ready:
            figures = asyncio.run(_run(arguments, ready, pools))
    except BaseException:
        tell(f"operator log: {log}")
        raise
    log.unlink()
    framework = {"rules": FRAMEWORK, "disruption": limits}
    size = {**vars(arguments), "pools": count, "illegal_at_once": max(1, count // ILLEGAL_SHARE)}
    json.dump({"machine": machine(), "size": size, "framework": framework, **figures}, sys.stdout, indent=2)
    print()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=200, help="InferenceDeployments at tier 3")
    parser.add_argument("--replicas", type=int, default=2, help="pods of each")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 10.0, 100.0], help="flips a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each rate")
    parser.add_argument("--moves-at-once", type=int, default=10, help="moves per tier and per cluster")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds without news that count as quiescence")
    parser.add_argument(
        "--timeout", type=float, default=300.0, help="seconds until all is placed, and until quiescence"
    )
    parser.add_argument("--seed", type=int, default=1, help="order in which pools are flipped")
    arguments = parser.parse_args()
    if arguments.deployments < ILLEGAL_SHARE:
        parser.error(f"--deployments: at least {ILLEGAL_SHARE}")
    return arguments


async def _run(arguments: argparse.Namespace, ready: Stage, pools: list[Pool]) -> dict[str, Any]:
    news = asyncio.Event()
    concerns = Concerns(news.set)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(hub_client(kubeconfig=str(ready.hub.kubeconfig)))
        tasks = [asyncio.create_task(follow(hub, WORKLOADS, concerns.on_hub))]
        members = {}
        for name, plane in ready.members.items():
            members[name] = await stack.enter_async_context(hub_client(kubeconfig=str(plane.kubeconfig)))
            tasks.append(asyncio.create_task(follow(members[name], PODS, concerns.pods.on_member)))
        order = random.Random(arguments.seed).sample(pools, len(pools))
        bench = Bench(arguments, ready, pools, hub, members, concerns, news, order)
        try:
            await _fill(bench)
            return {f"{rate:g} per second": await _scenario(bench, rate) for rate in arguments.rates}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _fill(bench: Bench) -> None:
    """All deployments, ready before anything is flipped."""
    tell(f"{bench.arguments.deployments} deployments over {len(bench.pools)} pools")
    limit = asyncio.Semaphore(CLIENTS)

    async def one(number: int) -> None:
        async with limit:
            await bench.hub.create(WORKLOADS, workload(f"old-{number:04}", replicas=bench.arguments.replicas))

    await asyncio.gather(*(one(number) for number in range(bench.arguments.deployments)))
    if not await _quiet(bench):
        raise RuntimeError(f"not all deployments got ready: {Counter(bench.concerns.reasons.values())}")


async def _scenario(bench: Bench, rate: float) -> dict[str, Any]:
    tell(f"{rate:g} flips a second for {bench.arguments.seconds:g} s")
    bench.concerns.begin()
    before = await asyncio.to_thread(bench.stage.cost)
    began = time.perf_counter()
    creating = asyncio.create_task(_create_new(bench))
    flips = await _flip_all(bench, rate)
    took = time.perf_counter() - began
    created = await creating
    quiet = await _quiet(bench)
    calm = max(0.0, bench.concerns.changed - began - took)
    after = await asyncio.to_thread(bench.stage.cost)
    left = await _left(bench)
    tell(f"{len(flips)} flips in {took:.1f} s, calm {calm:.1f} s later, left: {left}")
    figures = _pace(flips, took, asked=rate) | _figures(bench, flips, created, after.since(before))
    await _restore(bench)
    return {
        **figures,
        "calm_after_seconds": round(calm, 2) if quiet else None,
        "left_when_calm": left,
    }


# -- flips and new deployments -------------------------------------------------------------------------------------


async def _flip_all(bench: Bench, rate: float) -> list[Flip]:
    began = time.perf_counter()
    limit = asyncio.Semaphore(CLIENTS)
    locks = {pool.name: asyncio.Lock() for pool in bench.pools}  # flips of one pool arrive in their order

    async def one(pool: Pool, lawful: bool, due: float) -> Flip:
        async with locks[pool.name], limit:
            return await _flip(bench, pool, lawful=lawful, due=due)

    tasks = []
    for number in range(round(rate * bench.arguments.seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(*_next(bench), due)))
    return list(await asyncio.gather(*tasks))


def _next(bench: Bench) -> tuple[Pool, bool]:
    """Which pool is flipped next, and whether to legal."""
    if len(bench.broken) >= max(1, len(bench.pools) // ILLEGAL_SHARE):
        pool = bench.broken.pop(0)
        bench.order.append(pool)
        return pool, True
    pool = bench.order.pop(0)
    bench.broken.append(pool)
    return pool, False


async def _flip(bench: Bench, pool: Pool, *, lawful: bool, due: float) -> Flip:
    late = time.perf_counter() - due
    concerned = [] if lawful else bench.concerns.breaking(pool.name)
    await bench.hub.merge_patch(f"{ENTITIES}/{pool.provider}", ownership(lawful=lawful))
    answered = time.perf_counter()
    for concern in concerned:
        concern.at = answered
    if lawful:
        bench.concerns.heal(pool.name)
    return Flip(lawful, late, len(concerned))


async def _create_new(bench: Bench) -> int:
    """One new deployment a second; how many there were."""
    began, count = time.perf_counter(), int(bench.arguments.seconds)
    for second in range(count):
        await asyncio.sleep(max(0.0, began + second - time.perf_counter()))
        name = f"new-{bench.created:04}"
        bench.created += 1
        await bench.hub.create(WORKLOADS, workload(name, replicas=1))
        bench.concerns.created[name] = time.perf_counter()
    return count


async def _restore(bench: Bench) -> None:
    """Every pool legal again, and calm."""
    while bench.broken:
        pool = bench.broken.pop(0)
        bench.order.append(pool)
        await _flip(bench, pool, lawful=True, due=time.perf_counter())
    await _quiet(bench)


# -- what is left and what it cost ---------------------------------------------------------------------------------


async def _quiet(bench: Bench) -> bool:
    """Wait until everything serves where it may and nothing was seen for a while; whether that came in time."""
    concerns, settle = bench.concerns, bench.arguments.settle
    with suppress(TimeoutError):
        async with asyncio.timeout(bench.arguments.timeout):
            while True:
                bench.news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await bench.news.wait()
                bench.stage.check()
                expected = bench.arguments.deployments + bench.created
                serving = sum(reason == "Serving" for reason in concerns.reasons.values())
                if serving == expected and not concerns.waiting() and time.perf_counter() - concerns.changed > settle:
                    return True
    return False


async def _left(bench: Bench) -> dict[str, Any]:
    """What is wrong at the end by fresh lists of hub and members; a legal place with room exists for everybody."""
    found: Counter[str] = Counter({"workloads_not_compliant": 0, "workloads_not_ready": 0})
    async for page in bench.hub.list_pages(WORKLOADS):
        for raw in page.items:
            said = {c["type"]: c["status"] for c in (raw.get("status") or {}).get("conditions") or ()}
            found["workloads_not_compliant"] += said.get("Compliant") != "True"
            found["workloads_not_ready"] += said.get("Ready") != "True"
    found["pods_in_illegal_pools"] = await in_pools(bench.members.values(), bench.concerns.illegal)
    return dict(found)


def _pace(flips: list[Flip], took: float, *, asked: float) -> dict[str, Any]:
    broken = [flip for flip in flips if not flip.lawful]
    return {
        "flips": {"asked_per_second": asked, "per_second": round(len(flips) / took, 1), "count": len(flips)},
        "flips_to_illegal": len(broken),
        "flip_sent_late_seconds": spread([flip.late for flip in flips]),
        "concerned_per_flip_to_illegal": spread([flip.concerned for flip in broken], digits=1),
    }


def _figures(bench: Bench, flips: list[Flip], created: int, cost: Cost) -> dict[str, Any]:
    broken = sum(not flip.lawful for flip in flips)
    moves = bench.concerns.moves
    return {
        **bench.concerns.figures(),
        "moves": {"count": moves, "per_flip": _per(moves, len(flips)), "per_flip_to_illegal": _per(moves, broken)},
        "starvation_seconds": bench.concerns.starvation(),
        "hub_writes": _writes(cost.hub, flips=len(flips), created=created),
        "member_writes": sum(cost.members.values()),
        "cpu_seconds": cost.cpu,
    }


def _writes(made: Writes, *, flips: int, created: int) -> dict[str, Any]:
    """Without the client's own: the flips and the new deployments."""
    total: int = sum(made.values()) - flips - created
    return {"count": total, "per_flip": _per(total, flips), "by_request": dict(made.most_common())}


def _per(count: int, flips: int) -> float:
    return round(count / flips, 2) if flips else 0.0


if __name__ == "__main__":
    main()
