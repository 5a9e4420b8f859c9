"""The story of one InferenceDeployment, level-triggered: look at everything, do what is missing, say what is so.

    inventory -> facts -> tiers.evaluate -> placement.decide -> render -> delivery -> report

Called by the queue for one key at a time. A decision is in the log before the status names it, and the status names a
placement before anything is delivered there, so that after a crash it is known where to look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import Final

from domicile.delivery.apply import DeliveryError, deliver, stop
from domicile.kube.client import KubeClient
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.decide import Outcome
from domicile.placement.react import Action
from domicile.placement.request import Accepted, Refusal, RefusalReason
from domicile.placement.verdicts import Key
from domicile.reconcile import chronicle
from domicile.reconcile.clearing import (
    CONFIRM_SECONDS,
    crowded,
    evict_one,
    put_back,
    remains,
    thin_out,
    withdraw_orphans,
)
from domicile.reconcile.judge import Case, judge, still_legal
from domicile.reconcile.observe import manifests_of, seen_copy, wanted_copy
from domicile.reconcile.queue import After, Done, Retry
from domicile.reconcile.queue import Outcome as Result
from domicile.reconcile.scene import KIND, Scene, story_of, write
from domicile.reconcile.world import World
from domicile.render.admit import admit
from domicile.render.workload import Manifest
from domicile.report.metrics import EXPOSURE_SECONDS
from domicile.report.violation import read_violation
from domicile.report.workload import Copy, Story
from domicile.report.writer import hold, release
from domicile.tiers.reading import Options

log = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 2.0  # progress of a rollout is written at most this often; its end and its failure at once


async def reconcile(key: str, *, world: World, hub: KubeClient) -> Result:
    """Bring one workload to where it may run, and its status to what is true."""
    workload = world.workloads.get(key)
    if workload is None:
        return Done()
    scene = Scene(world, hub, workload)
    if workload.deleting:
        return await _let_go(scene)
    accepted = _accept(scene)
    if isinstance(accepted, Refusal):
        return await _refuse(scene, accepted)
    if not world.inventory.filled(accepted.framework, accepted.options):
        await fill_verdicts(world, accepted.framework, accepted.options)
        return await reconcile(key, world=world, hub=hub)  # much may have changed meanwhile
    case, filing = await chronicle.judged(world, workload, judge(world, workload, accepted))
    scene = replace(scene, filing=filing)
    if case.reaction.action is Action.STOP:
        return await _stop(scene, case)
    if case.decision.chosen is None:
        return await _report_only(scene, case)
    return await _place(scene, case, case.decision.chosen)


async def fill_verdicts(world: World, framework: str, options: Options) -> None:
    """Fill a verdict table, which takes seconds where there are thousands of candidates, beside everything else."""
    for _ in world.inventory.fill(framework, options, at=world.now):
        await asyncio.sleep(0)


def _accept(scene: Scene) -> Accepted | Refusal:
    workload = scene.workload
    if workload.spec is None:
        return Refusal(RefusalReason.INVALID_SPEC, workload.problem)
    sources, frameworks = scene.world.tier_sources(workload), scene.world.inventory.frameworks
    return admit(workload.key, workload.spec, sources=sources, frameworks=frameworks)


async def _place(scene: Scene, case: Case, chosen: Key) -> Result:
    """Hold, record the intent, deliver, clear what is obsolete, report."""
    world, workload = scene.world, scene.workload
    if not workload.held:
        held = await hold(scene.hub, KIND, workload.key, uid=workload.uid)
        if held is None:
            return _vanished(scene)
        scene = replace(scene, workload=world.remember(held))
        workload = scene.workload
    if chosen not in workload.placed or workload.moment("stopped"):
        if places := crowded(scene, chosen):
            return await thin_out(scene, case, places)
        await write(scene, story_of(scene, case, _current(scene, case, chosen)[0]))
        return After(0.0)  # whoever came meanwhile is judged, and told, before this one is delivered
    current, manifests = _current(scene, case, chosen)
    story = story_of(scene, case, current)
    member = world.members.get(chosen[0])
    fresh = member is not None and current.delivered and not member.delivered.confirmed(workload.key)
    if member is not None and member.reachable and (fresh or not current.delivered):
        try:
            if not await _deliver(scene, case, chosen, manifests):
                return After(0.0)  # the facts changed in between: decide again
        except DeliveryError as error:
            failed = replace(current, problem=str(error))
            await write(scene, replace(story, copies=(failed, *story.copies[1:])))
            return Retry(error)
        if not fresh:
            return After(PROGRESS_SECONDS)
    return await _finish(scene, case, story)


def _current(scene: Scene, case: Case, chosen: Key) -> tuple[Copy, list[Manifest]]:
    """The current copy as its member shows it, and what it should be made of."""
    spec: InferenceDeploymentSpec | None = scene.workload.spec
    assert spec is not None
    manifests = manifests_of(scene.world, scene.workload, case.matter.accepted, chosen, spec)
    return wanted_copy(scene.world, scene.workload, chosen, spec, manifests), manifests


async def _deliver(scene: Scene, case: Case, chosen: Key, manifests: list[Manifest]) -> bool:
    """Deliver, unless by now the place is no longer legal: between decision and delivery requests went out and came
    back. How long what was checked had to hold is the exposure window."""
    world, workload = scene.world, scene.workload
    if not still_legal(case, chosen):
        return False
    member, checked = world.members[chosen[0]], time.monotonic()
    drifted = member.delivered.drift(workload.key)
    await deliver(member, manifests)
    EXPOSURE_SECONDS.observe(time.monotonic() - checked)
    if drifted:
        await chronicle.drifted(world, workload, chosen[0], drifted)
    return still_legal(case, chosen)


def _vanished(scene: Scene) -> Result:
    """Deleted before our finalizer was on it, so nothing was delivered for it."""
    if scene.world.workloads.get(scene.workload.key) is scene.workload:
        scene.world.drop_workload(scene.workload.key)
    return Done()


async def _finish(scene: Scene, case: Case, story: Story) -> Result:
    """Once the current copy is available, withdraw the others; then say how things stand."""
    current, others = story.copies[0], story.copies[1:]
    await withdraw_orphans(scene)
    if others and (current.available or case.evict_leaving):
        left = [copy for copy in others if await remains(scene, copy.key, beside=current.key[0]) is not None]
        story = replace(story, copies=(current, *left))
    pending = any(copy.verified for copy in story.copies[1:])
    if not pending or current.problem:
        scene.world.move_over(scene.workload.key)
    quiet = case.violation == read_violation(scene.workload.status)
    if quiet and not current.available and current.delivered and current.verified and not current.problem:
        waited = time.monotonic() - scene.world.written.get(scene.workload.key, 0.0)
        if waited < PROGRESS_SECONDS:
            return After(PROGRESS_SECONDS - waited)
    if others and not story.copies[1:]:
        await chronicle.moved(scene.world, scene.workload, case, others[0].key)
    await write(scene, story)
    if case.strays and await evict_one(scene, case, current):
        return After(PROGRESS_SECONDS)
    return After(CONFIRM_SECONDS) if pending and current.available else _then(case)


def _then(case: Case) -> Result:
    """Nothing is left to do until a grace or a cool-down ends, if one runs."""
    if case.look_again is None:
        return Done()
    return After(max(0.0, (case.look_again - case.matter.at).total_seconds()) + CONFIRM_SECONDS)


async def _stop(scene: Scene, case: Case) -> Result:
    """The tier does not let it run on there: scale to zero first, and look then for another place. A member that cannot
    be asked cannot be stopped either: another place is taken all the same."""
    world, workload = scene.world, scene.workload
    member = world.members.get(workload.placed[0][0])
    if member is None or not member.reachable:
        return await (_place(scene, case, case.decision.chosen) if case.decision.chosen else _report_only(scene, case))
    try:
        await stop(member, namespace=workload.namespace, name=workload.name)
    except DeliveryError as error:
        return Retry(error)
    copies = [seen_copy(world, workload, key) for key in workload.placed]
    copies[0] = replace(copies[0], desired=0)
    await write(scene, replace(story_of(scene, case, *copies), stopped=workload.moment("stopped") or case.matter.at))
    return After(CONFIRM_SECONDS)


async def _report_only(scene: Scene, case: Case) -> Result:
    """No place: say why. What runs is left as it is; nothing is lost because a rule changed."""
    world, workload = scene.world, scene.workload
    if case.decision.outcome is not Outcome.MOVE_QUEUED:
        world.move_over(workload.key)
    await withdraw_orphans(scene)
    copies = [seen_copy(world, workload, key) for key in workload.placed]
    stopped = workload.moment("stopped")
    if copies and stopped is not None:
        return await _keep_stopped(scene, case, copies)
    if copies:
        await put_back(scene, case)
    await write(scene, story_of(scene, case, *copies))
    return _then(case)


async def _keep_stopped(scene: Scene, case: Case, copies: list[Copy]) -> Result:
    """What was scaled to zero stays so, whoever scales it up, until a place is legal."""
    member = scene.world.members.get(copies[0].key[0])
    if member is not None and member.reachable:
        try:
            await stop(member, namespace=scene.workload.namespace, name=scene.workload.name)
        except DeliveryError as error:
            return Retry(error)
    await write(scene, replace(story_of(scene, case, *copies), stopped=scene.workload.moment("stopped")))
    return _then(case)


async def _refuse(scene: Scene, refusal: Refusal) -> Result:
    """A workload that is not accepted keeps what it had."""
    workload = scene.workload
    scene.world.waiting.discard(workload.key)
    await chronicle.refused(scene.world, workload, refusal)
    await write(scene, _refused(scene, refusal))
    return Done()


def _refused(scene: Scene, refusal: Refusal) -> Story:
    workload = scene.workload
    copies = tuple(seen_copy(scene.world, workload, key) for key in workload.placed)
    in_force = workload.status.get("tier")
    return Story(workload.generation, workload.name, in_force, None, "", None, refusal=refusal, copies=copies)


async def _let_go(scene: Scene) -> Result:
    """Deleted on the hub: withdraw everywhere, and only then let the object go."""
    world, workload = scene.world, scene.workload
    if not workload.held:
        world.drop_workload(workload.key)
        return Done()
    promised = world.promises.place(workload.key)
    places = list(dict.fromkeys([*workload.placed, *([promised] if promised else [])]))
    clusters = {place[0]: place for place in places}
    answers = await asyncio.gather(*(remains(scene, place, beside="") for place in clusters.values()))
    left = [what for what in answers if what is not None]
    if not left:
        await chronicle.withdrawn(world, workload)
        await release(scene.hub, KIND, workload.key, uid=workload.uid)
        world.drop_workload(workload.key)
        world.retry_waiting()
        return Done()
    if not any(left):
        return After(CONFIRM_SECONDS)
    message = f"what runs there cannot be withdrawn, it is tried again: {'; '.join(filter(None, left))}"
    await write(scene, _refused(scene, Refusal(RefusalReason.WITHDRAWAL_BLOCKED, message)))
    return Retry(message)
