"""Loading rule packs: what is refused and with which remedy; verbs and weighted scores by their three values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domicile.documents.yaml import read_documents
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.facts import Entities, candidates_of, entity_subject
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.verdicts import Verdict
from domicile.tiers.evaluate import Evaluation, evaluate
from domicile.tiers.framework import Framework, FrameworkError, load_framework
from domicile.tiers.packs import BUILT_IN, pack_text
from domicile.tiers.predicates import VERBS as COMPILERS

VERBS_KNOWN = frozenset(COMPILERS)
WORDS = sorted(VERBS_KNOWN | {"facts", "of", "fails", "evidence", "where", "require", "outside", "to", "then", "else"})
SCENARIOS = Path(__file__).parents[1] / "scenarios"
AT = datetime(2026, 11, 1, tzinfo=UTC)
S, U, V = Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED


def rule(require: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "R1", "clause": "1", "title": "A rule", "level": 1, "require": require, **more}


def pack(*rules: dict[str, Any], **more: Any) -> Framework:
    """A small framework: one tier that needs no evidence, the territory Nordic = DK, SE."""
    document = {
        "version": "1",
        "territories": {"Nordic": {"countries": ["DK", "SE"]}},
        "certificateLevels": ["basic", "high"],
        "tiers": [{"level": 1, "evidence": {"atLeast": "none"}}],
        "rules": list(rules),
        **more,
    }
    return load_framework("test", SovereigntyFrameworkSpec.model_validate(document))


def ask(framework: Framework, facts: dict[str, Any], **provider: Any) -> Evaluation:
    cluster = SovereignClusterSpec.model_validate(
        {
            "provider": "p",
            "subcontractors": [],
            "facts": facts,
            "nodePools": [{"name": "pool", "provider": "p", "nodes": {"names": ["n"]}}],
        }
    )
    entity = entity_subject("p", LegalEntitySpec.model_validate(provider))
    (candidate,) = candidates_of("c", cluster)
    return evaluate(framework, candidate, entities=Entities.of({"p": entity}), at=AT)


BROKEN = {
    "unknown path, with the nearest": (
        {"rules": [rule({"within": "Nordic", "facts": ["controlPlan.countries"]})]},
        ["R1", "no field 'controlPlan'", "did you mean 'controlPlane'?"],
    ),
    "unknown path below a party": (
        {"rules": [rule({"isTrue": ["seats.genuine"]}, of=["provider"])]},
        ["no field 'genuine'", "registeredOffice"],
    ),
    "path through a value": ({"rules": [rule({"isTrue": ["location.country.name"]})]}, ["has no field 'name'"]),
    "list brackets on no list": ({"rules": [rule({"isTrue": ["location[].country"]})]}, ["'location' is not a list"]),
    "candidate's path asked of a party": (
        {"rules": [rule({"within": "Nordic", "facts": ["location"]}, of=["provider"])]},
        ["no field 'location'"],
    ),
    "unknown territory": (
        {"rules": [rule({"within": "Nordics", "facts": ["location"]})]},
        ["territory 'Nordics' is not defined", "known: Nordic"],
    ),
    "reference to a rule that is not there": ({"rules": [rule({"rule": "R0"})]}, ["'R0' is not defined before"]),
    "reference to a later rule": (
        {"rules": [rule({"rule": "R2"}), rule({"stated": ["location"]}, id="R2")]},
        ["'R2' is not defined before"],
    ),
    "reference that takes a waiver over": (
        {"rules": [rule({"stated": ["location"]}), rule({"rule": "R1", "waivers": "kept"}, id="R2")]},
        ["waivers: write ignored"],
    ),
    "rule id used twice": (
        {"rules": [rule({"stated": ["location"]}), rule({"stated": ["keys"]})]},
        ["R1", "unique"],
    ),
    "level that is no tier": ({"rules": [rule({"stated": ["location"]}, level=2)]}, ["level 2 is no tier", "[1]"]),
    "tiers out of order": (
        {"rules": [rule({"stated": ["location"]})], "tiers": [{"level": 2}, {"level": 1}]},
        ["must rise without repeats"],
    ),
    "country code that ISO does not assign": (
        {"rules": [rule({"stated": ["location"]})], "territories": {"T": {"countries": ["DK", "XX"]}}},
        ["spec.territories.T.countries[1]", "XX is not an ISO 3166-1"],
    ),
    "subdivision among the countries": (
        {"rules": [rule({"stated": ["location"]})], "territories": {"T": {"countries": ["FR-974"]}}},
        ["FR-974 belongs into including"],
    ),
    "territory of an undefined one": (
        {"rules": [rule({"stated": ["location"]})], "territories": {"T": {"sameAs": "Elsewhere"}}},
        ["territory 'Elsewhere' is not defined"],
    ),
    "territories that refer to each other": (
        {"rules": [rule({"stated": ["location"]})], "territories": {"A": {"sameAs": "B"}, "B": {"sameAs": "A"}}},
        ["refers to itself"],
    ),
    "wrong verb": ({"rules": [rule({"inside": "Nordic"})]}, ["exactly one verb", "known verbs: within"]),
    "two verbs": (
        {"rules": [rule({"isTrue": ["sbom.complete"], "isFalse": ["sbom.complete"]})]},
        ["exactly one verb", "['isTrue', 'isFalse']"],
    ),
    "no object": ({"rules": [rule({"allOf": ["location"]})]}, ["a predicate is an object with one verb"]),
    "unknown parameter": (
        {"rules": [rule({"within": "Nordic", "fact": ["location"]})]},
        ["unknown parameter ['fact']", "allowed: ['facts']"],
    ),
    "facts that are no list": ({"rules": [rule({"within": "Nordic", "facts": "location"})]}, ["a list of fact paths"]),
    "unknown party": ({"rules": [rule({"isTrue": ["sme"]}, of=["owner"])]}, ["'owner' is no party", "provider"]),
    "fails other than Unknown": (
        {"rules": [rule({"stated": ["location"], "fails": "Satisfied"})]},
        ["fails: 'Satisfied'", "write Unknown"],
    ),
    "unknown evidence class": (
        {"rules": [rule({"stated": ["location"], "evidence": {"atLeast": "sworn"}})]},
        ["evidence:", "atLeast: recognised"],
    ),
    "control asked of the candidate": (
        {"rules": [rule({"control": "absent", "outside": "Nordic"})]},
        ["control looks at entities", "of: [provider]"],
    ),
    "control with another word": (
        {"rules": [rule({"control": "weak", "outside": "Nordic"}, of=["provider"])]},
        ["write absent or confined"],
    ),
    "control outside of nothing": (
        {"rules": [rule({"control": "absent"}, of=["provider"])]},
        ["territory None is not defined"],
    ),
    "unknown certificate level": ({"rules": [rule({"certificate": "top"})]}, ["'top' is no level", "basic, high"]),
    "scheme of an unknown level": (
        {
            "rules": [rule({"stated": ["location"]})],
            "schemes": [{"name": "X", "route": "national", "available": True, "level": "top"}],
        },
        ["spec.schemes (X)", "not in spec.certificateLevels"],
    ),
    "age that is none": ({"rules": [rule({"ageAtMost": "1y", "facts": ["sbom.generated"]})]}, ["'1y' is no age"]),
    "threshold that is no number": (
        {"rules": [rule({"atLeast": "many", "facts": ["components"]})]},
        ["atLeast: a number is needed"],
    ),
    "unknown option": ({"rules": [rule({"option": "cheap"})]}, ["option: 'cheap' is unknown"]),
    "thresholds of holdings misspelt": (
        {"rules": [rule({"holdings": {"each": 24}, "outside": "Nordic"}, of=["provider"])]},
        ["eachAtMost, togetherAtMost and withoutRights"],
    ),
    "objective that is not defined": (
        {"rules": [rule({"stated": ["location"]}, objective="O")]},
        ["objective 'O' is not defined"],
    ),
    "objective that no rule counts for": (
        {"rules": [rule({"stated": ["location"]})], "objectives": [{"id": "O"}]},
        ["spec.objectives (O)", "no rule counts for it"],
    ),
    "optional rule without an objective": (
        {"rules": [rule({"stated": ["location"]}, mandatory=False)]},
        ["needs an objective"],
    ),
}


@pytest.mark.parametrize(("document", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_pack_is_refused_with_a_remedy(document: dict[str, Any], words: list[str]) -> None:
    rules, more = document["rules"], {k: v for k, v in document.items() if k != "rules"}
    with pytest.raises(ValueError) as error:
        pack(*rules, **more)
    assert all(word in str(error.value) for word in words), str(error.value)


leaves = (
    st.none() | st.booleans() | st.integers(-2, 100) | st.sampled_from(["location", "Nordic", "provider", "R1", ""])
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(VERBS_KNOWN)), documents, st.dictionaries(st.sampled_from(WORDS), documents, max_size=3))
def test_a_predicate_compiles_or_is_refused_in_words(verb: str, value: object, more: dict[str, object]) -> None:
    for of in (None, ["provider"]):
        try:
            pack(rule({verb: value, **more}, **({"of": of} if of else {})))
        except (FrameworkError, ValidationError) as error:
            assert str(error)


SIMPLE: dict[str, Callable[[str], dict[str, Any]]] = {
    "isTrue": lambda path: {"isTrue": [path]},
    "within": lambda path: {"within": "Nordic", "facts": [path]},
    "oneOf": lambda path: {"oneOf": ["x", 1], "facts": [path]},
    "atLeast": lambda path: {"atLeast": 1, "facts": [path]},
    "ageAtMost": lambda path: {"ageAtMost": "12mo", "facts": [path]},
    "stated": lambda path: {"stated": [path]},
}


@pytest.mark.parametrize("verb", SIMPLE)
def test_a_verb_has_an_answer_for_every_fact_of_the_model(verb: str) -> None:
    baseline = read_documents((SCENARIOS / "baseline.yaml").read_text(encoding="utf-8"))
    facts, provider = baseline[1].value["spec"]["facts"], baseline[0].value["spec"]
    for group, value in facts.items():
        for path in [group, *(f"{group}.{field}" for field in (value if isinstance(value, dict) else ()))]:
            assert ask(pack(rule(SIMPLE[verb](path))), facts, **provider).criteria[1] in (S, U, V)
    for path in (p for p in provider if p != "evidence"):
        outcome = ask(pack(rule(SIMPLE[verb](path), of=["provider"])), facts, **provider)
        assert outcome.criteria[1] in (S, U, V)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(FrameworkError) as error:
        pack(rule({"inside": 1}), rule({"isTrue": ["nothing"]}, id="R2"), rule({"rule": "R9"}, id="R3", level=7))
    assert len(error.value.problems) == 4


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_packs_load(name: str) -> None:
    (document,) = read_documents(pack_text(name))
    framework = load_framework(name, SovereigntyFrameworkSpec.model_validate(document.value["spec"]))
    assert framework.levels == (1, 2, 3, 4)
    assert framework.id == "cada/COM-2026-502"


PLACE = {"country": "DK"}
VERBS: dict[str, tuple[dict[str, Any], dict[str, Any], Verdict]] = {
    "within, inside": ({"within": "Nordic", "facts": ["location"]}, {"location": PLACE}, S),
    "within, outside": ({"within": "Nordic", "facts": ["location"]}, {"location": {"country": "NO"}}, V),
    "within, not stated": ({"within": "Nordic", "facts": ["location"]}, {}, U),
    "within, one of two outside": (
        {"within": "Nordic", "facts": ["logs.countries"]},
        {"logs": {"countries": ["DK", "US"]}},
        V,
    ),
    "within, none exist": ({"within": "Nordic", "facts": ["logs.countries"]}, {"logs": {"countries": []}}, S),
    "first that is stated": (
        {"within": "Nordic", "facts": ["facility.country | location"]},
        {"location": PLACE},
        S,
    ),
    "isTrue, false": ({"isTrue": ["sbom.complete"]}, {"sbom": {"complete": False}}, V),
    "isFalse, false": ({"isFalse": ["sbom.complete"]}, {"sbom": {"complete": False}}, S),
    "isFalse, not stated": ({"isFalse": ["sbom.complete"]}, {"sbom": {}}, U),
    "oneOf, another": ({"oneOf": ["hyok"], "facts": ["keys.custody"]}, {"keys": {"custody": "byok"}}, V),
    "atLeast, length of a list": ({"atLeast": 1, "facts": ["security.standards"]}, {"security": {"standards": []}}, V),
    "atLeast, number": (
        {"atLeast": 2, "facts": ["assurance.opinion.level"]},
        {"assurance": {"opinion": {"level": 2}}},
        S,
    ),
    "atMost, number": (
        {"atMost": 1, "facts": ["assurance.opinion.level"]},
        {"assurance": {"opinion": {"level": 2}}},
        V,
    ),
    "ageAtMost, young enough": (
        {"ageAtMost": "30d", "facts": ["sbom.generated"]},
        {"sbom": {"generated": "2026-10-02"}},
        S,
    ),
    "ageAtMost, too old": (
        {"ageAtMost": "30d", "facts": ["sbom.generated"]},
        {"sbom": {"generated": "2026-10-01"}},
        V,
    ),
    "ageAtMost, to come": (
        {"ageAtMost": "30d", "facts": ["sbom.generated"]},
        {"sbom": {"generated": "2026-11-02"}},
        U,
    ),
    "stated, not": ({"stated": ["sbom"]}, {}, V),
    "stated, as a demand": ({"stated": ["sbom"], "fails": "Unknown"}, {}, U),
    "each, over nothing": ({"each": "components", "require": {"isTrue": ["migrationPlan"]}}, {"components": []}, S),
    "each, not stated": ({"each": "components", "require": {"isTrue": ["migrationPlan"]}}, {}, U),
    "each, one fails": (
        {"each": "components", "require": {"isTrue": ["migrationPlan"]}},
        {"components": [{"name": "a", "migrationPlan": True}, {"name": "b", "migrationPlan": False}]},
        V,
    ),
    "each where, does not apply": (
        {
            "each": "components",
            "where": {"oneOf": ["proprietary"], "facts": ["licence"]},
            "require": {"isTrue": ["migrationPlan"]},
        },
        {"components": [{"name": "a", "licence": "openSource", "migrationPlan": False}]},
        S,
    ),
    "each where, open whether it applies": (
        {
            "each": "components",
            "where": {"oneOf": ["proprietary"], "facts": ["licence"]},
            "require": {"isTrue": ["migrationPlan"]},
        },
        {"components": [{"name": "a", "migrationPlan": False}]},
        U,
    ),
    "validCertificate, of a scheme that is not held": (
        {"validCertificate": ["C5"]},
        {"certificates": [{"scheme": "ISO27001", "validUntil": "2028-01-01"}]},
        V,
    ),
    "validCertificate, expired": (
        {"validCertificate": ["C5"]},
        {"certificates": [{"scheme": "C5", "validUntil": "2026-01-01"}]},
        U,
    ),
    "allOf, worst": ({"allOf": [{"isTrue": ["sbom.complete"]}, {"stated": ["keys"]}]}, {"sbom": {}}, V),
    "anyOf, best": ({"anyOf": [{"isTrue": ["sbom.complete"]}, {"stated": ["keys"]}]}, {"sbom": {}}, U),
    "not": ({"not": {"isTrue": ["sbom.complete"]}}, {"sbom": {"complete": False}}, S),
    "not, not stated": ({"not": {"isTrue": ["sbom.complete"]}}, {}, U),
    "if, open, both agree": (
        {
            "if": {"isTrue": ["sbom.complete"]},
            "then": {"stated": ["location"]},
            "else": {"within": "Nordic", "facts": ["location"]},
        },
        {"location": PLACE},
        S,
    ),
    "if, open, they differ": (
        {"if": {"isTrue": ["sbom.complete"]}, "then": {"stated": ["keys"]}},
        {},
        U,
    ),
    "provider's name": ({"oneOf": ["p"], "facts": ["provider"]}, {}, S),
    "path through a reference": (
        {"each": "components", "require": {"within": "Nordic", "facts": ["supplier.seats.registeredOffice"]}},
        {"components": [{"name": "a", "supplier": "p"}]},
        S,
    ),
    "path through a reference that leads nowhere": (
        {"each": "components", "require": {"within": "Nordic", "facts": ["supplier.seats.registeredOffice"]}},
        {"components": [{"name": "a", "supplier": "nobody"}]},
        U,
    ),
}


@pytest.mark.parametrize(("require", "facts", "expected"), VERBS.values(), ids=VERBS)
def test_verb(require: dict[str, Any], facts: dict[str, Any], expected: Verdict) -> None:
    outcome = ask(pack(rule(require)), facts, seats={"registeredOffice": "DK"})
    assert outcome.criteria[1] is expected, outcome.rules


def weighted(threshold: float, *, mandatory: bool = False) -> Framework:
    """Two objectives of weight 60 and 40: a complete SBOM, keys in the customer's hand."""
    return pack(
        rule({"isTrue": ["sbom.complete"]}, objective="A", mandatory=mandatory),
        rule({"oneOf": ["hyok"], "facts": ["keys.custody"]}, id="R2", objective="B", mandatory=mandatory),
        objectives=[{"id": "A", "weight": 60}, {"id": "B", "weight": 40}],
        tiers=[{"level": 1, "evidence": {"atLeast": "none"}, "score": {"atLeast": threshold}}],
    )


