"""What is on the move, who lost its place, and whether moving has stopped: the state behind budgets and breakers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from domicile.placement.decide import Request
from domicile.placement.disruption import Breaker, Moves
from domicile.placement.verdicts import Key
from domicile.tiers.framework import Framework
from domicile.tiers.reading import Options


class Asked(NamedTuple):
    """What a placed workload was decided by, and the place it has."""

    framework: str
    options: Options
    request: Request
    place: Key


class Disruptions:
    """Moves under way and a breaker per framework. A workload counts as placed once it was decided."""

    def __init__(self) -> None:
        self.moves = Moves()
        self.breakers: dict[str, Breaker] = {}
        self._asked: dict[str, Asked] = {}
        self._legal: set[str] = set()  # placed workloads whose place satisfied them at the last look

    def breaker(self, framework: str) -> Breaker:
        """The breaker of a framework, closed where it was never opened."""
        return self.breakers.setdefault(framework, Breaker())

    def settle(self, workload: str, asked: Asked, *, legal: bool, at: datetime) -> None:
        """Remember by what a placed workload was decided and whether its place satisfies it. Losing that counts."""
        self._asked[workload] = asked
        if legal:
            self._legal.add(workload)
        elif workload in self._legal:
            self._legal.discard(workload)
            self.breaker(asked.framework).lose(workload, at=at)

    def forget(self, workload: str) -> None:
        """The workload has no place any more."""
        self._asked.pop(workload, None)
        self._legal.discard(workload)

    def look(self, workloads: Iterable[str], *, legal: Callable[[Asked], bool], at: datetime) -> list[str]:
        """Who of ``workloads`` has no legal place now, or may have none. Whoever had one is counted by its breaker."""
        lost = []
        for workload in workloads:
            asked = self._asked.get(workload)
            if asked is None:
                lost.append(workload)
            elif not legal(asked):
                lost.append(workload)
                if workload in self._legal:
                    self._legal.discard(workload)
                    self.breaker(asked.framework).lose(workload, at=at)
        return lost

    def judge(self, framework: Framework, *, at: datetime) -> bool:
        """Whether the breaker of a framework opens now."""
        placed = sum(asked.framework == framework.name for asked in self._asked.values())
        return self.breaker(framework.name).judge(framework.spec.disruption.breaker, placed=placed, at=at)
