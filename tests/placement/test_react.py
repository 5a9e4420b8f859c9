"""What is to be done with a copy that lost its place: tier, workload, verdict and time, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domicile.model.framework import OnViolation, Tier
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Standing
from domicile.placement.react import Action, Reaction, policy_of, react, reason_to_stay

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
S, U, V = Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED
ALERT, DRAIN, ZERO = OnViolation.ALERT, OnViolation.DRAIN, OnViolation.SCALE_TO_ZERO
STAY, MOVE, STOP = Action.STAY, Action.DRAIN, Action.STOP

CASES = [
    # tier's choice, grace, verdict, hours since -> action, hours until a stricter one
    (ALERT, "0s", V, 9, STAY, None),
    (DRAIN, "0s", V, 0, MOVE, None),
    (DRAIN, "2h", V, 1, STAY, 2),
    (DRAIN, "2h", V, 2, MOVE, None),
    (ZERO, "0s", V, 0, STOP, None),
    (ZERO, "2h", V, 1, MOVE, 2),
    (ZERO, "2h", V, 3, STOP, None),
    (ZERO, "0s", S, 9, STAY, None),
]


@pytest.mark.parametrize(("choice", "grace", "verdict", "hours", "action", "due"), CASES)
def test_a_violated_copy(
    choice: OnViolation, grace: str, verdict: Verdict, hours: int, action: Action, due: int | None
) -> None:
    policy = policy_of(Tier(level=1, on_violation=choice, grace_period=grace), None)
    reaction = react(policy, standing=Standing(verdict, False), since=SINCE, at=SINCE + hours * HOUR)
    assert reaction == Reaction(action, None if due is None else SINCE + due * HOUR)


@pytest.mark.parametrize(("choice", "grace", "verdict", "hours", "action", "due"), CASES)
def test_an_unknown_copy_has_a_policy_of_its_own(
    choice: OnViolation, grace: str, verdict: Verdict, hours: int, action: Action, due: int | None
) -> None:
    tier = Tier(level=1, on_violation=ZERO, on_unknown=choice, unknown_grace_period=grace)
    asked = U if verdict is V else verdict
    reaction = react(policy_of(tier, None), standing=Standing(asked, False), since=SINCE, at=SINCE + hours * HOUR)
    assert reaction == Reaction(action, None if due is None else SINCE + due * HOUR)


@pytest.mark.parametrize("tiers", list(OnViolation))
@pytest.mark.parametrize("own", [None, *OnViolation])
def test_a_workload_is_only_ever_stricter(tiers: OnViolation, own: OnViolation | None) -> None:
    strict = list(OnViolation)
    chosen = policy_of(Tier(level=1, on_violation=tiers), own).violated
    assert strict.index(chosen) == max(strict.index(tiers), strict.index(own or ALERT))


def test_its_own_wishes_move_it_whatever_the_tier_says() -> None:
    policy = policy_of(Tier(level=1, on_violation=ALERT, grace_period="9h"), None)
    assert react(policy, standing=Standing(V, wished=True), since=SINCE, at=SINCE).action is MOVE


@pytest.mark.parametrize(
    ("verdict", "action", "stays"), [(V, STAY, True), (U, STAY, True), (V, MOVE, False), (S, STAY, False)]
)
def test_why_it_stays(verdict: Verdict, action: Action, stays: bool) -> None:
    why = reason_to_stay(("c", "p"), standing=Standing(verdict, False), reaction=Reaction(action, SINCE))
    assert bool(why) == stays
    assert not stays or ("c/p" in why and "2026-11-01T00:00:00Z" in why)
