"""How much may move at once, and when moving stops: budgets and the circuit breaker of one framework. Pure.

Neither ever admits anything: they only hold back what would move or stop a copy that runs.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from domicile.model.framework import Breaker as BreakerSpec
from domicile.model.framework import Disruption
from domicile.model.schema import read_period


class Move(NamedTuple):
    """One workload on its way from one cluster to another, or stopped on the first."""

    framework: str
    level: int
    source: str
    target: str


class Load(NamedTuple):
    """How many move now, by framework and level, and by the cluster they leave or enter."""

    tiers: Mapping[tuple[str, int], int]
    clusters: Mapping[str, int]

    def full(self, move: Move, limits: Disruption) -> bool:
        """Whether another move has to wait."""
        if self.tiers.get(move[:2], 0) >= limits.moves_per_tier:
            return True
        return any(self.clusters.get(name, 0) >= limits.moves_per_cluster for name in (move.source, move.target))


@dataclass(slots=True)
class Moves:
    """The moves under way, by workload: at most one each."""

    under_way: dict[str, Move] = field(default_factory=dict)
    waiting: dict[str, tuple[Move, Disruption]] = field(default_factory=dict)  # held back by a budget, in their order

    def begin(self, workload: str, move: Move, *, limits: Disruption) -> str:
        """Count a move that is to begin; why it has to wait, or nothing where it may go. Asking again for the same
        workload is free."""
        if workload in self.under_way:
            self.under_way[workload] = move
            return ""
        if self._load().full(move, limits):
            self.waiting[workload] = move, limits
            return (
                f"waits for its turn: SovereigntyFramework/{move.framework} lets {limits.moves_per_tier} workloads of a"
                f" tier (disruption.movesPerTier) and {limits.moves_per_cluster} from or to a cluster"
                " (disruption.movesPerCluster) move at once"
            )
        self.waiting.pop(workload, None)
        self.under_way[workload] = move
        return ""

    def adopt(self, workload: str, move: Move) -> None:
        """Count a move that an operator before this one began."""
        self.under_way[workload] = move

    def end(self, workload: str) -> list[str]:
        """The move is over, or the workload no longer has to. Who may go now, the first few in the row."""
        self.waiting.pop(workload, None)
        self.under_way.pop(workload, None)
        load = self._load()
        return list(islice((key for key, held in self.waiting.items() if not load.full(*held)), NEXT))

    def _load(self) -> Load:
        moves = self.under_way.values()
        tiers = Counter(move[:2] for move in moves)
        return Load(tiers, Counter(cluster for move in moves for cluster in {move.source, move.target}))


NEXT = 2  # more than one place is free where somebody who might have gone no longer had to


class Opened(NamedTuple):
    """An open breaker. ``id`` is what an approval has to name, so that none releases a later opening."""

    id: str
    at: datetime
    lost: int
    placed: int


@dataclass(slots=True)
class Breaker:
    """The circuit breaker of one framework: opens on mass loss of eligibility, closes only by approval."""

    opened: Opened | None = None
    _lost: deque[tuple[datetime, str]] = field(default_factory=deque)

    def lose(self, workload: str, *, at: datetime) -> None:
        """A placed workload lost the eligibility of its place."""
        self._lost.append((at, workload))

    def judge(self, spec: BreakerSpec, *, placed: int, at: datetime) -> bool:
        """Open it if too many of the ``placed`` workloads lost their place inside the window. Whether it opened now."""
        window: timedelta = read_period(spec.window)
        while self._lost and self._lost[0][0] <= at - window:
            self._lost.popleft()
        lost = len({workload for _, workload in self._lost})
        if self.opened is not None or lost < spec.at_least or lost * 100 <= spec.share * placed:
            return False
        self.opened = Opened(at.strftime("%Y%m%dT%H%M%SZ"), at, lost, placed)
        return True

    def release(self, approval: str) -> bool:
        """Close it if ``approval`` names this opening. What was lost so far does not open it again."""
        if self.opened is None or approval != self.opened.id:
            return False
        self.opened = None
        self._lost.clear()
        return True


def restored(status: Mapping[str, str | int] | None, *, opened_at: datetime | None) -> Breaker:
    """The breaker as the status of its framework left it."""
    if not status or opened_at is None:
        return Breaker()
    return Breaker(Opened(str(status["id"]), opened_at, int(status["lost"]), int(status["placed"])))
