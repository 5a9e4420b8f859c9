"""What must hold for every inventory, tried on the cases of the scenario files and on what varying them gives."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domicile.model.objects import ObjectError
from domicile.model.verdicts import Verdict
from domicile.tiers.evaluate import Evaluation
from tests.tiers.inventories import Inventory, Key, inventories, paths_of, without

some = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
anyone = st.sampled_from(inventories())
baseline = next(i for i in inventories() if i.name.startswith("cada: 01 "))

# Fields whose absence is itself a statement, so that taking them away is no loss of knowledge: the value the API
# fills in, the relation that does not exist, the notice that was not given, the coarser word for a place.
SPEAKS_BY_ABSENCE = re.compile(
    r"""
    spec\.evidence(\..*)?                                       # has a property of its own below
    | spec\.(nodePools|connection|identity)\.\d+\.(facts|facility|burstsTo)   # the cluster's; the provider's own; none
    | spec\.nodePools\.\d+\.(facts|facility|burstsTo)\..*
    | spec\.(facts|nodePools\.\d+\.facts)\.location\.(subdivision|source)     # the country; declared
    | spec\.facts\.(keys|telemetry\.sinks\.\d+|externalServices\.\d+)\.operator   # the provider itself
    | spec\.facts\.egress\.allowedCountries                     # none
    | spec\.(materialChanges|links)(\..*)?                      # none noticed; none
    | spec\.management(\..*)?                                   # directed from its seats
    | spec\.ownership\.owners\.\d+\.concertGroup                # acts alone
    | spec\.control(\..*)?                                      # the register speaks instead (section 5.3)
    """,
    re.VERBOSE,
)


def facts(inventory: Inventory) -> list[tuple[str, Key]]:
    return [
        (name, path)
        for name, raw in sorted(inventory.objects.items())
        for path in paths_of(raw)
        if path[0] == "spec" and len(path) > 1 and not SPEAKS_BY_ABSENCE.fullmatch(".".join(map(str, path)))
    ]


def satisfied(evaluation: Evaluation) -> set[int]:
    return {level for level, verdict in evaluation.criteria.items() if verdict is Verdict.SATISFIED}


def outcome(evaluation: Evaluation) -> object:
    rules = [(rule.rule, rule.verdict, rule.waived) for rule in evaluation.rules]
    return rules, evaluation.criteria, evaluation.recognition, evaluation.levels


def evaluated(inventory: Inventory) -> Evaluation:
    try:
        return inventory.evaluate()
    except (ObjectError, StopIteration):  # what is left is no valid object, or no pool
        assume(False)
        raise


@some
@given(anyone, st.data())
def test_taking_facts_away_never_satisfies_a_level(inventory: Inventory, data: st.DataObject) -> None:
    assume(not inventory.entities.problems)  # to take a contradiction away is to settle it
    gone = data.draw(st.lists(st.sampled_from(facts(inventory)), min_size=1, max_size=6))
    poorer = inventory.with_objects(lambda name, raw: without(raw, frozenset(p for n, p in gone if n == name)))
    assert satisfied(evaluated(poorer)) <= satisfied(inventory.evaluate())


# Facts that no criterion of the four levels asks for where an audited conclusion on control is there.
RECORDED_ONLY = re.compile(
    r"""
    spec\.(legalName|kind|sme|ownership(\..*)?|personnel\.unionCitizensAvailable)
    | spec\.facts\.(keys\.custody|assurance\.recognition(\..*)?)
    | spec\.facts\.security(\..*)?                       # the certificate is there
    | spec\.facts\.components\.0\.(supplierCountry|licence|securityRelevant|sourceAudited|migrationPlan)  # harmless
    | spec\.facts\.components\.0\.effectiveControl\.(country|unionControlDocumented)   # either is enough
    | spec\.nodePools\.0\.accelerator(\..*)?
    """,
    re.VERBOSE,
)


@pytest.mark.parametrize("name", ["LegalEntity/nordlys", "SovereignCluster/nordlys-1"])
def test_every_fact_of_the_baseline_but_the_recorded_ones_is_needed(name: str) -> None:
    idle = set()
    for path in (path for owner, path in facts(baseline) if owner == name):
        objects = {**baseline.objects, name: without(baseline.objects[name], frozenset({path}))}
        try:
            after = replace(baseline, objects=objects).evaluate()
        except (ObjectError, StopIteration):  # a field the API requires
            continue
        if satisfied(after) == {1, 2, 3, 4}:
            idle.add(".".join(map(str, path)))
    assert not {path for path in idle if not RECORDED_ONLY.fullmatch(path)}


WEAKER: dict[str, dict[str, Any]] = {
    "no class": {"class": "none"},
    "self-declared": {"class": "selfDeclared"},
    "draft": {"status": "draft"},
    "not issued yet": {"issued": "2999-01-01"},
    "long ago": {"issued": "2001-01-01", "reviewed": "2001-01-01"},
    "expired": {"validUntil": "2001-01-01"},
    "of nothing": {"covers": ["legalName"]},
}


@some
@given(anyone, st.integers(0, 7), st.sampled_from(sorted(WEAKER)))
def test_weaker_evidence_never_satisfies_a_level(inventory: Inventory, number: int, how: str) -> None:
    def weaken(name: str, raw: Any) -> Any:
        entries = raw["spec"].get("evidence") or []
        weaker = [
            {**e, **WEAKER[how]} if n == number % len(entries) and "asserts" not in e and "status" not in e else e
            for n, e in enumerate(entries)
        ]
        return {**raw, "spec": {**raw["spec"], "evidence": weaker}} if entries else raw

    assert satisfied(evaluated(inventory.with_objects(weaken))) <= satisfied(inventory.evaluate())


@some
@given(anyone, st.randoms(use_true_random=False))
def test_the_order_of_lists_and_fields_changes_no_verdict(inventory: Inventory, chance: random.Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return chance.sample([shuffled(v) for v in value], len(value))
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in chance.sample(list(value), len(value))}
        return value

    before, after = inventory.evaluate(), inventory.with_objects(lambda _, raw: shuffled(raw)).evaluate()
    assert outcome(after) == outcome(before)
    assert (after.until, after.touched) == (before.until, before.touched)


@some
@given(anyone)
def test_the_same_inputs_give_the_same_answer(inventory: Inventory) -> None:
    assert inventory.evaluate() == inventory.evaluate()


@some
@given(anyone, st.integers(-900, 900), st.floats(0.001, 0.999))
def test_nothing_changes_before_the_next_instant_named(inventory: Inventory, days: int, part: float) -> None:
    at = inventory.at + timedelta(days=days)
    now = inventory.evaluate(at)
    if now.until is None:
        later = at + timedelta(days=4000 * part)
    else:
        assert now.until > at
        later = at + (now.until - at) * part
        assume(at < later < now.until)
    assert outcome(inventory.evaluate(later)) == outcome(now)


@some
@given(anyone, st.integers(-900, 900))
def test_levels_are_cumulative(inventory: Inventory, days: int) -> None:
    order = [Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED]
    evaluation = inventory.evaluate(inventory.at + timedelta(days=days))
    for verdicts in (evaluation.criteria, evaluation.recognition, evaluation.levels):
        ranks = [order.index(verdicts[level]) for level in sorted(verdicts)]
        assert ranks == sorted(ranks)


@some
@given(anyone, st.data())
def test_entities_outside_the_touched_set_change_nothing(inventory: Inventory, data: st.DataObject) -> None:
    before = inventory.evaluate()
    others = [n for n in inventory.objects if n.startswith("LegalEntity/") and n[12:] not in before.touched]
    assume(others)
    gone = data.draw(st.sets(st.sampled_from(sorted(others)), min_size=1))
    fewer = replace(inventory, objects={k: v for k, v in inventory.objects.items() if k not in gone})
    assert outcome(fewer.evaluate()) == outcome(before)
