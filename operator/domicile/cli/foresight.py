"""What ``what-if`` answers: every workload decided on the facts as they are and as they would be. Pure.

What becomes of a running copy is decided as the operator does: its standing, the tier's policy with the grace period,
then the decision. Budgets are not applied; where the breaker would open, that is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domicile.cli.changes import Changed
from domicile.cli.clock import written
from domicile.cli.deciding import Asked, accepted, message_of
from domicile.cli.explaining import Question
from domicile.cli.ground import Ground
from domicile.cli.inventories import build, problems_of
from domicile.cli.room import DeclaredRoom
from domicile.inventory.inventory import Inventory
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Standing, decide, standing
from domicile.placement.disruption import Breaker
from domicile.placement.react import Action, Reaction, policy_of, react, reason_to_stay
from domicile.placement.request import Accepted, Refusal
from domicile.placement.verdicts import Key, Verdicts
from domicile.report.answers import CandidateName
from domicile.report.outlook import Effect, Next, Outlook, WhatIfAnswer
from domicile.report.violation import violation_of


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a workload under one set of facts. No effect: it stays as it is, where it is or in waiting."""

    effect: Effect | None
    goes_to: Key | None = None
    cause: str = ""
    reason: str = ""
    due: datetime | None = None
    then: Fate | None = None
    standing: Standing | None = None  # of the place it runs on
    placeable: bool = False

    @property
    def course(self) -> tuple[object, ...]:
        """What happens, however it is explained."""
        return self.effect, self.goes_to, self.placeable, self.due, self.then.course if self.then else None


