"""The life of a violation: opened, detected, acted on, resolved. Pure; instants are arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domicile.model.schema import read_instant
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Standing
from domicile.placement.react import Action, Reaction
from domicile.placement.verdicts import Key, Row
from domicile.report.conditions import instant

ACTION_NAMES = {Action.STAY: "Alert", Action.DRAIN: "Drain", Action.STOP: "ScaleToZero"}
MAX_CAUSE = 1000


@dataclass(frozen=True, slots=True)
class Violation:
    """A copy runs on ``place``, which does not satisfy the tier; ``acted`` once moving or stopping it began."""

    place: Key
    verdict: Verdict
    cause: str
    opened: datetime
    detected: datetime
    action: Action
    due: datetime | None = None
    acted: datetime | None = None

    def plain(self) -> dict[str, Any]:
        """As ``status.violation``."""
        document: dict[str, Any] = {
            "candidate": "/".join(self.place),
            "verdict": str(self.verdict),
            "cause": self.cause,
            "opened": instant(self.opened),
            "detected": instant(self.detected),
            "action": ACTION_NAMES[self.action],
        }
        moments = {"due": self.due, "acted": self.acted}
        return document | {name: instant(moment) for name, moment in moments.items() if moment is not None}


def read_violation(status: Mapping[str, Any]) -> Violation | None:
    """The violation that a status tells of."""
    said = status.get("violation")
    if not said:
        return None
    cluster, _, pool = said["candidate"].partition("/")
    return Violation(
        place=(cluster, pool),
        verdict=Verdict(said["verdict"]),
        cause=said.get("cause", ""),
        opened=read_instant(said["opened"]),
        detected=read_instant(said["detected"]),
        action=next(action for action, name in ACTION_NAMES.items() if name == said["action"]),
        due=read_instant(said["due"]) if "due" in said else None,
        acted=read_instant(said["acted"]) if "acted" in said else None,
    )


def violation_of(
    place: Key,
    *,
    standing: Standing,
    row: Row | None,
    level: int,
    before: Violation | None,
    since: datetime,
    at: datetime,
) -> Violation:
    """The violation by a copy on ``place``: the one known, if it is still that, else one that opens now."""
    cause = _cause(place, standing, row, level)
    if before is not None and (before.place, before.verdict) == (place, standing.verdict):
        return replace(before, cause=cause)
    return Violation(place, standing.verdict, cause, opened=min(since, at), detected=at, action=Action.STAY)


def reacted(violation: Violation, reaction: Reaction) -> Violation:
    """With what is to be done about it."""
    return replace(violation, action=reaction.action, due=reaction.due)


def _cause(place: Key, standing: Standing, row: Row | None, level: int) -> str:
    if row is None:
        return f"nothing is stated about {'/'.join(place)} any more"
    if standing.wished:
        return f"{'/'.join(place)} is not what the workload asks for"
    failed = row.refusals(level)
    worst = [rule for rule in failed if rule.verdict is standing.verdict] or list(failed)
    if not worst:
        return f"{'/'.join(place)} does not reach the tier"
    rule = worst[0]
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{rule.rule} ({rule.clause}) {rule.findings[0].sentence()}{more}"[:MAX_CAUSE]
