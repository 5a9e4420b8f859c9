"""The engine by itself, without Kubernetes: verdicts, decisions, explanations and re-decisions over many candidates.

    python -m benchmarks.decide --clusters 1000 --pools 5 --deployments 10000 > decide.json

JSON on stdout, progress on stderr. Everything but the durations depends on the seed alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from benchmarks import estate
from benchmarks.estate import AT, Estate
from benchmarks.figures import machine, spread, tell
from domicile.inventory.member import Member
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.placement.capacity import NodeRoom, PoolRoom, Shape
from domicile.placement.decide import Decision, Request, decide
from domicile.placement.explain import explain
from domicile.placement.verdicts import Verdicts
from domicile.reconcile.objects import Stated, WorkKey
from domicile.reconcile.promises import Promise
from domicile.reconcile.world import World
from domicile.tiers.evaluate import NO_OPTIONS
from domicile.tiers.packs import pack_text

T = TypeVar("T")
PACK = "cada"
LEVELS = (1, 2, 2, 3, 3, 3, 3, 4)
NODES = 16


class Still:
    """A member that is always there and whose nodes never change: what the world asks of a `Member`."""

    reachable = True
    bound_changes = 0

    def __init__(self, rooms: dict[str, PoolRoom]) -> None:
        self._rooms = rooms

    def room(self, pool: str) -> PoolRoom:
        """What is free in a pool."""
        return self._rooms[pool]

    def bound(self, _: str) -> int:
        """Nothing is bound yet, so every promise counts."""
        return 0


@dataclass(frozen=True)
class Run:
    """What the measurements share."""

    arguments: argparse.Namespace
    estate: Estate
    world: World
    due: set[str]  # workloads the world wants looked at again
    rng: random.Random

    @property
    def table(self) -> Verdicts:
        """The verdicts of the pack, without options."""
        return self.world.inventory.verdicts(PACK, NO_OPTIONS, at=AT)


def main() -> None:
    """Run every measurement at one size and print one JSON document."""
    arguments = _arguments()
    began, before = time.perf_counter(), _resident()
    run = _prepare(arguments)
    candidates = arguments.clusters * arguments.pools
    loaded = _resident()
    tell(f"{candidates} candidates read: {time.perf_counter() - began:.1f} s")
    figures: dict[str, Any] = {"verdicts": _build(run, candidates)}
    figures["memory"] = {
        "facts_bytes_per_candidate": (loaded - before) // candidates,
        "verdicts_bytes_per_candidate": (_resident() - loaded) // candidates,
    }
    gc.collect()
    gc.freeze()  # as the operator does once it has read all facts
    for name, measure in MEASUREMENTS.items():
        began = time.perf_counter()
        figures[name] = measure(run)
        tell(f"{name}: {time.perf_counter() - began:.1f} s")
    json.dump({"machine": machine(), "size": vars(arguments), **figures}, sys.stdout, indent=2)
    print()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--pools", type=int, default=5, help="node pools of each cluster")
    parser.add_argument("--deployments", type=int, default=10_000, help="workloads to decide again")
    parser.add_argument("--repeat", type=int, default=200, help="different requests and changes to measure")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _prepare(arguments: argparse.Namespace) -> Run:
    due: set[str] = set()

    def enqueue(key: WorkKey, _: bool) -> None:
        if key.kind == "InferenceDeployment":
            due.add(key.name)

    facts = estate.build(arguments.clusters, arguments.pools, seed=arguments.seed)
    rng = random.Random(arguments.seed)
    world = World(now=lambda: AT, enqueue=enqueue)
    pack = yaml.safe_load(pack_text(PACK))["spec"]
    world.inventory.set_framework(PACK, SovereigntyFrameworkSpec.model_validate(pack))
    world.inventory.set_entities(facts.entities, at=AT)
    for name, spec in facts.clusters.items():
        world.inventory.set_cluster(name, spec, at=AT)
        rooms = {pool.name: _room(pool.accelerator, rng) for pool in spec.node_pools}
        world.members[name] = cast(Member, Still(rooms))
    return Run(arguments, facts, world, due, rng)


def _room(accelerator: Any, rng: random.Random) -> PoolRoom:
    nodes = (NodeRoom(rng.randrange(9), 96.0, 2.0**40, 110.0) for _ in range(NODES))
    return PoolRoom(tuple(nodes), accelerator.product, float(accelerator.memory.removesuffix("Gi")) * 2**30)


def _request(key: str, rng: random.Random) -> Request:
    products = tuple(rng.sample([product for product, _ in estate.ACCELERATORS], rng.randrange(1, 4)))
    return Request(
        key=key,
        level=rng.choice(LEVELS),
        shape=Shape(products, rng.choice((1, 1, 2, 4)), 0.0, 8.0, 64 * 2.0**30),
        replicas=rng.choice((1, 1, 2, 3)),
        countries=_countries(rng) if rng.random() < 0.3 else None,
        excluded=frozenset({f"cluster-{rng.randrange(20):05}"}) if rng.random() < 0.2 else frozenset(),
    )


def _countries(rng: random.Random) -> frozenset[str]:
    first, size = rng.randrange(len(estate.UNION)), rng.choice((2, 4))
    return frozenset((*estate.UNION, *estate.UNION)[first : first + size])


# -- measurements ----------------------------------------------------------------------------------------------------


def _build(run: Run, candidates: int) -> dict[str, Any]:
    seconds = _timed(lambda: run.table)
    eligible = {level: slots.bit_count() for level, slots in sorted(run.table.bits.eligible.items())}
    return {
        "build_s": round(seconds, 2),
        "per_candidate_us": round(seconds / candidates * 1e6, 1),
        "eligible": eligible,
    }


def _decisions(run: Run) -> dict[str, Any]:
    """One decision, and one decision with everything that speaks against every candidate, for different requests."""
    requests = [_request(f"probe/{n}", run.rng) for n in range(run.arguments.repeat)]
    table, world = run.table, run.world

    def choose(request: Request) -> Decision:
        return decide(request, verdicts=table, field=world, previous=None)

    def choose_and_explain(request: Request) -> None:
        choose(request)
        explain(request, verdicts=table, field=world)

    outcomes = [str(choose(request).outcome) for request in requests]
    return {
        "decide_ms": _each(requests, choose),
        "decide_and_explain_all_ms": _each(requests, choose_and_explain),
        "outcomes": {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
    }


def _cluster_changes(run: Run) -> dict[str, Any]:
    """One fact of one cluster changes: its digest, its candidates, their verdicts and the bit sets."""
    names = run.rng.choices(list(run.estate.clusters), k=run.arguments.repeat)
    changes = [(name, estate.with_flaw(run.estate.clusters[name])) for name in names]
    inventory = run.world.inventory
    milliseconds = _each(changes, lambda change: inventory.set_cluster(*change, at=AT))
    for name in names:
        inventory.set_cluster(name, run.estate.clusters[name], at=AT)
    return {"rebuild_ms": milliseconds, "candidates_each": run.arguments.pools}


def _entity_changes(run: Run) -> dict[str, Any]:
    """One fact of a provider changes, which many clusters share; there and back."""
    table, before = run.table, run.estate.entities
    names = [f"provider-{n}" for n in range(min(10, estate.PROVIDERS))]
    concerned = [len(table._by_entity[name]) for name in names]
    there = [(name, estate.cleared(before[name])) for name in names]
    back = [(name, before[name]) for name in names]
    inventory = run.world.inventory
    milliseconds = _each([*there, *back], lambda change: inventory.set_entity(*change, at=AT))
    return {"rebuild_ms": milliseconds, "candidates_concerned": spread(concerned, digits=0)}


def _redecisions(run: Run) -> dict[str, Any]:
    """Many placed workloads after one fact change: those concerned, found as the operator finds them; then all."""
    requests = {f"load/{n}": _request(f"load/{n}", run.rng) for n in range(run.arguments.deployments)}
    if not requests:
        return {}
    first = _timed(lambda: _settle(run, requests, list(requests)))
    name = max(run.estate.entities, key=lambda n: len(run.table._by_entity[n]) if n.startswith("provider") else 0)
    stated = Stated(2, estate.cleared(run.estate.entities[name]), "", {})
    run.due.clear()
    facts = _timed(lambda: run.world.put_stated(WorkKey("LegalEntity", name), stated))
    concerned = sorted(run.due)
    again = _timed(lambda: _settle(run, requests, concerned))
    everyone = _timed(lambda: _settle(run, requests, list(requests)))
    moving = _timed(lambda: _settle(run, requests, list(requests), forget=True))
    return {
        "deployments": len(requests),
        "without_room": len(run.world.waiting),
        "first_decisions_s": round(first, 3),
        "fact_change_s": round(facts, 3),
        "concerned": len(concerned),
        "concerned_s": round(again, 3),
        "fact_change_and_concerned_s": round(facts + again, 3),
        "all_where_they_are_s": round(everyone, 3),
        "all_from_nothing_s": round(moving, 3),
    }


def _settle(run: Run, requests: dict[str, Request], keys: list[str], *, forget: bool = False) -> None:
    """Decide as the reconcile does: what is placed stays where that is legal, and room is taken at once."""
    world, table = run.world, run.table
    if forget:
        for key in keys:
            world.promises.take_back(key)
    for key in keys:
        request = requests[key]
        decision = decide(request, verdicts=table, field=world, previous=world.promises.place(key))
        if decision.chosen is None:
            world.waiting.add(key)
        else:
            world.promise(key, Promise(decision.chosen, request.shape, request.replicas))


MEASUREMENTS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "decisions": _decisions,
    "one_cluster_changed": _cluster_changes,
    "one_entity_changed": _entity_changes,
    "redecisions": _redecisions,
}


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _each(items: Iterable[T], act: Callable[[T], object]) -> dict[str, float | int]:
    """Milliseconds of ``act`` on each item."""
    return spread([_timed(partial(act, item)) * 1e3 for item in items])


def _resident() -> int:
    """Bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
