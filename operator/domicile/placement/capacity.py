"""Room in a pool: how many pods of one shape fit, node by node and never over the sum of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

SUFFIXES = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip
UNBOUNDED = 1_000_000


def read_quantity(text: str | int | float | None) -> float:
    """A Kubernetes quantity as a number (cores, bytes, pieces); nothing is 0. Raises ValueError for nonsense."""
    if text is None or text == "":
        return 0.0
    match = re.fullmatch(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)", str(text))
    if match is None or match[2] not in SUFFIXES:
        raise ValueError(f"{text!r} is no quantity")
    return float(match[1]) * SUFFIXES[match[2]]


class Shape(NamedTuple):
    """What one pod needs. ``cpu`` in cores, ``memory`` and ``min_memory`` in bytes; no product = no accelerator."""

    products: tuple[str, ...] = ()
    accelerators: int = 0
    min_memory: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0


class NodeRoom(NamedTuple):
    """What is free on one node that can take pods."""

    accelerators: float
    cpu: float
    memory: float
    pods: float


class Room(Protocol):
    """What a decision asks of the room in one pool."""

    @property
    def largest_free(self) -> int: ...
    def carries(self, shape: Shape, /) -> bool: ...
    def fits(self, shape: Shape, /) -> int: ...
    def free(self, shape: Shape, /, reserved: Iterable[Reservation]) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class PoolRoom:
    """What is free in a pool. ``product`` is the accelerator its admins state; empty where it has none."""

    nodes: tuple[NodeRoom, ...]
    product: str = ""
    accelerator_memory: float = 0.0
    _fits: dict[Shape, int] = field(default_factory=dict, compare=False)

    def carries(self, shape: Shape) -> bool:
        """Whether the pool has the accelerator asked for."""
        if not shape.accelerators:
            return True
        return self.product in shape.products and self.accelerator_memory >= shape.min_memory

    def fits(self, shape: Shape) -> int:
        """How many pods of ``shape`` fit beside what runs, each wholly on one node."""
        known = self._fits.get(shape)
        if known is None:
            known = _fits(self.nodes, shape) if self.carries(shape) else 0
            self._fits[shape] = known
        return known

    def free(self, shape: Shape, reserved: Iterable[Reservation]) -> int:
        """Pods of ``shape`` that fit once the promised pods are in. A promise of another shape takes its share of the
        pool, rounded against us."""
        fits = self.fits(shape)
        taken = 0.0
        for promise in reserved:
            possible = self.fits(promise.shape)
            taken += promise.pods * (fits / possible if possible else fits)
        return max(0, int(fits - taken + 1e-9))

    @property
    def largest_free(self) -> int:
        """Most free accelerators on any one node."""
        return int(max((node.accelerators for node in self.nodes), default=0))


def _fits(nodes: Iterable[NodeRoom], shape: Shape) -> int:
    """One pass with plain comparisons: it runs over every node of every pool at each new shape."""
    _, pieces, _, cores, size = shape
    fits = 0
    for accelerators, cpu, memory, least in nodes:
        if pieces > 0 and accelerators / pieces < least:
            least = accelerators / pieces
        if cores > 0 and cpu / cores < least:
            least = cpu / cores
        if size > 0 and memory / size < least:
            least = memory / size
        if least > 0:
            fits += int(least + 1e-9)
    return fits


EMPTY = PoolRoom(())
UNKNOWN_ROOM = PoolRoom((NodeRoom(UNBOUNDED, UNBOUNDED * 1e3, UNBOUNDED * 2.0**40, UNBOUNDED),))


class Reservation(NamedTuple):
    """Pods promised to a pool that no scheduler has bound yet."""

    shape: Shape
    pods: int
