"""What changes without anybody touching the workload: time passes, a node changes hands, a pod appears elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domicile.model.schema import read_instant
from tests.reconcile.facts import Json, day, entity_spec, foreign_control, workload
from tests.reconcile.stage import Space, Stage, condition, eventually, placements
from tests.reconcile.test_violation import events, pack

Rules = Callable[..., None]

SOON = 3  # seconds from the moment facts are stated until something happens by the clock


def soon() -> str:
    return (datetime.now(UTC) + timedelta(seconds=SOON)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def owner(stage: Stage) -> Iterator[str]:
    """A provider of this module's own."""
    stage.entity("solvang")
    yield "solvang"
    stage.drop("LegalEntity", "solvang")


@pytest.fixture
def rules(stage: Stage, space: Space) -> Iterator[Rules]:
    """States a framework of the scenario's own, its tiers changed as told."""
    stated = []

    def state(name: str = space.name, **tier: Any) -> None:
        stage.state("SovereigntyFramework", name, pack(**tier) | {"id": name})
        stated.append(name)

    yield state
    stage.drop("SovereigntyFramework", *stated)


def asks(space: Space, **spec: Any) -> Json:
    return workload("w", product=space.name[:40], **{"sovereignty": {"framework": space.name}, **spec})


def expiring(at: str) -> Json:
    """The patch of an entity whose evidence is good until a moment."""
    (entry,) = entity_spec()["evidence"]
    return {"evidence": [{**entry, "validUntil": at}]}


def test_evidence_expires_by_the_clock(stage: Stage, space: Space, owner: str, rules: Rules) -> None:
    """Nobody writes anything: the verdict goes, and once the grace has passed the copy moves where the tier asks for
    it. Where the tier only wants to know, it stays."""
    rules(onUnknown="Drain", unknownGracePeriod="2s")
    stage.one.add_pool("runs-out", product=space.name[:40], nodes=1, gpus=8, provider=owner)
    rules("only-alerts", onUnknown="Alert")
    stays = workload("stays", product=space.name[:40], sovereignty={"framework": "only-alerts"})
    space.apply(asks(space), stays)
    assert placements(space.serving("w")) == placements(space.serving("stays")) == [("union-1", "runs-out")]
    stage.two.add_pool("lasts", product=space.name[:40], nodes=1, gpus=8)
    moment = soon()
    stage.entity(owner, **expiring(moment))
    announced = eventually(lambda: foretold(space, moment), "the date is in the status beforehand")
    assert condition(announced, "Compliant")["status"] == "True"
    infd = space.says("w", "Compliant", "Unknown", "FactsUnknown")
    assert datetime.now(UTC) >= read_instant(moment)
    said = infd["status"]["violation"]
    assert (said["candidate"], said["verdict"], said["action"]) == ("union-1/runs-out", "Unknown", "Alert")
    assert read_instant(said["opened"]) == read_instant(moment)
    assert read_instant(said["due"]) == read_instant(moment) + timedelta(seconds=2)
    eventually(lambda: placements(space.read("w")) == [("union-2", "lasts")], "moved")
    infd = space.serving("w")
    assert read_instant(infd["status"]["lastMoved"]) >= read_instant(said["due"])
    infd = space.says("stays", "Compliant", "Unknown", "FactsUnknown")
    assert placements(infd) == [("union-1", "runs-out")] and "due" not in infd["status"]["violation"]
    assert [pod["metadata"]["labels"]["domicile.dev/infd"] for pod in stage.one.pods(space)] == ["stays"]


def foretold(space: Space, moment: str) -> Json | None:
    infd = space.read("w")
    return infd if infd["status"].get("nextEvaluationTime") == moment else None


