"""What is to become of one workload: its place judged, the decision, and what may be done about a copy that lost its
place. No I/O; only promises and the count of moves change, at once, so that the next decision sees them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domicile.model.framework import LogDemand, Tier
from domicile.model.schema import read_period
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Decision, Outcome, Standing, decide, standing
from domicile.placement.disruption import Move
from domicile.placement.react import Action, Reaction, policy_of, react, reason_to_stay
from domicile.placement.recording import Recorded
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
class Matter:
    """One accepted workload at one moment, and the place it has."""

    world: World
    workload: Workload
    accepted: Accepted
    verdicts: Verdicts
    at: datetime
    previous: Key | None

    @property
    def tier(self) -> Tier:
        """The tier in force."""
        tier = self.verdicts.framework.tier(self.accepted.request.level)
        assert tier is not None
        return tier

    def standing(self, place: Key) -> Standing:
        """How a place stands by the verdicts of this moment."""
        return standing(self.accepted.request, verdicts=self.verdicts, place=place)


TRY_AGAIN: Final = timedelta(seconds=10)  # until a log that did not take a decision is asked again


class Made(NamedTuple):
    """A decision as it was made, before anything held it back, with what it was made from."""

    decision: Decision
    stay: str
    field: Recorded


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that was found out about one matter, and what is to be done."""

    matter: Matter
    made: Made
    decision: Decision  # what is done: the one made, unless something holds it back
    reaction: Reaction  # to the place the status names first
    violation: Violation | None = None
    strays: tuple[Stray, ...] = ()
    look_again: datetime | None = None  # when a grace or a cool-down ends
    acts: bool = False  # a move or a stop begins with this
    evict_leaving: bool = False  # a copy on its way out may not wait for its successor any longer

    @property
    def moves(self) -> bool:
        """Whether the workload is to run elsewhere than its status says."""
        return self.matter.previous is not None and self.decision.chosen not in (None, self.matter.previous)


def judge(world: World, workload: Workload, accepted: Accepted) -> Case:
    """Judge the place it has, decide, and hold back what budgets, breaker or cool-down do not let go yet."""
    at = world.now()
    due = world.inventory.next_due
    if due is not None and due <= at:
        world.advance()  # a decision is made of what holds at its instant, so that it can be made again
    verdicts = world.inventory.verdicts(accepted.framework, accepted.options, at=at)
    matter = Matter(world, workload, accepted, verdicts, at, _place_it_has(world, workload, accepted, verdicts))
    previous = matter.previous
    violation = _violation(matter)
    reaction = _reaction(matter, previous, violation)
    made = _decide(matter, reaction)
    case = _held_back(Case(matter, made, made.decision, reaction, violation, look_again=reaction.due))
    case = _acted_on(case)
    _take(case)
    chosen = case.decision.chosen
    expected = list(dict.fromkeys([*([chosen] if chosen else []), *workload.placed]))
    return replace(case, strays=tuple(strays_of(world, workload, expected=expected)))


def _place_it_has(world: World, workload: Workload, accepted: Accepted, verdicts: Verdicts) -> Key | None:
    """The place its status names first; but where that is not legal and the copy it was leaving is again, and still
    runs, that one. A promise that was not written down binds nobody."""
    legal = [
        place
        for place in workload.placed
        if standing(accepted.request, verdicts=verdicts, place=place).verdict is Verdict.SATISFIED
    ]
    first = next(iter(workload.placed), None)
    if first is None or first in legal:
        return first
    return next((place for place in legal if runs(world, workload, place)), first)


def unrecorded(case: Case) -> Case:
    """The same where its decision could not be written down: a tier that demands that places nothing new."""
    matter, problem = case.matter, case.matter.world.ledger.available
    if case.decision.chosen in (None, matter.previous) or matter.tier.decision_log is not LogDemand.REQUIRED:
        return case
    matter.world.promises.take_back(matter.workload.key)
    matter.world.waiting.add(matter.workload.key)
    return _withheld(case, problem or "the decision log did not take it")


def still_legal(case: Case, place: Key) -> bool:
    """Whether a place satisfies the workload by what is known at this moment."""
    world, accepted = case.matter.world, case.matter.accepted
    if accepted.framework not in world.inventory.frameworks:
        return False
    verdicts = world.inventory.verdicts(accepted.framework, accepted.options, at=world.now())
    return standing(accepted.request, verdicts=verdicts, place=place).verdict is Verdict.SATISFIED


def _violation(matter: Matter) -> Violation | None:
    """The violation by the first copy that runs where it may not: the current one, one on its way out, or pods where no
    decision put them."""
    placed = matter.workload.placed
    strays = strays_of(matter.world, matter.workload, expected=placed)
    for place in dict.fromkeys([*placed, *((stray.cluster, stray.pool) for stray in strays)]):
        stands = matter.standing(place)
        if stands.verdict is Verdict.SATISFIED or stands.wished or not runs(matter.world, matter.workload, place):
            continue
        return violation_of(
            place,
            standing=stands,
            row=matter.verdicts.row(place),
            level=matter.accepted.request.level,
            before=read_violation(matter.workload.status),
            since=matter.world.since.get(place, matter.at),
            at=matter.at,
        )
    return None


def _reaction(matter: Matter, place: Key | None, violation: Violation | None) -> Reaction:
    """What the tier wants done with a copy; one that stands still already may be taken by whatever is legal."""
    if place is None:
        return Reaction(Action.STAY)
    assert matter.workload.spec is not None
    policy = policy_of(matter.tier, matter.workload.spec.sovereignty.on_violation)
    since = matter.world.since.get(place, matter.at)
    if violation is not None and violation.place == place:
        since = violation.opened
    reaction = react(policy, standing=matter.standing(place), since=since, at=matter.at)
    stands_still = not runs(matter.world, matter.workload, place) and not _scaled_up(matter, place)
    return Reaction(Action.DRAIN) if reaction.action is Action.STOP and stands_still else reaction


