"""The story of one InferenceDeployment, level-triggered: look at everything, do what is missing, say what is so.

    inventory -> facts -> tiers.evaluate -> placement.decide -> render -> delivery -> report

Called by the queue for one key at a time. A decision is in the log before the status names it, and the status names a
placement before anything is delivered there, so that after a crash it is known where to look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Final

from domicile.delivery.apply import DeliveryError, deliver, evict, stop, withdraw
from domicile.kube.client import KubeClient
from domicile.model.labels import DIGEST
from domicile.model.objects import KINDS
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.decide import Outcome
from domicile.placement.react import Action
from domicile.placement.request import Accepted, Refusal, RefusalReason
from domicile.placement.verdicts import Key
from domicile.reconcile import chronicle
from domicile.reconcile.judge import Case, judge, still_legal
from domicile.reconcile.objects import Workload
from domicile.reconcile.observe import manifests_of, runs, seen_copy, wanted_copy
from domicile.reconcile.queue import After, Done, Retry
from domicile.reconcile.queue import Outcome as Result
from domicile.reconcile.world import World
from domicile.render.admit import admit
from domicile.render.workload import Manifest
from domicile.report.metrics import EXPOSURE_SECONDS
from domicile.report.violation import read_violation
from domicile.report.workload import Copy, Story, workload_status
from domicile.report.writer import hold, release, write_status

log = logging.getLogger(__name__)

KIND: Final = KINDS["InferenceDeployment"]
PROGRESS_SECONDS: Final = 2.0  # progress of a rollout is written at most this often; its end and its failure at once
CONFIRM_SECONDS: Final = 0.5  # how often a withdrawal is looked at again
COPIES: Final = 2  # the current one and one on its way out


@dataclass(frozen=True, slots=True)
class Scene:
    """What one reconcile works with."""

    world: World
    hub: KubeClient
    workload: Workload
    records: tuple[str, ...] | None = None  # names of its PlacementRecords where there is a new one


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
    case = judge(world, workload, accepted)
    scene = replace(scene, records=await chronicle.judged(world, hub, workload, case))
    if case.reaction.action is Action.STOP:
        return await _stop(scene, case)
    if case.decision.chosen is None:
        return await _report_only(scene, case)
    return await _place(scene, case, case.decision.chosen)


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
        if crowded := _crowded(scene, chosen):
            return await _thin_out(scene, case, crowded)
        first = not workload.placed
        scene = replace(scene, workload=await _write(scene, _story(scene, case, _current(scene, case, chosen)[0])))
        if first:
            return After(0.0)  # whoever came meanwhile learns where he will run before this one is delivered
    current, manifests = _current(scene, case, chosen)
    story = _story(scene, case, current)
    member = world.members.get(chosen[0])
    fresh = member is not None and current.delivered and not member.delivered.confirmed(workload.key)
    if member is not None and member.reachable and (fresh or not current.delivered):
        try:
            if not await _deliver(scene, case, chosen, manifests):
                return After(0.0)  # the facts changed in between: decide again
        except DeliveryError as error:
            failed = replace(current, problem=str(error))
            await _write(scene, replace(story, copies=(failed, *story.copies[1:])))
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


def _crowded(scene: Scene, chosen: Key) -> list[Key]:
    """Places to leave before a third one is entered: those that were on their way in. What serves longest is kept, with
    whatever else is on its cluster, since that is one Deployment."""
    world, workload = scene.world, scene.workload
    if len(workload.placed) < COPIES or chosen in workload.placed:
        return []
    keep = next((place for place in reversed(workload.placed) if runs(world, workload, place)), workload.placed[-1])
    return [place for place in workload.placed if place[0] != keep[0]]


async def _thin_out(scene: Scene, case: Case, crowded: list[Key]) -> Result:
    """A third place was decided before the second was reached: never more copies than the move itself needs."""
    world, workload = scene.world, scene.workload
    left = [await _remains(scene, place, beside="") for place in crowded]
    gone = {place for place, what in zip(crowded, left, strict=True) if what is None}
    copies = tuple(seen_copy(world, workload, place) for place in workload.placed if place not in gone)
    await _write(scene, replace(_story(scene, case, *copies), copies=copies))
    return After(CONFIRM_SECONDS)


def _vanished(scene: Scene) -> Result:
    """Deleted before our finalizer was on it, so nothing was delivered for it."""
    if scene.world.workloads.get(scene.workload.key) is scene.workload:
        scene.world.drop_workload(scene.workload.key)
    return Done()


async def _finish(scene: Scene, case: Case, story: Story) -> Result:
    """Once the current copy is available, withdraw the others; then say how things stand."""
    current, others = story.copies[0], story.copies[1:]
    await _withdraw_orphans(scene)
    if others and (current.available or case.evict_leaving):
        left = [copy for copy in others if await _remains(scene, copy.key, beside=current.key[0]) is not None]
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
    await _write(scene, story)
    if case.strays and await _evict_one(scene, case, current):
        return After(PROGRESS_SECONDS)
    return After(CONFIRM_SECONDS) if pending and current.available else _then(case)


async def _withdraw_orphans(scene: Scene) -> None:
    """Withdraw what a member has of the workload although no placement names it: a copy that was forgotten."""
    workload = scene.workload
    known = {cluster for cluster, _ in scene.workload.placed}
    for name, member in sorted(scene.world.members.items()):
        if name not in known and member.reachable and workload.key in member.deployments:
            await _remains(scene, (name, ""), beside="")


async def _evict_one(scene: Scene, case: Case, current: Copy) -> bool:
    """Evict one pod that runs where no decision put it, if its place can be taken where one did; one at a time, and
    only what its own cluster replaces. Whether to look again soon."""
    mine = [stray for stray in case.strays if stray.cluster == current.key[0]]
    if not mine or case.violation is None or case.violation.action is Action.STAY:
        return False
    member = scene.world.members[current.key[0]]
    if not member.room(current.key[1]).fits(case.matter.accepted.request.shape):
        return False
    try:
        await evict(member, mine[0].pod)
    except DeliveryError as error:
        log.warning("stray not evicted: %s", error, extra={"key": scene.workload.key})
    return True


def _then(case: Case) -> Result:
    """Nothing is left to do until a grace or a cool-down ends, if one runs."""
    if case.look_again is None:
        return Done()
    return After(max(0.0, (case.look_again - case.matter.at).total_seconds()) + CONFIRM_SECONDS)


async def _remains(scene: Scene, place: Key, *, beside: str) -> str | None:
    """Withdraw from a place. None once nothing of the workload is left there, else what hinders, empty where it is
    under way. On the cluster that holds the current copy the same Deployment was moved: its pods only have to go."""
    cluster, pool = place
    member = scene.world.members.get(cluster)
    if member is None or not member.reachable:
        return f"{cluster} cannot be reached"
    if cluster == beside:
        return None if not member.pods_by_pool(scene.workload.key)[pool] else ""
    try:
        gone = await withdraw(member, namespace=scene.workload.namespace, name=scene.workload.name)
    except DeliveryError as error:
        return str(error) if member.reachable else f"{cluster} cannot be reached"
    return None if gone else ""


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
    await _write(scene, replace(_story(scene, case, *copies), stopped=workload.moment("stopped") or case.matter.at))
    return After(CONFIRM_SECONDS)


async def _report_only(scene: Scene, case: Case) -> Result:
    """No place: say why. What runs is left as it is; nothing is lost because a rule changed."""
    world, workload = scene.world, scene.workload
    if case.decision.outcome is not Outcome.MOVE_QUEUED:
        world.move_over(workload.key)
    await _withdraw_orphans(scene)
    copies = [seen_copy(world, workload, key) for key in workload.placed]
    stopped = workload.moment("stopped")
    if copies and stopped is not None:
        return await _keep_stopped(scene, case, copies)
    if copies:
        await _put_back(scene, case)
    await _write(scene, _story(scene, case, *copies))
    return _then(case)


async def _put_back(scene: Scene, case: Case) -> None:
    """What others changed of a copy that stays where it is, although nothing may be decided anew for it."""
    world, workload, place = scene.world, scene.workload, scene.workload.placed[0]
    member, spec = world.members.get(place[0]), workload.spec
    drifted = member.delivered.drift(workload.key) if member is not None and member.reachable else []
    if member is None or spec is None or not drifted or world.inventory.candidate(place) is None:
        return
    manifests = manifests_of(world, workload, case.matter.accepted, place, spec)
    if manifests[0]["metadata"]["annotations"][DIGEST] != workload.status["placements"][0].get("digest"):
        return  # its spec changed since: delivering that would be a decision
    try:
        await deliver(member, manifests)
    except DeliveryError as error:
        log.warning("drift not put back: %s", error, extra={"key": workload.key})
        return
    await chronicle.drifted(world, workload, place[0], drifted)


async def _keep_stopped(scene: Scene, case: Case, copies: list[Copy]) -> Result:
    """What was scaled to zero stays so, whoever scales it up, until a place is legal."""
    member = scene.world.members.get(copies[0].key[0])
    if member is not None and member.reachable:
        try:
            await stop(member, namespace=scene.workload.namespace, name=scene.workload.name)
        except DeliveryError as error:
            return Retry(error)
    await _write(scene, replace(_story(scene, case, *copies), stopped=scene.workload.moment("stopped")))
    return _then(case)


async def _refuse(scene: Scene, refusal: Refusal) -> Result:
    """A workload that is not accepted keeps what it had."""
    workload = scene.workload
    scene.world.waiting.discard(workload.key)
    await chronicle.refused(scene.world, workload, refusal)
    await _write(scene, _refused(scene, refusal))
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
    remains = await asyncio.gather(*(_remains(scene, place, beside="") for place in clusters.values()))
    left = [what for what in remains if what is not None]
    if not left:
        await chronicle.withdrawn(world, workload)
        await release(scene.hub, KIND, workload.key, uid=workload.uid)
        world.drop_workload(workload.key)
        world.retry_waiting()
        return Done()
    if not any(left):
        return After(CONFIRM_SECONDS)
    message = f"what runs there cannot be withdrawn, it is tried again: {'; '.join(filter(None, left))}"
    await _write(scene, _refused(scene, Refusal(RefusalReason.WITHDRAWAL_BLOCKED, message)))
    return Retry(message)


# -- what is so --------------------------------------------------------------------------------------------------


def _story(scene: Scene, case: Case, *copies: Copy) -> Story:
    workload, world = scene.workload, scene.world
    shown = {copy.key for copy in copies}
    others = [seen_copy(world, workload, key) for key in workload.placed if key not in shown]
    everything = (*copies, *others)
    return Story(
        generation=workload.generation,
        name=workload.name,
        tier=case.matter.tier.level,
        framework=case.matter.verdicts.framework,
        inventory_digest=world.inventory.digest,
        decision=case.decision,
        copies=everything,
        row=case.matter.verdicts.row(everything[0].key) if everything else None,
        suspended=workload.spec is not None and workload.spec.suspend,
        violation=case.violation,
        moved=case.matter.at if case.acts else None,
        strays=tuple(map(str, case.strays)),
        look_again=case.look_again,
        records=scene.records,
    )


async def _write(scene: Scene, story: Story) -> Workload:
    """Write the status if it says anything new; gives the workload as it is then."""
    world, before = scene.world, scene.workload
    status = workload_status(story, before=before.status, at=world.now())
    written = await write_status(scene.hub, KIND, before.key, status, before=before.status)
    if written is None:
        return before
    world.written[before.key] = time.monotonic()
    return world.remember(written)
