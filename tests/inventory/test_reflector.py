"""What a reflector holds after the faults that make naive caches lie: gaps, cuts, errors, duplicates, odd objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from domicile.inventory.reflector import Reflector
from domicile.kube.client import KubeClient
from domicile.kube.errors import Forbidden, Unavailable
from domicile.kube.wire import Page
from tests.fakeapi import FakeApi

NODES = "v1/nodes"
SLEEP = asyncio.sleep


def node(name: str, zone: str = "a", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"zone": zone}, **more}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await SLEEP(0.002)


class Seen:
    """A reflector at work on nodes, projected to their zone, and the changes it told."""

    def __init__(self, client: KubeClient, **options: Any) -> None:
        self.changes: list[tuple[str, str | None, str | None]] = []
        self.now = 100.0
        self.reflector: Reflector[str] = Reflector(
            client,
            "/api/v1/nodes",
            project=lambda raw: raw["spec"]["zone"],
            on_change=lambda *change: self.changes.append(change),
            clock=lambda: self.now,
            **{"random": lambda: 0.0, "page_size": 3, **options},
        )
        self.task = asyncio.create_task(self.reflector.run())

    async def holds(self, **zones: str) -> None:
        await until(lambda: dict(self.reflector.store) == zones)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def start(api: FakeApi) -> AsyncIterator[Callable[..., Seen]]:
    """Starts reflectors, and stops them at the end."""
    running: list[Seen] = []
    async with KubeClient(api.url) as client:

        def start(**options: Any) -> Seen:
            running.append(Seen(client, **options))
            return running[-1]

        yield start
        for seen in running:
            seen.task.cancel()
        await asyncio.gather(*(seen.task for seen in running), return_exceptions=True)


async def watching(api: FakeApi) -> None:
    await until(lambda: api.count("watch", resource=NODES) > 0)


async def test_lists_in_pages_then_follows(api: FakeApi, start: Callable[..., Seen]) -> None:
    for number in range(7):
        api.store.put(NODES, node(f"n{number}"))
    seen = start()
    assert not seen.reflector.synced
    await seen.reflector.wait_synced(2)
    assert len(seen.reflector.store) == len(seen.changes) == 7
    api.store.remove(NODES, "n3")
    api.store.put(NODES, node("n4", "b"))
    await until(lambda: len(seen.changes) == 9)
    assert seen.changes[7:] == [("n3", "a", None), ("n4", "a", "b")]


async def test_a_change_outside_the_projection_is_no_change(api: FakeApi, start: Callable[..., Seen]) -> None:
    api.store.put(NODES, node("n"))
    seen = start()
    await watching(api)
    for beat in range(20):
        api.store.put(NODES, node("n", status={"heartbeat": beat}))
    api.store.put(NODES, node("last"))
    await seen.holds(n="a", last="a")
    assert seen.changes == [("n", None, "a"), ("last", None, "a")]


async def test_what_vanished_in_a_gap_is_deleted(api: FakeApi, start: Callable[..., Seen]) -> None:
    for name in "abcde":
        api.store.put(NODES, node(name))
    seen = start()
    await watching(api)
    api.fail("watch", NODES, 500)  # away while it happens
    api.cut(NODES)
    for name in "bde":
        api.store.remove(NODES, name)
    api.store.put(NODES, node("f"))
    api.store.compact(NODES)
    await seen.holds(a="a", c="a", f="a")
    assert {change for change in seen.changes if change[2] is None} == {(n, "a", None) for n in "bde"}
    assert api.count("list") == 3  # two pages, then one: the 500 alone was no reason to list


async def test_a_cut_watch_goes_on_where_it_was(api: FakeApi, start: Callable[..., Seen]) -> None:
    api.store.put(NODES, node("a"))
    seen = start()
    await watching(api)
    for name in "bcd":
        api.cut(NODES)
        api.store.put(NODES, node(name))
        await until(lambda name=name: name in seen.reflector.store)  # type: ignore[misc]
        api.store.compact(NODES)  # going on from any earlier version would mean listing again
    assert api.count("list") == 1
    assert len(seen.changes) == 4


async def test_a_restarted_list_keeps_nothing_of_its_first_pass(api: FakeApi, start: Callable[..., Seen]) -> None:
    for name in "abcde":
        api.store.put(NODES, node(name))
    api.slow("list", NODES, 0.0)
    api.slow("list", NODES, 0.05)  # the second page, which by then is too old
    seen = start()
    await until(lambda: len(seen.reflector.store) == 3)
    api.store.remove(NODES, "a")
    api.store.compact(NODES)
    await seen.holds(b="a", c="a", d="a", e="a")
    assert ("a", "a", None) in seen.changes


async def test_errors_are_survived_and_named(api: FakeApi, start: Callable[..., Seen]) -> None:
    api.store.put(NODES, node("n"))
    api.fail("list", NODES, 403, times=2)
    api.fail("watch", NODES, 500, times=2)
    seen = start(random=lambda: 0.02)
    await until(lambda: isinstance(seen.reflector.last_error, Forbidden))
    assert not seen.reflector.synced
    await until(lambda: isinstance(seen.reflector.last_error, Unavailable))
    assert seen.reflector.synced
    api.store.put(NODES, node("m"))
    await seen.holds(n="a", m="a")
    assert seen.reflector.last_error is None


async def test_a_server_that_is_back_and_quiet_is_no_error(api: FakeApi, start: Callable[..., Seen]) -> None:
    """After a restart of the API server nothing may happen for a minute; the watch it accepted says enough."""
    seen = start(random=lambda: 0.02)
    await watching(api)
    api.fail("watch", NODES, 500, times=2)
    api.cut(NODES)
    await until(lambda: isinstance(seen.reflector.last_error, Unavailable))
    await until(lambda: seen.reflector.last_error is None)
    assert (api.count("list"), seen.changes) == (1, [])


async def test_waits_longer_after_each_failure_and_says_it_once(
    api: FakeApi, start: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await SLEEP(0)

    monkeypatch.setattr("domicile.inventory.reflector.asyncio.sleep", sleep)
    api.fail("list", NODES, 500, times=8)
    seen = start(random=lambda: 1.0)
    await watching(api)
    api.store.put(NODES, node("n"))
    await seen.holds(n="a")
    api.cut(NODES)
    await until(lambda: api.count("watch") > 1)
    assert [wait for wait in waits if wait][:9] == [1, 2, 4, 8, 16, 30, 30, 30, 0.5]  # it spoke: soon again
    assert caplog.text.count("500 Injected") == 1


async def test_an_object_that_cannot_be_read_is_absent_and_named(api: FakeApi, start: Callable[..., Seen]) -> None:
    api.store.put(NODES, node("good"))
    api.store.put(NODES, {"metadata": {"name": "odd"}})
    seen = start()
    await seen.holds(good="a")
    await watching(api)
    assert seen.reflector.problems == {"odd": "KeyError: 'spec'"}
    api.store.put(NODES, {"metadata": {"name": "good"}})
    await until(lambda: "good" in seen.reflector.problems)
    assert seen.changes[-1] == ("good", "a", None)
    api.store.put(NODES, node("odd"))
    api.store.remove(NODES, "good")
    await seen.holds(odd="a")
    assert not seen.reflector.problems


async def test_stale_and_repeated_events_change_nothing(start: Callable[..., Seen]) -> None:
    class Replaying:
        """A server that answers every watch with the whole past."""

        async def list_pages(self, path: str, **_: Any) -> AsyncIterator[Page]:
            yield Page([], resource_version="10", first=True, last=True)

        async def watch(self, path: str, **_: Any) -> AsyncIterator[tuple[str, dict[str, Any]]]:
            for version, zone in ((9, "old"), (11, "a"), (12, "b"), (11, "a"), (12, "b")):
                yield "MODIFIED", {**node("n", zone), "metadata": {"name": "n", "resourceVersion": str(version)}}
            await asyncio.Event().wait()

    changes: list[Any] = []
    reflector: Reflector[str] = Reflector(
        Replaying(),  # type: ignore[arg-type]
        "/x",
        project=lambda raw: raw["spec"]["zone"],
        on_change=lambda *change: changes.append(change),
    )
    task = asyncio.create_task(reflector.run())
    await asyncio.sleep(0.01)
    task.cancel()
    assert changes == [("n", None, "a"), ("n", "a", "b")]


async def test_age_counts_from_the_last_sign_of_life(api: FakeApi, start: Callable[..., Seen]) -> None:
    seen = start()
    assert seen.reflector.age(seen.now) == float("inf")
    await watching(api)
    seen.now = 160.0
    assert seen.reflector.age(seen.now) == 60.0
    api.bookmark(NODES)
    await until(lambda: seen.reflector.age(seen.now) == 0.0)


async def test_silence_makes_it_list_again(api: FakeApi, start: Callable[..., Seen]) -> None:
    """A server restored from a backup counts from lower: a watch from the old version would say nothing for ever."""
    api.store.put(NODES, node("a"))
    api.store.version = 900
    api.store.put(NODES, node("b"))
    seen = start(inactivity=0.1)
    await watching(api)
    api.store.version = 5
    api.store.remove(NODES, "b")
    await seen.holds(a="a")
