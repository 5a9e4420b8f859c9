"""What the operator knows at one moment: workloads, inventory, members and promises. One instance per process.

Changed by kopf's events and by reflectors, read by reconciles; every change says which keys it concerns. No I/O of
its own: members are connected by ``runtime.connections``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from domicile.inventory.inventory import Change, Inventory
from domicile.inventory.member import Member
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.facts import Entities
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.schema import read_instant
from domicile.model.verdicts import Verdict
from domicile.placement.capacity import EMPTY, PoolRoom, Reservation
from domicile.placement.decide import standing
from domicile.placement.disruption import Move, restored
from domicile.placement.request import Accepted, TierSources, accept, shape_of
from domicile.placement.verdicts import Key
from domicile.reconcile.disruptions import Asked, Disruptions
from domicile.reconcile.ledger import Ledger, NoLedger
from domicile.reconcile.objects import Stated, WorkKey, Workload, read_workload
from domicile.reconcile.promises import Promise, Promises
from domicile.report.events import Tell

WORKLOAD = "InferenceDeployment"


class World:
    """Everything reconciles read. ``enqueue(key, urgent)`` is called for every key a change concerns, ``later(key)``
    for those that may gain something by it."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        enqueue: Callable[[WorkKey, bool], None],
        later: Callable[[WorkKey], None] | None = None,
    ) -> None:
        self.inventory = Inventory()
        self.members: dict[str, Member] = {}
        self.connection_problems: dict[str, str] = {}
        self.uids: dict[str, str] = {}  # of the clusters that facts were used for
        self.workloads: dict[str, Workload] = {}
        self.stated: dict[WorkKey, Stated] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.now = now
        self.promises = Promises(member=lambda cluster: self.members.get(cluster))
        self.disruptions = Disruptions()
        self.waiting: set[str] = set()  # workloads without a place
        self.written: dict[str, float] = {}  # when a workload's status was last written, on the monotonic clock
        self.since: dict[Key, datetime] = {}  # when the fact changed that last changed a candidate's verdict
        self.evaluated: dict[str, datetime] = {}  # when the candidates of a cluster were last evaluated
        self.ledger: Ledger = NoLedger()
        self.tell: Tell = lambda event: None
        self.news: dict[WorkKey, Stated | None] = {}  # facts that are in no record yet
        self._placed: defaultdict[Key, set[str]] = defaultdict(set)  # by where their status says copies are
        self._enqueue = enqueue
        self._later = later or (lambda key: enqueue(key, False))

    # -- workloads ---------------------------------------------------------------------------------------------

    def put_workload(self, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment appeared or changed on the hub."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.workloads.get(key)
        if self.remember(raw) is not known:
            self._enqueue(WorkKey(WORKLOAD, key), False)

    def remember(self, raw: Mapping[str, Any]) -> Workload:
        """The workload as the hub has it now. What is older than what is known, or the same, changes nothing."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.workloads.get(key)
        version = int(raw["metadata"].get("resourceVersion", "0"))
        if known is not None and version <= known.version:
            return known
        workload = read_workload(raw, known=known)
        if known is None and key not in self.promises and workload.spec is not None and workload.placed:
            self._adopt(workload)
        self._index(known, workload)
        self.workloads[key] = workload
        if known is not None and workload.asks != known.asks:
            self._enqueue(WorkKey(WORKLOAD, key), False)  # the answer to a write may tell it first, and is no event
        return workload

    def remove_workload(self, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment was deleted. News of the deletion may come after that of a successor of its name."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.workloads.get(key)
        if known is not None and known.uid == raw["metadata"]["uid"]:
            self.drop_workload(key)

    def gone(self, workload: Workload) -> None:
        """The hub no longer has a workload and nobody said so: its watch was cut, and somebody took our finalizer off.
        What was delivered for it goes as if it were being deleted."""
        if self.workloads.get(workload.key) is workload:
            self.workloads[workload.key] = replace(workload, deleting=True)
            self._enqueue(WorkKey(WORKLOAD, workload.key), True)

    def drop_workload(self, key: str) -> None:
        """An InferenceDeployment is gone from the hub."""
        self._index(self.workloads.pop(key, None), None)
        self.promises.take_back(key)
        self.disruptions.forget(key)
        self.move_over(key)
        self.waiting.discard(key)
        self.written.pop(key, None)

    def _index(self, before: Workload | None, after: Workload | None) -> None:
        old, new = (set(w.placed) if w else set() for w in (before, after))
        for place in old - new:
            assert before is not None
            self._placed[place].discard(before.key)
        for place in new - old:
            assert after is not None
            self._placed[place].add(after.key)

    def _adopt(self, workload: Workload) -> None:
        """After a restart: what the status says is placed holds its room before anything new is decided, and a move
        that was begun counts as one."""
        assert workload.spec is not None
        replicas = 0 if workload.spec.suspend else workload.spec.replicas
        self.promise(workload.key, Promise(workload.placed[0], shape_of(workload.spec.resources), replicas))
        sources = self.tier_sources(workload)
        accepted = accept(workload.key, workload.spec, sources=sources, frameworks=self.inventory.frameworks)
        if isinstance(accepted, Accepted):
            asked = Asked(accepted.framework, accepted.options, accepted.request, workload.placed[0])
            legal = workload.condition("Compliant")[0] == "True"
            self.disruptions.settle(workload.key, asked, legal=legal, at=self.now())
            if len(workload.placed) > 1:
                (target, _), (source, _) = workload.placed[:2]
                move = Move(accepted.framework, accepted.request.level, source, target)
                self.disruptions.moves.adopt(workload.key, move)

    def tier_sources(self, workload: Workload) -> TierSources:
        """Everything that speaks about the workload's tier."""
        in_force = workload.status.get("tier")
        return TierSources(workload.annotations, self.namespaces.get(workload.namespace, {}), in_force)

    def promise(self, key: str, promise: Promise) -> None:
        """Take room for a decision, at once, so that the next decision sees it."""
        self.promises.make(key, promise)
        self.waiting.discard(key)

    def move_over(self, key: str) -> None:
        """A workload does not move any more: whoever waited for its turn looks again."""
        for other in self.disruptions.moves.end(key):
            self._enqueue(WorkKey(WORKLOAD, other), True)

    # -- the field a decision sees -----------------------------------------------------------------------------

    def room(self, key: Key) -> PoolRoom:
        """What is free in a pool; nothing where its member is not connected."""
        member = self.members.get(key[0])
        return member.room(key[1]) if member else EMPTY

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Pods promised to a pool that no scheduler has bound yet, but for those of ``beside``."""
        return self.promises.reserved(key, beside=beside)

    def reachable(self, cluster: str) -> bool:
        """Whether a member's facts are fresh enough to admit something new."""
        member = self.members.get(cluster)
        return member is not None and member.reachable

    # -- facts -------------------------------------------------------------------------------------------------

    def put_stated(self, key: WorkKey, stated: Stated | None) -> None:
        """An object that states facts appeared, changed or (None) is gone. One that cannot be read states nothing."""
        known = self.stated.get(key)
        if stated is None:
            self.stated.pop(key, None)
        else:
            self.stated[key] = stated
            if key.kind == "SovereigntyFramework":
                self._follow_breaker(key, stated, first=known is None)
            if known is not None and known[:3] == stated[:3]:
                return  # only its status or its annotations changed
        spec = stated.spec if stated else None
        self.news[key] = stated
        self._enqueue(key, False)
        at = self.now()
        since = stated.changed if stated and stated.changed else at
        match key.kind:
            case "SovereignCluster":
                assert spec is None or isinstance(spec, SovereignClusterSpec)
                self.evaluated[key.name] = at
                if stated is None:
                    self.uids.pop(key.name, None)
                    self.evaluated.pop(key.name)
                self.spread(self.inventory.set_cluster(key.name, spec, at=at), since=since)
            case "LegalEntity":
                assert spec is None or isinstance(spec, LegalEntitySpec)
                before = self.inventory.entities
                self.spread(self.inventory.set_entity(key.name, spec, at=at), since=since)
                self._look_after_references(key.name, before)
            case _:
                assert spec is None or isinstance(spec, SovereigntyFrameworkSpec)
                self.spread(self.inventory.set_framework(key.name, spec), since=since)
                self._enqueue_kind("SovereigntyFramework")

    def _look_after_references(self, entity: str, before: Entities) -> None:
        """Whose report may tell of an entity: all where it is new or gone, else the clusters judged by it and the
        entities whose ownership reads otherwise now."""
        after = self.inventory.entities
        if (entity in before.by_name) != (entity in after.by_name):
            self._enqueue_kind("SovereignCluster")
            self._enqueue_kind("LegalEntity")
            return
        for cluster in self.inventory.judged_by(entity):
            self._enqueue(WorkKey("SovereignCluster", cluster), False)
        for name in sorted({*before.problems, *after.problems}):
            if before.problems.get(name) != after.problems.get(name):
                self._enqueue(WorkKey("LegalEntity", name), False)

    def identified(self, cluster: str, uid: str) -> str:
        """A member says which cluster it is. If it is not the one the facts are for, they are void: says why."""
        stated = self.stated.get(WorkKey("SovereignCluster", cluster))
        spec = self.inventory.clusters.get(cluster)
        named = spec.identity.kube_system_uid if spec and spec.identity else None
        known = self.uids.get(cluster) or (stated.status.get("kubeSystemUID") if stated else None)
        expected = named or known or uid
        why = ""
        if uid != expected:
            whose = "spec.identity.kubeSystemUID is" if named else "its facts were used for"
            why = f"another cluster answers: kube-system UID is {uid}, {whose} {expected}"
        else:
            self.uids[cluster] = uid
            self._enqueue(WorkKey("SovereignCluster", cluster), False)
        if why != self.inventory.voided(cluster):
            self.news[WorkKey("SovereignCluster", cluster)] = stated
        self.spread(self.inventory.void(cluster, why, at=self.now()), since=self.now())
        return why and f"{why}; check its facts, then delete the SovereignCluster and create it again"

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A hub namespace and its labels; a new floor concerns every workload in it."""
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        for key in list(self.workloads):
            if key.startswith(name + "/"):
                self._enqueue(WorkKey(WORKLOAD, key), False)

    def refresh(self, cluster: str) -> None:
        """Evaluate a cluster anew, as the sweep does; what an update missed is found here."""
        at = self.now()
        self.evaluated[cluster] = at
        self.spread(self.inventory.refresh(cluster, at=at), since=at)

    def advance(self) -> None:
        """Time passed a date that some verdict depends on."""
        due = self.inventory.next_due
        self.spread(self.inventory.advance(at=self.now()), since=due or self.now())

    def spread(self, change: Change, *, since: datetime) -> None:
        """Tell whom a change of verdicts concerns: who lost its place by it first, then the others, then who waits.
        ``since`` is when the fact behind it changed."""
        if not change:
            return
        concerned: set[str] = set(self.workloads) - self.waiting if change.frameworks else set()
        for place in change.candidates:
            self.since[place] = since
            self._enqueue(WorkKey("SovereignCluster", place[0]), True)
            concerned.update(self.promises.in_pool(place), self._placed.get(place, ()))
        lost = self.recount(sorted(concerned))
        for key in sorted(concerned):
            self._enqueue(WorkKey(WORKLOAD, key), key in lost)
        if change.frameworks:
            self._enqueue_kind("SovereignCluster")
        self.retry_waiting()

    def recount(self, workloads: Iterable[str]) -> set[str]:
        """Who of these placed workloads has lost its place; so many at once may open a breaker, before any moves."""
        at = self.now()
        lost = set(self.disruptions.look(workloads, legal=self._legal, at=at))
        for name, framework in self.inventory.frameworks.items():
            if self.disruptions.judge(framework, at=at):
                self._enqueue(WorkKey("SovereigntyFramework", name), True)
        return lost

    def _legal(self, asked: Asked) -> bool:
        if asked.framework not in self.inventory.frameworks:
            return False
        verdicts = self.inventory.verdicts(asked.framework, asked.options, at=self.now())
        return standing(asked.request, verdicts=verdicts, place=asked.place).verdict is Verdict.SATISFIED

    def _follow_breaker(self, key: WorkKey, stated: Stated, *, first: bool) -> None:
        """An open breaker outlives the process in the framework's status; its annotation releases it."""
        said = stated.status.get("breaker")
        if first and said and key.name not in self.disruptions.breakers:
            self.disruptions.breakers[key.name] = restored(said, opened_at=read_instant(said["opened"]))
        if self.disruptions.breaker(key.name).release(stated.approval):
            self._enqueue(key, True)
            for workload in sorted(set(self.workloads) - self.waiting):
                self._enqueue(WorkKey(WORKLOAD, workload), True)

    def retry_waiting(self) -> None:
        """Something may have made room or a place legal: whatever has no place looks again."""
        for key in self.waiting:
            self._later(WorkKey(WORKLOAD, key))

    def look_at(self, workload: str) -> None:
        """What was seen of a workload is not what was decided."""
        self._enqueue(WorkKey(WORKLOAD, workload), True)

    def workloads_on(self, cluster: str) -> Iterable[str]:
        """Workloads decided to run on a cluster, or with a copy left there."""
        left = {key for (where, _), keys in self._placed.items() if where == cluster for key in keys}
        return sorted(self.promises.on_cluster(cluster) | left)

    def strays_on(self, cluster: str) -> list[str]:
        """Workloads with pods on a member outside the pools where their status says copies are."""
        member = self.members.get(cluster)
        if member is None:
            return []
        found = []
        for key in member.running:
            workload = self.workloads.get(key)
            pools = [pool for where, pool in workload.placed if where == cluster] if workload else []
            if workload is not None and member.pods_outside(key, pools):
                found.append(key)
        return found

    def _enqueue_kind(self, kind: str) -> None:
        for key in self.stated:
            if key.kind == kind:
                self._enqueue(key, False)
