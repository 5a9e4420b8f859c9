"""Keeps one Member connected for every SovereignCluster that says how to reach it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import random
from collections.abc import Callable
from typing import Final

from domicile.inventory.member import CONNECTING, Member
from domicile.kube.client import KubeClient, resource_path
from domicile.kube.connect import KubeconfigError, member_client
from domicile.kube.errors import ApiError
from domicile.model.cluster import Connection, SecretRef, SovereignClusterSpec
from domicile.reconcile.facts import label_nodes
from domicile.reconcile.world import World
from domicile.report.metrics import MEMBER_REACHABLE

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 15.0  # most between two attempts
SECRET_SECONDS: Final = 30.0  # how often a kubeconfig Secret is read again

Wish = tuple[Connection | None, str | None]  # connection and identity: a change of either means a new Member


class ConnectionRefused(Exception):
    """A connection that cannot be opened as it is stated; the message names field and remedy."""


class Connections:
    """Tasks by cluster. ``follow`` is told every change of a spec; ``close`` ends all."""

    def __init__(
        self,
        *,
        world: World,
        hub: KubeClient,
        hub_member: Callable[[], KubeClient],
        on_nodes: Callable[[str], None],
        on_workload: Callable[[str], None],
        on_reach: Callable[[str], None],
        on_room: Callable[[], None],
    ) -> None:
        self._world, self._hub, self._hub_member = world, hub, hub_member
        self._on_nodes, self._on_workload = on_nodes, on_workload
        self._on_reach, self._on_room = on_reach, on_room
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wishes: dict[str, Wish] = {}

    def follow(self, name: str, spec: SovereignClusterSpec | None) -> None:
        """A cluster's spec is this now; None: it is gone, or cannot be read and is not to be acted on."""
        wish: Wish = (None, None)
        if spec is not None:
            wish = (spec.connection, spec.identity.kube_system_uid if spec.identity else None)
        if wish == self._wishes.get(name, (None, None)):
            member = self._world.members.get(name)
            if member is not None and spec is not None and wish[0] is not None:
                member.set_pools(spec.node_pools)
            return
        self._wishes[name] = wish
        before = self._tasks.pop(name, None)
        if before is not None or wish[0] is not None:
            self._tasks[name] = asyncio.create_task(self._change(name, wish, before), name=f"connection-{name}")

    async def settled(self, seconds: float) -> None:
        """Wait until of every member is known whether it can be reached, at most ``seconds``: what is decided before
        that would call working members unreachable."""
        deadline = asyncio.get_running_loop().time() + seconds
        while any(wish[0] is not None and self._undecided(name) for name, wish in self._wishes.items()):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.05)

    def _undecided(self, name: str) -> bool:
        member = self._world.members.get(name)
        return name not in self._world.connection_problems and (member is None or member.problem == CONNECTING)

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _change(self, name: str, wish: Wish, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await self._part(name, before)
        if wish[0] is not None:
            await self._keep(name, wish)

    async def _part(self, name: str, connection: asyncio.Task[None]) -> None:
        """Hang up on a member whose facts are no longer stated. Nothing is proven there now, so the labels go first."""
        member = self._world.members.get(name)
        try:
            if member is not None and member.reachable:
                member.set_pools([])
                await label_nodes(self._world, member)
        finally:
            connection.cancel()
        await asyncio.gather(connection, return_exceptions=True)
        self._world.connection_problems.pop(name, None)
        self._on_reach(name)

    async def _keep(self, name: str, wish: Wish) -> None:
        """Connect, watch until something breaks or the Secret changes, and again."""
        failures = 0
        while True:
            try:
                await self._once(name, wish)
                failures = 0
                continue
            except (ApiError, ConnectionRefused) as error:
                problem = str(error)
            except Exception as error:
                log.exception("member failed", extra={"cluster": name})
                problem = f"{type(error).__name__}: {error}"
            if self._world.connection_problems.get(name) != problem:
                self._world.connection_problems[name] = problem
                log.warning("member not connected: %s", problem, extra={"cluster": name})
                self._on_reach(name)
            wait = min(RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10))
            failures += 1
            await asyncio.sleep(wait * (0.5 + random.random()))

    async def _once(self, name: str, wish: Wish) -> None:
        connection, _ = wish
        assert connection is not None
        client, version = await self._open(connection)
        member = Member(
            name,
            client,
            on_nodes=self._on_nodes,
            on_workload=self._on_workload,
            on_reach=self._reach,
            on_room=self._on_room,
            identify=self._identify,
        )
        spec = self._world.inventory.clusters.get(name)
        if spec is not None:
            member.set_pools(spec.node_pools)
        self._world.members[name] = member
        watching = asyncio.create_task(member.run(), name=f"member-{name}")
        changed = asyncio.create_task(self._secret_changed(connection.kubeconfig_secret, version))
        try:
            done, _ = await asyncio.wait({watching, changed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            watching.cancel()
            changed.cancel()
            await asyncio.gather(watching, changed, return_exceptions=True)
            if self._world.members.get(name) is member:
                del self._world.members[name]
            MEMBER_REACHABLE.labels(name).set(0)
            await client.close()

    def _identify(self, name: str, uid: str) -> str:
        """Why the cluster of that kube-system UID is not to be used under this name; empty where it may be."""
        others = (m.name for m in self._world.members.values() if m.name != name and m.uid == uid and m.reachable)
        twin = min(others, default="")
        if twin:
            return f"this is the same cluster as SovereignCluster/{twin}; put its pools there and delete one of the two"
        return self._world.identified(name, uid)

    def _reach(self, name: str) -> None:
        member = self._world.members.get(name)
        problem = member.problem if member is not None else "not connected"
        MEMBER_REACHABLE.labels(name).set(0 if problem else 1)
        if not problem:
            self._world.connection_problems.pop(name, None)
        log.info("member %s", f"not reachable: {problem}" if problem else "reachable", extra={"cluster": name})
        self._on_reach(name)

    async def _open(self, connection: Connection) -> tuple[KubeClient, str]:
        if connection.hub is not None:
            return self._hub_member(), ""
        assert connection.kubeconfig_secret is not None
        text, version = await self._read_secret(connection.kubeconfig_secret)
        try:
            return member_client(text), version
        except KubeconfigError as error:
            ref = connection.kubeconfig_secret
            raise ConnectionRefused(f"Secret {ref.namespace}/{ref.name}: {error}") from error

    async def _read_secret(self, ref: SecretRef) -> tuple[str, str]:
        where = f"Secret {ref.namespace}/{ref.name}"
        try:
            raw = await self._hub.get(resource_path("v1", "secrets", ref.namespace, ref.name))
        except ApiError as error:
            raise ConnectionRefused(f"{where} cannot be read: {error}") from error
        data = (raw.get("data") or {}).get(ref.key)
        if data is None:
            raise ConnectionRefused(f"{where} has no key {ref.key!r}; put the kubeconfig there")
        try:
            return base64.b64decode(data, validate=True).decode(), raw["metadata"]["resourceVersion"]
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConnectionRefused(f"{where} key {ref.key!r} is no text: {error}") from error

    async def _secret_changed(self, ref: SecretRef | None, version: str) -> None:
        """Return once the Secret differs from what the connection was opened with."""
        while True:
            await asyncio.sleep(SECRET_SECONDS * (0.5 + random.random()))
            if ref is None:
                continue
            try:
                _, current = await self._read_secret(ref)
            except ConnectionRefused as error:
                log.warning("kubeconfig not readable, the open connection stays: %s", error)
                continue
            if current != version:
                return
