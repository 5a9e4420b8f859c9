"""Group commit: many callers await one fsync, off the event loop; and checkpoints when they are due.

One task owns the log. While a batch is being written, the next one collects; so the slower the disk, the larger the
batch. Checkpoints go to each sink by a task of its own: a slow sink delays no append, and gets the newest checkpoint
next, not every one in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, TypeVar

from domicile.evidence.errors import LogError, LogUnavailable
from domicile.evidence.log import DecisionLog, Position
from domicile.evidence.record import Record
from domicile.evidence.sinks import Sink

log = logging.getLogger(__name__)

# What goes into one fsync, so that one write, and what one failure refuses, stay bounded.
MAX_BATCH: Final = 1024  # records
MAX_BATCH_BYTES: Final = 8 << 20
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SinkState:
    """What a sink has: the last checkpoint text it took, and why it did not take the newest."""

    name: str
    published: str | None = None
    error: str | None = None


@dataclass(slots=True)
class _Request:
    records: Sequence[Record]
    done: asyncio.Future[list[Position]]

    @property
    def bytes(self) -> int:
        return sum(record.size for record in self.records)


class GroupCommit:
    """Appends to one `DecisionLog` from one event loop. An async context manager; the log itself stays the caller's."""

    def __init__(self, decisions: DecisionLog, *, sinks: Sequence[Sink] = (), retry_seconds: float = 10.0) -> None:
        """`retry_seconds` between attempts to write a checkpoint, and to publish one, after a failure."""
        self._log = decisions
        self._retry = retry_seconds
        self._waiting: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._not_before = 0.0  # loop time of the next attempt at a checkpoint after a failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decision-log")
        self._publishers = [_Publisher(sink, retry_seconds=retry_seconds) for sink in sinks]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> GroupCommit:
        newest = await self._in_thread(self._log.checkpoint_text)  # sinks may have missed it when the last writer ended
        self._task = asyncio.create_task(self._run(), name="decision-log")
        self._publish(newest)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, sign a last checkpoint, offer it once to every sink."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        with contextlib.suppress(LogError):
            self._publish(await self._in_thread(self._log.write_checkpoint))
        await asyncio.gather(*(publisher.stop() for publisher in self._publishers))
        self._thread.shutdown(wait=False)

    @property
    def sinks(self) -> list[SinkState]:
        """What each sink has, in the order given."""
        return [publisher.state for publisher in self._publishers]

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Return once `records` are durable. They are neighbours in the log, and stored all or none.

        Raises `LogUnavailable` (none is stored), `LogDamaged`. A caller that is cancelled does not know which it was.
        """
        if self._closing or self._task is None or self._task.done():
            raise LogUnavailable("the decision log does not run")
        request = _Request(records, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._wake.set()
        return await request.done

    async def _run(self) -> None:
        try:
            while self._waiting or not self._closing:
                await self._work_or_timeout()
                self._wake.clear()
                if batch := self._next_batch():
                    await self._commit(batch)
                await self._checkpoint_if_due()
        finally:
            while self._waiting:  # only if this task was cancelled
                _fail(self._waiting.popleft(), error=LogUnavailable("the decision log was stopped"))

    async def _work_or_timeout(self) -> None:
        """Sleep until there is something to append or to sign."""
        if self._waiting or self._closing:
            return
        seconds = self._log.seconds_to_checkpoint()
        if seconds is not None:
            seconds = max(seconds, self._not_before - asyncio.get_running_loop().time())
        await _set_or_timeout(self._wake, seconds)

    def _next_batch(self) -> list[_Request]:
        """The requests that waited longest, whole; a request above the bounds goes alone."""
        batch: list[_Request] = []
        count = size = 0
        while self._waiting:
            request = self._waiting[0]
            count, size = count + len(request.records), size + request.bytes
            if batch and (count > MAX_BATCH or size > MAX_BATCH_BYTES):
                break
            self._waiting.popleft()
            if not request.done.done():  # otherwise its caller was cancelled before anything was written
                batch.append(request)
        return batch

    async def _commit(self, batch: Sequence[_Request]) -> None:
        records = [record for request in batch for record in request.records]
        try:
            positions = await self._in_thread(lambda: self._log.append(records))
        except BaseException as error:
            for request in batch:
                _fail(request, error=error)
            if not isinstance(error, Exception):
                raise
            log.error("%d records not stored: %s", len(records), error, exc_info=not isinstance(error, LogError))
            return
        start = 0
        for request in batch:
            end = start + len(request.records)
            if not request.done.done():
                request.done.set_result(positions[start:end])
            start = end

    async def _checkpoint_if_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._log.seconds_to_checkpoint() != 0.0 or now < self._not_before:
            return
        try:
            self._publish(await self._in_thread(self._log.write_checkpoint))
        except Exception as error:  # whatever it is, appends must go on
            self._not_before = now + self._retry
            log.error("no checkpoint: %s", error, exc_info=not isinstance(error, LogError))

    def _publish(self, text: str) -> None:
        for publisher in self._publishers:
            publisher.offer(text)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Not the loop's shared threads: an fsync must not wait for whatever else they do."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


@dataclass(slots=True)
class _Publisher:
    """Keeps one sink up to date."""

    sink: Sink
    retry_seconds: float
    state: SinkState = field(init=False)
    newest: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.state = SinkState(self.sink.name)

    def offer(self, text: str) -> None:
        self.newest = text
        self.changed.set()
        if self.task is None:
            self.task = asyncio.create_task(self._run(), name=f"checkpoints to {self.sink.name}")

    async def stop(self) -> None:
        """One last attempt, bounded by the retry time."""
        if self.task is None:
            return
        self.task.cancel()
        await asyncio.wait([self.task])
        try:
            async with asyncio.timeout(self.retry_seconds):
                await self._try()
        except TimeoutError:
            log.warning("last checkpoint not published: timed out", extra={"sink": self.sink.name})

    async def _run(self) -> None:
        while True:
            seconds = None if await self._try() else self.retry_seconds
            await _set_or_timeout(self.changed, seconds)
            self.changed.clear()

    async def _try(self) -> bool:
        text = self.newest
        if text is None or text == self.state.published:
            return True
        try:
            await self.sink.publish(text)
        except Exception as error:
            known, told = self.state.error, f"{type(error).__name__}: {error}"
            self.state = SinkState(self.sink.name, self.state.published, told)
            level = logging.DEBUG if told == known else logging.WARNING  # it is tried again and again
            log.log(level, "checkpoint not published: %s", error, extra={"sink": self.sink.name})
            return False
        self.state = SinkState(self.sink.name, text)
        return True


async def _set_or_timeout(event: asyncio.Event, seconds: float | None) -> None:
    """Not `asyncio.wait_for`: before Python 3.12 it makes a task, and kopf, when it stops, cancels all tasks that were
    made since it started. That would end ours from within."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _fail(request: _Request, *, error: BaseException) -> None:
    """Give each caller an exception of its own: a shared one would collect everybody's traceback."""
    if request.done.done():
        return
    if isinstance(error, asyncio.CancelledError):
        request.done.cancel()  # the write may still have happened
        return
    mine = type(error)(*error.args) if isinstance(error, LogError) else LogUnavailable(f"not stored: {error!r}")
    mine.__cause__ = error
    request.done.set_exception(mine)
