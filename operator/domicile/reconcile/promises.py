"""Room that was given away and is not yet seen taken: what was decided and no scheduler has bound."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domicile.inventory.member import Member
from domicile.placement.capacity import Reservation, Shape
from domicile.placement.verdicts import Key


@dataclass(frozen=True, slots=True)
class Promise:
    """Room taken in a pool by a decision."""

    key: Key
    shape: Shape
    replicas: int


class Promises:
    """At most one promise per workload, found by workload and by pool."""

    def __init__(self, *, member: Callable[[str], Member | None]) -> None:
        self._member = member
        self._of: dict[str, Promise] = {}
        self._by_pool: defaultdict[Key, set[str]] = defaultdict(set)
        self._reserved: dict[Key, tuple[object, tuple[Reservation, ...]]] = {}  # until a promise or a binding changes

    def __contains__(self, workload: str) -> bool:
        return workload in self._of

    def __len__(self) -> int:
        return len(self._of)

    def make(self, workload: str, promise: Promise) -> None:
        """Take room for a decision, at once, so that the next decision sees it."""
        self.take_back(workload)
        self._of[workload] = promise
        self._by_pool[promise.key].add(workload)
        self._reserved.pop(promise.key, None)

    def take_back(self, workload: str) -> None:
        """Give up the room of a workload."""
        promise = self._of.pop(workload, None)
        if promise is not None:
            self._by_pool[promise.key].discard(workload)
            self._reserved.pop(promise.key, None)

    def place(self, workload: str) -> Key | None:
        """Where the workload was last decided to run."""
        promise = self._of.get(workload)
        return promise.key if promise else None

    def in_pool(self, key: Key) -> Iterable[str]:
        """Workloads decided to run in a pool."""
        return self._by_pool.get(key, ())

    def on_cluster(self, cluster: str) -> set[str]:
        """Workloads decided to run on a cluster."""
        return {workload for workload, promise in self._of.items() if promise.key[0] == cluster}

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Pods promised to a pool that no scheduler has bound yet, but for those of ``beside``."""
        own = self._of.get(beside)
        if own is not None and own.key == key:
            return self._unbound(key, beside=beside)
        member = self._member(key[0])
        stamp = (member, member.bound_changes if member else 0)
        known = self._reserved.get(key)
        if known is None or known[0] != stamp:
            known = self._reserved[key] = (stamp, self._unbound(key, beside=""))
        return known[1]

    def _unbound(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Promises to a pool that are not kept yet, gathered by shape."""
        member = self._member(key[0])
        pods: Counter[Shape] = Counter()
        for name in self._by_pool.get(key, ()):
            promise = self._of[name]
            missing = promise.replicas - (member.bound(name) if member else 0)
            if name != beside and missing > 0:
                pods[promise.shape] += missing
        return tuple(Reservation(shape, missing) for shape, missing in pods.items())
