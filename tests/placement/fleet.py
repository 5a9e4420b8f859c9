"""Small fleets for properties: entities, clusters and pools built from the scenario baseline by named changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from domicile.inventory.inventory import Inventory
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.objects import read_spec
from domicile.model.schema import API_VERSION
from domicile.placement.capacity import NodeRoom, PoolRoom, Reservation, Shape
from domicile.placement.decide import Request
from domicile.placement.verdicts import Key, Verdicts
from domicile.scenarios.format import merge_patch
from domicile.tiers.framework import Framework, load_framework
from domicile.tiers.packs import pack_text
from domicile.tiers.reading import Options

Json = dict[str, Any]

BASELINE = Path(__file__).resolve().parents[1] / "scenarios" / "baseline.yaml"
AT = datetime(2026, 11, 1, tzinfo=UTC)
PARENT = {"name": "Parent Inc", "kind": "company", "country": "US"}

ENTITY_CHANGES: Mapping[str, Json] = {
    "foreign owner": {
        "ownership": {"owners": [{**PARENT, "capitalPercent": 100, "votesPercent": 100, "specialRights": []}]},
        "control": {"controllers": [{**PARENT, "means": ["votes"]}]},
    },
    "safeguards": {"safeguards": dict.fromkeys(("delivery", "dataAccess", "disruption", "sanctions"), True)},
    "owned by other": {"ownership": {"owners": [{"entity": "other", "capitalPercent": 100, "votesPercent": 100}]}},
    "seat abroad": {"seats": {"registeredOffice": "CH"}},
    "staff abroad": {"personnel": {"countries": ["DK", "US"], "allUnionCitizens": False}},
    "staff unknown": {"personnel": None},
    "support unknown": {"support": None},
    "self-declared": {"evidence": [{"covers": ["*"], "class": "selfDeclared", "issuer": "x", "issued": "2026-06-01"}]},
    "lapses": {
        "evidence": [{"covers": ["*"], "class": "audited", "issuer": "x", "issued": "2026-06-01",
                      "validUntil": "2026-11-20"}]
    },
    "is sold": {
        "materialChanges": [{"kind": "acquisition", "noticed": "2026-10-20", "effective": "2026-11-10",
                             "acquirerCountry": "US"}]
    },
}  # fmt: skip
FACT_CHANGES: Mapping[str, Json] = {
    "in France": {"location": {"country": "FR", "source": "attested"}},
    "in Switzerland": {"location": {"country": "CH", "source": "attested"}},
    "place unknown": {"location": None},
    "no certificate": {"certificates": []},
    "certificate lapses": {"certificates": [{"scheme": "EUCS", "level": "high", "validUntil": "2026-11-15"}]},
    "telemetry leaves": {"telemetry": {"runtimeDefaultsOff": True, "sinks": [{"endpoint": "x", "country": "US"}]}},
    "opinion 2": {"assurance": {"statementPublished": True, "opinion": {"result": "positive", "level": 2,
                                                                       "auditorIndependent": True}}},
    "old sbom": {"sbom": {"complete": True, "dependencyList": True, "generated": "2025-11-20"}},
    "keys unknown": {"keys": None},
}  # fmt: skip
POOL_CHANGES: Mapping[str, Json] = {
    "hall": {"facility": {"operator": "other", "model": "colocation", "country": "DK", "remoteHands": True}},
    **{name: {"facts": facts} for name, facts in FACT_CHANGES.items() if None not in facts.values()},
}
WEIGHTED: Json = {
    "version": "1",
    "territories": {"Union": {"countries": ["DK", "FR"]}},
    "objectives": [{"id": "place", "weight": 2}, {"id": "keys", "weight": 1}, {"id": "sbom", "weight": 1}],
    "tiers": [{"level": 1}, {"level": 2, "score": {"atLeast": 75}}],
    "rules": [
        {"id": "W.0", "clause": "0", "title": "safe", "level": 1, "require": {"isTrue": ["sbom.complete"]}},
        {"id": "W.1", "clause": "1", "title": "place", "level": 2, "objective": "place", "mandatory": False,
         "require": {"within": "Union", "facts": ["location"]}},
        {"id": "W.2", "clause": "2", "title": "keys", "level": 2, "objective": "keys", "mandatory": False,
         "require": {"within": "Union", "facts": ["keys.countries"]}},
        {"id": "W.3", "clause": "3", "title": "certificates", "level": 2, "objective": "sbom", "mandatory": False,
         "require": {"atLeast": 1, "facts": ["certificates"]}},
    ],
}  # fmt: skip
FRAMEWORKS = ("cada", "weighted")


@cache
def _baseline(kind: str) -> str:
    return json.dumps(next(d["spec"] for d in yaml.safe_load_all(BASELINE.read_text()) if d["kind"] == kind))


def _changed(spec: Json, patches: list[Json]) -> Json:
    for patch in patches:
        spec = merge_patch(spec, patch)
    return spec


@cache
def entity(*changes: str) -> LegalEntitySpec:
    """The baseline's provider with named changes."""
    spec = _changed(json.loads(_baseline("LegalEntity")), [ENTITY_CHANGES[c] for c in changes])
    read = read_spec({"apiVersion": API_VERSION, "kind": "LegalEntity", "spec": spec})
    assert isinstance(read, LegalEntitySpec)
    return read


