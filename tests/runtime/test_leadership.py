"""Leader election against the fake API server; time passes only where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from domicile.kube.client import KubeClient
from domicile.runtime.leadership import LeaderElection, LeadershipLost, Timing
from tests.fakeapi import FakeApi

LEASES = "coordination.k8s.io/v1/leases"
TIMING = Timing(duration=15, renew_deadline=10, retry_period=0.005)


class Replica:
    """A candidate, what it leads, and its clock."""

    def __init__(self, client: KubeClient, identity: str, **options: Any) -> None:
        self.now = 0.0
        self.leading = asyncio.Event()
        self.stopped = asyncio.Event()
        self.finish = asyncio.Event()
        self.election = LeaderElection(
            client,
            namespace="domicile",
            name="leader",
            identity=identity,
            **{"timing": TIMING, "clock": lambda: self.now, **options},
        )
        self.task = asyncio.create_task(self.election.run(on_started=self.lead))

    async def lead(self) -> None:
        self.leading.set()
        try:
            await self.finish.wait()
        finally:
            self.stopped.set()

    @property
    def leads(self) -> bool:
        return self.leading.is_set() and not self.stopped.is_set()


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def join(api: FakeApi) -> AsyncIterator[Callable[..., Replica]]:
    """Starts replicas, and stops them at the end."""
    replicas: list[Replica] = []
    async with KubeClient(api.url) as client:

        def join(identity: str, **options: Any) -> Replica:
            replicas.append(Replica(client, identity, **options))
            return replicas[-1]

        yield join
        for replica in replicas:
            replica.task.cancel()
        await asyncio.gather(*(replica.task for replica in replicas), return_exceptions=True)


def lease(api: FakeApi) -> dict[str, Any]:
    (found,) = api.store.objects(LEASES)
    spec = found["spec"]
    assert isinstance(spec, dict)
    return spec


async def a_while(api: FakeApi, *, verb: str = "update") -> None:
    """Until a few more attempts have been made."""
    goal = api.count(verb, resource=LEASES) + 4
    for _ in range(1000):
        if api.count(verb, resource=LEASES) >= goal:
            return
        await asyncio.sleep(0.002)
    raise TimeoutError


async def test_creates_the_lease_and_renews_it(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    first = lease(api)
    assert (first["holderIdentity"], first["leaseDurationSeconds"], first["leaseTransitions"]) == ("a", 15, 0)
    assert first["acquireTime"] == first["renewTime"]
    assert first["renewTime"].endswith("Z")
    await a_while(api)
    assert lease(api)["renewTime"] > first["renewTime"]
    assert lease(api)["acquireTime"] == first["acquireTime"]
    assert a.election.is_leader


async def test_only_one_leads_and_the_other_takes_over_on_release(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    b = join("b")
    await a_while(api, verb="get")
    assert not b.leading.is_set()
    assert b.election.holder == "a"
    a.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await a.task
    assert a.stopped.is_set()
    await asyncio.wait_for(b.leading.wait(), 2)  # at once: no time has passed on b's clock
    assert (lease(api)["holderIdentity"], lease(api)["leaseTransitions"]) == ("b", 1)


async def test_a_dead_leader_is_replaced_after_its_lease_ran_out_on_our_clock(
    api: FakeApi, join: Callable[..., Replica]
) -> None:
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 20, "renewTime": "1999-01-01T00:00:00.000000Z"}
    api.store.put(LEASES, {"metadata": {"namespace": "domicile", "name": "leader"}, "spec": spec})
    b = join("b")
    await a_while(api, verb="get")
    b.now = 19.9
    await a_while(api, verb="get")
    assert not b.leading.is_set()  # although the lease says it was renewed in 1999
    b.now = 20.1
    await asyncio.wait_for(b.leading.wait(), 2)


async def test_a_live_leader_with_a_wrong_clock_is_not_replaced(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    b = join("b")
    for _ in range(6):  # a renews all the while
        b.now += 10
        await a_while(api)
        await a_while(api, verb="get")
    assert a.leads
    assert not b.leading.is_set()


async def test_a_leader_that_cannot_renew_stops_before_another_may_start(
    api: FakeApi, join: Callable[..., Replica]
) -> None:
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    api.fail("update", LEASES, 500, times=10_000)
    await a_while(api)
    assert a.leads  # a few errors are survived
    a.now = 10.1
    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(a.task, 2)
    assert a.stopped.is_set()
    assert a.election.lost.is_set()
    assert not a.election.is_leader


async def test_a_leader_whose_lease_was_taken_stops_at_once(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    (stored,) = api.store.objects(LEASES)
    api.store.put(LEASES, {**stored, "spec": {**stored["spec"], "holderIdentity": "b"}})
    with pytest.raises(LeadershipLost, match="'b'"):
        await asyncio.wait_for(a.task, 2)
    assert a.stopped.is_set()
    assert lease(api)["holderIdentity"] == "b"  # not released in b's name


async def test_errors_and_lost_races_are_retried(api: FakeApi, join: Callable[..., Replica]) -> None:
    api.fail("get", LEASES, 500)
    api.fail("create", LEASES, 409)
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    api.fail("update", LEASES, 409, times=3)
    await a_while(api)
    api.store.remove(LEASES, "leader", namespace="domicile")
    await a_while(api)
    assert a.leads
    assert lease(api)["holderIdentity"] == "a"


async def test_what_was_led_ends_the_election(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a")
    await asyncio.wait_for(a.leading.wait(), 2)
    a.finish.set()
    await asyncio.wait_for(a.task, 2)
    assert lease(api)["holderIdentity"] == ""

    async def crash() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):  # not swallowed, and no dead leader renews
        await asyncio.wait_for(join("b").election.run(on_started=crash), 2)


async def test_a_release_that_meets_a_late_renewal_is_repeated(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a", timing=Timing())
    await asyncio.wait_for(a.leading.wait(), 2)
    api.fail("update", LEASES, 409)
    a.task.cancel()
    await asyncio.wait({a.task}, timeout=2)
    assert lease(api)["holderIdentity"] == ""


async def test_a_stuck_process_no_longer_counts_as_leader(api: FakeApi, join: Callable[..., Replica]) -> None:
    a = join("a", timing=Timing())  # renews every two seconds of real time, so not during this test
    await asyncio.wait_for(a.leading.wait(), 2)
    a.now = 14.9
    assert a.election.is_leader
    a.now = 15.1
    assert not a.election.is_leader


def test_timing_that_would_let_two_lead_is_refused() -> None:
    with pytest.raises(ValueError, match="too late"):
        Timing(duration=10, renew_deadline=9, retry_period=2)
