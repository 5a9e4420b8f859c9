"""What the operator knows: news in any order, and who is told of a change. No control plane is needed for these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from domicile.kube.errors import Conflict, Invalid, NotFound
from domicile.model.objects import KINDS, read_spec
from domicile.placement.capacity import UNKNOWN_ROOM, Shape
from domicile.reconcile.objects import Stated, WorkKey
from domicile.reconcile.promises import Promise
from domicile.reconcile.queue import Done
from domicile.reconcile.reconcile import reconcile
from domicile.reconcile.world import World
from domicile.report.writer import hold, release
from domicile.tiers.evaluate import NO_OPTIONS
from tests.placement.fleet import frameworks
from tests.reconcile.facts import API_VERSION, Json, cluster_spec, entity_spec, foreign_control, pool, workload

NOW = datetime.now(UTC)
KIND = KINDS["InferenceDeployment"]


class Told(list[tuple[WorkKey, bool]]):
    """What was put into the queue."""

    def names(self) -> set[str]:
        return {str(key) for key, _ in self}


def world() -> tuple[World, Told]:
    told = Told()
    return World(now=lambda: NOW, enqueue=lambda key, urgent: told.append((key, urgent))), told


def raw(
    name: str = "w", *, uid: str = "1", version: int = 1, placed: tuple[str, str] | None = None, **meta: Any
) -> Json:
    document = workload(name, tier=3)
    metadata = {"namespace": "ns", "uid": uid, "resourceVersion": str(version), "generation": 1}
    document["metadata"] |= metadata
    if placed is not None:
        document["status"] = {"tier": 3, "placements": [{"cluster": placed[0], "nodePool": placed[1]}]}
    return document


def state(known: World, kind: str, name: str, spec: Json | None) -> None:
    stated = None
    if spec is not None:
        read: Any = read_spec({"apiVersion": API_VERSION, "kind": kind, "spec": spec})
        stated = Stated(1, read, "", {})
    known.put_stated(WorkKey(kind, name), stated)


def test_older_news_changes_nothing() -> None:
    known, told = world()
    known.put_workload(raw(version=5))
    told.clear()
    known.put_workload(raw(version=4))
    known.put_workload(raw(version=5))
    assert known.workloads["ns/w"].version == 5 and not told
    known.put_workload(raw(version=6))
    assert told.names() == {"InferenceDeployment/ns/w"}


def test_news_that_the_answer_to_a_write_tells_first() -> None:
    """Deleted, or changed, while the status was written: the event comes later and is older than the answer."""
    for news in ({"deletionTimestamp": "2026-11-01T00:00:00Z"}, {"generation": 2}, {"annotations": {"x": "y"}}):
        known, told = world()
        known.put_workload(raw(version=5))
        told.clear()
        changed = raw(version=7)
        changed["metadata"] |= news
        known.remember(changed)
        assert told.names() == {"InferenceDeployment/ns/w"}, news
        told.clear()
        known.remember(changed | {"metadata": changed["metadata"] | {"resourceVersion": "8"}})
        assert not told, "an answer with nothing new but the status wakes nobody"


def test_a_successor_of_the_name() -> None:
    """Its creation and the deletion of the one before come over different ways, in any order."""
    known, _ = world()
    known.put_workload(raw(uid="old", version=5))
    known.put_workload(raw(uid="new", version=8))
    known.remove_workload(raw(uid="old", version=7))
    assert known.workloads["ns/w"].uid == "new"
    known.put_workload(raw(uid="old", version=6))
    assert known.workloads["ns/w"].uid == "new", "the old one's last change does not bring it back"
    known.remove_workload(raw(uid="new", version=9))
    assert not known.workloads


def test_what_is_placed_holds_its_room_after_a_restart() -> None:
    known, _ = world()
    known.put_workload(raw("first", placed=("c", "p")))
    known.put_workload(raw("second"))
    assert [r.pods for r in known.reserved(("c", "p"), beside="ns/second")] == [1]
    assert known.reserved(("c", "p"), beside="ns/first") == (), "not against itself"
    known.remove_workload(raw("first"))
    assert known.reserved(("c", "p"), beside="ns/second") == ()


def test_a_promise_replaces_the_one_before() -> None:
    known, _ = world()
    known.promise("ns/w", Promise(("c", "p"), Shape(), 3))
    known.promise("ns/w", Promise(("c", "q"), Shape(), 2))
    assert known.reserved(("c", "p"), beside="") == ()
    assert [r.pods for r in known.reserved(("c", "q"), beside="")] == [2]


def test_who_is_told_of_a_changed_verdict() -> None:
    """What runs on the pool at once, what has no place too; what runs elsewhere is left alone."""
    known, told = world()
    known.inventory.frameworks |= frameworks()
    known.inventory.verdicts("cada", NO_OPTIONS, at=NOW)
    state(known, "LegalEntity", "nordlys", entity_spec())
    pools = [pool("p", provider="nordlys", product="X"), pool("q", provider="nordlys", product="X")]
    state(known, "SovereignCluster", "c", cluster_spec("nordlys", pools))
    for name in ("here", "there", "waiting"):
        known.put_workload(raw(name))
    known.promise("ns/here", Promise(("c", "p"), Shape(), 1))
    known.promise("ns/there", Promise(("d", "p"), Shape(), 1))
    known.waiting.add("ns/waiting")
    told.clear()

    pools[0] |= {"facts": {"location": {"country": "CH"}}}
    state(known, "SovereignCluster", "c", cluster_spec("nordlys", pools))

    assert (WorkKey("InferenceDeployment", "ns/here"), True) in told, "urgently"
    assert "InferenceDeployment/ns/waiting" in told.names()
    assert "InferenceDeployment/ns/there" not in told.names()
    told.clear()
    state(known, "SovereignCluster", "c", cluster_spec("nordlys", pools))
    assert told == [], "the same facts again concern nobody"


def test_a_changed_entity_concerns_only_those_judged_by_it() -> None:
    """With thousands of clusters and entities, one changed owner must not have all of them looked at."""
    known, told = world()
    known.inventory.frameworks |= frameworks()
    known.inventory.verdicts("cada", NO_OPTIONS, at=NOW)
    for number in "12":
        state(known, "LegalEntity", f"owner-{number}", entity_spec())
        pools = [pool("p", provider=f"owner-{number}", product="X")]
        state(known, "SovereignCluster", f"c-{number}", cluster_spec(f"owner-{number}", pools))
    told.clear()

    state(known, "LegalEntity", "owner-1", entity_spec(**foreign_control()))
    assert told.names() == {"LegalEntity/owner-1", "SovereignCluster/c-1"}
    told.clear()

    state(known, "LegalEntity", "owner-1", None)
    everybody = {"LegalEntity/owner-1", "LegalEntity/owner-2", "SovereignCluster/c-1", "SovereignCluster/c-2"}
    assert told.names() >= everybody - {"LegalEntity/owner-1"}, "one that is gone may be missed by anybody"
    told.clear()

    ring = {"ownership": {"owners": [{"entity": "owner-1", "capitalPercent": 100, "votesPercent": 100}]}}
    state(known, "LegalEntity", "owner-1", entity_spec())
    told.clear()
    state(known, "LegalEntity", "owner-2", entity_spec(**ring))
    told.clear()
    back = {"ownership": {"owners": [{"entity": "owner-2", "capitalPercent": 100, "votesPercent": 100}]}}
    state(known, "LegalEntity", "owner-1", entity_spec(**back))
    assert "LegalEntity/owner-2" in told.names(), "a ring of owners is told of all its members"


def test_who_is_on_a_cluster() -> None:
    """Whoever was decided to run there, and whoever left a copy there."""
    known, _ = world()
    known.put_workload(raw("moved", placed=("old", "p")))
    known.promise("ns/moved", Promise(("new", "p"), Shape(), 1))
    assert list(known.workloads_on("old")) == list(known.workloads_on("new")) == ["ns/moved"]
    assert list(known.workloads_on("other")) == []


class Hub:
    """A hub with at most one object, which refuses what an API server would: a uid that is not the object's."""

    def __init__(self, uid: str | None) -> None:
        self.uid = uid
        self.finalizers: list[str] = []
        self.written: list[Json] = []

    async def apply(self, path: str, manifest: Json, **_: Any) -> Json:
        wanted = manifest["metadata"].get("uid")
        if wanted is not None and wanted != self.uid:
            raise Conflict(409, reason="Conflict", message="Precondition failed: UID")
        self.written.append(manifest)
        self.finalizers = [*self.finalizers, *manifest["metadata"]["finalizers"]]
        return manifest

    async def create(self, path: str, body: Json) -> Json:
        """Takes records: they are about what was decided, whatever became of it."""
        return body

    async def json_patch(self, path: str, operations: list[Json]) -> None:
        """Takes what `release` sends: tests of uid and finalizer, then the removal."""
        uid, finalizer, removal = operations
        place = int(removal["path"].rpartition("/")[2])
        if self.uid is None:
            raise NotFound(404, reason="NotFound")
        if uid["value"] != self.uid or self.finalizers[place : place + 1] != [finalizer["value"]]:
            raise Invalid(
                422, reason="Invalid", message="the server rejected our request due to an error in our request"
            )
        self.written.append({"metadata": {"finalizers": []}})
        del self.finalizers[place]

    async def get(self, path: str) -> Json:
        if self.uid is None:
            raise NotFound(404, reason="NotFound")
        return {"metadata": {"uid": self.uid, "finalizers": list(self.finalizers)}}


