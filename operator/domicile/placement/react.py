"""What becomes of a copy that runs where the tier no longer lets it. Pure; the instant is an argument.

The tier's owner chooses (`onViolation`, `onUnknown`, with a grace period), a workload may only be stricter. Until the
grace period ends the next milder action is taken. A workload's own wishes are no violation: it asked to move.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domicile.model.framework import OnViolation, Tier
from domicile.model.schema import read_period
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Standing
from domicile.placement.verdicts import Key

MILDEST_FIRST = tuple(OnViolation)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is to be done with a copy that is Violated, and with one that is Unknown, each after its grace."""

    violated: OnViolation
    violated_grace: timedelta
    unknown: OnViolation
    unknown_grace: timedelta


class Action(StrEnum):
    """What may be done with a running copy now."""

    STAY = "Stay"  # it is legal, or it is only to be reported
    DRAIN = "Drain"  # it moves once its successor is available, if there is a legal place
    STOP = "Stop"  # it is scaled to zero, whatever there is


@dataclass(frozen=True, slots=True)
class Reaction:
    """The action now; ``due`` is when a stricter one follows, if that is to come."""

    action: Action
    due: datetime | None = None


def policy_of(tier: Tier, own: OnViolation | None) -> Policy:
    """The tier's choice, or the workload's where that is stricter."""
    violated = max(tier.on_violation, own or OnViolation.ALERT, key=MILDEST_FIRST.index)
    return Policy(violated, read_period(tier.grace_period), tier.on_unknown, read_period(tier.unknown_grace_period))


ACTIONS = {OnViolation.ALERT: Action.STAY, OnViolation.DRAIN: Action.DRAIN, OnViolation.SCALE_TO_ZERO: Action.STOP}


def react(policy: Policy, *, standing: Standing, since: datetime, at: datetime) -> Reaction:
    """What is to be done at ``at`` with a copy whose place has stood like that since ``since``."""
    if standing.verdict is Verdict.SATISFIED:
        return Reaction(Action.STAY)
    if standing.wished:
        return Reaction(Action.DRAIN)
    if standing.verdict is Verdict.VIOLATED:
        asked, due = policy.violated, since + policy.violated_grace
    else:
        asked, due = policy.unknown, since + policy.unknown_grace
    if asked is OnViolation.ALERT or at >= due:
        return Reaction(ACTIONS[asked])
    return Reaction(ACTIONS[MILDEST_FIRST[MILDEST_FIRST.index(asked) - 1]], due)


def reason_to_stay(place: Key, *, standing: Standing, reaction: Reaction) -> str:
    """Why a copy that is not legal where it is stays there for now; empty where it may move or is legal."""
    if reaction.action is not Action.STAY or standing.verdict is Verdict.SATISFIED:
        return ""
    until = f" until {reaction.due:%Y-%m-%dT%H:%M:%SZ}" if reaction.due else ""
    if standing.verdict is Verdict.UNKNOWN:
        settled = until or " until they are settled"
        return f"facts about {'/'.join(place)} are open; nothing is moved{settled}"
    return f"{'/'.join(place)} violates the tier; the copy is reported and left there{until}"
