"""The stories of the kinds that state facts: clusters (labels on nodes, levels proven), entities and frameworks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from domicile.inventory.member import Member
from domicile.inventory.nodes import NodeFacts, our_labels
from domicile.kube.client import KubeClient
from domicile.kube.errors import ApiError, NotFound
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.labels import DEFAULT_FRAMEWORK, POOL_LABEL, level_label
from domicile.model.objects import KINDS
from domicile.model.schema import Model
from domicile.model.verdicts import Verdict
from domicile.placement.verdicts import Key, Row
from domicile.reconcile import chronicle
from domicile.reconcile.objects import Stated, WorkKey
from domicile.reconcile.queue import Done, Outcome, Retry
from domicile.reconcile.world import World
from domicile.report.cluster import ClusterStory, ObjectStory, PoolStory, cluster_status, object_status
from domicile.report.writer import write_status
from domicile.tiers.evaluate import NO_OPTIONS
from domicile.tiers.framework import Framework, digest_of

LABEL_WRITES: Final = 8  # nodes labelled at once per member


async def reconcile_cluster(name: str, *, world: World, hub: KubeClient) -> Outcome:
    """Label the nodes of a cluster with what its pools prove, and say so."""
    key = WorkKey("SovereignCluster", name)
    stated = world.stated.get(key)
    if stated is None:
        return Done()
    member = world.members.get(name)
    failed = await label_nodes(world, member) if member is not None and member.reachable else ""
    for stray in world.strays_on(name):
        world.look_at(stray)
    await _report_cluster(world, hub, key, stated)
    return Retry(failed) if failed else Done()


async def reconcile_object(key: WorkKey, *, world: World, hub: KubeClient) -> Outcome:
    """Say whether an entity or a framework can be used, and why not."""
    stated = world.stated.get(key)
    if stated is None:
        return Done()
    problems = _problems(world, key, stated)
    digest = digest_of(stated.spec.plain()) if isinstance(stated.spec, Model) else ""
    opened = None
    if key.kind == "SovereigntyFramework":
        opened = world.disruptions.breaker(key.name).opened
        before = stated.status.get("breaker") or {}
        await chronicle.breaker(world, key.name, stated.uid, opened=opened, before=before)
    story = ObjectStory(stated.generation, problems, digest, opened)
    await _write(world, hub, key, stated, object_status(story, before=stated.status, at=world.now()))
    return Done()


def wanted_labels(world: World, cluster: str, pool: str) -> dict[str, str]:
    """Every label the nodes of a pool should carry: the pool, and each level proven, of every framework."""
    wanted = {POOL_LABEL: pool}
    for framework in world.inventory.frameworks:
        row = _row(world, (cluster, pool), framework)
        for level, verdict in (row.levels if row else {}).items():
            if verdict is Verdict.SATISFIED:
                wanted[level_label(framework, level)] = "true"
    return wanted


def _row(world: World, key: Key, framework: str) -> Row | None:
    return world.inventory.verdicts(framework, NO_OPTIONS, at=world.now()).row(key)


async def label_nodes(world: World, member: Member) -> str:
    """Write the labels that differ; labels under our prefix that are not proven go, whoever wrote them."""
    patches = {}
    for node in member.nodes.store.values():
        pool = member.pool_of(node.name)
        wanted = wanted_labels(world, member.name, pool) if pool else {}
        patch = _difference(node, wanted)
        if patch:
            patches[node.name] = patch
    limit = asyncio.Semaphore(LABEL_WRITES)

    async def write(node: str, patch: Mapping[str, str | None]) -> str:
        async with limit:
            try:
                await member.client.merge_patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": patch}})
            except NotFound:
                return ""
            except ApiError as error:
                return f"node {node} on {member.name} cannot be labelled: {error}"
        return ""

    results = await asyncio.gather(*(write(node, patch) for node, patch in patches.items()))
    return next((r for r in results if r), "")


def _difference(node: NodeFacts, wanted: Mapping[str, str]) -> dict[str, str | None]:
    has = our_labels(node)
    removed: dict[str, str | None] = {name: None for name in has if name not in wanted}
    return removed | {name: value for name, value in wanted.items() if has.get(name) != value}


async def _report_cluster(world: World, hub: KubeClient, key: WorkKey, stated: Stated) -> None:
    spec, name = stated.spec, key.name
    member = world.members.get(name)
    pools: list[PoolStory] = []
    control = ""
    levels: tuple[int, ...] = ()
    framework = world.inventory.frameworks.get(DEFAULT_FRAMEWORK)
    if isinstance(spec, SovereignClusterSpec):
        rows = {p.name: _row(world, (name, p.name), DEFAULT_FRAMEWORK) if framework else None for p in spec.node_pools}
        pools = [
            PoolStory(
                name=pool.name,
                row=rows[pool.name],
                nodes=len(member.nodes_of(pool.name)) if member else 0,
                problem=member.pool_problems.get(pool.name, "") if member else "",
            )
            for pool in spec.node_pools
        ]
        levels = framework.levels if framework else ()
        control = _control(framework, spec.provider, list(rows.values()))
    reach = member.problem if member else world.connection_problems.get(name, "connecting")
    story = ClusterStory(
        generation=stated.generation,
        pools=pools,
        levels=levels,
        connected=isinstance(spec, SovereignClusterSpec) and spec.connection is not None,
        reach=reach,
        control=control,
        problems=_problems(world, key, stated),
        uid=world.uids.get(name, stated.status.get("kubeSystemUID", "")),
    )
    await _write(world, hub, key, stated, cluster_status(story, before=stated.status, at=world.now()))


def _control(framework: Framework | None, provider: str, rows: list[Row | None]) -> str:
    """Who controls the cluster's provider, in one word, from the rule the framework names for it."""
    if framework is None or framework.spec.control_rule is None or not any(rows):
        return ""
    rules = [r for row in rows if row for r in row.failed if r.rule == framework.spec.control_rule]
    # A finding about the cluster itself: already who its parties are is not proven.
    told = (f"LegalEntity/{provider}", "SovereignCluster/")
    verdicts = {f.verdict for r in rules for f in r.findings if f.subject.startswith(told)}
    if Verdict.VIOLATED in verdicts:
        return "ThirdCountry"
    return "Unknown" if Verdict.UNKNOWN in verdicts else "Union"


def _problems(world: World, key: WorkKey, stated: Stated) -> list[str]:
    if stated.problem:
        return [stated.problem]
    if key.kind == "SovereigntyFramework":
        return list(world.inventory.framework_problems.get(key.name, ()))
    return world.inventory.fact_problems(key.kind, key.name)


async def _write(world: World, hub: KubeClient, key: WorkKey, stated: Stated, status: Mapping[str, object]) -> None:
    written = await write_status(hub, KINDS[key.kind], key.name, status, before=stated.status)
    if written is not None and world.stated.get(key) is stated:
        world.stated[key] = stated._replace(status=written.get("status") or {})
