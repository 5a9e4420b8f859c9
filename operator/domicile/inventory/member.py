"""One member cluster as observed: its nodes and pods by pool, what was delivered, whether it can be reached.

Owns the member's client and its reflectors. What changes is told by key; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from domicile.inventory.delivered import Delivered, Observed
from domicile.inventory.nodes import NodeFacts, PodFacts, belongs, project_node, project_pod, room_of
from domicile.inventory.reflector import Reflector
from domicile.kube.client import KubeClient
from domicile.kube.errors import ApiError, Unauthorized, Unavailable
from domicile.model.cluster import NodePool
from domicile.placement.capacity import EMPTY, PoolRoom

log = logging.getLogger(__name__)

STALE_AFTER: Final = 90.0  # seconds without any sign of life; API servers send a bookmark about once a minute
PROBE_AFTER: Final = 10.0  # seconds of silence after which a member is asked whether it is there
PROBE_TIMEOUT: Final = 5.0  # seconds
IDENTITY_SECONDS: Final = 60.0  # after which a member that is reached all the time is asked again which cluster it is
CONNECTING: Final = "connecting"  # nothing is known yet, neither good nor bad


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
        identify: Callable[[str, str], str],
    ) -> None:
        """``on_nodes(cluster)`` when nodes or membership change, ``on_workload(key)`` when a delivered workload does or
        one of its pods is bound or gone,
        ``on_reach(cluster)`` when the member is reached or lost, ``on_room()`` when there may be more room.
        ``identify(cluster, uid)`` says why the cluster of that kube-system UID is not to be used, if it is not."""
        self.name = name
        self.client = client
        self.problem = CONNECTING
        self._answered = 0.0  # when a probe was last answered, on the monotonic clock
        self._identified = 0.0  # when it last said which cluster it is, on the same
        self.pools: dict[str, NodePool] = {}
        self.namespaces: set[str] = set()  # namespaces known to exist there
        self._on_nodes, self._on_workload, self._on_reach = on_nodes, on_workload, on_reach
        self._on_room = on_room
        self._identify = identify
        self.uid = ""  # of the kube-system namespace: what makes the cluster this cluster
        self._used: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._running: defaultdict[str, dict[str, str]] = defaultdict(dict)  # workload -> its bound pods -> their nodes
        self.bound_changes = 0  # how often any of them changed
        self._rooms: dict[str, PoolRoom] = {}
        self._by_pool: dict[str, list[str]] = {}
        self._pool_of: dict[str, str] = {}
        self._pool_problems: dict[str, str] = {}
        self._sorted = False
        self.nodes = Reflector(client, "/api/v1/nodes", project=project_node, on_change=self._node_changed)
        self.pods = Reflector(client, "/api/v1/pods", project=project_pod, on_change=self._pod_changed)
        self.delivered = Delivered(client, on_change=on_workload)

    @property
    def deployments(self) -> Mapping[str, Observed]:
        """The delivered Deployments by workload."""
        return self.delivered.deployments.store

    def reflectors(self) -> list[tuple[str, Reflector[Any]]]:
        """Everything that is watched, with its name."""
        return [("nodes", self.nodes), ("pods", self.pods), *self.delivered.reflectors()]

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _, reflector in self.reflectors():
                group.create_task(reflector.run(), name=f"member-{self.name}")
            group.create_task(self._keep_reach(), name=f"reach-{self.name}")

    @property
    def reachable(self) -> bool:
        """Whether its facts are fresh enough to admit something new."""
        return not self.problem

    async def _keep_reach(self) -> None:
        """Judge freshness every second or two, and now and then the identity."""
        while True:
            problem = self._silence() or await self._probe() or await self._identity_problem()
            if problem != self.problem:
                self.problem = problem
                if problem:
                    self.namespaces.clear()
                self._on_reach(self.name)
            await asyncio.sleep(0.1 if problem == CONNECTING else 1.0 if problem else 2.0)

    async def _probe(self) -> str:
        """Ask a quiet member whether it is there: behind a broken network a watch is silent for minutes."""
        now = time.monotonic()
        ages = [reflector.age(now) for _, reflector in self.reflectors()]
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
        for what, reflector in self.reflectors():
            if not reflector.synced:
                error = reflector.last_error
                return f"{what} not read yet: {error}" if error else self.problem or CONNECTING
            if reflector.last_error is not None:
                return f"{what}: {reflector.last_error}"
            if reflector.age(now) > STALE_AFTER:
                return f"{what}: nothing heard for {STALE_AFTER:g} s"
        return ""

    async def _identity_problem(self) -> str:
        """Ask which cluster answers: before it is used again, and now and then, since another may take its place
        without a moment of silence. One that is in use and does not answer this question is asked again soon."""
        now = time.monotonic()
        if not self.problem and now - self._identified < IDENTITY_SECONDS:
            return ""
        try:
            uid = (await self.client.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
        except ApiError as error:
            return self.problem and f"identity: {error}"
        self._identified = now
        if uid == self.uid and not self.problem:
            return ""
        self.uid = uid
        return self._identify(self.name, uid)

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
        return len(self._running.get(workload, ()))

    def pods_by_pool(self, workload: str) -> Counter[str]:
        """How many bound pods of a workload run in each pool; empty name: on nodes of no pool."""
        return Counter(self.pool_of(node) for node in self._running.get(workload, {}).values())

    def pods_outside(self, workload: str, pools: Iterable[str]) -> dict[str, str]:
        """Bound pods of a workload that run in none of ``pools``, each with its node."""
        inside = set(pools)
        running = self._running.get(workload, {})
        return {pod: node for pod, node in sorted(running.items()) if self.pool_of(node) not in inside}

    @property
    def running(self) -> Iterable[str]:
        """Workloads that have pods bound here."""
        return [workload for workload, pods in self._running.items() if pods]

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
        before, after = (pod.workload if pod and pod.node else "" for pod in (old, new))
        if before and (before != after or (old and new and old.node != new.node)):
            self._running[before].pop(key, None)
        if after and new:
            self._running[after][key] = new.node
        if before != after:
            self.bound_changes += 1
            for workload in filter(None, (before, after)):
                if not self._running[workload]:
                    del self._running[workload]
                self._on_workload(workload)
        if new is None:
            self._on_room()
