"""One member cluster as observed: its nodes and pods by pool, its delivered Deployments, whether it can be reached.

Owns the member's client and its three reflectors. What changes is told by key; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from domicile.inventory.nodes import NodeFacts, PodFacts, belongs, project_node, project_pod, room_of
from domicile.inventory.reflector import Reflector
from domicile.kube.client import KubeClient
from domicile.kube.errors import ApiError, Unauthorized, Unavailable
from domicile.model.cluster import NodePool
from domicile.model.labels import DIGEST, MANAGED_BY, WORKLOAD
from domicile.placement.capacity import EMPTY, PoolRoom

log = logging.getLogger(__name__)

STALE_AFTER: Final = 90.0  # seconds without any sign of life; API servers send a bookmark about once a minute
PROBE_AFTER: Final = 10.0  # seconds of silence after which a member is asked whether it is there
PROBE_TIMEOUT: Final = 5.0  # seconds
CONNECTING: Final = "connecting"  # nothing is known yet, neither good nor bad


class Observed(NamedTuple):
    """A delivered Deployment as its member shows it."""

    digest: str
    generation: int
    observed_generation: int
    desired: int
    ready: int
    updated: int
    stuck: str  # message of a failed progress condition, or empty

    @property
    def settled(self) -> bool:
        """Whether the member's controller has seen the latest spec and all its pods are ready."""
        seen = self.observed_generation >= self.generation
        return seen and self.ready >= self.desired and self.updated >= self.desired


