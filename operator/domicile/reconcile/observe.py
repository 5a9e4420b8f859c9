"""Copies of a workload as its members show them: what the status says is where, and what really is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from domicile.inventory.member import Member
from domicile.model.labels import DIGEST
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.request import Accepted
from domicile.placement.verdicts import Key
from domicile.reconcile.objects import Workload
from domicile.reconcile.world import World
from domicile.render.workload import Manifest, Target, render
from domicile.report.workload import Copy

NO_POOL = ""


class Stray(NamedTuple):
    """A pod that runs where no decision put it. ``pool`` is empty on a node of no pool."""

    cluster: str
    pod: str  # namespace/name
    node: str
    pool: str

    def __str__(self) -> str:
        return f"{self.pod.partition('/')[2]} on {self.cluster}/{self.pool or '(no pool)'}, node {self.node}"


def manifests_of(
    world: World, workload: Workload, accepted: Accepted, chosen: Key, spec: InferenceDeploymentSpec
) -> list[Manifest]:
    """What is to be delivered to ``chosen``. On the way from another pool of the same cluster the new pods come before
    the old ones go."""
    cluster = world.inventory.clusters[chosen[0]]
    pool = next(p for p in cluster.node_pools if p.name == chosen[1])
    resource = pool.accelerator.resource_name if pool.accelerator else "nvidia.com/gpu"
    level = accepted.request.level
    beside = any(place[0] == chosen[0] and place != chosen for place in workload.placed)
    target = Target(workload.namespace, workload.name, accepted.framework, level, chosen[1], resource, surge=beside)
    return render(spec, target)


def wanted_copy(
    world: World, workload: Workload, key: Key, spec: InferenceDeploymentSpec, manifests: list[Manifest]
) -> Copy:
    """The current copy: what is wanted there, and how much of it the member shows."""
    digest = manifests[0]["metadata"]["annotations"][DIGEST]
    candidate = world.inventory.candidate(key)
    wanted = Copy(key, candidate.country if candidate else "", 0 if spec.suspend else spec.replicas, digest)
    return _observed(world.members.get(key[0]), workload.key, wanted)


def seen_copy(world: World, workload: Workload, key: Key) -> Copy:
    """A copy the status names, as the member shows it now."""
    entry: Mapping[str, Any] = next(
        (p for p in workload.status.get("placements") or () if (p["cluster"], p["nodePool"]) == key), {}
    )
    copy = Copy(key, entry.get("country", ""), entry.get("desired", 0), entry.get("digest", ""), entry.get("ready", 0))
    return _observed(world.members.get(key[0]), workload.key, copy)


def _observed(member: Member | None, workload: str, copy: Copy) -> Copy:
    if member is None or not member.reachable:
        problem = member.problem if member else "it is not connected"
        return replace(copy, verified=False, problem=problem)
    pods = member.pods_by_pool(workload)[copy.key[1]]
    seen = member.deployments.get(workload)
    if seen is None:
        return replace(copy, ready=0, pods=pods)
    drift = member.delivered.drift(workload)
    delivered = seen.digest == copy.digest and seen.desired == copy.desired and not drift
    available = delivered and seen.settled and pods >= copy.desired
    ready = min(seen.ready, pods) if len(member.pods_by_pool(workload)) > 1 else seen.ready
    return replace(copy, ready=ready, pods=pods, delivered=delivered, available=available, problem=seen.stuck)


def runs(world: World, workload: Workload, place: Key) -> bool:
    """Whether anything of a workload runs in a place, as far as can be told: a member that cannot be asked may."""
    member = world.members.get(place[0])
    if member is None or not member.reachable:
        entries = workload.status.get("placements") or ()
        return any(p.get("desired", 0) for p in entries if (p["cluster"], p["nodePool"]) == place)
    pods = member.pods_by_pool(workload.key)
    return bool(pods[place[1]] or (place[1] not in member.pools and pods[NO_POOL]))


def strays_of(world: World, workload: Workload, *, expected: list[Key]) -> list[Stray]:
    """Pods of a workload outside the pools where copies of it are expected, on every member that can be asked."""
    found = []
    for name, member in world.members.items():
        if member.bound(workload.key) and member.reachable:
            pools = [pool for cluster, pool in expected if cluster == name]
            unstated = [pool for pool in pools if pool not in member.pools]  # whose nodes cannot be told
            for pod, node in member.pods_outside(workload.key, [*pools, *(NO_POOL for _ in unstated)]).items():
                found.append(Stray(name, pod, node, member.pool_of(node)))
    return sorted(found)