Pool = tuple[str, str, tuple[str, ...]]  # name, provider, changes


@cache
def cluster(provider: str, changes: tuple[str, ...], pools: tuple[Pool, ...]) -> SovereignClusterSpec:
    """The baseline's cluster with named changes and these pools."""
    spec = json.loads(_baseline("SovereignCluster"))
    spec["provider"] = provider
    spec["facts"] = _changed(spec["facts"], [FACT_CHANGES[c] for c in changes])
    spec["nodePools"] = [
        _changed({"name": name, "provider": by, "nodes": {"names": []}}, [POOL_CHANGES[c] for c in more])
        for name, by, more in pools
    ]
    read = read_spec({"apiVersion": API_VERSION, "kind": "SovereignCluster", "spec": spec})
    assert isinstance(read, SovereignClusterSpec)
    return read


def amended(spec: SovereignClusterSpec, change: str) -> SovereignClusterSpec:
    """A cluster of which one thing became otherwise."""
    raw = spec.plain()
    raw["facts"] = merge_patch(raw.get("facts") or {}, FACT_CHANGES[change])
    read = read_spec({"apiVersion": API_VERSION, "kind": "SovereignCluster", "spec": raw})
    assert isinstance(read, SovereignClusterSpec)
    return read


@cache
def frameworks() -> dict[str, Framework]:
    """Compiled once: that takes longer than all the rest."""
    raw = {"cada": yaml.safe_load(pack_text("cada"))["spec"], "weighted": WEIGHTED}
    found = {}
    for name, spec in raw.items():
        read = read_spec({"apiVersion": API_VERSION, "kind": "SovereigntyFramework", "spec": spec})
        assert isinstance(read, SovereigntyFrameworkSpec)
        found[name] = load_framework(name, read)
    return found


@dataclass(frozen=True)
class Fleet:
    """Facts by name, in the order they are told."""

    entities: Mapping[str, LegalEntitySpec]
    clusters: Mapping[str, SovereignClusterSpec]

    def build(self, at: datetime = AT) -> Inventory:
        inventory = Inventory()
        inventory.frameworks |= frameworks()
        for name, spec in self.entities.items():
            inventory.set_entity(name, spec, at=at)
        for name, one in self.clusters.items():
            inventory.set_cluster(name, one, at=at)
        return inventory

    def without_pool(self, key: Key) -> Fleet:
        spec = self.clusters[key[0]]
        left = spec.model_copy(update={"node_pools": [p for p in spec.node_pools if p.name != key[1]]})
        return replace(self, clusters={**self.clusters, key[0]: left})


ROOMY = PoolRoom((NodeRoom(8.0, 64.0, 512.0, 110.0),) * 2, product="H100", accelerator_memory=80.0)


