"""A stage for every module, with one operator process; a namespace for every scenario."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from devcluster import Plane
from tests.reconcile.relay import Relay
from tests.reconcile.stage import Operator, Space, Stage


@pytest.fixture(scope="module")
def stage(
    crds_installed: Plane, member_1: Plane, member_2: Plane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Facts about both members, and the operator running."""
    operator = Operator(crds_installed.kubeconfig, tmp_path_factory.mktemp("operator") / "operator.log")
    stage = Stage(crds_installed, (member_1, member_2), operator)
    with stage.open():
        yield stage


@pytest.fixture(scope="module")
def relay(crds_installed: Plane, member_1: Plane, member_2: Plane) -> Iterator[Relay]:
    """What stands between the operator and all planes, for a module that uses ``relayed``."""
    relay = Relay((crds_installed, member_1, member_2))
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def relayed(
    relay: Relay, crds_installed: Plane, member_1: Plane, member_2: Plane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A stage whose operator reaches all planes through the relay."""
    folder = tmp_path_factory.mktemp("operator")
    kubeconfig = folder / "hub.kubeconfig"
    kubeconfig.write_text(relay.kubeconfig(crds_installed))
    members = (member_1, member_2)
    operator = Operator(kubeconfig, folder / "operator.log")
    stage = Stage(crds_installed, members, operator, kubeconfigs=[relay.kubeconfig(member) for member in members])
    with stage.open():
        yield stage


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
