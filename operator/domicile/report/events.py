"""Kubernetes Events about what happens to running copies. Best effort: conditions, records and metrics say it too."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import ApiError
from domicile.model.schema import API_VERSION
from domicile.report.metrics import EVENTS_DROPPED, HUB_WRITES

log = logging.getLogger(__name__)

QUEUE: Final = 1000  # events that wait; more are dropped and counted
PER_SECOND: Final = 20.0
MAX_NOTE: Final = 1024  # bytes an API server takes
CLUSTER_SCOPED: Final = "default"  # namespace of events about objects without one


class Event(NamedTuple):
    """One event about one object; ``warning`` where somebody should look."""

    kind: str
    key: str  # namespace/name or name
    uid: str
    reason: str
    action: str
    note: str
    warning: bool
    at: datetime


Tell = Callable[[Event], None]
"""Hands over an event. Never waits and never fails."""


class Poster:
    """Posts events one by one. ``tell`` at any time; ``run`` as a task."""

    def __init__(self, hub: KubeClient, *, instance: str) -> None:
        self._hub, self._instance = hub, instance
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(QUEUE)

    def tell(self, event: Event) -> None:
        """Post it soon, or count it as dropped."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                document = document_of(event, instance=self._instance)
                namespace = document["metadata"]["namespace"]
                HUB_WRITES.labels("event").inc()
                await self._hub.create(resource_path("events.k8s.io/v1", "events", namespace), document)
            except ApiError as error:
                EVENTS_DROPPED.inc()
                log.warning("event not posted: %s", error, extra={"key": event.key})
            await asyncio.sleep(1 / PER_SECOND)


def document_of(event: Event, *, instance: str) -> Mapping[str, Any]:
    """The events.k8s.io/v1 document of an event."""
    namespace, _, name = event.key.rpartition("/")
    regarding = {"apiVersion": API_VERSION, "kind": event.kind, "name": name, "uid": event.uid}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{name[:200]}.{uuid.uuid4().hex[:16]}", "namespace": namespace or CLUSTER_SCOPED},
        "eventTime": event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "domicile.dev/operator",
        "reportingInstance": instance[:128],
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "action": event.action,
        "note": event.note.encode()[:MAX_NOTE].decode(errors="ignore"),
        "regarding": regarding | ({"namespace": namespace} if namespace else {}),
    }
