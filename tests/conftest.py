"""Real control planes for every suite: started on first use, together, once per session."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import devcluster
from devcluster import DevclusterError, Plane

ROOT = Path(__file__).resolve().parent.parent
PLANES = {"hub": "hub", "member_1": "member-1", "member_2": "member-2"}  # fixture -> plane
MARK = "planes"

BAD_TIER = """
apiVersion: domicile.dev/v1alpha1
kind: InferenceDeployment
metadata: {name: probe, namespace: default, annotations: {domicile.dev/sovereignty-tier: none}}
spec:
  model: {name: m, source: pvc://m}
  runtime: {image: "r@sha256:0000000000000000000000000000000000000000000000000000000000000000"}
"""


def pytest_configure(config: pytest.Config) -> None:
    """``-m "not planes"`` leaves out what needs a control plane."""
    config.addinivalue_line("markers", f"{MARK}: runs on real control planes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses a plane."""
    for item in items:
        if _planes_of(item):
            item.add_marker(MARK)


def _planes_of(item: pytest.Item) -> list[str]:
    used = getattr(item, "fixturenames", ())
    return [plane for fixture, plane in PLANES.items() if fixture in used]


@pytest.fixture(scope="session")
def shared_planes(request: pytest.FixtureRequest) -> Iterator[dict[str, Plane]]:
    """The planes that the chosen tests use, started at once; a run without them starts none."""
    wanted = {plane for item in request.session.items for plane in _planes_of(item)}
    with devcluster.planes(*sorted(wanted)) as planes:
        yield planes


@pytest.fixture(scope="session")
def hub(shared_planes: dict[str, Plane]) -> Plane:
    """The cluster that Domicile watches. Tests share it: use a namespace and names of your own."""
    return shared_planes["hub"]


@pytest.fixture(scope="session")
def member_1(shared_planes: dict[str, Plane]) -> Plane:
    """A cluster that workloads are delivered to."""
    return shared_planes["member-1"]


@pytest.fixture(scope="session")
def member_2(shared_planes: dict[str, Plane]) -> Plane:
    """A second cluster that workloads are delivered to."""
    return shared_planes["member-2"]


@pytest.fixture(scope="session")
def crds_installed(hub: Plane) -> Plane:
    """The hub with crds/ applied as users do, definitions served and policies in force."""
    hub.kubectl("apply", "--server-side", "--validate=strict", "-f", str(ROOT / "crds"))
    hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    deadline = time.monotonic() + 30
    while not _policies_in_force(hub):
        assert time.monotonic() < deadline, "the tier policy is not in force after 30 s"
        time.sleep(0.2)
    return hub


def _policies_in_force(hub: Plane) -> bool:
    """The API server takes up new policies after a moment; until then it would let anything through."""
    try:
        hub.kubectl("create", "--dry-run=server", "-f", "-", stdin=BAD_TIER)
    except DevclusterError as error:
        return "domicile-tier" in str(error)
    return False