def test_a_notified_takeover_bites_on_its_day(stage: Stage, space: Space, owner: str, rules: Rules) -> None:
    """An acquirer from outside the Union is notified: nothing changes until the deal closes, and then it does."""
    rules(onViolation="Drain")
    stage.one.add_pool("sold", product=space.name[:40], nodes=1, gpus=8, provider=owner)
    space.apply(asks(space))
    space.serving("w")
    stage.two.add_pool("kept", product=space.name[:40], nodes=1, gpus=8)
    moment = soon()
    sale = {"kind": "acquisition", "noticed": day(0), "effective": moment, "acquirerCountry": "US"}
    stage.entity(owner, materialChanges=[sale])
    announced = eventually(lambda: foretold(space, moment), "the day is in the status beforehand")
    assert condition(announced, "Compliant")["status"] == "True"
    assert placements(announced) == [("union-1", "sold")]
    eventually(lambda: "ViolationOpened" in events(stage, space), "the day has come")
    assert datetime.now(UTC) >= read_instant(moment)
    eventually(lambda: placements(space.read("w")) == [("union-2", "kept")], "moved")
    infd = space.serving("w")
    assert read_instant(infd["status"]["lastMoved"]) >= read_instant(moment)
    assert stage.one.pods(space) == []


def test_a_node_that_changes_hands(stage: Stage, space: Space, owner: str, rules: Rules) -> None:
    """Its pod is where no decision put it: that is said, and the pod is replaced on a node of the legal pool."""
    rules(onViolation="Drain")
    stage.one.add_pool("ours", product=space.name[:40], nodes=2, gpus=1)
    stage.one.add_pool("theirs", product=space.name[:40], nodes=0, gpus=1, provider=owner)
    stage.entity(owner, **foreign_control())
    space.apply(asks(space))
    space.serving("w")
    (pod,) = stage.one.pods(space)
    node = pod["spec"]["nodeName"]
    rest = "ours-1" if node == "ours-0" else "ours-0"
    ours, theirs = stage.one.pools
    stage.one.pools = [ours | {"nodes": {"names": [rest]}}, theirs | {"nodes": {"names": [node]}}]
    with Said(space) as said:
        stage.one.state()
        eventually(lambda: [p["spec"].get("nodeName") for p in stage.one.pods(space)] == [rest], "the pod is replaced")
        infd = space.serving("w")
    outside = [text for reason, text in said.of("Compliant") if reason == "ObservedOutsidePlacement"]
    assert outside and node in outside[0]
    assert placements(infd) == [("union-1", "ours")] and condition(infd, "Compliant")["status"] == "True"
    assert stage.one.labels(node)["pool"] == "theirs"


def test_a_pod_made_by_hand_elsewhere(stage: Stage, space: Space, owner: str, rules: Rules) -> None:
    """A copy that somebody starts on another member under the workload's label is not overlooked."""
    rules(onViolation="Drain")
    stage.one.add_pool("placed", product=space.name[:40], nodes=1, gpus=8)
    stage.two.add_pool("other", product=space.name[:40], nodes=1, gpus=8)
    space.apply(asks(space))
    (place,) = placements(space.serving("w"))
    home, away = (stage.one, stage.two) if place[0] == "union-1" else (stage.two, stage.one)
    (original,) = home.pods(space)
    node = next(n["metadata"]["name"] for n in away.member.items("/api/v1/nodes"))
    by_hand = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "by-hand", "labels": {"domicile.dev/infd": "w"}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "registry.example.eu/anything"}]},
    }
    away.member.apply(
        f"/api/v1/namespaces/{space.name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}}
    )
    account = f"/api/v1/namespaces/{space.name}/serviceaccounts/default"
    eventually(lambda: away.member.get(account), "pods can be made there")
    away.member.create(f"/api/v1/namespaces/{space.name}/pods", by_hand)
    infd = space.says("w", "Compliant", "False", "ObservedOutsidePlacement")
    message = condition(infd, "Compliant")["message"]
    assert "by-hand" in message and away.name in message and node in message
    assert [p["metadata"]["name"] for p in home.pods(space)] == [original["metadata"]["name"]], "the copy is kept"
    away.member.delete(f"/api/v1/namespaces/{space.name}/pods/by-hand")
    assert condition(space.serving("w"), "Compliant")["status"] == "True"


class Said:
    """Every state of a condition of the workload while something goes on, as a watch of it would tell."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._found: dict[str, list[tuple[str, str]]] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="said")

    def __enter__(self) -> Said:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def of(self, kind: str) -> list[tuple[str, str]]:
        """(reason, message), in order."""
        return self._found.get(kind, [])

    def _look(self) -> None:
        while not self._end.wait(0.02):
            for found in self._space.read("w")["status"].get("conditions") or ():
                told = self._found.setdefault(found["type"], [])
                if (found["reason"], found["message"]) not in told[-1:]:
                    told.append((found["reason"], found["message"]))
