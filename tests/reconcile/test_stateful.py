"""Whatever happens in whatever order: once it is quiet, what runs is legal or its violation is written down; a last
copy never goes without a record; there are never more copies than a move needs. The clock is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domicile.evidence.errors import LogUnavailable
from domicile.evidence.log import Position
from domicile.evidence.record import Entry, Record
from domicile.model.verdicts import Verdict
from domicile.reconcile import reconcile as story
from domicile.reconcile.facts import reconcile_cluster
from domicile.reconcile.objects import WorkKey, read_stated
from domicile.reconcile.queue import After
from domicile.reconcile.reconcile import reconcile
from domicile.reconcile.world import World
from tests.fakestore import Store
from tests.reconcile.facts import cluster_spec, entity_spec, foreign_control, pool, workload
from tests.reconcile.fakecluster import Client, FakeMember
from tests.reconcile.test_violation import pack

START = datetime.now(UTC).replace(microsecond=0)
OWNERS = ("owner-1", "owner-2", "owner-3")
PLACES = (("c1", "p1", "owner-1"), ("c1", "p2", "owner-2"), ("c2", "p3", "owner-3"))
POLICIES = ("Alert", "Drain", "ScaleToZero")
INFD = "domicile.dev/v1alpha1/inferencedeployments"
REPLICAS = 2
SLOWNESS = 4  # reconciles to one step of the controllers
ENOUGH = 600  # steps after which everything must be quiet


class Memory:
    """A decision log that keeps its records in a list, and can be full."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.full = False
        self.silent = False  # full, and nobody knows before trying

    @property
    def available(self) -> str:
        return "disk full" if self.full and not self.silent else ""

    async def append(self, records: Sequence[Record]) -> list[Position]:
        if self.full:
            self.silent = False
            raise LogUnavailable("disk full")
        self.entries += [
            Entry.parse(r.line(len(self.entries) + n, time="2026-01-01T00:00:00.000000Z", prev="0" * 64))
            for n, r in enumerate(records)
        ]
        return [Position(e.seq, "0" * 64, e.time) for e in self.entries[-len(records) :]]


