"""The decision log of the running operator: its key, its writer, and where its checkpoints go."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from domicile.evidence import checkpoint as notes
from domicile.evidence.checkpoint import SignerKey, generate_key
from domicile.evidence.commit import GroupCommit, SinkState
from domicile.evidence.durable import replace_file
from domicile.evidence.errors import LogError
from domicile.evidence.log import DecisionLog, Limits, Position
from domicile.evidence.record import Record
from domicile.evidence.sinks import DirectorySink, Sink
from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import NotFound
from domicile.model.labels import FIELD_MANAGER
from domicile.model.objects import KINDS
from domicile.model.schema import API_VERSION
from domicile.reconcile.ledger import Ledger, NoLedger
from domicile.report import metrics
from domicile.report.conditions import Said, conditions, instant
from domicile.runtime.settings import Settings

log = logging.getLogger(__name__)

ORIGIN: Final = "domicile.dev/decisions"
SINGLETON: Final = "domicile"
TRY_AGAIN_SECONDS: Final = 5.0  # how long a failed append keeps the log from being called available


class LogNotOpened(Exception):
    """The decision log cannot be used as it is; the message says what to do."""


@dataclass(slots=True)
class OpenLedger:
    """The ledger of an open log."""

    commit: GroupCommit
    _failed: str = ""
    _failed_at: float = 0.0

    @property
    def available(self) -> str:
        """Empty, or the last failure while it is fresh: then it is worth another try."""
        return self._failed if time.monotonic() - self._failed_at < TRY_AGAIN_SECONDS else ""

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Make records durable. Raises `LogUnavailable`."""
        began = time.perf_counter()
        try:
            positions = await self.commit.append(records)
        except LogError as error:
            self._failed, self._failed_at = str(error), time.monotonic()
            metrics.LOG_FAILURES.inc()
            raise
        self._failed_at = 0.0
        metrics.LOG_SECONDS.observe(time.perf_counter() - began)
        metrics.LOG_SIZE.set(positions[-1].seq + 1 if positions else 0)
        return positions


@asynccontextmanager
async def open_ledger(settings: Settings, hub: KubeClient) -> AsyncIterator[Ledger]:
    """The ledger for as long as the process leads. Raises LogNotOpened. Without a directory nothing is kept."""
    if settings.log_dir is None:
        log.warning(NoLedger.available)
        yield NoLedger()
        return
    directory = Path(settings.log_dir)
    signer = signing_key(Path(settings.log_key) if settings.log_key else directory.with_name(directory.name + ".key"))
    limits = Limits()
    try:
        decisions = DecisionLog(directory, signer=signer, clock=lambda: datetime.now(UTC), limits=limits)
    except LogError as error:
        remedy = "see domicile log verify, then move the directory away or restore it"
        raise LogNotOpened(f"decision log {directory}: {error}; {remedy}") from error
    sinks: list[Sink] = [DirectorySink(Path(sink)) for sink in settings.log_sinks]
    status = StatusSink(hub, key=signer.verifier.vkey)
    commit = GroupCommit(decisions, sinks=[*sinks, status])
    status.others = lambda: commit.sinks
    try:
        async with commit:
            yield OpenLedger(commit)
    finally:
        decisions.close()


def signing_key(path: Path) -> SignerKey:
    """The key in a file, made at the first start; the public part is put beside it. Raises LogNotOpened."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            key = generate_key(ORIGIN)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(key.skey + "\n")
            replace_file(path.with_name(path.name + ".pub"), data=(key.verifier.vkey + "\n").encode())
            log.warning("made a signing key; keep %s.pub where the operator cannot write", path)
        return SignerKey.parse(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        raise LogNotOpened(
            f"--log-key {path}: {error}; name a file that holds a key, or none to have it made"
        ) from error


class StatusSink:
    """Publishes checkpoints as the status of DecisionLog/domicile, which it makes where it is missing."""

    def __init__(self, hub: KubeClient, *, key: str) -> None:
        self._hub, self._key = hub, key
        self.others: Callable[[], list[SinkState]] = list  # what the log's sinks have
        self.name = f"DecisionLog/{SINGLETON}"

    async def publish(self, text: str) -> None:
        """Raises the `ApiError` family."""
        path = resource_path(API_VERSION, KINDS["DecisionLog"].plural, name=SINGLETON)
        about = {"apiVersion": API_VERSION, "kind": "DecisionLog", "metadata": {"name": SINGLETON}}
        try:
            known = await self._hub.get(path)
        except NotFound:
            known = await self._hub.apply(path, about | {"spec": {}}, field_manager=FIELD_MANAGER, force=True)
        document = about | {"status": self._status(text, known.get("status") or {})}
        await self._hub.apply(path, document, field_manager=FIELD_MANAGER, force=True, subresource="status")
        metrics.LOG_CHECKPOINT.set(time.time())

    def _status(self, text: str, before: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC)
        checkpoint = notes.parse(text).checkpoint
        others = [state for state in self.others() if state.name != self.name]
        failing = [f"{state.name}: {state.error}" for state in others if state.error]
        said = Said("Ready", "True", "Published", "all sinks have the newest checkpoint they were offered")
        if failing:
            said = Said("Ready", "False", "SinkFailing", "; ".join(failing))
        return {
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "checkpoint": text,
            "verifierKey": self._key,
            "publishedAt": instant(now),
            "sinks": [
                {"name": s.name[:500], "size": _size(s.published), "error": (s.error or "")[:500]} for s in others
            ],
            "conditions": conditions([said], before=before.get("conditions") or (), generation=1, at=now),
        }


def _size(text: str | None) -> int:
    return notes.parse(text).checkpoint.size if text else 0