def project_deployment(raw: Mapping[str, Any]) -> Observed:
    """A delivered Deployment as its API server gives it."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    stuck = [
        c.get("message", "")
        for c in status.get("conditions") or ()
        if (c.get("type") == "Progressing" and c.get("status") == "False")
        or (c.get("type") == "ReplicaFailure" and c.get("status") == "True")
    ]
    return Observed(
        digest=(metadata.get("annotations") or {}).get(DIGEST, ""),
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        desired=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        stuck="; ".join(stuck),
    )


class Member:
    """A connected member cluster; ``run`` it as a task, ``close`` it when the connection changes."""

    def __init__(
        self,
        name: str,
        client: KubeClient,
        *,
        on_nodes: Callable[[str], None],
        on_workload: Callable[[str], None],
        on_reach: Callable[[str], None],
        on_room: Callable[[], None],
        twin: Callable[[str, str], str],
    ) -> None:
        """``on_nodes(cluster)`` when nodes or membership change, ``on_workload(key)`` when a delivered workload does,
        ``on_reach(cluster)`` when the member is reached or lost, ``on_room()`` when there may be more room.
        ``twin(cluster, uid)`` names another member that is the same cluster, if there is one."""
        self.name = name
        self.client = client
        self.problem = CONNECTING
        self._answered = 0.0  # when a probe was last answered, on the monotonic clock
        self.pools: dict[str, NodePool] = {}
        self.namespaces: set[str] = set()  # namespaces known to exist there
        self._on_nodes, self._on_workload, self._on_reach = on_nodes, on_workload, on_reach
        self._on_room = on_room
        self._twin = twin
        self.uid = ""  # of the kube-system namespace: what makes the cluster this cluster
        self._used: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._bound: defaultdict[str, int] = defaultdict(int)  # workload -> bound pods
        self.bound_changes = 0  # how often any of them changed
        self._rooms: dict[str, PoolRoom] = {}
        self._by_pool: dict[str, list[str]] = {}
        self._pool_of: dict[str, str] = {}
        self._pool_problems: dict[str, str] = {}
        self._sorted = False
        self.nodes = Reflector(client, "/api/v1/nodes", project=project_node, on_change=self._node_changed)
        self.pods = Reflector(client, "/api/v1/pods", project=project_pod, on_change=self._pod_changed)
        self.deployments: Reflector[Observed] = Reflector(
            client,
            "/apis/apps/v1/deployments",
            project=project_deployment,
            label_selector=f"{MANAGED_BY}=domicile,{WORKLOAD}",
            on_change=self._deployment_changed,
        )

    async def run(self, *, identity: str | None) -> None:
        """Watch until cancelled. ``identity`` is the kube-system UID the facts were stated for, if any."""
        async with asyncio.TaskGroup() as group:
            for reflector in (self.nodes, self.pods, self.deployments):
                group.create_task(reflector.run(), name=f"member-{self.name}")
            group.create_task(self._keep_reach(identity), name=f"reach-{self.name}")

    @property
    def reachable(self) -> bool:
        """Whether its facts are fresh enough to admit something new."""
        return not self.problem

    async def _keep_reach(self, identity: str | None) -> None:
        """Judge freshness every second, and the identity once for every time it is found again."""
        while True:
            problem = self._silence() or await self._probe()
            if not problem and self.problem:
                problem = await self._identity_problem(identity)
            if problem != self.problem:
                self.problem = problem
                if problem:
                    self.namespaces.clear()
                self._on_reach(self.name)
            await asyncio.sleep(0.1 if problem == CONNECTING else 1.0 if problem else 2.0)

    async def _probe(self) -> str:
        """Ask a quiet member whether it is there: behind a broken network a watch is silent for minutes."""
        now = time.monotonic()
        ages = [r.age(now) for r in (self.nodes, self.pods, self.deployments)]
        if min(*ages, now - self._answered) < PROBE_AFTER:
            return ""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                await self.client.get("/version")
        except TimeoutError:
            return f"no answer within {PROBE_TIMEOUT:g} s"
        except (Unauthorized, Unavailable) as error:
            return str(error)
        except ApiError:
            pass  # it answers, whatever it thinks of the question
        self._answered = time.monotonic()
        return ""

    def _silence(self) -> str:
        now = time.monotonic()
        for what, reflector in (("nodes", self.nodes), ("pods", self.pods), ("deployments", self.deployments)):
            if not reflector.synced:
                error = reflector.last_error
                return f"{what} not read yet: {error}" if error else self.problem or CONNECTING
            if reflector.last_error is not None:
                return f"{what}: {reflector.last_error}"
            if reflector.age(now) > STALE_AFTER:
                return f"{what}: nothing heard for {STALE_AFTER:g} s"
        return ""

    async def _identity_problem(self, identity: str | None) -> str:
        try:
            self.uid = (await self.client.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
        except ApiError as error:
            return f"identity: {error}"
        if identity is not None and self.uid != identity:
            return f"another cluster answers: kube-system UID is {self.uid}, spec.identity.kubeSystemUID is {identity}"
        twin = self._twin(self.name, self.uid)
        if twin:
            return f"this is the same cluster as SovereignCluster/{twin}; put its pools there and delete one of the two"
        return ""

    # -- pools and room ----------------------------------------------------------------------------------------

    def set_pools(self, stated: Iterable[NodePool]) -> None:
        """Take over the pools of the cluster's spec."""
        pools = {pool.name: pool for pool in stated}
        if pools == self.pools:
            return
        self.pools = pools
        self._unsort()
        self._on_nodes(self.name)
        self._on_room()

    def nodes_of(self, pool: str) -> list[NodeFacts]:
        """The nodes of a pool, by name."""
        self._sort_nodes()
        return [self.nodes.store[name] for name in self._by_pool.get(pool, ()) if name in self.nodes.store]

    def pool_of(self, node: str) -> str:
        """The pool of a node; empty for a node of no pool, or of more than one."""
        self._sort_nodes()
        return self._pool_of.get(node, "")

    @property
    def pool_problems(self) -> Mapping[str, str]:
        """Pools that share nodes with others, and which."""
        self._sort_nodes()
        return self._pool_problems

    def room(self, pool: str) -> PoolRoom:
        """What is free in a pool now."""
        self._sort_nodes()
        room = self._rooms.get(pool)
        if room is None:
            spec = self.pools.get(pool)
            room = room_of(spec, self.nodes_of(pool), self._used) if spec else EMPTY
            self._rooms[pool] = room
        return room

    def bound(self, workload: str) -> int:
        """How many pods of a workload have a node."""
        return self._bound.get(workload, 0)

    def _sort_nodes(self) -> None:
        """Nodes to pools, on first use after a change, since a first list brings thousands of them. A node two pools
        name is in neither: which facts hold for it cannot be told."""
        if self._sorted:
            return
        self._sorted = True
        self._by_pool = {name: [] for name in self.pools}
        self._pool_of.clear()
        twice: defaultdict[str, set[str]] = defaultdict(set)
        for name in sorted(self.nodes.store):
            mine = [p for p, pool in self.pools.items() if belongs(self.nodes.store[name], pool)]
            if len(mine) == 1:
                self._by_pool[mine[0]].append(name)
                self._pool_of[name] = mine[0]
            for pool in mine if len(mine) > 1 else ():
                twice[pool].add(f"node {name} also matches " + ", ".join(p for p in mine if p != pool))
        self._pool_problems = {pool: "; ".join(sorted(problems)[:3]) for pool, problems in twice.items()}

    def _unsort(self) -> None:
        self._sorted = False
        self._rooms.clear()

    def _node_changed(self, key: str, old: NodeFacts | None, new: NodeFacts | None) -> None:
        if old is None or new is None or old[:3] != new[:3] or old.virtual != new.virtual:
            self._unsort()
        else:
            self._rooms.pop(self._pool_of.get(key, ""), None)
        self._on_nodes(self.name)
        self._on_room()

    def _pod_changed(self, key: str, old: PodFacts | None, new: PodFacts | None) -> None:
        for pod, sign in ((old, -1), (new, 1)):
            if pod is None or not pod.node:
                continue
            used = self._used[pod.node]
            for name, amount in (*pod.requests, ("pods", 1.0)):
                used[name] = used.get(name, 0.0) + sign * amount
            self._rooms.pop(self._pool_of.get(pod.node, ""), None)
            if pod.workload:
                self._bound[pod.workload] += sign
                self.bound_changes += 1
        if new is None:
            self._on_room()

    def _deployment_changed(self, key: str, old: Observed | None, new: Observed | None) -> None:
        self._on_workload(key)
