"""What others do to a delivered object is told once, however the watch and the answers to our applies interleave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domicile.inventory.delivered import Delivered, Drift

KEY = "ns/w"


class Watched:
    """One object on a member, its versions as the watch shows them and as applies are answered."""

    def __init__(self, kind: str) -> None:
        client: Any = None
        self.kind, self.calls = kind, 0
        self.delivered = Delivered(client, on_change=self._called)
        deployment = kind == "Deployment"
        self._reflector: Any = self.delivered.deployments if deployment else self.delivered.guards[kind]

    def _called(self, workload: str) -> None:
        assert workload == KEY
        self.calls += 1

    def shown(self, version: int, content: str = "ours") -> None:
        self._reflector._observe(self._body(version, content))

    def gone(self) -> None:
        self._reflector._forget(KEY)

    def answered(self, version: int, content: str = "ours") -> None:
        self.delivered.applied(KEY, self.kind, self._body(version, content))

    def drift(self) -> list[Drift]:
        return self.delivered.drift(KEY)

    def put_back(self, version: int) -> None:
        """Our apply undoes what is known, is answered, is shown, and is told."""
        found = self.drift()
        self.answered(version)
        self.shown(version)
        self.delivered.told(KEY, found)

    def _body(self, version: int, content: str) -> dict[str, Any]:
        managers = [{"manager": "domicile", "time": "1"}] + ([{"manager": content, "time": "2"}] * (content != "ours"))
        metadata = {"namespace": "ns", "name": "w", "resourceVersion": str(version), "generation": version}
        return {"metadata": metadata | {"managedFields": managers}, "spec": {"content": content}}


@pytest.fixture(params=("Deployment", "NetworkPolicy"))
def watched(request: pytest.FixtureRequest) -> Watched:
    """Applied once, and shown so."""
    watched = Watched(request.param)
    watched.answered(1)
    watched.shown(1)
    assert not watched.drift()
    return watched


Step = Callable[[Watched], None]


def shown(version: int, content: str = "ours") -> Step:
    return lambda watched: watched.shown(version, content)


def answered(version: int) -> Step:
    return lambda watched: watched.answered(version)


@pytest.mark.parametrize(
    "steps",
    [
        [shown(2, "kim")],
        [shown(2, "kim"), answered(3)],
        [answered(3), shown(2, "kim")],
        [shown(2, "kim"), shown(3), answered(3)],
        [answered(3), shown(2, "kim"), shown(3)],
        [shown(2, "kim"), answered(3), shown(3)],
        [shown(2), answered(2), shown(3, "kim")],
        [answered(2), shown(2), answered(2), shown(3, "kim")],
        [answered(3), answered(3), shown(2, "kim"), shown(3)],
    ],
)
def test_an_edit_is_told_once(watched: Watched, steps: list[Step]) -> None:
    for step in steps:
        step(watched)
    (found,) = watched.drift()
    assert (found.kind, found.what, found.editor) == (watched.kind, "changed", "kim")
    assert watched.calls, "somebody looks"
    watched.put_back(9)
    assert not watched.drift()


@pytest.mark.parametrize(
    "steps",
    [
        [shown(2), answered(2)],
        [answered(2), shown(2)],
        [answered(2), shown(2), answered(2)],
        [answered(2), answered(3), shown(2), shown(3)],
    ],
)
def test_what_is_ours_is_no_drift(watched: Watched, steps: list[Step]) -> None:
    for step in steps:
        step(watched)
    assert not watched.drift()


def test_an_edit_while_another_is_put_back_is_told_too(watched: Watched) -> None:
    watched.shown(2, "kim")
    found = watched.drift()
    watched.shown(3, "lee")
    watched.answered(4)
    watched.delivered.told(KEY, found)
    assert [drift.editor for drift in watched.drift()] == ["lee"]


def test_a_deletion_is_told_until_it_is_put_back(watched: Watched) -> None:
    watched.gone()
    assert [drift.what for drift in watched.drift()] == ["deleted"]
    assert watched.calls
    watched.put_back(1 if watched.kind == "Deployment" else 5)
    assert not watched.drift()


def test_what_is_being_withdrawn_is_no_drift(watched: Watched) -> None:
    watched.shown(2, "kim")
    watched.delivered.forget(KEY)
    watched.gone()
    assert not watched.drift()
