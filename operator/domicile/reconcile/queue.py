"""A keyed, level-triggered work queue, and the workers that empty it.

Fed by kopf's events, inventory changes, the sweep and retries; emptied by `work`, which alone turns outcomes into
queue calls. One reconcile per key at a time: a key added while it is processed runs once more afterwards, however often
it was added. It must not know what a key stands for. Not thread-safe: another thread uses `loop.call_soon_threadsafe`.

The semantics are those of controller-runtime's workqueue, which generations of controllers were debugged against.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


URGENT_IN_A_ROW: Final = 4  # so many urgent keys at most go before one of the normal priority that waits


class QueueClosed(Exception):
    """The queue was shut down; there is nothing more to get."""


@dataclass(frozen=True, slots=True)
class Done:
    """The key is as it should be; forget its failures."""


@dataclass(frozen=True, slots=True)
class After:
    """The key is as it should be for now; look again in `seconds`, or earlier if something changes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not work; again with backoff. An error with `retry_after` (seconds) is not retried sooner than that."""

    error: Exception | str


Outcome = Done | After | Retry


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_second` on average, `burst` at once."""

    per_second: float
    burst: int = 1


class _Bucket:
    """Token bucket over a clock in seconds. Without a rate it is always full."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._tokens = float(rate.burst) if rate else 0.0
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        if self._rate is None:
            return 0.0
        self._tokens = min(self._rate.burst, self._tokens + (now - self._at) * self._rate.per_second)
        self._at = now
        if self._tokens >= 1.0 - 1e-9:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate.per_second


@dataclass(slots=True)
class _Delayed:
    when: float
    urgent: bool
    handle: asyncio.TimerHandle


class KeyedQueue(Generic[K]):
    """Waiting keys in two priorities, each at most once. The clock is the running loop's."""

    def __init__(
        self,
        *,
        normal_rate: Rate | None = None,
        normal_at_most: int | None = None,
        backoff_base: float = 0.5,
        backoff_cap: float = 120.0,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """`normal_rate` throttles the normal priority only; of its keys at most `normal_at_most` are processed at a
        time, so that an urgent one finds a worker free. Backoff is full jitter up to `base * 2**n`, in seconds."""
        self._urgent: dict[K, float] = {}  # key -> when it became dirty; a dict is an ordered set
        self._normal: dict[K, float] = {}
        self._processing: dict[K, bool] = {}  # key -> whether it was got as urgent
        self._again: dict[K, tuple[bool, float]] = {}  # dirty while processing
        self._delayed: dict[K, _Delayed] = {}
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._bucket = _Bucket(normal_rate)
        self._refill: asyncio.TimerHandle | None = None
        self._normal_at_most, self._normal_now = normal_at_most, 0
        self._base, self._cap, self._random = backoff_base, backoff_cap, random
        self._row = 0  # urgent keys given out since the last one of the normal priority
        self._closed = False

    @property
    def depth(self) -> int:
        """Keys waiting now: not those being processed, nor those delayed."""
        return len(self._urgent) + len(self._normal) + len(self._again)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, is processed or is due later."""
        return not (self.depth or self._processing or self._delayed)

    def oldest_wait(self, now: float) -> float:
        """Seconds the longest waiting key has been dirty at loop time `now`; 0 when none waits."""
        since = [*self._urgent.values(), *self._normal.values(), *(at for _, at in self._again.values())]
        return max(0.0, now - min(since)) if since else 0.0

    def failures(self, key: K) -> int:
        """Failures of `key` in a row."""
        return self._failures.get(key, 0)

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Mark `key` dirty. Adding it urgently lifts it from the normal priority; nothing lowers it."""
        if self._closed:
            return
        now = asyncio.get_running_loop().time()
        if key in self._processing:
            was, since = self._again.get(key, (False, now))
            self._again[key] = (was or urgent, since)
        elif key in self._urgent:
            return
        elif urgent:
            self._urgent[key] = self._normal.pop(key, now)
            self._wake()
        elif key not in self._normal:
            self._normal[key] = now
            self._wake()

    def add_after(self, key: K, seconds: float, *, urgent: bool = False) -> None:
        """Add `key` in `seconds`. One timer per key: the earliest wins, the higher priority stays."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, seconds)
        known = self._delayed.get(key)
        if known is not None:
            known.urgent = known.urgent or urgent
            if known.when <= when:
                return
            known.handle.cancel()
            urgent = known.urgent
        self._delayed[key] = _Delayed(when, urgent, loop.call_at(when, self._due, key))

    def retry(self, key: K, *, at_least: float = 0.0) -> float:
        """Add `key` after its backoff, in the priority it was got with, and return the delay in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, self._random() * min(self._cap, self._base * 2.0 ** min(failures - 1, 32)))
        self.add_after(key, delay, urgent=self._processing.get(key, False))
        return delay

    def forget(self, key: K) -> None:
        """Start the backoff of `key` over."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, in the order they became dirty. Urgent ones go first, yet however many come, the others are not
        left waiting for good. Call `done` for it. Raises `QueueClosed`."""
        while not self._closed:
            key = self._pop()
            if key is not None:
                if self._urgent or self._normal:
                    self._wake()
                return key[0]
            await self._wait()
        raise QueueClosed

    def done(self, key: K) -> None:
        """`key` is no longer processed; it waits again if it was added meanwhile."""
        if self._processing.pop(key, True) is False:
            self._normal_now -= 1
            if self._normal:
                self._wake()  # one that was held back
        if again := self._again.pop(key, None):
            urgent, since = again
            (self._urgent if urgent else self._normal)[key] = since
            self._wake()

    def shutdown(self) -> None:
        """Give out nothing more: getters raise `QueueClosed`, timers are cancelled, what waits is dropped."""
        self._closed = True
        for delayed in self._delayed.values():
            delayed.handle.cancel()
        if self._refill is not None:
            self._refill.cancel()
        self._delayed.clear()
        while self._getters:
            self._wake()

    def _pop(self) -> tuple[K] | None:
        """A key in a tuple, since a key may be any value; None if none may be given out now."""
        if self._normal and self._may_be_normal() and (not self._urgent or self._row >= URGENT_IN_A_ROW):
            loop = asyncio.get_running_loop()
            short = self._bucket.take(loop.time())
            if short == 0.0:
                self._row = 0
                return self._take(self._normal, urgent=False)
            if self._refill is None:
                self._refill = loop.call_later(short, self._refilled)
        if not self._urgent:
            return None
        self._row += 1
        return self._take(self._urgent, urgent=True)

    def _may_be_normal(self) -> bool:
        """Whether another key of the normal priority may be processed beside those that are."""
        return self._normal_at_most is None or self._normal_now < self._normal_at_most

    def _take(self, waiting: dict[K, float], *, urgent: bool) -> tuple[K]:
        key = next(iter(waiting))
        del waiting[key]
        self._processing[key] = urgent
        self._normal_now += not urgent
        return (key,)

    def _due(self, key: K) -> None:
        delayed = self._delayed.pop(key)
        self.add(key, urgent=delayed.urgent)

    def _refilled(self) -> None:
        self._refill = None
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    async def _wait(self) -> None:
        getter = asyncio.get_running_loop().create_future()
        self._getters.append(getter)
        try:
            await getter
        except asyncio.CancelledError:
            if getter.done() and not getter.cancelled():
                self._wake()  # it was woken and cancelled at once: the key it was woken for is another's
            raise


