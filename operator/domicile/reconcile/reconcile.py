"""The story of one InferenceDeployment, level-triggered: look at everything, do what is missing, say what is so.

    inventory -> facts -> tiers.evaluate -> placement.decide -> render -> delivery -> report

Called by the queue for one key at a time. The status names a placement before anything is delivered there, so that
after a crash it is known where to look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from domicile.delivery.apply import DeliveryError, deliver, withdraw
from domicile.inventory.member import Member
from domicile.kube.client import KubeClient
from domicile.model.labels import DIGEST
from domicile.model.objects import KINDS
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.decide import Decision, decide, standing
from domicile.placement.react import policy_of, react, reason_to_stay
from domicile.placement.request import Accepted, Refusal, RefusalReason, accept
from domicile.placement.verdicts import Key, Verdicts
from domicile.reconcile.queue import After, Done, Outcome, Retry
from domicile.reconcile.world import Promise, Workload, World, invalid
from domicile.render.hardening import refusals
from domicile.render.workload import Manifest, Target, render
from domicile.report.metrics import DECIDE_SECONDS, DECISIONS
from domicile.report.workload import Copy, Story, workload_status
from domicile.report.writer import hold, release, write_status

log = logging.getLogger(__name__)

KIND: Final = KINDS["InferenceDeployment"]
PROGRESS_SECONDS: Final = 2.0  # progress of a rollout is written at most this often; its end and its failure at once
CONFIRM_SECONDS: Final = 0.5  # how often a withdrawal is looked at again
DNS_LABEL: Final = 63


@dataclass(frozen=True, slots=True)
class Scene:
    """What one reconcile works with."""

    world: World
    hub: KubeClient
    workload: Workload


async def reconcile(key: str, *, world: World, hub: KubeClient) -> Outcome:
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
    assert workload.spec is not None
    verdicts = world.inventory.verdicts(accepted.framework, accepted.options, at=world.now())
    decision = _decide(scene, accepted, verdicts)
    if decision.chosen is None:
        return await _report_only(scene, accepted, verdicts, decision)
    return await _place(scene, accepted, verdicts, decision, workload.spec)


def _accept(scene: Scene) -> Accepted | Refusal:
    workload = scene.workload
    if workload.spec is None:
        return invalid(workload.problem)
    if len(workload.name) > DNS_LABEL or not workload.name[0].isalpha() or "." in workload.name:
        message = f"metadata.name: {workload.name!r} cannot name a Service; use at most 63 of a-z, 0-9 and -"
        return invalid(message)
    sources = scene.world.tier_sources(workload)
    accepted = accept(workload.key, workload.spec, sources=sources, frameworks=scene.world.inventory.frameworks)
    if isinstance(accepted, Accepted):
        territories = scene.world.inventory.frameworks[accepted.framework].territories
        found = refusals(workload.spec, territory=territories.get("Union"))
        if found:
            return Refusal(RefusalReason.ARGUMENT_REFUSED, "; ".join(found))
    return accepted


def _decide(scene: Scene, accepted: Accepted, verdicts: Verdicts) -> Decision:
    """Decide, and take the room at once: the next decision must see it."""
    world, key = scene.world, scene.workload.key
    began = time.perf_counter()
    previous = next(iter(scene.workload.placed), None)  # a promise that was not written down binds nobody
    stay = _reason_to_stay(scene, accepted, verdicts, previous) if previous is not None else ""
    decision = decide(accepted.request, verdicts=verdicts, field=world, previous=previous, stay=stay)
    DECIDE_SECONDS.observe(time.perf_counter() - began)
    if decision.chosen is not None:
        world.promise(key, Promise(decision.chosen, accepted.request.shape, accepted.request.replicas))
    else:
        world.waiting.add(key)
    DECISIONS.labels(str(decision.outcome)).inc()
    if not decision.kept and str(decision.outcome) != _last_outcome(scene.workload):
        details = {"key": key, "outcome": str(decision.outcome), "chosen": "/".join(decision.chosen or ())}
        log.info("decided", extra=details | {"eligible": decision.eligible, "candidates": decision.candidates})
    return decision


def _reason_to_stay(scene: Scene, accepted: Accepted, verdicts: Verdicts, place: Key) -> str:
    world, spec = scene.world, scene.workload.spec
    tier = world.inventory.frameworks[accepted.framework].tier(accepted.request.level)
    assert tier is not None and spec is not None
    stands = standing(accepted.request, verdicts=verdicts, place=place)
    policy = policy_of(tier, spec.sovereignty.on_violation)
    reaction = react(policy, standing=stands, since=world.now(), at=world.now())
    return reason_to_stay(place, standing=stands, reaction=reaction)


def _last_outcome(workload: Workload) -> str:
    said = (c["reason"] for c in workload.status.get("conditions") or () if c["type"] == "Placed")
    return next(said, "")


async def _place(
    scene: Scene, accepted: Accepted, verdicts: Verdicts, decision: Decision, spec: InferenceDeploymentSpec
) -> Outcome:
    """Hold, record the intent, deliver, clear what is obsolete, report."""
    assert decision.chosen is not None
    world, workload = scene.world, scene.workload
    cluster = decision.chosen[0]
    manifests = _manifests(world, workload, accepted, decision.chosen, spec)
    story = _story(scene, accepted, verdicts, decision, _copy(world, workload, decision.chosen, spec, manifests))
    if not workload.held:
        held = await hold(scene.hub, KIND, workload.key, uid=workload.uid)
        if held is None:
            return _vanished(scene)
        scene = replace(scene, workload=world.remember(held))
        workload = scene.workload
    if decision.chosen not in workload.placed:
        scene = replace(scene, workload=await _write(scene, story))
        if not workload.placed:
            return After(0.0)  # whoever came meanwhile learns where he will run before this one is delivered
    member = world.members.get(cluster)
    current = story.copies[0]
    if member is not None and member.reachable and not current.delivered:
        try:
            await deliver(member, manifests)
        except DeliveryError as error:
            failed = replace(current, problem=str(error))
            await _write(scene, replace(story, copies=(failed, *story.copies[1:])))
            return Retry(error)
        return After(PROGRESS_SECONDS)
    return await _finish(scene, story)


def _vanished(scene: Scene) -> Outcome:
    """Deleted before our finalizer was on it, so nothing was delivered for it."""
    if scene.world.workloads.get(scene.workload.key) is scene.workload:
        scene.world.drop_workload(scene.workload.key)
    return Done()


async def _finish(scene: Scene, story: Story) -> Outcome:
    """Once the current copy is available, withdraw the others; then say how things stand."""
    current, others = story.copies[0], story.copies[1:]
    if others and current.available:
        left = [copy for copy in others if await _remains(scene, copy.key[0], beside=current.key[0]) is not None]
        story = replace(story, copies=(current, *left))
    pending = any(copy.verified for copy in story.copies[1:])
    if not current.available and current.delivered and current.verified and not current.problem:
        waited = _since_transition(scene, story)
        if waited < PROGRESS_SECONDS:
            return After(PROGRESS_SECONDS - waited)
    await _write(scene, story)
    return After(CONFIRM_SECONDS) if pending and current.available else Done()


def _since_transition(scene: Scene, story: Story) -> float:
    """Seconds since progress of this workload was last written."""
    return time.monotonic() - scene.world.written.get(scene.workload.key, 0.0)


async def _remains(scene: Scene, cluster: str, *, beside: str) -> str | None:
    """Withdraw from a cluster. None once nothing of the workload is left there, else what hinders, empty where it is
    under way. On the cluster that holds the current copy the same Deployment was moved: nothing to withdraw."""
    if cluster == beside:
        return None
    member = scene.world.members.get(cluster)
    if member is None or not member.reachable:
        return f"{cluster} cannot be reached"
    try:
        gone = await withdraw(member, namespace=scene.workload.namespace, name=scene.workload.name)
    except DeliveryError as error:
        return str(error) if member.reachable else f"{cluster} cannot be reached"
    return None if gone else ""


async def _report_only(scene: Scene, accepted: Accepted, verdicts: Verdicts, decision: Decision) -> Outcome:
    """No place: say why. What runs is left as it is; nothing is lost because a rule changed."""
    workload = scene.workload
    copies = [_seen(scene.world, workload, key) for key in workload.placed]
    await _write(scene, _story(scene, accepted, verdicts, decision, *copies))
    return Done()


async def _refuse(scene: Scene, refusal: Refusal) -> Outcome:
    """A workload that is not accepted keeps what it had."""
    workload = scene.workload
    scene.world.waiting.discard(workload.key)
    copies = tuple(_seen(scene.world, workload, key) for key in workload.placed)
    in_force = workload.status.get("tier")
    story = Story(workload.generation, workload.name, in_force, None, "", None, refusal=refusal, copies=copies)
    await _write(scene, story)
    return Done()


async def _let_go(scene: Scene) -> Outcome:
    """Deleted on the hub: withdraw everywhere, and only then let the object go."""
    world, workload = scene.world, scene.workload
    if not workload.held:
        world.drop_workload(workload.key)
        return Done()
    promised = world.promised(workload.key)
    clusters = list(dict.fromkeys(k[0] for k in [*workload.placed, *([promised] if promised else [])]))
    remains = await asyncio.gather(*(_remains(scene, cluster, beside="") for cluster in clusters))
    left = [what for what in remains if what is not None]
    if not left:
        await release(scene.hub, KIND, workload.key, uid=workload.uid)
        world.drop_workload(workload.key)
        world.retry_waiting()
        return Done()
    if not any(left):
        return After(CONFIRM_SECONDS)
    message = f"what runs there cannot be withdrawn, it is tried again: {'; '.join(filter(None, left))}"
    copies = tuple(_seen(world, workload, key) for key in workload.placed)
    refusal = Refusal(RefusalReason.WITHDRAWAL_BLOCKED, message)
    story = Story(workload.generation, workload.name, workload.status.get("tier"), None, "", None, refusal=refusal)
    await _write(scene, replace(story, copies=copies))
    return Retry(message)


# -- what is so --------------------------------------------------------------------------------------------------


def _manifests(
    world: World, workload: Workload, accepted: Accepted, chosen: Key, spec: InferenceDeploymentSpec
) -> list[Manifest]:
    cluster = world.inventory.clusters[chosen[0]]
    pool = next(p for p in cluster.node_pools if p.name == chosen[1])
    resource = pool.accelerator.resource_name if pool.accelerator else "nvidia.com/gpu"
    level = accepted.request.level
    return render(spec, Target(workload.namespace, workload.name, accepted.framework, level, chosen[1], resource))


def _copy(world: World, workload: Workload, key: Key, spec: InferenceDeploymentSpec, manifests: list[Manifest]) -> Copy:
    """The current copy: what is wanted there, and how much of it the member shows."""
    digest = manifests[0]["metadata"]["annotations"][DIGEST]
    candidate = world.inventory.candidate(key)
    wanted = Copy(key, candidate.country if candidate else "", 0 if spec.suspend else spec.replicas, digest)
    return _observed(world.members.get(key[0]), workload.key, wanted)


def _observed(member: Member | None, workload: str, copy: Copy) -> Copy:
    if member is None or not member.reachable:
        problem = member.problem if member else "it is not connected"
        return replace(copy, verified=False, problem=problem)
    seen = member.deployments.store.get(workload)
    if seen is None:
        return replace(copy, ready=0)
    delivered = seen.digest == copy.digest and seen.desired == copy.desired
    available = delivered and seen.settled
    return replace(copy, ready=seen.ready, delivered=delivered, available=available, problem=seen.stuck)


def _seen(world: World, workload: Workload, key: Key) -> Copy:
    """A copy the status names, as the member shows it now."""
    entry: Mapping[str, Any] = next(
        (p for p in workload.status.get("placements") or () if (p["cluster"], p["nodePool"]) == key), {}
    )
    copy = Copy(key, entry.get("country", ""), entry.get("desired", 0), entry.get("digest", ""), entry.get("ready", 0))
    return _observed(world.members.get(key[0]), workload.key, copy)


def _story(scene: Scene, accepted: Accepted, verdicts: Verdicts, decision: Decision, *copies: Copy) -> Story:
    workload, world = scene.workload, scene.world
    shown = {copy.key for copy in copies}
    others = [_seen(world, workload, key) for key in workload.placed if key not in shown]
    everything = (*copies, *others)
    return Story(
        generation=workload.generation,
        name=workload.name,
        tier=accepted.request.level,
        framework=world.inventory.frameworks[accepted.framework],
        inventory_digest=world.inventory.digest,
        decision=decision,
        copies=everything,
        row=verdicts.row(everything[0].key) if everything else None,
        suspended=workload.spec is not None and workload.spec.suspend,
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
