"""What has to go: copies that were left, objects nobody decided, pods in the wrong place, edits of others."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from domicile.delivery.apply import DeliveryError, deliver, evict, withdraw
from domicile.model.labels import DIGEST
from domicile.placement.react import Action
from domicile.placement.verdicts import Key
from domicile.reconcile import chronicle
from domicile.reconcile.judge import Case
from domicile.reconcile.observe import manifests_of, runs, seen_copy
from domicile.reconcile.queue import After
from domicile.reconcile.scene import Scene, story_of, write
from domicile.report.workload import Copy

log = logging.getLogger(__name__)

CONFIRM_SECONDS: Final = 0.5  # how often a withdrawal is looked at again
COPIES: Final = 2  # the current one and one on its way out


async def remains(scene: Scene, place: Key, *, beside: str) -> str | None:
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


def crowded(scene: Scene, chosen: Key) -> list[Key]:
    """Places to leave before a third one is entered: those that were on their way in. What serves longest is kept, with
    whatever else is on its cluster, since that is one Deployment."""
    world, workload = scene.world, scene.workload
    if len(workload.placed) < COPIES or chosen in workload.placed:
        return []
    keep = next((place for place in reversed(workload.placed) if runs(world, workload, place)), workload.placed[-1])
    return [place for place in workload.placed if place[0] != keep[0]]


async def thin_out(scene: Scene, case: Case, places: list[Key]) -> After:
    """A third place was decided before the second was reached: never more copies than the move itself needs."""
    world, workload = scene.world, scene.workload
    left = [await remains(scene, place, beside="") for place in places]
    gone = {place for place, what in zip(places, left, strict=True) if what is None}
    copies = tuple(seen_copy(world, workload, place) for place in workload.placed if place not in gone)
    await write(scene, replace(story_of(scene, case, *copies), copies=copies))
    return After(CONFIRM_SECONDS)


async def withdraw_orphans(scene: Scene) -> None:
    """Withdraw what a member has of the workload although no placement names it: a copy that was forgotten."""
    workload = scene.workload
    known = {cluster for cluster, _ in scene.workload.placed}
    holders = [name for name, member in scene.world.members.items() if workload.key in member.deployments]
    for name in sorted(set(holders) - known):
        await remains(scene, (name, ""), beside="")


async def evict_one(scene: Scene, case: Case, current: Copy) -> bool:
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


async def put_back(scene: Scene, case: Case) -> None:
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
