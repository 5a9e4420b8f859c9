"""Whom a changed fact concerns and what becomes of them: told, decided, vacated, or healed before. Fed by watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import spread
from benchmarks.pods import Change, Pods


@dataclass(slots=True)
class Concern:
    """One deployment whose pool a fact made illegal. Moments are seconds on this process's clock, None: not seen."""

    workload: str
    pool: str
    runs: bool  # whether a pod of it was in the pool then
    known: bool  # whether its status still said so from an earlier flip that was healed just before
    at: float | None = None  # the API server's answer to the flip
    told: float | None = None  # Compliant=False that names the pool
    decided: float | None = None  # the first status that follows from the flip, whatever it says
    vacated: float | None = None  # no pod left there
    healed: float | None = None  # the pool became legal again

    @property
    def settled(self) -> bool:
        """Whether nothing more will come of it."""
        return self.healed is not None or (self.vacated is not None and self.decided is not None)

    def after(self, moment: float | None) -> float | None:
        """Seconds from the flip to a moment; what was seen before the answer to the flip arrived counts as 0."""
        return None if moment is None or self.at is None else max(0.0, moment - self.at)


@dataclass(slots=True)
class Concerns:
    """Everyone a flip concerned since `begin`, and where each workload is according to its status."""

    news: Callable[[], None]  # called for every change, for those who wait
    pods: Pods = field(init=False)
    current: dict[str, str] = field(default_factory=dict)  # workload -> the pool its status names first
    compliant: dict[str, str] = field(default_factory=dict)
    accused: dict[str, str] = field(default_factory=dict)  # workload -> the pool its open violation names
    reasons: dict[str, str] = field(default_factory=dict)
    illegal: set[str] = field(default_factory=set)
    all: list[Concern] = field(default_factory=list)
    moves: int = 0
    created: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)  # when a workload's first decision was seen
    changed: float = 0.0  # when anything was last seen
    _open: dict[str, list[Concern]] = field(default_factory=dict)  # by workload

    def __post_init__(self) -> None:
        self.pods = Pods(self._pods_changed)

    def begin(self) -> None:
        """Forget what was measured; what is known stays."""
        self.all, self.moves, self._open = [], 0, {}
        self.created.clear()
        self.answered.clear()

    # -- flips -----------------------------------------------------------------------------------------------------

    def breaking(self, pool: str) -> list[Concern]:
        """A flip that makes a pool illegal is about to be sent: those it concerns."""
        self.illegal.add(pool)
        found = [
            Concern(w, pool, self.pods.count(w, pool) > 0, self.accused.get(w) == pool)
            for w, there in self.current.items()
            if there == pool
        ]
        for concern in found:
            self._open.setdefault(concern.workload, []).append(concern)
        self.all += found
        return found

    def heal(self, pool: str) -> None:
        """A flip that makes a pool legal again was answered."""
        self.illegal.discard(pool)
        for concern in self.all:
            if concern.pool == pool and not concern.settled:
                concern.healed = time.perf_counter()

    # -- what is seen ----------------------------------------------------------------------------------------------

    def on_hub(self, kind: str, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment changed."""
        now, name, status = time.perf_counter(), raw["metadata"]["name"], raw.get("status") or {}
        said = {c["type"]: c for c in status.get("conditions") or ()}
        self.changed = now
        self.compliant[name] = said.get("Compliant", {}).get("status", "")
        self.reasons[name] = status.get("reason", "")
        if "Placed" in said:
            self.answered.setdefault(name, now)
        place = status.get("nodePool", "")
        before = self.current.get(name)
        if place:
            self.current[name] = place
            self.moves += before is not None and before != place
        accused = (status.get("violation") or {}).get("candidate", "").rpartition("/")[2]
        self.accused[name] = accused if self.compliant[name] == "False" else ""
        for concern in self._open.get(name, ()):
            if concern.settled:
                continue
            if self.accused[name] == concern.pool and concern.told is None:
                concern.told = now
            if concern.decided is None and (concern.told is not None or place != concern.pool):
                concern.decided = now
            self._look(concern, now)
        self._tidy(name)
        self.news()

    def _pods_changed(self, change: Change) -> None:
        self.changed = change.at
        for concern in self._open.get(change.workload, ()):
            if not concern.settled:
                self._look(concern, change.at)
        self._tidy(change.workload)
        self.news()

    def _look(self, concern: Concern, now: float) -> None:
        """It is vacated once nothing runs there and its status names another place: until then pods may come."""
        left = self.current.get(concern.workload) != concern.pool
        if concern.vacated is None and left and not self.pods.count(concern.workload, concern.pool):
            concern.vacated = now

    def _tidy(self, workload: str) -> None:
        still = [concern for concern in self._open.get(workload, ()) if not concern.settled]
        if still:
            self._open[workload] = still
        else:
            self._open.pop(workload, None)

    # -- what came of it -------------------------------------------------------------------------------------------

    def waiting(self) -> list[Concern]:
        """Concerns of which something is still to come."""
        return [concern for concern in self.all if not concern.settled]

    def figures(self) -> dict[str, Any]:
        """Seconds from the answer to the flip to each moment, and of whom there is none, why."""
        ran = [concern for concern in self.all if concern.runs]
        new = [concern for concern in ran if not concern.known]
        untold = [concern for concern in new if concern.told is None]
        stays = [concern for concern in ran if concern.healed is None]
        return {
            "concerned": len(self.all),
            "nothing_ran_there_yet": len(self.all) - len(ran),
            "detected_seconds": spread(_seconds(new, "told")),
            "not_detected": {
                "still_told": len(ran) - len(new),
                "healed_before": sum(c.healed is not None for c in untold),
                "already_leaving": sum(c.healed is None and c.vacated is not None for c in untold),
                "never": sum(c.healed is None and c.vacated is None for c in untold),
            },
            "vacated_seconds": spread(_seconds(stays, "vacated")),
            "not_vacated": {
                "healed_before": len(ran) - len(stays),
                "never": sum(c.vacated is None for c in stays),
            },
        }

    def starvation(self) -> dict[str, Any]:
        """Longest wait in seconds for a decision: of those concerned, until it came or was no longer needed; of the
        workloads created meanwhile, until their first. What has none yet counts until now."""
        now = time.perf_counter()
        affected = [
            c.after(min(m for m in (c.decided, c.healed, now) if m is not None)) or 0.0 for c in self.all if not c.known
        ]
        new = [max(0.0, self.answered.get(name, now) - at) for name, at in self.created.items()]
        return {"affected_max": round(max(affected, default=0.0), 3), "new": spread(new)}


def _seconds(concerns: list[Concern], what: str) -> list[float]:
    found = (concern.after(getattr(concern, what)) for concern in concerns)
    return [seconds for seconds in found if seconds is not None]