async def work(queue: KeyedQueue[K], *, reconcile: Callable[[K], Awaitable[Outcome]], workers: int) -> None:
    """Run `workers` reconciles at a time until the queue is shut down, then return once those under way have ended."""
    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(_worker(queue, reconcile=reconcile), name=f"reconcile-{number}")


async def _worker(queue: KeyedQueue[K], *, reconcile: Callable[[K], Awaitable[Outcome]]) -> None:
    while True:
        try:
            key = await queue.get()
        except QueueClosed:
            return
        try:
            settle(queue, key=key, outcome=await attempt(key, reconcile=reconcile))
        finally:
            queue.done(key)
        await asyncio.sleep(0)  # a reconcile that never waited must not keep watches and probes from running


async def attempt(key: K, *, reconcile: Callable[[K], Awaitable[Outcome]]) -> Outcome:
    """The outcome of one reconcile, where an exception is a `Retry`: unexpected, so logged with its traceback."""
    try:
        return await reconcile(key)
    except Exception as error:
        log.exception("reconcile failed", extra={"key": str(key)})
        return Retry(error)


def settle(queue: KeyedQueue[K], *, key: K, outcome: Outcome) -> None:
    """The one place where an outcome becomes queue calls."""
    match outcome:
        case Done():
            queue.forget(key)
        case After(seconds):
            queue.forget(key)
            queue.add_after(key, seconds)
        case Retry(error):
            wanted = getattr(error, "retry_after", None) or 0.0
            delay = queue.retry(key, at_least=wanted)
            details = {"key": str(key), "failures": queue.failures(key), "delay": round(delay, 3)}
            log.warning("reconcile to be retried: %s", error, extra=details)
