"""Leader election on a `coordination.k8s.io/v1` Lease: at most one replica decides and writes.

Called by `runtime.app`. It must not know what a leader does. Replicas' clocks may differ: whether another's lease has
run out is judged by how long *we* have seen it unchanged, never by the times written in it, which are for people.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import ApiError, Conflict, NotFound
from domicile.kube.wire import Json

log = logging.getLogger(__name__)

JITTER: Final = 0.2  # of the retry period
GROUP_VERSION: Final = "coordination.k8s.io/v1"


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or another replica holds it. The process must end, not carry on."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, as in client-go: a leader that cannot renew gives up before another may take over."""

    duration: int = 15
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_period < self.renew_deadline < self.duration - self.retry_period * (1 + JITTER):
            raise ValueError(f"a leader would give up too late: {self}")


DEFAULT: Final = Timing()


class LeaderElection:
    """One candidate. `identity` must differ between processes, not only pods: a pod's name and a random suffix."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing = DEFAULT,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._client, self._timing, self._clock, self._random = client, timing, clock, random
        self._collection = resource_path(GROUP_VERSION, "leases", namespace)
        self._path = resource_path(GROUP_VERSION, "leases", namespace, name)
        self._name, self.identity = name, identity
        self._seen: Json | None = None  # the lease as last read or written
        self._seen_at = 0.0  # when it was first seen as it is
        self._current = False  # whether `_seen` is worth a write without reading again
        self._renewed_at = float("-inf")  # start of the last good renewal, hence never later than the server's view
        self.lost = asyncio.Event()

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; "" for nobody."""
        return str(_spec(self._seen).get("holderIdentity") or "")

    @property
    def is_leader(self) -> bool:
        """Whether the lease still covers us by our own clock, so also false after the event loop was stuck for long."""
        return not self.lost.is_set() and self._clock() < self._renewed_at + self._timing.duration

    async def run(self, *, on_started: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run `on_started()` while renewing it. Once per object.

        Ends as `on_started()` ends. When the lease is lost, `lost` is set, `on_started()` is cancelled, and
        `LeadershipLost` raised. Cancelling `run` cancels it too. The lease is released once `on_started()` has ended.
        """
        while not await self._try(within=self._timing.renew_deadline):
            await self._pause()
        log.info("leading", extra={"lease": self._path, "identity": self.identity})
        led = asyncio.ensure_future(on_started())
        renewal = asyncio.create_task(self._renew_until_lost(), name="lease-renewal")
        try:
            await asyncio.wait({led, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not led.done():
                raise LeadershipLost(f"{self._path} not renewed in time, or taken by {self.holder!r}")
            await led
        finally:
            self.lost.set()
            await self._stop(led, renewal)

    async def _stop(self, led: asyncio.Future[None], renewal: asyncio.Task[None]) -> None:
        """End both, and release the lease unless what was led goes on: then others must wait until it runs out."""
        renewal.cancel()
        led.cancel()
        _, still = await asyncio.wait({led, renewal}, timeout=self._timing.renew_deadline)
        if still:
            log.error("what was led did not stop; the lease is left to run out", extra={"lease": self._path})
        elif self.holder == self.identity:
            await self._release()

    async def _renew_until_lost(self) -> None:
        await self._pause()
        while await self._renewed():
            await self._pause()
        self.lost.set()
        log.error("leadership lost", extra={"lease": self._path, "holder": self.holder})

    async def _renewed(self) -> bool:
        """Renew, and again after errors; False when another has the lease or the deadline has passed."""
        while (left := self._renewed_at + self._timing.renew_deadline - self._clock()) > 0:
            if await self._try(within=left):
                return True
            if self.holder not in ("", self.identity):
                return False
            await self._pause()
        return False

    async def _pause(self) -> None:
        await asyncio.sleep(self._timing.retry_period * (1 + JITTER * self._random()))

    async def _try(self, *, within: float) -> bool:
        """One attempt to hold the lease, in `within` seconds. Whatever goes wrong, the next one reads it anew."""
        try:
            async with asyncio.timeout(within):
                self._current = await self._attempt()
        except (ApiError, TimeoutError) as error:
            self._current = False
            log.warning("lease: %s", str(error) or "timeout", extra={"lease": self._path})
        return self._current

    async def _attempt(self) -> bool:
        started = self._clock()
        if not self._current:
            await self._observe()
        if self.holder not in ("", self.identity) and not self._expired():
            return False
        body = self._claimed()
        if self._seen is None:
            self._seen = await self._client.create(self._collection, body)
        else:
            self._seen = await self._client.replace(self._path, body)  # with its resourceVersion: one claim wins
        self._seen_at = self._renewed_at = started
        return True

    async def _observe(self) -> None:
        """Read the lease. A change in it, whatever it says, is a sign of life of its holder."""
        try:
            found = await self._client.get(self._path)
        except NotFound:
            found = None
        if found is None or _spec(found) != _spec(self._seen):
            self._seen_at = self._clock()
        self._seen = found

    def _expired(self) -> bool:
        promised = _spec(self._seen).get("leaseDurationSeconds")
        duration = promised if isinstance(promised, int) else self._timing.duration
        return self._clock() >= self._seen_at + duration

    def _claimed(self) -> Json:
        """The lease with us as its holder."""
        old, now = _spec(self._seen), micro_time(datetime.now(UTC))
        spec = {**old, "holderIdentity": self.identity, "leaseDurationSeconds": self._timing.duration, "renewTime": now}
        if self.holder != self.identity:
            transitions = old.get("leaseTransitions")
            spec["leaseTransitions"] = transitions + 1 if isinstance(transitions, int) else 0
            spec["acquireTime"] = now
        metadata = (self._seen or {}).get("metadata") or {"name": self._name}
        return {"apiVersion": GROUP_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _release(self) -> None:
        """Let the others in at once. Best effort: without it they wait until the lease has run out."""
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(self._timing.retry_period + 1):
                await self._observe()  # a renewal that was cut off may have reached the server
                while self.holder == self.identity:
                    body = self._claimed()
                    body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    with suppress(Conflict):
                        await self._client.replace(self._path, body)
                    await self._observe()


def _spec(lease: Json | None) -> Json:
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def micro_time(moment: datetime) -> str:
    """A Kubernetes MicroTime: RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
