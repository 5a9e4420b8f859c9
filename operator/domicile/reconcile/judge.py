"""What is to become of one workload: its place judged, the decision, and what may be done about a copy that lost its
place. No I/O; only promises and the count of moves change, at once, so that the next decision sees them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime

from domicile.model.framework import Disruption, LogDemand, Tier
from domicile.model.schema import read_period
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Decision, Outcome, Standing, decide, standing
from domicile.placement.disruption import Move
from domicile.placement.react import Action, Reaction, policy_of, react, reason_to_stay
from domicile.placement.request import Accepted
from domicile.placement.verdicts import Key, Verdicts
from domicile.reconcile.disruptions import Asked
from domicile.reconcile.objects import Workload
from domicile.reconcile.observe import Stray, runs, strays_of
from domicile.reconcile.promises import Promise
from domicile.reconcile.world import World
from domicile.report.conditions import instant
from domicile.report.metrics import DECIDE_SECONDS, DECISIONS
from domicile.report.violation import Violation, reacted, read_violation, violation_of


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that was found out about one accepted workload at one moment."""

    accepted: Accepted
    verdicts: Verdicts
    decision: Decision
    reaction: Reaction
    standing: Standing | None  # of the place the status names first
    violation: Violation | None
    strays: tuple[Stray, ...]
    at: datetime
    look_again: datetime | None  # when a grace or a cool-down ends
    acts: bool = False  # a move or a stop begins with this
    evict_leaving: bool = False  # a copy on its way out may not wait for its successor any longer

    @property
    def tier(self) -> Tier:
        """The tier in force."""
        tier = self.verdicts.framework.tier(self.accepted.request.level)
        assert tier is not None
        return tier


def judge(world: World, workload: Workload, accepted: Accepted) -> Case:
    """Judge the place it has, decide, and hold back what budgets, breaker or cool-down do not let go yet."""
    at = world.now()
    verdicts = world.inventory.verdicts(accepted.framework, accepted.options, at=at)
    previous = next(iter(workload.placed), None)  # a promise that was not written down binds nobody
    stands, violation, reaction = None, _violation(world, workload, accepted, verdicts, at), Reaction(Action.STAY)
    stay = ""
    if previous is not None:
        stands = standing(accepted.request, verdicts=verdicts, place=previous)
        reaction = _reaction(world, workload, accepted, stands, previous, violation, at)
        stay = reason_to_stay(previous, standing=stands, reaction=reaction)
    began = time.perf_counter()
    decision = decide(accepted.request, verdicts=verdicts, field=world, previous=previous, stay=stay)
    DECIDE_SECONDS.observe(time.perf_counter() - began)
    case = Case(accepted, verdicts, decision, reaction, stands, violation, (), at, reaction.due)
    case = _held_back(world, workload, case, previous)
    if case.violation is not None:
        acting = case.reaction.action is Action.STOP or _moves(case.decision, previous)
        leaving = case.violation.place != previous
        reaction = (
            _reaction(
                world, workload, accepted, _stands(case, case.violation.place), case.violation.place, violation, at
            )
            if leaving
            else case.reaction
        )
        told = reacted(case.violation, reaction)
        case = replace(
            case,
            violation=replace(told, acted=told.acted or (at if acting else None)),
            acts=acting and told.acted is None,
            evict_leaving=leaving and reaction.action is Action.STOP,
            look_again=min((m for m in (case.look_again, reaction.due) if m is not None), default=None),
        )
    _take(world, workload, case, previous)
    expected = list(dict.fromkeys([*([case.decision.chosen] if case.decision.chosen else []), *workload.placed]))
    return replace(case, strays=tuple(strays_of(world, workload, expected=expected)))


def still_legal(world: World, case: Case, place: Key) -> bool:
    """Whether a place satisfies the workload by what is known at this moment."""
    if case.accepted.framework not in world.inventory.frameworks:
        return False
    verdicts = world.inventory.verdicts(case.accepted.framework, case.accepted.options, at=world.now())
    return standing(case.accepted.request, verdicts=verdicts, place=place).verdict is Verdict.SATISFIED


def _violation(
    world: World, workload: Workload, accepted: Accepted, verdicts: Verdicts, at: datetime
) -> Violation | None:
    """The violation by the first copy that runs where it may not: the current one, or one on its way out."""
    before = read_violation(workload.status)
    for place in workload.placed:
        stands = standing(accepted.request, verdicts=verdicts, place=place)
        if stands.verdict is Verdict.SATISFIED or stands.wished or not runs(world, workload, place):
            continue
        return violation_of(
            place,
            standing=stands,
            row=verdicts.row(place),
            level=accepted.request.level,
            before=before,
            since=world.since.get(place, at),
            at=at,
        )
    return None


