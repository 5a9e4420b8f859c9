"""What the inventory says of objects it cannot use, and what it keeps of those it can."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.inventory.inventory import Inventory
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.objects import read_spec
from domicile.model.schema import API_VERSION
from domicile.tiers.reading import Options
from tests.placement.fleet import AT, cluster, entity, frameworks

Json = dict[str, Any]


def owned_by(*owners: str) -> LegalEntitySpec:
    spec = {"ownership": {"owners": [{"entity": name, "capitalPercent": 100} for name in owners]}}
    read = read_spec({"apiVersion": API_VERSION, "kind": "LegalEntity", "spec": spec})
    assert isinstance(read, LegalEntitySpec)
    return read


def framework(**fields: Any) -> SovereigntyFrameworkSpec:
    rule = {"id": "R", "clause": "c", "title": "t", "level": 1, "require": {"isTrue": ["sbom.complete"]}}
    spec = {"version": "1", "tiers": [{"level": 1}], "rules": [rule]} | fields
    read = read_spec({"apiVersion": API_VERSION, "kind": "SovereigntyFramework", "spec": spec})
    assert isinstance(read, SovereigntyFrameworkSpec)
    return read


def stated(**spec: Any) -> SovereignClusterSpec:
    read = read_spec({"apiVersion": API_VERSION, "kind": "SovereignCluster", "spec": {"provider": "nordlys"} | spec})
    assert isinstance(read, SovereignClusterSpec)
    return read


def test_ownership_that_goes_round() -> None:
    inventory = Inventory()
    inventory.set_entities({"a": owned_by("b"), "b": owned_by("c"), "c": owned_by("a")}, at=AT)
    inventory.set_entity("bystander", owned_by(), at=AT)
    for name in ("a", "b", "c"):
        (problem,) = inventory.fact_problems("LegalEntity", name)
        assert problem.startswith("spec.ownership.owners: ownership cycle")
    assert inventory.fact_problems("LegalEntity", "bystander") == []
    inventory.set_entity("b", owned_by(), at=AT)
    assert inventory.fact_problems("LegalEntity", "a") == []


def test_references_that_lead_nowhere() -> None:
    inventory = Inventory()
    inventory.set_entity("child", owned_by("parent"), at=AT)
    (problem,) = inventory.fact_problems("LegalEntity", "child")
    assert "owner LegalEntity/parent does not exist; create it" in problem
    pools = [{"name": "p", "provider": "one", "facility": {"operator": "two"}, "nodes": {"names": []}}]
    partner = [{"entity": "three"}]
    inventory.set_cluster("c", stated(provider="four", nodePools=pools, subcontractors=partner), at=AT)
    assert inventory.fact_problems("SovereignCluster", "c") == [
        f"LegalEntity/{name} does not exist; create it or correct the reference"
        for name in ("four", "one", "three", "two")
    ]
    inventory.set_entities({name: owned_by() for name in ("one", "two", "three", "four")}, at=AT)
    assert inventory.fact_problems("SovereignCluster", "c") == []


PLACES: tuple[tuple[Json, str], ...] = (
    ({"facts": {"location": {"country": "XX"}}}, "spec.facts.location.country: XX"),
    ({"facts": {"location": {"country": "DK", "subdivision": "DK-99"}}}, "spec.facts.location.subdivision: DK-99"),
    ({"facts": {"backups": {"countries": ["DK", "ZZ"]}}}, "spec.facts.backups.countries[1]: ZZ"),
    ({"facts": {"logs": {"countries": ["QQ"]}}}, "spec.facts.logs.countries[0]: QQ"),
    (
        {"nodePools": [{"name": "p", "provider": "nordlys", "nodes": {"names": []},
                        "facts": {"location": {"country": "XX"}}}]},
        "spec.nodePools[0].facts.location.country: XX",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("spec", "problem"), PLACES, ids=[p[1] for p in PLACES])
def test_places_that_do_not_exist(spec: Json, problem: str) -> None:
    inventory = Inventory()
    inventory.set_entity("nordlys", entity(), at=AT)
    inventory.set_cluster("c", stated(**spec), at=AT)
    (said,) = inventory.fact_problems("SovereignCluster", "c")
    assert said.startswith(problem)
    assert "use the two-letter code" in said or "correct it" in said


def test_two_packs_of_one_id() -> None:
    """Which one is meant cannot be told, so neither is used; the other comes back when one goes."""
    inventory = Inventory()
    assert inventory.set_framework("a", framework(id="x")).frameworks == {"a"}
    assert inventory.set_framework("b", framework(id="x")).frameworks == {"a"}
    assert not inventory.frameworks
    assert inventory.framework_problems == {
        "a": ("spec.id: x 1 is also defined by b; keep one",),
        "b": ("spec.id: x 1 is also defined by a; keep one",),
    }
    assert inventory.set_framework("a", None).frameworks == {"b"}
    assert set(inventory.frameworks) == {"b"} and not inventory.framework_problems
    assert inventory.set_framework("c", framework(id="x", version="2")).frameworks == {"c"}, (
        "another version is another"
    )
    inventory.set_framework("x", framework())
    assert set(inventory.framework_problems) == {"b", "x"}, "a name is an id too"


def test_a_pack_that_does_not_load() -> None:
    inventory = Inventory()
    rule = {"id": "R", "clause": "c", "title": "t", "level": 1, "require": {"isTrue": ["sbom.complet"]}}
    inventory.set_framework("good", framework())
    assert not inventory.set_framework("bad", framework(rules=[rule]))
    assert inventory.framework_problems["bad"][0].startswith("spec.rules[0] (R): ")
    assert set(inventory.frameworks) == {"good"}
    inventory.set_framework("good", framework(version="2"))
    assert "bad" in inventory.framework_problems, "a change elsewhere does not hide it"
    assert inventory.set_framework("bad", framework(version="3")).frameworks == {"bad"}
    assert not inventory.framework_problems


def test_a_pack_that_stops_loading_is_no_longer_used() -> None:
    inventory = Inventory()
    inventory.set_framework("x", framework())
    rule = {"id": "R", "clause": "c", "title": "t", "level": 7, "require": {"isTrue": ["sbom.complete"]}}
    assert inventory.set_framework("x", framework(rules=[rule])).frameworks == {"x"}
    assert not inventory.frameworks


def test_a_changed_pack_is_asked_anew() -> None:
    inventory = Inventory()
    inventory.set_framework("x", framework())
    inventory.set_entity("nordlys", entity(), at=AT)
    inventory.set_cluster("c", cluster("nordlys", (), (("p", "nordlys", ()),)), at=AT)
    assert inventory.verdicts("x", Options(), at=AT).bits.eligible[1]
    abroad = {"id": "R", "clause": "c", "title": "t", "level": 1, "require": {"within": "T", "facts": ["location"]}}
    inventory.set_framework("x", framework(territories={"T": {"countries": ["FR"]}}, rules=[abroad]))
    assert not inventory.verdicts("x", Options(), at=AT).bits.eligible[1]
    with pytest.raises(KeyError):
        inventory.verdicts("y", Options(), at=AT)


def test_digest_of_all_facts() -> None:
    one, other = Inventory(), Inventory()
    for inventory, names in ((one, ("a", "b")), (other, ("b", "a"))):
        for name in names:
            inventory.set_entity(name, owned_by(), at=AT)
    assert one.digest == other.digest
    before = one.digest
    one.set_entity("a", owned_by("b"), at=AT)
    assert one.digest != before
    one.set_entity("a", owned_by(), at=AT)
    assert one.digest == before
    one.set_entity("a", None, at=AT)
    assert one.digest != before


def test_candidates() -> None:
    inventory = Inventory()
    inventory.frameworks |= frameworks()
    inventory.set_cluster("c", cluster("nordlys", (), (("p", "nordlys", ()), ("q", "other", ("in France",)))), at=AT)
    found = inventory.candidate(("c", "q"))
    assert found is not None and (found.name, found.country, found.providers) == ("c/q", "FR", ("nordlys", "other"))
    assert inventory.candidate(("c", "r")) is None and inventory.candidate(("d", "p")) is None
