"""The head of the decision log on the hub: the newest signed checkpoint as the status of DecisionLog/domicile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from domicile.evidence import checkpoint as notes
from domicile.evidence.checkpoint import CheckpointInvalid
from domicile.evidence.commit import SinkState
from domicile.evidence.errors import LogError
from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import ApiError, NotFound
from domicile.model.labels import FIELD_MANAGER
from domicile.model.objects import KINDS
from domicile.model.records import MAX_SINKS
from domicile.model.schema import API_VERSION
from domicile.report import metrics
from domicile.report.conditions import Said, conditions, instant

log = logging.getLogger(__name__)

SINGLETON: Final = "domicile"
LINE: Final = 512
REFRESH_SECONDS: Final = 5.0
PATH: Final = resource_path(API_VERSION, KINDS["DecisionLog"].plural, name=SINGLETON)
ABOUT: Final = {"apiVersion": API_VERSION, "kind": "DecisionLog", "metadata": {"name": SINGLETON}}


class StatusSink:
    """A sink like any other, which also tells how the others fare."""

    def __init__(self, hub: KubeClient, *, key: str) -> None:
        """``key`` is the text form of the verifier key."""
        self._hub, self._key = hub, key
        self._text = ""
        self.others: Callable[[], Sequence[SinkState]] = tuple  # what all sinks of the log have
        self._told: Sequence[SinkState] = ()
        self.name = f"DecisionLog/{SINGLETON}"

    async def publish(self, text: str) -> None:
        """Write the checkpoint; the object is made where it is missing. Raises `LogError` where the hub does not know
        the kind, and the `ApiError` family."""
        self._text = text
        await self._write(self._seen())
        metrics.LOG_CHECKPOINT.set(time.time())

    async def follow(self, *, every: float) -> None:
        """Write again when another sink took a checkpoint or stopped taking them; looks every so many seconds."""
        while True:
            await asyncio.sleep(every)
            await self.refresh()

    async def refresh(self) -> None:
        """Tell of the other sinks if they fare otherwise than was told. What goes wrong is left to the next time."""
        seen = self._seen()
        if self._text and seen != self._told:
            with contextlib.suppress(ApiError, LogError, TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._write(seen)

    def _seen(self) -> Sequence[SinkState]:
        return tuple(state for state in self.others() if state.name != self.name)

    async def _write(self, sinks: Sequence[SinkState]) -> None:
        try:
            known: Mapping[str, Any] = await self._hub.get(PATH)
        except NotFound:
            known = await self._made()
        before = known.get("status") or {}
        status = log_status(self._text, sinks, key=self._key, before=before, at=datetime.now(UTC))
        if status != before:
            await self._hub.apply(
                PATH, ABOUT | {"status": status}, field_manager=FIELD_MANAGER, force=True, subresource="status"
            )
        self._told = sinks

    async def _made(self) -> Mapping[str, Any]:
        try:
            return await self._hub.apply(PATH, ABOUT | {"spec": {}}, field_manager=FIELD_MANAGER, force=True)
        except NotFound as error:
            raise LogError("the hub does not know the kind DecisionLog; apply the CRDs (domicile crds)") from error


def log_status(
    text: str, sinks: Sequence[SinkState], *, key: str, before: Mapping[str, Any], at: datetime
) -> dict[str, Any]:
    """The status document: equal to ``before`` where nothing changed. ``text`` is the signed checkpoint."""
    checkpoint = notes.parse(text).checkpoint
    told = [
        {"name": sink.name[:LINE], "size": _size(sink.published), "error": (sink.error or "")[:LINE]}
        for sink in sinks[:MAX_SINKS]
    ]
    said = [_ready(sinks, size=checkpoint.size)]
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "checkpoint": text,
        "verifierKey": key,
        "publishedAt": before["publishedAt"] if before.get("checkpoint") == text else instant(at),
        "sinks": told,
        "conditions": conditions(said, before=before.get("conditions") or (), generation=1, at=at),
    }


def _ready(sinks: Sequence[SinkState], *, size: int) -> Said:
    if not sinks:
        note = "no --log-sink: whoever may write this status may replace the only copy of the checkpoint"
        return Said("Ready", "True", "OnlyHere", note)
    failing = [f"{sink.name}: {sink.error}" for sink in sinks if sink.error]
    if failing:
        return Said("Ready", "False", "SinkFailing", "; ".join(failing))
    behind = [sink.name for sink in sinks if _size(sink.published) < size]
    if behind:
        return Said("Ready", "Unknown", "Publishing", f"not there yet: {', '.join(behind)}")
    return Said("Ready", "True", "Published", "every sink has the newest checkpoint")


def _size(text: str | None) -> int:
    try:
        return notes.parse(text).checkpoint.size if text else 0
    except CheckpointInvalid:
        return 0