class Rooms:
    """The field of a decision: rooms and promises by candidate, clusters that do not answer."""

    def __init__(
        self,
        rooms: Mapping[Key, PoolRoom],
        promises: Mapping[Key, tuple[Reservation, ...]] | None = None,
        lost: frozenset[str] = frozenset(),
    ) -> None:
        self.rooms, self.promises, self.lost = rooms, promises or {}, lost

    def room(self, key: Key) -> PoolRoom:
        return self.rooms.get(key, ROOMY)

    def reserved(self, key: Key, *, beside: str) -> tuple[Reservation, ...]:
        return self.promises.get(key, ())

    def reachable(self, cluster: str) -> bool:
        return cluster not in self.lost


def some(names: Mapping[str, Any], *, most: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    """A few of the named changes, mostly none."""
    few = st.lists(st.sampled_from(sorted(names)), max_size=most, unique=True).map(tuple)
    return st.one_of(st.just(()), st.just(()), st.just(()), few)


ENTITY_NAMES = ("nordlys", "other", "third")
CLUSTER_NAMES = ("c1", "c2", "c3", "c4")
POOL_NAMES = ("p1", "p2", "p3")

entities = some(ENTITY_CHANGES).map(lambda changes: entity(*changes))
providers = st.sampled_from(("nordlys", "nordlys", "nordlys", "other", "third", "nobody"))
pools = st.tuples(st.sampled_from(POOL_NAMES), providers, some(POOL_CHANGES))
clusters = st.builds(
    cluster,
    providers,
    some(FACT_CHANGES),
    st.lists(pools, min_size=1, max_size=3, unique_by=lambda pool: pool[0]).map(tuple),
)
fleets = st.builds(
    Fleet,
    st.fixed_dictionaries({"nordlys": entities}, optional={"other": entities, "third": entities}),
    st.dictionaries(st.sampled_from(CLUSTER_NAMES), clusters, min_size=1),
)
SHAPES = (Shape(), Shape(("H100",), 1), Shape(("H100", "H200"), 4, 80.0), Shape(("A100",), 1), Shape(cpu=2.0, memory=1))
counts = st.integers(0, 8).map(float)
nodes = st.builds(NodeRoom, accelerators=counts, cpu=counts, memory=counts, pods=counts)
rooms = st.builds(
    PoolRoom,
    st.lists(nodes, max_size=3).map(tuple),
    st.sampled_from(("H100", "H200", "A100", "")),
    st.sampled_from((0.0, 80.0, 141.0)),
)
keys = st.tuples(st.sampled_from(CLUSTER_NAMES), st.sampled_from(POOL_NAMES))
promises = st.lists(st.builds(Reservation, st.sampled_from(SHAPES), st.integers(0, 3)), max_size=2).map(tuple)
fields = st.builds(
    Rooms,
    st.dictionaries(keys, rooms),
    st.dictionaries(keys, promises, max_size=3),
    st.one_of(st.just(frozenset[str]()), st.frozensets(st.sampled_from(CLUSTER_NAMES), max_size=2)),
)
requests = st.builds(
    Request,
    st.just("ns/name"),
    st.integers(1, 4),
    st.sampled_from(SHAPES),
    st.integers(0, 5),
    st.one_of(st.none(), st.none(), st.frozensets(st.sampled_from(("DK", "FR", "CH")), min_size=1)),
    st.one_of(st.just(frozenset[str]()), st.frozensets(st.sampled_from(CLUSTER_NAMES), max_size=1)),
)
options = st.sampled_from(
    (
        Options(),
        Options(),
        Options(recognition=True),
        Options(require_union_citizens=True),
        Options(max_evidence_age="60d"),
    )
)
instants = st.integers(0, 60).map(lambda days: AT + timedelta(days=days))


@dataclass(frozen=True)
class Question:
    """A request under a framework and options; its level is one the framework has."""

    request: Request
    framework: str
    options: Options

    def table(self, inventory: Inventory, at: datetime = AT) -> Verdicts:
        return inventory.verdicts(self.framework, self.options, at=at)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    framework = draw(st.sampled_from(FRAMEWORKS))
    request = draw(requests)
    level = request.level if framework == "cada" else min(request.level, 2)
    return Question(replace(request, level=level), framework, draw(options))