def _reaction(
    world: World,
    workload: Workload,
    accepted: Accepted,
    stands: Standing,
    place: Key,
    violation: Violation | None,
    at: datetime,
) -> Reaction:
    """What the tier wants done with the current copy; of one that does not run, nothing is left to be done."""
    assert workload.spec is not None
    tier = world.inventory.frameworks[accepted.framework].tier(accepted.request.level)
    assert tier is not None
    policy = policy_of(tier, workload.spec.sovereignty.on_violation)
    known = violation is not None and violation.place == place
    since = violation.opened if violation is not None and known else world.since.get(place, at)
    reaction = react(policy, standing=stands, since=since, at=at)
    if reaction.action is Action.STOP and not runs(world, workload, place) and not _delivered(world, workload, place):
        return Reaction(Action.DRAIN)  # it stands still: whatever is legal may take it
    return reaction


def _delivered(world: World, workload: Workload, place: Key) -> bool:
    member = world.members.get(place[0])
    shown = member.deployments.get(workload.key) if member is not None and member.reachable else None
    return shown is not None and shown.desired > 0


def _stands(case: Case, place: Key) -> Standing:
    return standing(case.accepted.request, verdicts=case.verdicts, place=place)


def _moves(decision: Decision, previous: Key | None) -> bool:
    return decision.chosen is not None and previous is not None and decision.chosen != previous


def _held_back(world: World, workload: Workload, case: Case, previous: Key | None) -> Case:
    """Budgets, breaker and cool-down: they keep what runs from being moved or stopped, and what was stopped from coming
    back at once. What the workload's own spec asks for is not held back, nor is anything new admitted."""
    decision, framework = case.decision, case.verdicts.framework
    limits = framework.spec.disruption
    stopped = workload.moment("stopped")
    if previous is None or (case.standing is not None and case.standing.wished):
        return _log_demanded(world, case, previous)
    illegal = case.standing is not None and case.standing.verdict is not Verdict.SATISFIED
    acts = case.reaction.action is Action.STOP or (_moves(decision, previous) and illegal)
    opened = world.disruptions.breaker(framework.name).opened
    if acts and opened is not None and stopped is None:
        why = (
            f"the breaker of SovereigntyFramework/{framework.name} is open: {opened.lost} of {opened.placed} placed"
            f" workloads lost eligibility; annotate it domicile.dev/resume-moves={opened.id} once the facts are checked"
        )
        return _staying(case, Outcome.MOVES_PAUSED, why)
    again = _cooled(workload, limits)
    if again is not None and again > case.at:
        if stopped is not None and decision.chosen is not None:
            return replace(_staying(case, Outcome.MOVE_QUEUED, f"cools down until {instant(again)}"), look_again=again)
        if _moves(decision, previous) and illegal and case.reaction.action is Action.DRAIN and stopped is None:
            return replace(_staying(case, Outcome.MOVE_QUEUED, f"cools down until {instant(again)}"), look_again=again)
    if _moves(decision, previous) and illegal and stopped is None:
        assert decision.chosen is not None
        move = Move(framework.name, case.accepted.request.level, previous[0], decision.chosen[0])
        if why := world.disruptions.moves.begin(workload.key, move, limits=limits):
            return _staying(case, Outcome.MOVE_QUEUED, why)
    return _log_demanded(world, case, previous)


def _cooled(workload: Workload, limits: Disruption) -> datetime | None:
    moved = workload.moment("lastMoved")
    return moved + read_period(limits.cooldown) if moved else None


def _log_demanded(world: World, case: Case, previous: Key | None) -> Case:
    """Where the tier asks for it, nothing new is placed while decisions cannot be recorded."""
    problem = world.ledger.available
    new = case.decision.chosen is not None and case.decision.chosen != previous
    if not new or not problem or case.tier.decision_log is not LogDemand.REQUIRED:
        return case
    why = f"tier {case.tier.level} places nothing that cannot be recorded: {problem}"
    return replace(
        case, decision=replace(case.decision, chosen=None, outcome=Outcome.DECISION_LOG_UNAVAILABLE, obstacle=why)
    )


def _staying(case: Case, outcome: Outcome, why: str) -> Case:
    decision = replace(case.decision, chosen=None, kept=False, outcome=outcome, obstacle=why)
    return replace(case, decision=decision, reaction=Reaction(Action.STAY, case.reaction.due))


def _take(world: World, workload: Workload, case: Case, previous: Key | None) -> None:
    """Take the room at once, and remember by what the place was decided."""
    key, decision, request = workload.key, case.decision, case.accepted.request
    if decision.chosen is not None:
        world.promise(key, Promise(decision.chosen, request.shape, request.replicas))
    elif decision.outcome not in (Outcome.HELD, Outcome.MOVES_PAUSED):
        world.waiting.add(key)
    place = decision.chosen or previous
    if place is not None:
        asked = Asked(case.accepted.framework, case.accepted.options, request, place)
        legal = decision.chosen is not None
        world.disruptions.settle(
            key, asked, legal=legal or (case.standing or _NONE).verdict is Verdict.SATISFIED, at=case.at
        )
    DECISIONS.labels(str(decision.outcome)).inc()


_NONE = Standing(Verdict.UNKNOWN, wished=False)
