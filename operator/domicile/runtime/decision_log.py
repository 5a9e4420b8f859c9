"""The decision log of the running operator: opened when it begins to lead, closed when it stops.

What somebody has to put right (damage, a second writer, no right to write) ends the start. What storage may get over (a
full disk, an I/O error) does not: the ledger says why it is not available, and the log is opened once that is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from domicile.evidence import layout
from domicile.evidence.checkpoint import SignerKey
from domicile.evidence.commit import GroupCommit
from domicile.evidence.errors import LogDamaged, LogError, LogLocked, LogUnavailable
from domicile.evidence.log import DecisionLog, Position
from domicile.evidence.record import Record
from domicile.evidence.sinks import DirectorySink, Sink
from domicile.kube.client import KubeClient
from domicile.reconcile.ledger import Ledger, NoLedger
from domicile.report import metrics
from domicile.runtime.log_key import KeyUnusable, public_path, signing_key
from domicile.runtime.log_status import StatusSink
from domicile.runtime.settings import Settings

log = logging.getLogger(__name__)

TRY_AGAIN_SECONDS: Final = 5.0  # how long a failed append keeps the log from being called available
OPEN_SECONDS: Final = 10.0  # between attempts to open a log that storage refused
NEVER_BY_ITSELF: Final = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)


class LogNotOpened(Exception):
    """The decision log cannot be used as it is; the message says what to do."""


class OpenLedger:
    """The ledger of a log that is open, or will be once storage lets it."""

    def __init__(self, commit: GroupCommit | None = None, *, problem: str = "") -> None:
        self._commit, self._problem = commit, problem
        self._failed_at = float("-inf")

    @property
    def available(self) -> str:
        """Empty, or the last failure while it is fresh: then it is worth another try."""
        if self._commit is None:
            return self._problem
        return self._problem if time.monotonic() - self._failed_at < TRY_AGAIN_SECONDS else ""

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Make records durable. Raises `LogUnavailable`, or `LogDamaged` where others changed what was stored."""
        began = time.perf_counter()
        try:
            if self._commit is None:
                raise LogUnavailable(self._problem)
            positions = await self._commit.append(records)
        except LogError as error:
            self._problem, self._failed_at = str(error), time.monotonic()
            metrics.LOG_FAILURES.inc(len(records))
            raise
        self._failed_at = float("-inf")
        metrics.LOG_SECONDS.observe(time.perf_counter() - began)
        if positions:
            metrics.LOG_SIZE.set(positions[-1].seq + 1)
        return positions

    def opened(self, commit: GroupCommit) -> None:
        """From now on records are kept."""
        self._commit, self._problem = commit, ""

    def still_closed(self, problem: str) -> None:
        """Why the log could not be opened yet."""
        self._problem = problem


@asynccontextmanager
async def open_ledger(
    settings: Settings, hub: KubeClient, *, retry_seconds: float = OPEN_SECONDS
) -> AsyncIterator[Ledger]:
    """The ledger for as long as the process leads; without ``--log-dir`` one that keeps nothing and says so once.

    Raises `LogNotOpened` for what does not pass by itself. ``retry_seconds`` between attempts to open a log, or to
    publish a checkpoint, that storage or the hub refused.
    """
    if settings.log_dir is None:
        log.warning(NoLedger.available)
        yield NoLedger()
        return
    async with contextlib.AsyncExitStack() as stack:
        ledger = OpenLedger()
        try:
            ledger.opened(await _enter(stack, settings, hub, retry_seconds))
        except LogUnavailable as error:
            log.error("no decision log yet: %s", error)
            ledger.still_closed(str(error))
            task = asyncio.create_task(_open_later(ledger, stack, settings, hub, retry_seconds), name="open-log")
            stack.push_async_callback(_ended, task)
        yield ledger


async def _open_later(
    ledger: OpenLedger, stack: contextlib.AsyncExitStack, settings: Settings, hub: KubeClient, retry_seconds: float
) -> None:
    """Try until it opens. What is found by then to be damaged stays closed, and the ledger says so."""
    while True:
        await asyncio.sleep(retry_seconds)
        try:
            ledger.opened(await _enter(stack, settings, hub, retry_seconds))
            return
        except (LogUnavailable, LogNotOpened) as error:
            ledger.still_closed(str(error))


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _enter(
    stack: contextlib.AsyncExitStack, settings: Settings, hub: KubeClient, retry_seconds: float
) -> GroupCommit:
    """Open the log and what publishes its checkpoints, for ``stack`` to close. Raises LogUnavailable, LogNotOpened."""
    async with contextlib.AsyncExitStack() as attempt:  # one that fails half-way must not keep the lock
        decisions, signer = await _in_thread(settings)
        attempt.push_async_callback(asyncio.to_thread, decisions.close)
        status = StatusSink(hub, key=signer.verifier.vkey)
        attempt.push_async_callback(status.refresh)
        sinks: list[Sink] = [*(DirectorySink(Path(sink)) for sink in settings.log_sinks), status]
        commit = GroupCommit(decisions, sinks=sinks, retry_seconds=retry_seconds)
        status.others = lambda: commit.sinks
        await attempt.enter_async_context(commit)
        following = asyncio.create_task(status.follow(every=retry_seconds), name="log-status")
        attempt.push_async_callback(_ended, following)
        stack.push_async_exit(attempt.pop_all())
    metrics.LOG_SIZE.set(decisions.size)
    about = {"directory": str(decisions.directory), "size": decisions.size, "key": signer.verifier.vkey}
    log.info("decision log opened", extra=about | {"torn": decisions.recovery.torn_bytes})
    return commit


async def _in_thread(settings: Settings) -> tuple[DecisionLog, SignerKey]:
    """Open away from the event loop, which renews the Lease: a log without its cache is read as a whole. A log that is
    opened after its opener was cancelled is closed again."""
    opening = asyncio.ensure_future(asyncio.to_thread(_open, settings))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_again)
        raise


def _close_again(opening: asyncio.Future[tuple[DecisionLog, SignerKey]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


def _open(settings: Settings) -> tuple[DecisionLog, SignerKey]:
    """Raises LogUnavailable for what may pass by itself, LogNotOpened for everything else."""
    assert settings.log_dir is not None
    directory = Path(settings.log_dir)
    path = Path(settings.log_key) if settings.log_key else directory.with_name(directory.name + ".key")
    where = f"decision log {directory}"
    try:
        signer = signing_key(path, make=not layout.checkpoints(directory / layout.CHECKPOINTS))
        return DecisionLog(directory, signer=signer, clock=lambda: datetime.now(UTC)), signer
    except KeyUnusable as error:
        raise LogNotOpened(f"--log-key: {error}") from error
    except LogLocked as error:
        raise LogNotOpened(f"{where}: another process writes to it; end that one, or name another --log-dir") from error
    except LogDamaged as error:
        check = f"domicile log verify {directory} --key {public_path(path)}"
        remedy = f"look at it with `{check}`, then restore it, or keep it elsewhere and begin anew"
        raise LogNotOpened(f"{where} is damaged: {error}; {remedy}") from error
    except (LogUnavailable, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, NEVER_BY_ITSELF):
            raise LogNotOpened(
                f"{where}: {cause}; --log-dir and --log-key must be where the operator may write"
            ) from error
        raise LogUnavailable(f"{where}: {error}") from error
