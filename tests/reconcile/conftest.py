"""A stage for every module, with one operator process; a namespace for every scenario."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from devcluster import Plane
from tests.reconcile.stage import Operator, Space, Stage


@pytest.fixture(scope="module")
def stage(
    crds_installed: Plane, member_1: Plane, member_2: Plane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Facts about both members, and the operator running."""
    operator = Operator(crds_installed, tmp_path_factory.mktemp("operator") / "operator.log")
    stage = Stage(crds_installed, (member_1, member_2), operator)
    stage.set_up()
    operator.start()
    try:
        stage.reached()
        yield stage
    finally:
        operator.end()
        stage.tear_down()


@pytest.fixture
def space(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace of the scenario's own. When it ends its workloads are gone from the hub, and all pools with them."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:50].strip("-")
    stage.namespace(name)
    space = Space(stage.hub, name)
    yield space
    stage.hub.request("DELETE", space.path())
    for found in stage.hub.items(space.path()):
        space.gone(found["metadata"]["name"])
    stage.one.clear()
    stage.two.clear()
    stage.hub.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def product(space: Space) -> str:
    """An accelerator that only this scenario's pools have, so that no other scenario has a say in it."""
    return space.name[:40]
