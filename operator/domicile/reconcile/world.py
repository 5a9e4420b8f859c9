"""What the operator knows at one moment: workloads, inventory, members and promises. One instance per process.

Changed by kopf's events and by reflectors, read by reconciles; every change says which keys it concerns. No I/O of
its own: members are connected by ``runtime.connections``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from domicile.inventory.inventory import Change, Inventory
from domicile.inventory.member import Member
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.labels import FINALIZER
from domicile.model.objects import ObjectError, read_spec
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.capacity import EMPTY, PoolRoom, Reservation, Shape
from domicile.placement.request import Refusal, RefusalReason, TierSources, shape_of
from domicile.placement.verdicts import Key


class WorkKey(NamedTuple):
    """What the queue holds: a kind and ``namespace/name`` or ``name``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """An InferenceDeployment as the hub has it; ``spec`` is None where it cannot be read."""

    key: str
    uid: str
    version: int  # resourceVersion, comparable within one kind (KEP-5504)
    generation: int
    annotations: Mapping[str, str]
    deleting: bool
    held: bool  # our finalizer is on it
    spec: InferenceDeploymentSpec | None
    problem: str
    status: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """Namespace of the object, also of what is delivered."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """Name of the object, also of what is delivered."""
        return self.key.partition("/")[2]

    @property
    def placed(self) -> list[Key]:
        """Where its status says copies are, the current one first."""
        return [(p["cluster"], p["nodePool"]) for p in self.status.get("placements") or ()]


class Stated(NamedTuple):
    """An object that states facts: its spec, or why it cannot be read."""

    generation: int
    spec: SovereignClusterSpec | LegalEntitySpec | SovereigntyFrameworkSpec | None
    problem: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Promise:
    """Room taken in a pool by a decision."""

    key: Key
    shape: Shape
    replicas: int


def read_workload(raw: Mapping[str, Any], *, known: Workload | None) -> Workload:
    """A raw InferenceDeployment; never raises for what a user wrote. A known generation is not parsed again."""
    metadata = raw["metadata"]
    spec, problem = None, ""
    if known is not None and (known.uid, known.generation) == (metadata["uid"], metadata.get("generation", 0)):
        spec, problem = known.spec, known.problem
    else:
        try:
            read = read_spec(raw)
            assert isinstance(read, InferenceDeploymentSpec)
            spec = read
        except ObjectError as error:
            problem = str(error)
    return Workload(
        key=f"{metadata['namespace']}/{metadata['name']}",
        uid=metadata["uid"],
        version=int(metadata.get("resourceVersion", "0")),
        generation=metadata.get("generation", 0),
        annotations=dict(metadata.get("annotations") or {}),
        deleting="deletionTimestamp" in metadata,
        held=FINALIZER in (metadata.get("finalizers") or ()),
        spec=spec,
        problem=problem,
        status=raw.get("status") or {},
    )


def read_stated(raw: Mapping[str, Any]) -> Stated:
    """A raw SovereignCluster, LegalEntity or SovereigntyFramework; never raises for what a user wrote."""
    spec, problem = None, ""
    try:
        read = read_spec(raw)
        assert isinstance(read, SovereignClusterSpec | LegalEntitySpec | SovereigntyFrameworkSpec)
        spec = read
    except ObjectError as error:
        problem = str(error)
    return Stated(raw["metadata"].get("generation", 0), spec, problem, raw.get("status") or {})


class World:
    """Everything reconciles read. ``enqueue(key, urgent)`` is called for every key a change concerns."""

    def __init__(self, *, now: Callable[[], datetime], enqueue: Callable[[WorkKey, bool], None]) -> None:
        self.inventory = Inventory()
        self.members: dict[str, Member] = {}
        self.connection_problems: dict[str, str] = {}
        self.workloads: dict[str, Workload] = {}
        self.stated: dict[WorkKey, Stated] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.now = now
        self._enqueue = enqueue
        self._promises: dict[str, Promise] = {}
        self._by_pool: defaultdict[Key, set[str]] = defaultdict(set)
        self._reserved: dict[Key, tuple[object, tuple[Reservation, ...]]] = {}  # until a promise or a binding changes
        self.waiting: set[str] = set()  # workloads without a place
        self.written: dict[str, float] = {}  # when a workload's status was last written, on the monotonic clock

    # -- workloads ---------------------------------------------------------------------------------------------

    def put_workload(self, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment appeared or changed on the hub."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.workloads.get(key)
        if self.remember(raw) is not known:
            self._enqueue(WorkKey("InferenceDeployment", key), False)

    def remember(self, raw: Mapping[str, Any]) -> Workload:
        """The workload as the hub has it now. What is older than what is known, or the same, changes nothing."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.workloads.get(key)
        version = int(raw["metadata"].get("resourceVersion", "0"))
        if known is not None and version <= known.version:
            return known
        workload = read_workload(raw, known=known)
        if known is None and key not in self._promises and workload.spec is not None and workload.placed:
            self._adopt(workload)
        self.workloads[key] = workload
        return workload

    def remove_workload(self, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment was deleted. News of the deletion may come after that of a successor of its name."""
        key = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        known = self.workloads.get(key)
        if known is not None and known.uid == raw["metadata"]["uid"]:
            self.drop_workload(key)

    def drop_workload(self, key: str) -> None:
        """An InferenceDeployment is gone from the hub."""
        self.workloads.pop(key, None)
        self.take_back(key)
        self.waiting.discard(key)
        self.written.pop(key, None)

    def _adopt(self, workload: Workload) -> None:
        """After a restart: what the status says is placed holds its room before anything new is decided."""
        assert workload.spec is not None
        replicas = 0 if workload.spec.suspend else workload.spec.replicas
        self.promise(workload.key, Promise(workload.placed[0], shape_of(workload.spec.resources), replicas))

    def tier_sources(self, workload: Workload) -> TierSources:
        """Everything that speaks about the workload's tier."""
        in_force = workload.status.get("tier")
        return TierSources(workload.annotations, self.namespaces.get(workload.namespace, {}), in_force)

    # -- promises: what was decided and is not yet seen bound --------------------------------------------------

    def promise(self, key: str, promise: Promise) -> None:
        """Take room for a decision, at once, so that the next decision sees it."""
        self.take_back(key)
        self._promises[key] = promise
        self._by_pool[promise.key].add(key)
        self._reserved.pop(promise.key, None)
        self.waiting.discard(key)

    def take_back(self, key: str) -> None:
        """Give up the room of a workload."""
        promise = self._promises.pop(key, None)
        if promise is not None:
            self._by_pool[promise.key].discard(key)
            self._reserved.pop(promise.key, None)

    def promised(self, key: str) -> Key | None:
        """Where the workload was last decided to run."""
        promise = self._promises.get(key)
        return promise.key if promise else None

    # -- the field a decision sees -----------------------------------------------------------------------------

    def room(self, key: Key) -> PoolRoom:
        """What is free in a pool; nothing where its member is not connected."""
        member = self.members.get(key[0])
        return member.room(key[1]) if member else EMPTY

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Pods promised to a pool that no scheduler has bound yet, but for those of ``beside``."""
        own = self._promises.get(beside)
        if own is not None and own.key == key:
            return self._unbound(key, beside=beside)
        member = self.members.get(key[0])
        stamp = (member, member.bound_changes if member else 0)
        known = self._reserved.get(key)
        if known is None or known[0] != stamp:
            known = self._reserved[key] = (stamp, self._unbound(key, beside=""))
        return known[1]

    def _unbound(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Promises to a pool that are not kept yet, gathered by shape."""
        member = self.members.get(key[0])
        pods: Counter[Shape] = Counter()
        for name in self._by_pool.get(key, ()):
            promise = self._promises[name]
            missing = promise.replicas - (member.bound(name) if member else 0)
            if name != beside and missing > 0:
                pods[promise.shape] += missing
        return tuple(Reservation(shape, missing) for shape, missing in pods.items())

    def reachable(self, cluster: str) -> bool:
        """Whether a member's facts are fresh enough to admit something new."""
        member = self.members.get(cluster)
        return member is not None and member.reachable

    # -- facts -------------------------------------------------------------------------------------------------

    def put_stated(self, key: WorkKey, stated: Stated | None) -> None:
        """An object that states facts appeared, changed or (None) is gone. One that cannot be read states nothing."""
        if stated is None:
            self.stated.pop(key, None)
        else:
            known = self.stated.get(key)
            self.stated[key] = stated
            if known is not None and known[:3] == stated[:3]:
                return  # only its status changed
        spec = stated.spec if stated else None
        self._enqueue(key, False)
        at = self.now()
        match key.kind:
            case "SovereignCluster":
                assert spec is None or isinstance(spec, SovereignClusterSpec)
                self.spread(self.inventory.set_cluster(key.name, spec, at=at))
            case "LegalEntity":
                assert spec is None or isinstance(spec, LegalEntitySpec)
                self.spread(self.inventory.set_entity(key.name, spec, at=at))
                self._enqueue_kind("SovereignCluster")
                self._enqueue_kind("LegalEntity")
            case _:
                assert spec is None or isinstance(spec, SovereigntyFrameworkSpec)
                self.spread(self.inventory.set_framework(key.name, spec))
                self._enqueue_kind("SovereigntyFramework")

    def put_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A hub namespace and its labels; a new floor concerns every workload in it."""
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        for key in list(self.workloads):
            if key.startswith(name + "/"):
                self._enqueue(WorkKey("InferenceDeployment", key), False)

    def advance(self) -> None:
        """Time passed a date that some verdict depends on."""
        self.spread(self.inventory.advance(at=self.now()))

    def spread(self, change: Change) -> None:
        """Tell whom a change of verdicts concerns: what runs on a changed candidate first, then what waits."""
        if not change:
            return
        for cluster, pool in change.candidates:
            self._enqueue(WorkKey("SovereignCluster", cluster), True)
            for key in self._by_pool.get((cluster, pool), ()):
                self._enqueue(WorkKey("InferenceDeployment", key), True)
        if change.frameworks:
            self._enqueue_kind("SovereignCluster")
            for key in self.workloads:
                self._enqueue(WorkKey("InferenceDeployment", key), key not in self.waiting)
        self.retry_waiting()

    def retry_waiting(self) -> None:
        """Something may have made room or a place legal: whatever has no place looks again."""
        for key in self.waiting:
            self._enqueue(WorkKey("InferenceDeployment", key), False)

    def workloads_on(self, cluster: str) -> Iterable[str]:
        """Workloads decided to run on a cluster, or with a copy left there."""
        decided = {key for key, promise in self._promises.items() if promise.key[0] == cluster}
        left = {w.key for w in self.workloads.values() if any(where == cluster for where, _ in w.placed)}
        return sorted(decided | left)

    def _enqueue_kind(self, kind: str) -> None:
        for key in self.stated:
            if key.kind == kind:
                self._enqueue(key, False)


def invalid(problem: str) -> Refusal:
    """The refusal of a workload that cannot be read."""
    return Refusal(RefusalReason.INVALID_SPEC, problem)