def _scaled_up(matter: Matter, place: Key) -> bool:
    member = matter.world.members.get(place[0])
    shown = member.deployments.get(matter.workload.key) if member is not None and member.reachable else None
    return shown is not None and shown.desired > 0


def _decide(matter: Matter, reaction: Reaction) -> Made:
    previous, stay = matter.previous, ""
    if previous is not None:
        stay = reason_to_stay(previous, standing=matter.standing(previous), reaction=reaction)
    began = time.perf_counter()
    request = matter.accepted.request
    field = Recorded(matter.world, request=request)
    decision = decide(request, verdicts=matter.verdicts, field=field, previous=previous, stay=stay)
    DECIDE_SECONDS.observe(time.perf_counter() - began)
    return Made(decision, stay, field)


def _held_back(case: Case) -> Case:
    """Breaker, cool-down and budgets: they keep what runs from being moved or stopped, and what was stopped from coming
    back at once. What the workload's own spec asks for is not held back, nor is anything new admitted."""
    matter, framework = case.matter, case.matter.verdicts.framework
    stands = matter.standing(matter.previous) if matter.previous is not None else None
    if stands is None or stands.wished:
        return _log_demanded(case)
    stopped = matter.workload.moment("stopped")
    moves_on = stopped is None and case.moves and stands.verdict is not Verdict.SATISFIED
    stops = stopped is None and case.reaction.action is Action.STOP
    opened = matter.world.disruptions.breaker(framework.name).opened
    if opened is not None and (moves_on or stops):
        why = (
            f"the breaker of SovereigntyFramework/{framework.name} is open: {opened.lost} of {opened.placed} placed"
            f" workloads lost eligibility; annotate it domicile.dev/resume-moves={opened.id} once the facts are checked"
        )
        return _staying(case, Outcome.MOVES_PAUSED, why)
    again = _cooled(matter)
    returns = stopped is not None and case.decision.chosen == matter.previous
    if again is not None and again > matter.at and (returns or (moves_on and not stops)):
        return replace(_staying(case, Outcome.MOVE_QUEUED, f"cools down until {instant(again)}"), look_again=again)
    if moves_on and (why := _budget(case)):
        return _staying(case, Outcome.MOVE_QUEUED, why)
    return _log_demanded(case)


def _cooled(matter: Matter) -> datetime | None:
    """When the workload may move or return again, if it ever moved."""
    moved = matter.workload.moment("lastMoved")
    return moved + read_period(matter.verdicts.framework.spec.disruption.cooldown) if moved else None


def _budget(case: Case) -> str:
    """Count the move; why it has to wait, if it has to."""
    matter, chosen = case.matter, case.decision.chosen
    assert matter.previous is not None and chosen is not None
    framework = matter.verdicts.framework
    move = Move(framework.name, matter.tier.level, matter.previous[0], chosen[0])
    return matter.world.disruptions.moves.begin(matter.workload.key, move, limits=framework.spec.disruption)


def _log_demanded(case: Case) -> Case:
    """Where the tier asks for it, nothing new is placed while decisions cannot be recorded."""
    problem, demand = case.matter.world.ledger.available, case.matter.tier.decision_log
    new = case.decision.chosen not in (None, case.matter.previous)
    return _withheld(case, problem) if new and problem and demand is LogDemand.REQUIRED else case


def _withheld(case: Case, problem: str) -> Case:
    why = f"tier {case.matter.tier.level} places nothing that cannot be recorded: {problem}"
    outcome, again = Outcome.DECISION_LOG_UNAVAILABLE, case.matter.at + TRY_AGAIN
    decision = replace(case.decision, chosen=None, outcome=outcome, obstacle=why)
    return replace(case, decision=decision, look_again=again)


def _staying(case: Case, outcome: Outcome, why: str) -> Case:
    decision = replace(case.decision, chosen=None, kept=False, outcome=outcome, obstacle=why)
    return replace(case, decision=decision, reaction=Reaction(Action.STAY, case.reaction.due))


def _acted_on(case: Case) -> Case:
    """The violation with what is done about it, and when a stricter action is due."""
    violation, matter = case.violation, case.matter
    if violation is None:
        return case
    leaving = violation.place != matter.previous
    reaction = _reaction(matter, violation.place, violation) if leaving else case.reaction
    acts = case.reaction.action is Action.STOP or case.moves
    moments = [moment for moment in (case.look_again, reaction.due) if moment is not None]
    told = reacted(violation, reaction)
    return replace(
        case,
        violation=replace(told, acted=told.acted or (matter.at if acts else None)),
        acts=acts and told.acted is None,
        evict_leaving=violation.place in matter.workload.placed[1:] and reaction.action is Action.STOP,
        look_again=min(moments, default=None),
    )


def _take(case: Case) -> None:
    """Take the room at once, and remember by what the place was decided."""
    matter, decision = case.matter, case.decision
    world, key, request = matter.world, matter.workload.key, matter.accepted.request
    if decision.chosen is not None:
        world.promise(key, Promise(decision.chosen, request.shape, request.replicas))
    elif decision.outcome in (Outcome.HELD, Outcome.MOVES_PAUSED):
        world.waiting.discard(key)  # no room that appears is for it
    else:
        world.waiting.add(key)
    place = decision.chosen or matter.previous
    if place is not None:
        asked = Asked(matter.accepted.framework, matter.accepted.options, request, place)
        legal = matter.standing(place).verdict is Verdict.SATISFIED
        world.disruptions.settle(key, asked, legal=legal, at=matter.at)
    DECISIONS.labels(str(decision.outcome)).inc()
