"""The queue's promises: one reconcile per key at a time, nothing lost, urgent first, delays and backoff as said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domicile.kube.errors import TooManyRequests
from domicile.reconcile.queue import URGENT_IN_A_ROW, After, Done, KeyedQueue, Outcome, QueueClosed, Rate, Retry, work
from domicile.reconcile.queue import settle as outcome


class Time:
    """The running loop's clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        await settle()


async def settle() -> None:
    """Let everything that can run now run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def wait_idle(queue: KeyedQueue[int]) -> None:
    for _ in range(3000):
        if queue.idle:
            return
        await asyncio.sleep(0.001)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


async def taken(queue: KeyedQueue[str], *, limit: int = 100) -> list[str]:
    """What getters are given now, without anyone calling `done`."""
    keys: list[str] = []
    getters = [asyncio.create_task(queue.get()) for _ in range(limit)]
    await settle()
    for getter in getters:
        if getter.done():
            keys.append(getter.result())
        getter.cancel()
    await settle()
    return keys


async def test_a_key_waits_once_and_urgent_goes_first(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    for key in ("a", "b", "a", "c"):
        queue.add(key)
    queue.add("u", urgent=True)
    queue.add("c", urgent=True)  # lifted
    queue.add("u")  # not lowered
    assert queue.depth == 4
    assert await taken(queue) == ["u", "c", "a", "b"]


async def test_urgent_keys_that_never_end_do_not_starve_the_others(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    queue.add("b")
    for number in range(3 * URGENT_IN_A_ROW):
        queue.add(f"u{number}", urgent=True)
    given = await taken(queue)
    assert given[URGENT_IN_A_ROW] == "a"
    assert given[2 * URGENT_IN_A_ROW + 1] == "b"
    assert len(given) == 3 * URGENT_IN_A_ROW + 2


async def test_a_key_added_while_processed_runs_once_more_and_not_beside(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a", urgent=True)
    queue.add("b")
    assert await taken(queue) == ["b"]
    queue.add("c")
    queue.done("a")
    assert await taken(queue) == ["a", "c"]
    queue.done("a")
    assert await taken(queue) == []


async def test_delayed_keys_come_when_due_and_the_earliest_wins(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("n")
    await queue.get()
    queue.done("n")
    queue.add_after("plain", 3)
    queue.add_after("a", 10, urgent=True)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    queue.add_after("b", 3)
    queue.add_after("b", 20, urgent=True)
    await time.advance(2.9)
    assert await taken(queue) == []
    await time.advance(0.2)
    queue.add("n")
    assert await taken(queue) == ["a", "b", "plain", "n"]
    queue.done("a")
    queue.add_after("a", 50)
    await time.advance(40)
    assert await taken(queue) == []  # the later timers are gone
    await time.advance(10)
    assert await taken(queue) == ["a"]


async def test_backoff_grows_to_a_cap_and_forget_starts_over(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue(backoff_base=1, backoff_cap=10, random=lambda: 1.0)
    assert [queue.retry("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue.retry("b", at_least=30) == 30  # Retry-After
    queue.forget("a")
    assert queue.retry("a") == 1
    halved: KeyedQueue[str] = KeyedQueue(backoff_base=1, random=lambda: 0.5)
    assert [halved.retry("a") for _ in range(3)] == [0.5, 1, 2]  # full jitter scales the whole delay


async def test_the_bucket_throttles_normal_keys_only(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue(normal_rate=Rate(per_second=2, burst=3))
    for number in range(6):
        queue.add(f"n{number}")
    assert await taken(queue) == ["n0", "n1", "n2"]
    queue.add("u", urgent=True)
    assert await taken(queue) == ["u"]
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await time.advance(0.49)
    assert [getter.done() for getter in waiting] == [False, False]
    await time.advance(0.02)
    assert [getter.done() for getter in waiting] == [True, False]
    await time.advance(0.5)
    assert [getter.result() for getter in waiting] == ["n3", "n4"]


async def test_a_cancelled_getter_loses_no_key(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add("a")  # wakes the first
    first.cancel()
    await settle()
    assert second.result() == "a"


async def test_depth_and_oldest_wait(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    await time.advance(5)
    queue.add("b")
    queue.add("a", urgent=True)  # lifted, and no younger for it
    assert (queue.depth, queue.oldest_wait(time.now)) == (2, 5.0)
    await taken(queue)
    queue.add("b")
    await time.advance(2)
    assert (queue.depth, queue.oldest_wait(time.now)) == (1, 2.0)  # dirty again while processed
    assert not queue.idle


async def test_outcomes_become_queue_calls(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    queue: KeyedQueue[str] = KeyedQueue(backoff_base=4, random=lambda: 1.0)
    ran: list[str] = []
    answers: dict[str, Any] = {"done": Done(), "after": After(60), "retry": Retry("no"), "bug": ZeroDivisionError()}

    async def reconcile(key: str) -> Outcome:
        ran.append(key)
        answer = answers[key]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Done | After | Retry)
        return answer

    for key in answers:
        queue.add(key)
    workers = asyncio.create_task(work(queue, reconcile=reconcile, workers=2))
    await settle()
    assert sorted(ran) == ["after", "bug", "done", "retry"]
    assert "reconcile failed" in caplog.text
    assert {getattr(record, "key", None) for record in caplog.records} == {"bug", "retry"}
    answers |= {"retry": Done(), "bug": Done()}
    await time.advance(4)
    assert sorted(ran[4:]) == ["bug", "retry"]
    assert queue.failures("bug") == 0
    await time.advance(56)
    assert ran[6:] == ["after"]
    queue.shutdown()
    await workers


async def test_success_forgets_failures_and_retry_after_is_honoured(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue(random=lambda: 0.0)
    outcome(queue, key="a", outcome=Retry("no"))
    assert queue.failures("a") == 1
    outcome(queue, key="a", outcome=After(60))
    assert queue.failures("a") == 0
    await time.advance(1)
    assert await taken(queue) == ["a"]
    outcome(queue, key="b", outcome=Retry(TooManyRequests(429, retry_after=30)))
    await time.advance(29)
    assert await taken(queue) == []
    await time.advance(2)
    assert await taken(queue) == ["b"]


async def test_an_urgent_key_is_retried_as_urgent(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue(random=lambda: 1.0)
    queue.add("u", urgent=True)
    await queue.get()
    queue.retry("u")
    queue.done("u")
    queue.add("n")
    await time.advance(1)
    assert await taken(queue) == ["u", "n"]


async def test_never_two_reconciles_of_a_key_and_never_a_lost_change() -> None:
    """Many adds against slow workers: the last value written before an add is always seen by a later run."""
    queue: KeyedQueue[int] = KeyedQueue()
    wanted, seen, busy = dict.fromkeys(range(5), 0), dict.fromkeys(range(5), 0), set[int]()

    async def reconcile(key: int) -> Outcome:
        assert key not in busy
        busy.add(key)
        value = wanted[key]
        await asyncio.sleep(0.0005 * (key % 3))
        seen[key] = value
        busy.remove(key)
        return Done()

    workers = asyncio.create_task(work(queue, reconcile=reconcile, workers=4))
    for round_ in range(200):
        wanted[round_ % 5] = round_
        queue.add(round_ % 5, urgent=round_ % 7 == 0)
        await asyncio.sleep(0)
    await wait_idle(queue)
    assert seen == wanted
    queue.shutdown()
    await workers


async def test_shutdown_ends_getters_and_lets_running_work_finish(time: Time) -> None:
    queue: KeyedQueue[str] = KeyedQueue()
    release, finished = asyncio.Event(), []

    async def reconcile(key: str) -> Outcome:
        await release.wait()
        finished.append(key)
        return Retry("later")

    workers = asyncio.create_task(work(queue, reconcile=reconcile, workers=3))
    queue.add("a")
    queue.add_after("b", 5)
    await settle()
    queue.shutdown()
    queue.add("c")
    await settle()
    assert not workers.done()
    release.set()
    await workers
    assert finished == ["a"]
    with pytest.raises(QueueClosed):
        await queue.get()


async def test_urgent_keys_find_a_worker_free() -> None:
    """However much of the normal priority is slow, it never holds all workers."""
    queue: KeyedQueue[str] = KeyedQueue(normal_at_most=2)
    for key in ("a", "b", "c"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    third = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not third.done()
    queue.add("urgent", urgent=True)
    assert await third == "urgent"
    fourth = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not fourth.done()
    queue.done("a")
    assert await asyncio.wait_for(fourth, 1) == "c"
