"""The safety net: whatever was or was not heard, everything is looked at again within one round."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import ApiError
from domicile.model.objects import KINDS
from domicile.model.schema import API_VERSION
from domicile.reconcile.objects import WorkKey
from domicile.reconcile.world import World

log = logging.getLogger(__name__)

ROUND_SECONDS: Final = 600.0


async def relist(world: World, hub: KubeClient) -> None:
    """Learn of all workloads as the hub has them now, and of those gone: an expired watch says nothing of a deletion.
    At the start it comes before the first decision, so that what is placed holds its room. Raises ApiError."""
    known, listed = dict(world.workloads), set[str]()
    async for page in hub.list_pages(resource_path(API_VERSION, KINDS["InferenceDeployment"].plural)):
        if page.first:
            listed.clear()  # the list was begun anew
        for raw in page.items:
            world.put_workload(raw)
            listed.add(f"{raw['metadata']['namespace']}/{raw['metadata']['name']}")
    for key, workload in known.items():
        if key not in listed:
            world.gone(workload)


async def sweep(world: World, hub: KubeClient, *, look_again: Callable[[WorkKey], None]) -> None:
    """Go round for good: list the workloads, then have every key looked at, one by one at random times."""
    while True:
        try:
            await relist(world, hub)
        except ApiError as error:
            log.warning("sweep: workloads not listed: %s", error)
        keys = [*world.stated, *(WorkKey("InferenceDeployment", key) for key in world.workloads)]
        random.shuffle(keys)
        pause = ROUND_SECONDS / (len(keys) + 1)
        for key in keys:
            await asyncio.sleep(pause * (0.5 + random.random()))
            look_again(key)
        await asyncio.sleep(pause)
