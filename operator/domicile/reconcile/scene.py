"""One reconcile of one workload: what it works with, and how it says what is so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from domicile.kube.client import KubeClient
from domicile.model.objects import KINDS
from domicile.reconcile import chronicle
from domicile.reconcile.judge import Case
from domicile.reconcile.objects import Workload
from domicile.reconcile.observe import seen_copy
from domicile.reconcile.world import World
from domicile.report.workload import Copy, Story, workload_status
from domicile.report.writer import write_status

KIND: Final = KINDS["InferenceDeployment"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What one reconcile works with."""

    world: World
    hub: KubeClient
    workload: Workload
    filing: chronicle.Filing | None = None  # a new decision, to be kept once the status tells of it


def story_of(scene: Scene, case: Case, *copies: Copy) -> Story:
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
        records=scene.filing.names[: chronicle.RECORDS] if scene.filing else None,
    )


async def write(scene: Scene, story: Story) -> Workload:
    """Write the status if it says anything new; gives the workload as it is then."""
    world, before = scene.world, scene.workload
    status = workload_status(story, before=before.status, at=world.now())
    written = await write_status(scene.hub, KIND, before.key, status, before=before.status)
    if written is None:
        if status != before.status:
            world.gone(before)
        return before
    world.written[before.key] = time.monotonic()
    workload = world.remember(written)
    if scene.filing is not None:
        await chronicle.file(world, scene.hub, before, scene.filing)
    return workload
