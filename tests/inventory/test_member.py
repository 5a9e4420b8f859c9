"""Which cluster answers, asked of one that was never silent."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.inventory.member import CONNECTING, Member
from domicile.kube.errors import Unavailable


class Answering:
    """A cluster that says its kube-system UID, or that it is busy."""

    def __init__(self) -> None:
        self.uid, self.asked = "first", 0

    async def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/kube-system"
        self.asked += 1
        if not self.uid:
            raise Unavailable(503, reason="ServiceUnavailable", message="busy")
        return {"metadata": {"uid": self.uid}}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("domicile.inventory.member.time.monotonic", lambda: now[0])
    return now


async def test_another_cluster_that_takes_over_without_a_silence(clock: list[float]) -> None:
    client: Any = Answering()
    heard: list[str] = []

    def identify(cluster: str, uid: str) -> str:
        heard.append(uid)
        return "" if uid == "first" else "another cluster answers"

    nothing: Any = lambda *_: None  # noqa: E731
    member = Member(
        "m", client, on_nodes=nothing, on_workload=nothing, on_reach=nothing, on_room=nothing, identify=identify
    )
    assert member.problem == CONNECTING
    member.problem = await member._identity_problem()
    assert (member.problem, heard, client.asked) == ("", ["first"], 1)
    clock[0] += 59
    assert await member._identity_problem() == "" and client.asked == 1
    clock[0] += 2
    assert await member._identity_problem() == "" and client.asked == 2
    assert heard == ["first"], "the same cluster is no news"
    clock[0] += 61
    client.uid = ""
    assert await member._identity_problem() == "", "no answer is no proof of another cluster"
    client.uid = "second"
    assert await member._identity_problem() == "another cluster answers"
    member.problem = "another cluster answers"
    client.uid = ""
    assert "busy" in await member._identity_problem(), "before it is used again it has to say who it is"
    client.uid = "first"
    assert await member._identity_problem() == ""
    assert heard == ["first", "second", "first"]