class Fleet(RuleBasedStateMachine):
    """One hub, two members, three pools of three owners, up to three workloads."""

    def __init__(self) -> None:
        super().__init__()
        story.PROGRESS_SECONDS = 0.0  # type: ignore[misc]  # the one wait by a real clock: how often progress is written
        self.loop = asyncio.new_event_loop()
        self.now = START
        self.hub = Store()
        self.client: Any = Client(self.hub)
        self.ledger = Memory()
        self.ticks = 0
        self.foreign: set[str] = set()
        self.due: dict[WorkKey, None] = {}  # in the order in which they became due
        self.seen: dict[str, int] = {}  # pods at the last look, by uid
        self.members: dict[str, FakeMember] = {}

    def teardown(self) -> None:
        try:
            if self.members:
                self.quiet()
        finally:
            self.loop.close()

    @initialize(policy=st.sampled_from(POLICIES), grace=st.sampled_from(("0s", "1h")))
    def begin(self, policy: str, grace: str) -> None:
        disruption = {"cooldown": "10m", "breaker": {"atLeast": 3, "share": 60}}
        spec = pack(onViolation=policy, gracePeriod=grace, disruption=disruption) | {"id": "cada"}
        self._state("SovereigntyFramework", "cada", spec)
        for owner in OWNERS:
            self._state("LegalEntity", owner, entity_spec())
        for cluster in ("c1", "c2"):
            pools = [pool(name, provider=owner, product="H100") for where, name, owner in PLACES if where == cluster]
            self._state("SovereignCluster", cluster, cluster_spec("owner-1" if cluster == "c1" else "owner-3", pools))
        self._start_operator()
        for cluster, name, _ in PLACES:
            self.members[cluster].add_node(f"{name}-0", pool=name)
        for name in ("a", "b"):
            self.apply_or_delete(name)
        self._settle()

    # -- what happens ------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(("b", "c")))
    def apply_or_delete(self, name: str) -> None:
        if ("ns", name) in self.hub.collections[INFD].objects:
            self.hub.delete(INFD, ("ns", name))
            return
        document = workload(name, product="H100", replicas=REPLICAS)
        document["metadata"]["namespace"] = "ns"
        self.hub.create(INFD, "ns", document)

    @rule(owners=st.sets(st.sampled_from(OWNERS), min_size=1), steps=st.integers(0, 15))
    def flip(self, owners: set[str], steps: int) -> None:
        """Owners are taken over, or come home; the operator is on its way when the next thing happens."""
        self.foreign ^= owners
        for owner in sorted(owners):
            self._state("LegalEntity", owner, entity_spec(**(foreign_control() if owner in self.foreign else {})))
        self.run(steps)

    @rule(minutes=st.sampled_from((1, 15, 90)))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(name=st.sampled_from(("c1", "c2")))
    def lose_or_find(self, name: str) -> None:
        member = self.members[name].member
        member.problem = "" if member.problem else "no answer"
        for key in self.world.workloads_on(name):
            self._add(WorkKey("InferenceDeployment", key))

    @rule()
    def crash(self) -> None:
        """Nothing the operator knew survives; what it wrote does."""
        self._start_operator()

    def run(self, steps: int) -> None:
        """The operator and the controllers go on for a while, with nothing settled at the end."""
        for _ in range(steps):
            self._step()

    @rule(steps=st.integers(1, 30))
    def go_on(self, steps: int) -> None:
        self.run(steps)

    @rule()
    def release(self) -> None:
        for name, breaker in self.world.disruptions.breakers.items():
            if breaker.opened is not None:
                annotation = {"metadata": {"annotations": {"domicile.dev/resume-moves": breaker.opened.id}}}
                self._run(
                    self.client.merge_patch(f"/apis/domicile.dev/v1alpha1/sovereigntyframeworks/{name}", annotation)
                )

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def never_more_copies_than_a_move_needs(self) -> None:
        for key in self._keys():
            pods = sum(len(member.pods(key)) for member in self.members.values())
            assert pods <= 2 * REPLICAS, f"{key} has {pods} pods"

    def _watch_last_copies(self) -> None:
        """A last copy never goes without a record that says why."""
        kept = [raw for raw in self.hub.objects(INFD) if "deletionTimestamp" not in raw["metadata"]]
        uids = {raw["metadata"]["uid"] for raw in kept}
        self.seen = {uid: pods for uid, pods in self.seen.items() if uid in uids}
        for raw in kept:
            key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
            pods = sum(len(member.pods(key)) for member in self.members.values())
            before = self.seen.get(raw["metadata"]["uid"], 0)
            self.seen[raw["metadata"]["uid"]] = pods
            if before and not pods:
                assert self._records("Stopped", key), f"the last copy of {key} is gone: {raw.get('status')}"

    @rule()
    def quiet(self) -> None:
        self._settle()
        for key in self._keys():
            self._check(key)

    def _check(self, key: str) -> None:
        found = self.world.workloads[key]
        for name, member in self.members.items():
            if member.member.problem:
                continue
            for place in {(name, where) for where in member.member.pods_by_pool(key)}:
                row = self.world.inventory.verdicts("cada", _options(), at=self.now).row(place)
                legal = row is not None and row.levels[3] is Verdict.SATISFIED
                if not legal:
                    told = found.status.get("violation")
                    assert told, f"{key} runs on {place} and nothing says so: {found.status}"
                    assert found.condition("Compliant")[0] != "True"
                    opened = [e.body["violation"]["candidate"] for e in self._records("ViolationOpened", key)]
                    assert told["candidate"] in opened, "its opening is in the log"
                else:
                    assert place in found.placed, f"{key} runs on {place}, its status says {found.placed}"

    # -- how it runs -------------------------------------------------------------------------------------------

    def _start_operator(self) -> None:
        self.due = {}
        self.world = World(now=lambda: self.now, enqueue=lambda key, urgent: self._add(key))
        self.world.ledger = self.ledger
        for name in ("c1", "c2"):
            known = self.members.get(name)
            fake = FakeMember(
                name,
                on_nodes=lambda cluster: self._add(WorkKey("SovereignCluster", cluster)),
                on_workload=lambda key: self._add(WorkKey("InferenceDeployment", key)),
                on_reach=lambda cluster: None,
                on_room=lambda: self.world.retry_waiting(),
            )
            if known is not None:
                fake.store, fake.member.client.store = known.store, known.store  # type: ignore[attr-defined]
                fake.member.problem = known.member.problem
            self.members[name] = fake
        self._hear()
        for name, fake in self.members.items():
            spec = self.world.inventory.clusters[name]
            fake.member.set_pools(spec.node_pools)
            self.world.members[name] = fake.member
        self._run(self._look())
        self.world.recount(sorted(self.world.workloads))

    def _hear(self) -> None:
        """The operator hears of the hub as it is now: facts first, then workloads, and of those gone."""
        for kind, plural in (
            ("SovereigntyFramework", "sovereigntyframeworks"),
            ("LegalEntity", "legalentities"),
            ("SovereignCluster", "sovereignclusters"),
        ):
            for raw in self.hub.objects(f"domicile.dev/v1alpha1/{plural}"):
                stated = read_stated({**raw, "kind": kind, "apiVersion": "domicile.dev/v1alpha1"})
                if self.world.stated.get(WorkKey(kind, raw["metadata"]["name"])) != stated:
                    self.world.put_stated(WorkKey(kind, raw["metadata"]["name"]), stated)
        for raw in self.hub.objects(INFD):
            self.world.put_workload(raw)
        for key in set(self.world.workloads) - set(self._keys()):
            self.world.drop_workload(key)

    async def _look(self) -> None:
        for fake in self.members.values():
            if not fake.member.problem:
                await fake.shown()

    def _step(self) -> bool:
        """News, one reconcile, one step of every controller. Whether anything was to do."""
        self._hear()
        self._run(self._look())
        self.world.advance()
        todo = list(self.due)
        moved = False
        if todo:
            key = todo[0]
            del self.due[key]
            work = (
                reconcile(key.name, world=self.world, hub=self.client)
                if key.kind == "InferenceDeployment"
                else reconcile_cluster(key.name, world=self.world, hub=self.client)
                if key.kind == "SovereignCluster"
                else _nothing()
            )
            before = self.hub.version + sum(m.store.version for m in self.members.values())
            outcome = self._run(work)
            moved = self.hub.version + sum(m.store.version for m in self.members.values()) != before
            if isinstance(outcome, After) and outcome.seconds < 5:
                self._add(key)
        self._watch_last_copies()
        self.ticks += 1
        slow = self.ticks % SLOWNESS == 0
        stepped = [fake.step() for fake in self.members.values() if slow]
        self._watch_last_copies()
        return any(stepped) or moved or len(todo) > 1

    def _settle(self) -> None:
        idle = 0
        for _ in range(ENOUGH):
            idle = 0 if self._step() else idle + 1
            if idle > 3 * SLOWNESS:
                return
        raise AssertionError(f"not quiet after {ENOUGH} steps; due: {self.due}")

    def _add(self, key: WorkKey) -> None:
        self.due.setdefault(key)

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def _state(self, kind: str, name: str, spec: Any) -> None:
        plural = {"LegalEntity": "legalentities"}.get(kind, kind.lower() + "s")
        resource = f"domicile.dev/v1alpha1/{plural}"
        known = self.hub.collections[resource].objects.get(("", name), {"metadata": {"name": name}})
        self.hub.put(resource, {**known, "spec": spec})

    def _keys(self) -> list[str]:
        return ["/".join(name) for name in self.hub.names(INFD)]

    def _records(self, kind: str, key: str) -> list[Entry]:
        name = key.partition("/")[2]
        return [e for e in self.ledger.entries if e.type == kind and e.body["subject"]["name"] == name]


async def _nothing() -> None:
    return None


def _options() -> Any:
    from domicile.tiers.evaluate import NO_OPTIONS

    return NO_OPTIONS


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=30,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