async def test_nothing_is_delivered_for_what_is_gone() -> None:
    """Deleted while its decision was under way, or replaced by another of its name: it gives its room back."""
    for uid in (None, "successor"):
        known, _ = world()
        known.inventory.frameworks |= frameworks()
        state(known, "LegalEntity", "nordlys", entity_spec())
        state(known, "SovereignCluster", "c", cluster_spec("nordlys", [pool("p", provider="nordlys", product="X")]))
        known.put_workload(raw(uid="ghost"))
        known.promise("ns/w", Promise(("c", "p"), Shape(), 1))
        known.reachable = lambda cluster: True  # type: ignore[method-assign]
        known.room = lambda key: UNKNOWN_ROOM  # type: ignore[method-assign]
        hub: Any = Hub(uid)
        assert await reconcile("ns/w", world=known, hub=hub) == Done()
        assert not known.workloads and known.reserved(("c", "p"), beside="") == ()
        assert hub.written == []


async def test_finalizers_only_of_the_object_that_is_meant() -> None:
    for uid in (None, "successor"):
        hub: Any = Hub(uid)
        assert await hold(hub, KIND, "ns/w", uid="ghost") is None
        await release(hub, KIND, "ns/w", uid="ghost")
        assert hub.written == []
    mine: Any = Hub("mine")
    assert await hold(mine, KIND, "ns/w", uid="mine") is not None
    await release(mine, KIND, "ns/w", uid="mine")
    assert [m["metadata"]["finalizers"] for m in mine.written] == [["domicile.dev/placement"], []]


async def test_finalizers_of_others_stay() -> None:
    hub: Any = Hub("mine")
    hub.finalizers = ["other/one", "domicile.dev/placement", "other/two"]
    for _ in range(2):
        await release(hub, KIND, "ns/w", uid="mine")
        assert hub.finalizers == ["other/one", "other/two"]