@pytest.mark.parametrize(
    ("complete", "custody", "threshold", "expected"),
    [
        (True, "hyok", 100, S),
        (True, "byok", 60, S),
        (True, "byok", 60.1, V),
        (False, "hyok", 40, S),
        (False, "hyok", 41, V),
        (True, None, 60, S),
        (True, None, 61, U),
        (None, "hyok", 60, U),
        (None, "byok", 60, U),
        (None, "byok", 61, V),
        (False, "byok", 1, V),
        (None, None, 0, S),
    ],
)
def test_weighted_score(complete: bool | None, custody: str | None, threshold: float, expected: Verdict) -> None:
    facts: dict[str, Any] = {"sbom": {} if complete is None else {"complete": complete}}
    facts["keys"] = {} if custody is None else {"custody": custody}
    assert ask(weighted(threshold), facts).criteria[1] is expected


def test_the_lowest_objective_is_the_level_where_rules_are_mandatory() -> None:
    facts = {"sbom": {"complete": True}, "keys": {"custody": "byok"}}
    assert ask(weighted(60), facts).criteria[1] is S
    assert ask(weighted(60, mandatory=True), facts).criteria[1] is V


def test_a_rule_may_have_an_evidence_floor_of_its_own() -> None:
    framework = pack(rule({"stated": ["location"]}, evidence={"atLeast": "audited"}))
    assert ask(framework, {"location": PLACE}).criteria[1] is U


def test_a_tier_without_rules_of_its_own_is_as_good_as_the_one_below() -> None:
    tiers = [{"level": n, "evidence": {"atLeast": "none"}} for n in (1, 2)]
    outcome = ask(pack(rule({"stated": ["location"]}), tiers=tiers), {"location": PLACE})
    assert outcome.criteria == {1: S, 2: S}
    assert outcome.proven == 2


def test_same_as_takes_places_over_and_corrects_them() -> None:
    territories = {
        "Small": {"countries": ["DK"], "including": ["FO"], "excluding": ["GL"]},
        "Large": {"sameAs": "Small", "countries": ["SE"], "including": ["GL"], "excluding": ["FO"]},
    }
    framework = pack(rule({"stated": ["location"]}), territories=territories)
    small, large = framework.territories["Small"], framework.territories["Large"]
    assert [small.where(c) for c in ("DK", "SE", "FO", "GL")] == [S, V, S, V]
    assert [large.where(c) for c in ("DK", "SE", "FO", "GL")] == [S, S, V, S]
