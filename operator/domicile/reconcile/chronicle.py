"""What is written down beside the status: records of the decision log, Kubernetes Events, and counts.

A record is durable before the status tells what it is about. Facts ride ahead of the first decision that saw them, so
that the log alone suffices to decide again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from domicile import __version__
from domicile.evidence.errors import LogError, RecordRefused
from domicile.evidence.log import Position
from domicile.evidence.record import Record, RecordType
from domicile.inventory.delivered import Drift
from domicile.kube.client import KubeClient
from domicile.kube.errors import ApiError
from domicile.model.schema import API_VERSION
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Outcome
from domicile.placement.disruption import Opened
from domicile.placement.explain import explain
from domicile.placement.react import Action
from domicile.placement.request import Refusal
from domicile.placement.verdicts import Key
from domicile.reconcile.judge import Case, unrecorded
from domicile.reconcile.objects import Stated, WorkKey, Workload
from domicile.reconcile.world import WORKLOAD, World
from domicile.report import metrics
from domicile.report.conditions import instant
from domicile.report.events import Event
from domicile.report.placement_record import Told, placement_records, record_name
from domicile.report.records import Decided, decision_payload, explanation_digest, facts_payload, workload_subject
from domicile.report.violation import Violation, read_violation
from domicile.report.writer import create_record, delete_records

log = logging.getLogger(__name__)

RECORDS: Final = 5  # PlacementRecords kept of one workload


class Filing(NamedTuple):
    """A new decision that is to be kept as PlacementRecords, beside those that ``names`` tells of, newest first."""

    case: Case
    told: Told
    place: Position | None  # of its record in the log
    names: tuple[str, ...]


class Written(NamedTuple):
    """What came of writing down: the case as it is then, and what is to be filed once the status tells of it."""

    case: Case
    filing: Filing | None


async def judged(world: World, workload: Workload, case: Case) -> Written:
    """The decision, if it is a new one, and every step in the life of a violation."""
    before, after = read_violation(workload.status), case.violation
    steps = _violation_steps(workload, case, before, after)
    told = _told(world, workload, case) if _is_new(workload, case) else None
    place = None
    if steps or told:
        positions = await _append(world, [*steps, *([_decided(case, told)] if told else [])])
        place = positions[-1] if told and positions else None
        if told and positions is None and (withheld := unrecorded(case)) is not case:
            case, told = withheld, _told(world, workload, withheld)
    for event in _violation_events(workload, case, before, after):
        world.tell(event)
    _count(case, before, after)
    if told is None or not _is_kept(case):
        return Written(case, None)
    return Written(case, Filing(case, told, place, (record_name(told), *workload.status.get("records", ()))))


async def file(world: World, hub: KubeClient, workload: Workload, filing: Filing) -> None:
    """Create the PlacementRecords of a new decision and let go of the oldest. Best effort: the log has it."""
    explained = explain(filing.case.matter.accepted.request, verdicts=filing.case.matter.verdicts, field=world)
    where = (filing.place.seq, filing.place.hash) if filing.place else None
    try:
        for document in placement_records(filing.told, explained=explained, log=where):
            await create_record(hub, document)
        for name in filing.names[RECORDS:]:
            await delete_records(hub, workload.namespace, name)
    except ApiError as error:
        log.warning("placement record not kept: %s", error, extra={"key": workload.key})


async def moved(world: World, workload: Workload, case: Case, source: Key) -> None:
    """The last pod of the old copy is gone."""
    level, target = case.matter.tier.level, case.decision.chosen or workload.placed[0]
    text = f"moved from {'/'.join(source)} to {'/'.join(target)}"
    payload = subject(workload) | {"outcome": "Moved", "from": "/".join(source), "to": "/".join(target)}
    await _append(world, [Record.of(RecordType.MOVED, payload | {"at": instant(case.matter.at)})])
    world.tell(_event(workload, case, "Moved", "Move", text))
    metrics.MOVES.labels(str(level)).inc()


async def drifted(world: World, workload: Workload, cluster: str, found: Sequence[Drift]) -> None:
    """Somebody changed what was delivered; it was put back."""
    world.members[cluster].delivered.told(workload.key, found)
    text = f"on {cluster}: {', '.join(map(str, found))}; put back"
    payload = subject(workload) | {"outcome": "PutBack", "cluster": cluster, "drift": [d._asdict() for d in found]}
    await _append(world, [Record.of(RecordType.ENFORCEMENT_DRIFT, payload)])
    key, uid, at = workload.key, workload.uid, world.now()
    world.tell(Event(WORKLOAD, key, uid, "DriftPutBack", "Deliver", text, True, at))
    log.warning("drift put back", extra={"key": key, "cluster": cluster, "drift": [str(d) for d in found]})
    for drift in found:
        metrics.DRIFT.labels(drift.kind).inc()


async def refused(world: World, workload: Workload, refusal: Refusal) -> None:
    """A workload that is not accepted, once for each reason."""
    if workload.condition("Accepted") != ("False", str(refusal.reason)):
        payload = subject(workload) | {"outcome": str(refusal.reason), "reason": refusal.message}
        await _append(world, [Record.of(RecordType.REFUSED, payload)])


async def withdrawn(world: World, workload: Workload) -> None:
    """A deleted workload is gone from every member."""
    if workload.placed:
        places = ["/".join(place) for place in workload.placed]
        await _append(
            world, [Record.of(RecordType.EVICTED, subject(workload) | {"outcome": "Deleted", "from": places})]
        )


async def breaker(world: World, framework: str, uid: str, *, opened: Opened | None, before: Mapping[str, Any]) -> None:
    """The breaker of a framework opened or was released since its status was written."""
    about = {"subject": {"apiVersion": API_VERSION, "kind": "SovereigntyFramework", "name": framework}}
    if opened is not None and before.get("id") != opened.id:
        text = f"{opened.lost} of {opened.placed} placed workloads lost eligibility: nothing is moved or stopped"
        payload = about | {"outcome": "Opened", "id": opened.id, "lost": opened.lost, "placed": opened.placed}
        await _append(world, [Record.of(RecordType.BREAKER_OPENED, payload)])
        world.tell(Event("SovereigntyFramework", framework, uid, "BreakerOpened", "Pause", text, True, opened.at))
        log.error("breaker opened: %s", text, extra={"framework": framework, "id": opened.id})
    elif opened is None and before:
        payload = about | {"outcome": "Released", "id": before["id"]}
        await _append(world, [Record.of(RecordType.BREAKER_RELEASED, payload)])
        text = "moving goes on"
        world.tell(Event("SovereigntyFramework", framework, uid, "BreakerReleased", "Resume", text, False, world.now()))
    metrics.BREAKER_OPEN.labels(framework).set(0 if opened is None else 1)


def subject(workload: Workload) -> dict[str, Any]:
    """Who a record is about."""
    named = {"apiVersion": API_VERSION, "kind": WORKLOAD, "namespace": workload.namespace, "name": workload.name}
    return {"subject": named | {"uid": workload.uid, "generation": workload.generation}}


async def state(world: World) -> None:
    """Record facts that no decision has carried into the log yet."""
    if world.news:
        await _append(world, [])


async def _append(world: World, records: Sequence[Record]) -> list[Position] | None:
    """Facts that no record has yet go first. None where nothing could be stored, which harms nothing that runs."""
    if not records and not world.news:
        return []
    news, world.news = world.news, {}
    try:
        return await world.ledger.append([*(_facts(world, key, stated) for key, stated in news.items()), *records])
    except RecordRefused as error:  # a fact too large for the log: it would hold up all others for good
        log.error("facts not recorded, decisions cannot be replayed: %s", error)
        return await _append(world, records) if records else None
    except LogError as error:
        world.news = news | world.news
        log.error("not recorded: %s", error, extra={"records": [str(record.type) for record in records]})
        return None


def _facts(world: World, key: WorkKey, stated: Stated | None) -> Record:
    spec = stated.spec.plain() if stated is not None and stated.spec is not None else None
    void = world.inventory.voided(key.name) if key.kind == "SovereignCluster" else ""
    kind = RecordType.POLICY_CHANGED if key.kind == "SovereigntyFramework" else RecordType.FACTS_STATED
    return Record.of(kind, facts_payload(key.kind, name=key.name, spec=spec, void=void))


def _is_new(workload: Workload, case: Case) -> bool:
    """Whether the decision is another than the status tells of."""
    decision = case.decision
    if decision.chosen is not None:
        return decision.chosen != next(iter(workload.placed), None)
    return workload.condition("Placed")[1] != str(decision.outcome)


def _is_kept(case: Case) -> bool:
    """Whether a new decision gets a PlacementRecord. One that waits for its turn will be decided again then, and a
    record costs the hub more than the status: in a storm they would hold up the news of what else is violated."""
    return case.decision.outcome is not Outcome.MOVE_QUEUED


def _told(world: World, workload: Workload, case: Case) -> Told:
    """A new decision with everything it was made from; what was done may differ from what was decided."""
    matter = case.matter
    assert workload.spec is not None
    decided = Decided(
        request=matter.accepted.request,
        framework=matter.verdicts.framework,
        options=matter.accepted.options,
        facts=world.inventory.digest,
        at=matter.at,
        previous=matter.previous,
        stay=case.made.stay,
        field=case.made.field.document(),
        decision=case.made.decision,
    )
    about = workload_subject(
        workload.namespace,
        name=workload.name,
        uid=workload.uid,
        generation=workload.generation,
        spec=workload.spec.plain(),
    )
    return Told(about, decided, __version__, outcome=str(case.decision.outcome), reason=case.decision.obstacle)


def _decided(case: Case, told: Told) -> Record:
    """The record of a new decision."""
    done = case.decision
    payload = decision_payload(
        told.subject,
        decided=told.decided,
        operator_version=told.operator_version,
        outcome=told.outcome,
        reason=told.reason,
        explanation_digest=_explanation_digest(case),
        record=record_name(told) if _is_kept(case) else "",
    )
    details = {"key": f"{told.subject['namespace']}/{told.subject['name']}", "outcome": told.outcome}
    log.info("decided", extra=details | {"chosen": "/".join(done.chosen or ()), "eligible": done.eligible})
    kind = RecordType.PLACED if done.chosen else RecordType.REFUSED
    try:
        return Record.of(kind, payload)
    except RecordRefused:  # the rooms of thousands of candidates: without them the law can still be replayed
        return Record.of(kind, payload | {"inputs": payload["inputs"] | {"field": None}})


def _explanation_digest(case: Case) -> str:
    """What the law says of every candidate is the same for all workloads of one level and the same wishes."""
    request, verdicts = case.matter.accepted.request, case.matter.verdicts
    question = ("explanation digest", request.level, request.countries, request.excluded)
    if question not in verdicts.answers:
        explained = explain(request, verdicts=verdicts, field=case.matter.world)
        verdicts.remember(question, explanation_digest(explained))
    known: str = verdicts.answers[question]
    return known


def _violation_steps(workload: Workload, case: Case, before: Violation | None, after: Violation | None) -> list[Record]:
    said = []
    known = before is not None and after is not None and _same(before, after)
    if before is not None and not known:
        ended = {"resolved": instant(case.matter.at), "how": _how(case, before)}
        said.append((RecordType.VIOLATION_RESOLVED, before.plain() | ended))
    if after is not None and not known:
        said.append((RecordType.VIOLATION_OPENED, after.plain()))
    if after is not None and after.acted is not None and (before is None or not known or before.acted is None):
        stopping = case.reaction.action is Action.STOP
        said.append((RecordType.STOPPED if stopping else RecordType.VIOLATION_ACTED, after.plain()))
    if workload.status.get("stopped") and case.decision.chosen is not None:
        said.append((RecordType.RESUMED, {"chosen": "/".join(case.decision.chosen)}))
    return [Record.of(kind, subject(workload) | {"outcome": str(kind), "violation": told}) for kind, told in said]


def _same(one: Violation, other: Violation) -> bool:
    return (one.place, one.verdict, one.opened) == (other.place, other.verdict, other.opened)


def _how(case: Case, before: Violation) -> str:
    if case.violation is not None:
        return "Superseded"
    previous = case.matter.previous
    healed = before.place == previous and case.matter.standing(previous).verdict is Verdict.SATISFIED
    return "FactsHealed" if healed else "Vacated"


def _violation_events(workload: Workload, case: Case, before: Violation | None, after: Violation | None) -> list[Event]:
    events = []
    known = before is not None and after is not None and _same(before, after)
    if after is not None and not known:
        text = f"{'/'.join(after.place)} is {after.verdict}: {after.cause}"
        events.append(_event(workload, case, "ViolationOpened", "Evaluate", text, warning=True))
    if after is not None and after.acted is not None and (not known or before is None or before.acted is None):
        if case.reaction.action is Action.STOP:
            text = f"scaled to zero on {'/'.join(after.place)}, as tier {case.matter.tier.level} demands: {after.cause}"
            events.append(_event(workload, case, "Stopped", "ScaleToZero", text, warning=True))
            metrics.STOPS.labels(str(case.matter.tier.level)).inc()
        elif case.decision.chosen is not None:
            text = f"moves from {'/'.join(after.place)} to {'/'.join(case.decision.chosen)}"
            events.append(_event(workload, case, "Moving", "Move", text))
    if before is not None and after is None:
        text = f"{'/'.join(before.place)}: {_how(case, before)}"
        events.append(_event(workload, case, "ViolationResolved", "Evaluate", text))
    return events


def _event(workload: Workload, case: Case, reason: str, action: str, note: str, *, warning: bool = False) -> Event:
    return Event(WORKLOAD, workload.key, workload.uid, reason, action, note, warning, case.matter.at)


def _count(case: Case, before: Violation | None, after: Violation | None) -> None:
    known = before is not None and after is not None and _same(before, after)
    if after is not None and not known:
        metrics.DETECTION_SECONDS.observe(max(0.0, (after.detected - after.opened).total_seconds()))
    if before is not None and not known:
        metrics.VACATED_SECONDS.observe(max(0.0, (case.matter.at - before.detected).total_seconds()))
