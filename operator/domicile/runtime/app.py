"""The operator process: builds the objects, starts the tasks, decides when to exit. Wiring only."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from domicile.inventory.reflector import Reflector
from domicile.kube.client import KubeClient, TokenSource, resource_path
from domicile.kube.connect import HUB_WRITES, MEMBER_WRITES, hub_settings, open_client
from domicile.kube.kubeconfig import ConnectionSettings
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.objects import KINDS
from domicile.model.schema import API_VERSION
from domicile.reconcile import chronicle
from domicile.reconcile.facts import reconcile_cluster, reconcile_object
from domicile.reconcile.objects import Stated, WorkKey, read_stated
from domicile.reconcile.queue import KeyedQueue, Outcome, Retry, work
from domicile.reconcile.reconcile import fill_verdicts, reconcile
from domicile.reconcile.world import World
from domicile.report import metrics
from domicile.report.events import Poster
from domicile.runtime import health, logs
from domicile.runtime.connections import Connections
from domicile.runtime.decision_log import LogNotOpened, open_ledger
from domicile.runtime.kopf_handlers import kopf_settings, register
from domicile.runtime.leadership import LeaderElection, LeadershipLost
from domicile.runtime.settings import Settings
from domicile.runtime.sweep import relist, sweep
from domicile.tiers.evaluate import NO_OPTIONS

log = logging.getLogger(__name__)

SYNC_SECONDS: Final = 120.0
FACT_KINDS: Final = ("SovereigntyFramework", "LegalEntity", "SovereignCluster")
MEMBER_SECONDS: Final = 10.0  # how long the first decision waits for members to answer
ROOM_SECONDS: Final = 0.5  # changes of room are gathered this long before whatever waits looks again
KOPF_STOP_SECONDS: Final = 10.0
GAUGE_SECONDS: Final = 5.0
IMPROVEMENTS_PER_SECOND: Final = 100.0  # looks of workloads without a place at what may have become possible
LEASE: Final = "domicile-operator"


def run(settings: Settings) -> int:
    """Run the operator until it is told to stop. The exit code: 0 stopped, 1 failed or leadership lost."""
    logs.configure(settings.log_level, json=settings.log_json)
    logging.getLogger("kopf").setLevel(logging.WARNING)  # at INFO it reports every event it handed over
    try:
        asyncio.run(_main(settings))
    except (LeadershipLost, LogNotOpened) as error:
        log.error("stopping: %s", error)
        return 1
    except asyncio.CancelledError:
        return 0
    return 0


async def _main(settings: Settings) -> None:
    task = asyncio.current_task()
    assert task is not None

    def stop_on_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)

    stop_on_signals()
    connection, token = hub_settings(kubeconfig=settings.kubeconfig, context=settings.context)
    operator = Operator(settings, connection=connection, token=token)
    async with open_client(connection, token=token, parallel_writes=HUB_WRITES) as hub:
        probes = await health.serve(
            host="0.0.0.0",
            port=settings.http_port,
            live=lambda: [],
            ready=operator.not_ready,
            registry=metrics.REGISTRY,
        )
        try:
            await _lead(settings, hub, lambda: operator.run(hub, stop_on_signals=stop_on_signals))
        finally:
            await probes.close()


async def _lead(settings: Settings, hub: KubeClient, operate: Callable[[], Awaitable[None]]) -> None:
    if not settings.leader_elect:
        await operate()
        return
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
    election = LeaderElection(hub, namespace=settings.lease_namespace, name=LEASE, identity=identity)
    await election.run(on_started=operate)


class Operator:
    """One leading operator: world, queue, reflectors, connections and kopf, for as long as it leads."""

    def __init__(self, settings: Settings, *, connection: ConnectionSettings, token: TokenSource | None) -> None:
        self._settings, self._connection, self._token = settings, connection, token
        self._queue: KeyedQueue[WorkKey] = KeyedQueue(normal_at_most=max(1, settings.workers * 2 // 3))
        self.world = World(now=lambda: datetime.now(UTC), enqueue=self._enqueue, later=self._enqueue_later)
        self._reflectors: list[Reflector[Any]] = []
        self._room_timer: asyncio.TimerHandle | None = None

    def not_ready(self) -> list[str]:
        """What keeps the process from deciding. A standby is ready: it would take over."""
        problems = [f"facts not read: {r.last_error}" for r in self._reflectors if not r.synced]
        return problems if self._reflectors else []

    async def run(self, hub: KubeClient, *, stop_on_signals: Callable[[], None]) -> None:
        """Lead until cancelled, and be the one who writes the decision log."""
        async with open_ledger(self._settings, hub) as self.world.ledger:
            await self._run(hub, stop_on_signals=stop_on_signals)

    async def _run(self, hub: KubeClient, *, stop_on_signals: Callable[[], None]) -> None:
        """Our own tasks end before kopf does: it would wait seconds for what it did not start."""
        connections = Connections(
            world=self.world,
            hub=hub,
            hub_member=lambda: open_client(self._connection, token=self._token, parallel_writes=MEMBER_WRITES),
            on_nodes=lambda name: self._enqueue(WorkKey("SovereignCluster", name), False),
            on_workload=lambda key: self._enqueue(WorkKey("InferenceDeployment", key), False),
            on_reach=self._reach_changed,
            on_room=self._room_changed,
        )
        self._reflectors = [*self._fact_reflectors(hub, connections), self._namespace_reflector(hub)]
        tasks = [asyncio.create_task(r.run(), name="hub-reflector") for r in self._reflectors]
        try:
            for reflector in self._reflectors:
                await reflector.wait_synced(SYNC_SECONDS)
            await self._keep_facts()
            await connections.settled(MEMBER_SECONDS)
            await relist(self.world, hub)
            self.world.recount(sorted(self.world.workloads))
            poster = Poster(hub, instance=socket.gethostname())
            self.world.tell = poster.tell
            tasks.append(asyncio.create_task(poster.run(), name="events"))
            tasks.append(asyncio.create_task(sweep(self.world, hub, look_again=self._look_again), name="sweep"))
            tasks.append(asyncio.create_task(self._gauge(), name="gauges"))
            tasks.append(asyncio.create_task(self._follow_time(), name="time"))
            tasks.append(asyncio.create_task(self._work(hub), name="workers"))
            await self._run_kopf(stop_on_signals, own=tasks, connections=connections)
        finally:
            await self._stop(tasks, connections)

    async def _keep_facts(self) -> None:
        """Facts and their verdicts stay as long as the process. The garbage collector, which would look through all of
        them again and again, for a third of a second with 5,000 candidates, is told so."""
        for framework in list(self.world.inventory.frameworks):
            await fill_verdicts(self.world, framework, NO_OPTIONS)
        gc.collect()
        gc.freeze()

    async def _run_kopf(
        self, stop_on_signals: Callable[[], None], *, own: list[asyncio.Task[None]], connections: Connections
    ) -> None:
        registry = kopf.OperatorRegistry()
        register(registry, world=self.world, connection=self._connection, token=self._token)
        ready, stop = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=kopf_settings(),
                standalone=True,
                clusterwide=True,
                ready_flag=ready,
                stop_flag=stop,
            ),
            name="kopf",
        )
        try:
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            stop_on_signals()  # kopf took the signals over when it started
            done, _ = await asyncio.wait({running, *own}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a part that failed ends the process: half an operator is worse than a restart
        finally:
            await self._stop(own, connections)
            stop.set()
            await asyncio.wait({running}, timeout=KOPF_STOP_SECONDS)

    async def _stop(self, tasks: list[asyncio.Task[None]], connections: Connections) -> None:
        self._queue.shutdown()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connections.close()

    async def _work(self, hub: KubeClient) -> None:
        kinds = {
            "InferenceDeployment": lambda key: reconcile(key.name, world=self.world, hub=hub),
            "SovereignCluster": lambda key: reconcile_cluster(key.name, world=self.world, hub=hub),
        }

        async def one(key: WorkKey) -> Outcome:
            with metrics.RECONCILE_SECONDS.labels(key.kind).time():
                story = kinds.get(key.kind)
                outcome = await (story(key) if story else reconcile_object(key, world=self.world, hub=hub))
            metrics.RECONCILES.labels(key.kind, "retry" if isinstance(outcome, Retry) else "done").inc()
            metrics.QUEUE_DEPTH.set(self._queue.depth)
            metrics.QUEUE_OLDEST.set(self._queue.oldest_wait(asyncio.get_running_loop().time()))
            metrics.WORKLOADS.set(len(self.world.workloads))
            return outcome

        await work(self._queue, reconcile=one, workers=self._settings.workers)

    # -- what changes on the hub -------------------------------------------------------------------------------

    def _fact_reflectors(self, hub: KubeClient, connections: Connections) -> list[Reflector[Any]]:
        reflectors: list[Reflector[Any]] = []
        for name in FACT_KINDS:

            def changed(key: str, _: Stated | None, new: Stated | None, kind: str = name) -> None:
                self.world.put_stated(WorkKey(kind, key), new)
                if kind == "SovereignCluster":
                    spec = new.spec if new else None
                    connections.follow(key, spec if isinstance(spec, SovereignClusterSpec) else None)

            path = resource_path(API_VERSION, KINDS[name].plural)
            reflectors.append(Reflector(hub, path, project=read_stated, on_change=changed))
        return reflectors

    def _namespace_reflector(self, hub: KubeClient) -> Reflector[Mapping[str, str]]:
        def labels(raw: Mapping[str, Any]) -> Mapping[str, str]:
            return dict(raw["metadata"].get("labels") or {})

        def changed(key: str, _: Mapping[str, str] | None, new: Mapping[str, str] | None) -> None:
            self.world.put_namespace(key, new)

        return Reflector(hub, "/api/v1/namespaces", project=labels, on_change=changed)

    # -- whom a change concerns --------------------------------------------------------------------------------

    def _enqueue(self, key: WorkKey, urgent: bool) -> None:
        self._queue.add(key, urgent=urgent)

    def _enqueue_later(self, key: WorkKey) -> None:
        """For whoever may gain something: a limited rate, spread by chance, so that violations find workers free."""
        self._queue.add_after(key, random.random() * len(self.world.waiting) / IMPROVEMENTS_PER_SECOND)

    def _reach_changed(self, cluster: str) -> None:
        self._enqueue(WorkKey("SovereignCluster", cluster), False)
        for key in self.world.workloads_on(cluster):
            self._enqueue(WorkKey("InferenceDeployment", key), True)
        self._room_changed()

    def _room_changed(self) -> None:
        """Gather changes of room: a node list brings thousands, and each would wake everything that waits."""
        if self._room_timer is None and self.world.waiting:
            self._room_timer = asyncio.get_running_loop().call_later(ROOM_SECONDS, self._room_settled)

    def _room_settled(self) -> None:
        self._room_timer = None
        self.world.retry_waiting()

    async def _follow_time(self) -> None:
        """Wake when a date passes that some verdict depends on; look for new dates every second."""
        while True:
            due = self.world.inventory.next_due
            metrics.NEXT_EVALUATION.set(due.timestamp() if due else 0)
            if due is not None and due <= self.world.now():
                self.world.advance()
            await chronicle.state(self.world)
            await asyncio.sleep(1.0)

    async def _gauge(self) -> None:
        while True:
            gauge(self.world)
            await asyncio.sleep(GAUGE_SECONDS)

    def _look_again(self, key: WorkKey) -> None:
        if key.kind == "SovereignCluster":
            self.world.refresh(key.name)
        self._enqueue(key, False)


def gauge(world: World) -> None:
    """Set the gauges that no single event keeps."""
    now = world.now()
    metrics.VIOLATIONS_OPEN.clear()
    for workload in world.workloads.values():
        violation = workload.status.get("violation")
        if violation:
            metrics.VIOLATIONS_OPEN.labels(str(workload.status.get("tier")), violation["verdict"]).inc()
    metrics.EVALUATION_AGE.clear()
    for cluster, at in world.evaluated.items():
        metrics.EVALUATION_AGE.labels(cluster).set((now - at).total_seconds())
    metrics.EVIDENCE_SECONDS.clear()
    for cluster, due in world.inventory.due_by_cluster().items():
        metrics.EVIDENCE_SECONDS.labels(cluster).set((due - now).total_seconds())
