"""What no watch told is found by looking."""

from __future__ import annotations

from typing import Any

from domicile.reconcile.objects import WorkKey
from domicile.runtime.sweep import relist
from tests.fakestore import Store
from tests.reconcile.facts import workload
from tests.reconcile.fakecluster import Client
from tests.reconcile.test_world import world

INFD = "domicile.dev/v1alpha1/inferencedeployments"


async def test_workloads_that_came_and_went_unheard() -> None:
    known, queued = world()
    hub: Any = Client(Store())
    for name in ("stays", "goes"):
        hub.store.create(INFD, "ns", workload(name, product="X"))
    await relist(known, hub)
    assert sorted(known.workloads) == ["ns/goes", "ns/stays"] and not known.workloads["ns/goes"].deleting
    queued.clear()
    hub.store.delete(INFD, ("ns", "goes"))
    hub.store.create(INFD, "ns", workload("comes", product="X"))
    await relist(known, hub)
    assert known.workloads["ns/goes"].deleting, "what was delivered for it is taken back"
    assert not known.workloads["ns/stays"].deleting
    assert {key for key, _ in queued} == {WorkKey("InferenceDeployment", f"ns/{name}") for name in ("goes", "comes")}
