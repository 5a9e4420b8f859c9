"""Pods of workloads by the pool they are in, as watches of the members show them, with the moments of every change."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Final, NamedTuple

from benchmarks.stage import NAMESPACE
from domicile.kube.client import KubeClient
from domicile.model.labels import WORKLOAD

PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
ENDED: Final = ("Succeeded", "Failed")


class Change(NamedTuple):
    """From ``at`` (seconds on this process's clock) on, a workload has so many pods in a pool."""

    at: float
    workload: str
    pool: str
    pods: int
    ready: int


class Pods:
    """Fed by `follow`, one for all members; ``told`` is called for each change. Pods without a node are in no pool."""

    def __init__(self, told: Callable[[Change], None] = lambda change: None) -> None:
        self.changes: list[Change] = []
        self._of: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)  # pod uid -> ready
        self._told = told

    def on_member(self, kind: str, raw: Mapping[str, Any]) -> None:
        """A pod changed."""
        workload = (raw["metadata"].get("labels") or {}).get(WORKLOAD)
        node = raw["spec"].get("nodeName")
        if workload is None or node is None:
            return
        pool, pods = pool_of(node), self._of[workload, pool_of(node)]
        before = dict(pods)
        if kind == "DELETED" or raw["status"].get("phase") in ENDED:
            pods.pop(raw["metadata"]["uid"], None)
        else:
            pods[raw["metadata"]["uid"]] = is_ready(raw)
        if pods != before:
            change = Change(time.perf_counter(), workload, pool, len(pods), sum(pods.values()))
            self.changes.append(change)
            self._told(change)

    def count(self, workload: str, pool: str) -> int:
        """Pods of a workload in a pool now."""
        return len(self._of.get((workload, pool), ()))

    def ready(self, workload: str, pool: str) -> int:
        """Those of them that are ready."""
        return sum(self._of.get((workload, pool), {}).values())

    def uids(self, workload: str, pool: str) -> frozenset[str]:
        """Which pods these are."""
        return frozenset(self._of.get((workload, pool), ()))


def is_ready(raw: Mapping[str, Any]) -> bool:
    """Whether a pod serves: ready, and not asked to end."""
    said = raw["status"].get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in said)
    return ready and "deletionTimestamp" not in raw["metadata"]


def pool_of(node: str) -> str:
    """The pool of a benchmark's node, which is in its name."""
    return node.rpartition("-")[0]


async def in_pools(members: Iterable[KubeClient], pools: Container[str]) -> int:
    """Pods of workloads in any of these pools, by fresh lists of the members."""
    found = 0
    for member in members:
        async for page in member.list_pages(PODS):
            for raw in page.items:
                ours = WORKLOAD in (raw["metadata"].get("labels") or {})
                found += ours and pool_of(raw["spec"].get("nodeName", "")) in pools
    return found