def foresee(ground: Ground, *, changed: Changed, at: datetime) -> WhatIfAnswer:
    """What the change does to each workload of the ground at ``at``."""
    before, after = build(ground.facts, at=at), build(changed.facts, at=at)
    given = {(item.kind, item.name) for item in changed.given}
    old = set(problems_of(before, ground.facts))
    found = [note for note in problems_of(after, changed.facts) if note not in old]
    wrong = [note for note in found if tuple(note.subject.split("/", 1)) in given]
    cases = [_case(asked, before, after, at, live=ground.live) for asked in ground.workloads]
    outlooks = [case.outlook for case in cases if case.outlook is not None]
    order = list(Effect)
    return WhatIfAnswer(
        at=written(at),
        changes=changed.changes,
        workloads=tuple(sorted(outlooks, key=lambda o: (order.index(o.effect), o.namespace, o.name))),
        unchanged=len(cases) - len(outlooks),
        problems=(*(() if ground.live else ground.problems), *wrong),
        warnings=(*ground.warnings, *changed.warnings, *(note for note in found if note not in wrong)),
        notes=(*ground.notes, *_breakers(cases, after, at=at)),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """One workload before and after; ``outlook`` is None where nothing changes for it."""

    key: str
    framework: str
    place: Key | None
    lost: bool  # its place was legal and is no longer
    outlook: Outlook | None


def _case(asked: Asked, before: Inventory, after: Inventory, at: datetime, *, live: bool) -> Case:
    place = None if asked.stopped else asked.previous
    if not live:
        place = _first(asked, before, at=at)
    was = _fate(asked, before, place=place, since=asked.violated_since or at, at=at)
    since = at
    if asked.violated_since and was.standing and _verdict(asked, after, place, at) is was.standing.verdict:
        since = asked.violated_since  # the violation that is open goes on
    will = _fate(asked, after, place=place, since=since, at=at)
    legal = [fate.standing is not None and fate.standing.verdict is Verdict.SATISFIED for fate in (was, will)]
    effect = _effect(was, will, place)
    framework = asked.spec.sovereignty.framework
    return Case(
        key=f"{asked.namespace}/{asked.item.name}",
        framework=framework,
        place=place,
        lost=legal[0] and not legal[1],
        outlook=None if effect is None else _outlook(asked, (after, before), place, effect, will),
    )


def _effect(was: Fate, will: Fate, place: Key | None) -> Effect | None:
    """What the change does; None where the workload fares as it would without it."""
    if was.course == will.course:
        return None
    if will.effect is not None:
        return will.effect
    if place is not None:
        return Effect.RECOVERS
    if will.placeable == was.placeable:
        return None
    return Effect.BECOMES_PLACEABLE if will.placeable else Effect.STOPS_BEING_PLACEABLE


def _first(asked: Asked, inventory: Inventory, *, at: datetime) -> Key | None:
    """Where the workload runs if only these facts ever were."""
    return _fate(asked, inventory, place=None, since=at, at=at).goes_to


def _verdict(asked: Asked, inventory: Inventory, place: Key | None, at: datetime) -> Verdict | None:
    result = accepted(asked, inventory=inventory)
    if isinstance(result, Refusal) or place is None:
        return None
    verdicts = inventory.verdicts(result.framework, result.options, at=at)
    return standing(result.request, verdicts=verdicts, place=place).verdict


def _fate(asked: Asked, inventory: Inventory, *, place: Key | None, since: datetime, at: datetime) -> Fate:
    """What becomes of a workload whose copy is on ``place``, or that waits for one."""
    result = accepted(asked, inventory=inventory)
    if isinstance(result, Refusal):  # keeps what it has
        return Fate(Effect.LEFT if place else None, reason=result.message)
    question = Question(result, inventory, at)
    verdicts = inventory.verdicts(result.framework, result.options, at=at)
    if place is None:
        decision = decide(result.request, verdicts=verdicts, field=DeclaredRoom(inventory), previous=None)
        reason = message_of(decision, question=question)
        return Fate(None, decision.chosen, reason=reason, placeable=decision.chosen is not None)
    stands = standing(result.request, verdicts=verdicts, place=place)
    tier = question.framework.tier(result.request.level)
    assert tier is not None
    policy = policy_of(tier, asked.spec.sovereignty.on_violation)
    reaction = react(policy, standing=stands, since=since, at=at)
    then = None
    if reaction.due is not None:
        later = react(policy, standing=stands, since=since, at=reaction.due)
        then = _reacted(question, verdicts, place, stands, later)
    return _reacted(question, verdicts, place, stands, reaction, then)


def _reacted(
    question: Question,
    verdicts: Verdicts,
    place: Key,
    stands: Standing,
    reaction: Reaction,
    then: Fate | None = None,
) -> Fate:
    request = question.request
    stay = reason_to_stay(place, standing=stands, reaction=reaction)
    field = DeclaredRoom(question.inventory)
    decision = decide(request, verdicts=verdicts, field=field, previous=place, stay=stay)
    if decision.chosen == place:
        return Fate(None, standing=stands, placeable=True)
    cause = _cause(question, verdicts, place, stands)
    target, effect = decision.chosen, Effect.MOVES if decision.chosen else Effect.LEFT
    if reaction.action is Action.STOP:
        effect = Effect.STOPS
    reason = message_of(decision, question=question)
    if then is not None and (then.effect, then.goes_to) == (effect, target):
        then = None  # a stricter action that comes to the same
    due = reaction.due if then else None
    return Fate(effect, target, cause, reason, due, then, stands, placeable=target is not None)


def _cause(question: Question, verdicts: Verdicts, place: Key, stands: Standing) -> str:
    if stands.verdict is Verdict.SATISFIED:
        shape = question.request.shape
        return f"{'/'.join(place)} does not carry {' or '.join(shape.products)} any more"
    level, row = question.request.level, verdicts.row(place)
    found = violation_of(place, standing=stands, row=row, level=level, before=None, since=question.at, at=question.at)
    return found.cause


def _outlook(asked: Asked, known: tuple[Inventory, ...], place: Key | None, effect: Effect, fate: Fate) -> Outlook:
    """``known``: the facts by which the workload is named its tier, the first ones that accept it."""
    name = asked.spec.sovereignty.framework
    results = (accepted(asked, inventory=inventory) for inventory in known)
    tier = next((result.request.level for result in results if isinstance(result, Accepted)), asked.in_force)
    framework = next((inventory.frameworks[name].id for inventory in known if name in inventory.frameworks), name)
    then = None
    if fate.then is not None and fate.due is not None and fate.then.effect is not None:
        then = Next(written(fate.due), fate.then.effect, _name(fate.then.goes_to))
    return Outlook(
        namespace=asked.namespace,
        name=asked.item.name,
        tier=tier,
        framework=framework,
        effect=effect,
        runs_on=_name(place),
        goes_to=None if effect is Effect.RECOVERS else _name(fate.goes_to),
        cause=fate.cause,
        reason=fate.reason,
        then=then,
    )


def _name(place: Key | None) -> CandidateName | None:
    return CandidateName(*place) if place else None


def _breakers(cases: Iterable[Case], after: Inventory, *, at: datetime) -> list[str]:
    """Where so many lose their place at once that the operator would hold back every move until somebody approves."""
    by_framework: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.place is not None and case.framework in after.frameworks:
            by_framework[case.framework].append(case)
    notes = []
    for name, placed in sorted(by_framework.items()):
        breaker, lost = Breaker(), [case for case in placed if case.lost]
        for case in lost:
            breaker.lose(case.key, at=at)
        if breaker.judge(after.frameworks[name].spec.disruption.breaker, placed=len(placed), at=at):
            notes.append(
                f"{len(lost)} of {len(placed)} placed workloads of SovereigntyFramework/{name} lose their place: its"
                " breaker would open and hold back moves and stops until somebody approves them."
            )
    return notes
