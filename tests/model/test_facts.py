"""From objects to what the evaluator reads: candidates, evidence per group, the ownership graph's problems."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.evidence import Evidence
from domicile.model.facts import Candidate, Entities, candidates_of, entity_subject, read_evidence


def cluster(pools: list[dict[str, Any]], **more: Any) -> tuple[Candidate, ...]:
    nodes = {"names": ["n"]}
    document = {"provider": "p", "nodePools": [{"provider": "p", "nodes": nodes, **pool} for pool in pools], **more}
    return candidates_of("c", SovereignClusterSpec.model_validate(document))


def entities(**owners: list[str]) -> Entities:
    return Entities.of(
        {
            name: entity_subject(
                name, LegalEntitySpec.model_validate({"ownership": {"owners": [{"entity": o} for o in held_by]}})
            )
            for name, held_by in owners.items()
        }
    )


def test_every_pool_is_a_candidate() -> None:
    assert [c.name for c in cluster([{"name": "a"}, {"name": "b"}])] == ["c/a", "c/b"]


def test_a_pools_group_replaces_the_clusters_whole_group() -> None:
    facts = {"location": {"country": "DK", "subdivision": "DK-84"}, "logs": {"countries": ["DK"]}}
    (candidate,) = cluster([{"name": "a", "facts": {"location": {"country": "SE"}}}], facts=facts)
    assert candidate.facts.doc["location"] == {"country": "SE", "source": "declared"}
    assert candidate.facts.doc["logs"] == {"countries": ["DK"]}
    assert candidate.country == "SE"


def test_a_pools_own_groups_have_only_the_evidence_that_names_the_pool() -> None:
    every = {"covers": ["*"], "class": "audited", "issuer": "i", "issued": "2026-01-01"}
    evidence = [
        every,
        {**every, "issuer": "of-a", "nodePools": ["a"]},
        {**every, "issuer": "of-all", "nodePools": ["*"]},
    ]
    pools = [{"name": n, "facts": {"location": {"country": "SE"}}} for n in ("a", "b")]
    first, second = cluster(pools, facts={"logs": {"countries": ["DK"]}}, evidence=evidence)
    assert [e.issuer for e in first.facts.evidence_of("location")] == ["of-a", "of-all"]
    assert [e.issuer for e in second.facts.evidence_of("location")] == ["of-all"]
    assert len(second.facts.evidence_of("logs")) == 3
    assert second.facts.label_of("location") == "SovereignCluster/c pool b"
    assert second.facts.label_of("logs") == "SovereignCluster/c"


def test_both_providers_are_known_once_each() -> None:
    same, other = cluster([{"name": "a"}, {"name": "b", "provider": "q"}])
    assert (same.providers, other.providers) == (("p",), ("p", "q"))


def test_subcontractors_not_stated_differ_from_none() -> None:
    (unstated,), (none,) = cluster([{"name": "a"}]), cluster([{"name": "a"}], subcontractors=[])
    assert "subcontractors" not in unstated.facts.doc
    assert none.facts.doc["subcontractors"] == []


@pytest.mark.parametrize(
    ("covers", "fact", "covered"),
    [
        ("*", "seats.registeredOffice", True),
        ("seats", "seats", True),
        ("seats", "seats.registeredOffice", True),
        ("seats.registeredOffice", "seats.registeredOffice", True),
        ("seats.registeredOffice", "seats.mainEstablishment", False),
        ("seats.registeredOffice", "seats", False),
        ("key", "keys", False),
        ("support", "supportVendors", False),
    ],
)
def test_what_evidence_covers(covers: str, fact: str, covered: bool) -> None:
    entry = {"covers": [covers], "class": "audited", "issuer": "i", "issued": "2026-01-01"}
    assert read_evidence(Evidence.model_validate(entry)).covers_fact(fact) is covered


def test_days_of_evidence() -> None:
    entry = {"covers": ["*"], "class": "audited", "issuer": "i", "issued": "2026-01-01", "validUntil": "2026-06-30"}
    read = read_evidence(Evidence.model_validate(entry))
    assert read.reviewed == read.issued == datetime(2026, 1, 1, tzinfo=UTC)
    assert read.expires == datetime(2026, 7, 1, tzinfo=UTC)


def test_a_sound_graph_has_no_problems() -> None:
    assert entities(a=["b", "c"], b=["d"], c=["d"], d=[]).problems == {}


def test_a_cycle_and_everything_below_it_are_named() -> None:
    problems = entities(a=["b"], b=["c"], c=["b"], d=["d"], e=[]).problems
    assert sorted(problems) == ["a", "b", "c", "d"]
    assert "cycle" in problems["a"]


def test_a_holder_that_does_not_exist_is_named_for_everything_below() -> None:
    problems = entities(a=["b"], b=["nobody"], c=[]).problems
    assert sorted(problems) == ["a", "b"]
    assert "LegalEntity/nobody does not exist" in problems["a"]


@pytest.mark.parametrize("names", ["abc", "cba", "bca"])
def test_problems_do_not_depend_on_the_order_of_reading(names: str) -> None:
    held = {"a": ["b"], "b": ["c"], "c": ["a", "nobody"]}
    assert sorted(entities(**{n: held[n] for n in names}).problems) == ["a", "b", "c"]


def test_above_names_the_whole_chain_existing_or_not() -> None:
    graph = entities(a=["b", "x"], b=["c"], c=["nobody"], x=[], other=["a"])
    assert graph.above("a") == ("a", "b", "c", "nobody", "x")
    assert graph.above("x") == ("x",)
    assert graph.above("missing") == ("missing",)


def test_above_ends_in_a_cycle() -> None:
    assert entities(a=["b"], b=["a"]).above("a") == ("a", "b")


def test_a_long_chain_is_followed() -> None:
    links = {f"e{n}": [f"e{n + 1}"] for n in range(3000)} | {"e3000": []}
    assert len(entities(**links).above("e0")) == 3001
