"""What a benchmark's control planes hold before the operator starts: a rule pack, facts, and nodes for KWOK."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

import yaml

from benchmarks.estate import BASELINE
from domicile.tiers.packs import pack_text

SYSTEM: Final = "domicile-system"
NODE_PODS: Final = 250

Document = dict[str, Any]


@dataclass(frozen=True)
class Scenery:
    """Documents for the hub, and the nodes of each member by its name."""

    pack: str
    facts: list[Document]
    nodes: dict[str, list[Document]]


class Pool(NamedTuple):
    """A node pool of one member. Its provider is a company of its own, so that one fact concerns this pool alone."""

    cluster: str
    name: str
    nodes: int = 1

    @property
    def provider(self) -> str:
        """Name of its LegalEntity."""
        return f"provider-{self.name}"

    def __str__(self) -> str:
        return f"{self.cluster}/{self.name}"


def uniform(*, members: int, nodes: int) -> Scenery:
    """``members`` clusters of one provider, each with one pool of ``nodes`` nodes."""
    pools = [Pool(f"member-{n}", "h100", nodes) for n in range(1, members + 1)]
    entity, cluster = baseline()
    return Scenery(
        pack_text("cada"),
        [entity, *(_cluster(cluster, pool.cluster, [_pool(cluster, pool)]) for pool in pools)],
        _nodes(pools),
    )


def pooled(pools: Sequence[Pool], *, pack: str) -> Scenery:
    """The pools with a provider each; every one of them is legal at first."""
    entity, cluster = baseline()
    facts = [entity]
    for pool in pools:
        facts.append(copy.deepcopy(entity))
        facts[-1]["metadata"]["name"] = pool.provider
    for name in dict.fromkeys(pool.cluster for pool in pools):
        mine = [_pool(cluster, pool) | {"provider": pool.provider} for pool in pools if pool.cluster == name]
        facts.append(_cluster(cluster, name, mine))
    return Scenery(pack, facts, _nodes(pools))


def disruption(*, moves_at_once: int) -> Document:
    """Limits of a pack whose breaker and cool-down never hold anything back, and whose budgets let so many moves go."""
    breaker = {"share": 100, "window": "10m", "atLeast": 100000}
    return {"movesPerTier": moves_at_once, "movesPerCluster": moves_at_once, "cooldown": "0s", "breaker": breaker}


def pack_with(disruption: Document) -> str:
    """The pack cada with other disruption limits."""
    document = yaml.safe_load(pack_text("cada"))
    document["spec"]["disruption"] = disruption
    return yaml.safe_dump(document)


def baseline() -> tuple[Document, Document]:
    """The LegalEntity and the SovereignCluster of the test baseline; all evidence is of yesterday, hence fresh."""
    text = BASELINE.read_text()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    for day in ("2026-03-01", "2026-08-01", "2026-09-01", "2026-10-01", "2026-11-01"):
        text = text.replace(day, yesterday)
    entity, cluster = yaml.safe_load_all(text)
    return entity, cluster


@cache
def ownership(*, lawful: bool) -> Document:
    """The merge patch of a LegalEntity that was taken over by a third-country company, or is its founders' again."""
    entity, _ = baseline()
    spec = entity["spec"]
    if lawful:
        return {"spec": {"ownership": spec["ownership"], "control": spec["control"]}}
    parent = {"name": "Parent Inc", "kind": "company", "country": "US"}
    owner = {**parent, "capitalPercent": 100, "votesPercent": 100, "specialRights": []}
    return {"spec": {"ownership": {"owners": [owner]}, "control": {"controllers": [{**parent, "means": ["votes"]}]}}}


def _cluster(base: Document, name: str, pools: list[Document]) -> Document:
    mine = copy.deepcopy(base)
    mine["metadata"]["name"] = name
    mine["spec"]["connection"] = {"kubeconfigSecret": {"namespace": SYSTEM, "name": name}}
    mine["spec"]["nodePools"] = pools
    return mine


def _pool(base: Document, pool: Pool) -> Document:
    like: Document = copy.deepcopy(base["spec"]["nodePools"][0])
    return like | {"name": pool.name, "nodes": {"providerIDPrefix": f"{pool.cluster}://{pool.name}/"}}


def _nodes(pools: Sequence[Pool]) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for pool in pools:
        found.setdefault(pool.cluster, []).extend(_node(pool, number) for number in range(pool.nodes))
    return found


def _node(pool: Pool, number: int) -> Document:
    room = {"cpu": "96", "memory": "1Ti", "pods": str(NODE_PODS), "nvidia.com/gpu": "128"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"{pool.name}-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"providerID": f"{pool.cluster}://{pool.name}/{number}"},
        "status": {"capacity": room, "allocatable": room},
    }
