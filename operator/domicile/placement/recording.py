"""What one decision asked the field for, as a document; and a field that gives the same answers from it. Pure.

Rooms are sums over thousands of nodes, far too large to write down. A decision needs four answers about each candidate
that the law leaves, for the one shape it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from domicile.placement.capacity import Reservation, Room, Shape
from domicile.placement.decide import Field, Request
from domicile.placement.verdicts import Key

MAX_ASKED = 2_000
"""Candidates of one decision whose rooms are kept; a record is to stay well below the largest that a log takes."""


class NotRecorded(LookupError):
    """A decision asks for what the one on record did not ask: it is made otherwise."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The room of one candidate for one request: a ``capacity.Room`` that knows a single shape."""

    carried: bool
    fitting: int
    left: int  # pods that fit beside what is promised
    largest_free: int

    def carries(self, shape: Shape) -> bool:
        """Whether the pool has the accelerator asked for."""
        return self.carried

    def fits(self, shape: Shape) -> int:
        """How many pods fit beside what runs."""
        return self.fitting

    def free(self, shape: Shape, reserved: Iterable[Reservation]) -> int:
        """How many pods fit beside what runs and what is promised."""
        return self.left


class Recorded:
    """A field that passes everything through and remembers what ``request`` was told, up to ``MAX_ASKED`` rooms."""

    def __init__(self, field: Field, *, request: Request) -> None:
        self._field, self._request = field, request
        self._rooms: dict[Key, Answers] = {}
        self._reachable: dict[str, bool] = {}
        self._overflown = False

    def room(self, key: Key) -> Room:
        """What is free in a pool."""
        room = self._field.room(key)
        if key in self._rooms or self._overflown:
            return room
        if len(self._rooms) >= MAX_ASKED:
            self._overflown = True
            self._rooms.clear()
            return room
        # All four, asked for or not: in what order candidates are looked at, and who is passed over by that, differs
        # between an inventory that grew and one that is built anew.
        shape, reserved = self._request.shape, self._field.reserved(key, beside=self._request.key)
        self._rooms[key] = Answers(room.carries(shape), room.fits(shape), room.free(shape, reserved), room.largest_free)
        return room

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Pods promised to a pool."""
        return self._field.reserved(key, beside=beside)

    def reachable(self, cluster: str) -> bool:
        """Whether a cluster can be reached."""
        answer = self._reachable[cluster] = self._field.reachable(cluster)
        return answer

    def document(self) -> dict[str, Any] | None:
        """The answers given, in the order of names; None where there were too many to keep."""
        if self._overflown:
            return None
        return {
            "reachable": dict(sorted(self._reachable.items())),
            "rooms": [_room_document(key, answers) for key, answers in sorted(self._rooms.items())],
        }


def _room_document(key: Key, answers: Answers) -> dict[str, Any]:
    return {
        "cluster": key[0],
        "nodePool": key[1],
        "carries": answers.carried,
        "fits": answers.fitting,
        "free": answers.left,
        "largestFree": answers.largest_free,
    }


def _answers_of(room: Mapping[str, Any]) -> Answers:
    return Answers(bool(room["carries"]), int(room["fits"]), int(room["free"]), int(room["largestFree"]))


class Replayed:
    """The field of a decision on record. Raises NotRecorded for what that decision did not ask."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Read ``Recorded.document``. Raises LookupError, TypeError or ValueError for anything else."""
        self._reachable = {str(cluster): bool(answer) for cluster, answer in dict(document["reachable"]).items()}
        self._rooms = {(room["cluster"], room["nodePool"]): _answers_of(room) for room in document["rooms"]}

    def room(self, key: Key) -> Room:
        """The answers on record about a pool."""
        if key not in self._rooms:
            raise NotRecorded(f"the room of {'/'.join(key)}")
        return self._rooms[key]

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """What was promised is taken off already."""
        return ()

    def reachable(self, cluster: str) -> bool:
        """Whether the cluster could be reached."""
        if cluster not in self._reachable:
            raise NotRecorded(f"whether {cluster} can be reached")
        return self._reachable[cluster]


class Unseen:
    """The field where none was kept: nothing can be reached, so that only what the law says is left to compare."""

    def room(self, key: Key) -> Room:
        """Nothing is known of any room."""
        raise NotRecorded(f"the room of {'/'.join(key)}")

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        """Nothing is known of promises."""
        return ()

    def reachable(self, cluster: str) -> bool:
        """Nothing can be reached."""
        return False
