"""What must hold of every decision over every inventory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domicile.inventory.inventory import Change, Inventory
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.objects import read_spec
from domicile.model.schema import API_VERSION
from domicile.model.verdicts import Verdict
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.decide import NEAREST, Decision, Outcome, Request, decide
from domicile.placement.explain import Explained, explain
from domicile.placement.request import Accepted, TierSources, accept
from domicile.placement.verdicts import Key, Row
from domicile.tiers.evaluate import evaluate
from domicile.tiers.reading import Options
from tests.placement import fleet
from tests.placement.fleet import AT, Fleet, Question, Rooms, questions

few = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def decision(
    inventory: Inventory,
    question: Question,
    rooms: Rooms,
    previous: Key | None = None,
    at: datetime = AT,
    stay: str = "",
) -> Decision:
    return decide(question.request, verdicts=question.table(inventory, at), field=rooms, previous=previous, stay=stay)


def explanation(inventory: Inventory, question: Question, rooms: Rooms, at: datetime = AT) -> list[Explained]:
    return explain(question.request, verdicts=question.table(inventory, at), field=rooms)


def eligible(inventory: Inventory, question: Question, at: datetime = AT) -> set[Key]:
    return {one.key for one in explanation(inventory, question, Rooms({}), at) if not one.refusals}


@pytest.mark.parametrize(("fact", "wish"), [("EL", "GR"), ("GR", "EL"), ("EL", "EL"), ("GB", "UK"), ("UK", "GB")])
def test_a_country_is_the_same_in_either_spelling(fact: str, wish: str) -> None:
    """European texts write EL and UK where ISO 3166 has GR and GB."""
    facts = fleet.cluster("nordlys", (), (("p1", "nordlys", ()),)).plain()
    facts["facts"]["location"] = {"country": fact, "source": "attested"}
    read = read_spec({"apiVersion": API_VERSION, "kind": "SovereignCluster", "spec": facts})
    assert isinstance(read, SovereignClusterSpec)
    inventory = Fleet({"nordlys": fleet.entity()}, {"c1": read}).build()
    for wished, refused in (((wish,), []), (("DK",), ["spec.countries"])):
        wishes = {"tier": 1, "countries": list(wished)}
        accepted = accept("ns/w", workload(wishes), sources=TierSources({}, {}, None), frameworks=inventory.frameworks)
        assert isinstance(accepted, Accepted)
        question = Question(accepted.request, "cada", accepted.options)
        (one,) = explanation(inventory, question, Rooms({}))
        named = [r.rule for r in decision(inventory, question, Rooms({})).refused if r.rule == "spec.countries"]
        assert [r.rule for r in one.refusals if r.level == 0] == named == refused


def workload(sovereignty: dict[str, Any]) -> InferenceDeploymentSpec:
    digest = "sha256:" + "0" * 64
    spec = {"model": {"name": "m", "source": "file:///m"}, "runtime": {"image": f"r@{digest}"}}
    raw = {"apiVersion": API_VERSION, "kind": "InferenceDeployment", "spec": spec | {"sovereignty": sovereignty}}
    read = read_spec(raw)
    assert isinstance(read, InferenceDeploymentSpec)
    return read


FORGOTTEN = (
    ("entity", "seats"), ("entity", "ownership"), ("entity", "personnel"), ("entity", "support"),
    ("entity", "subcontracting"), ("entity", "subsidiaries"), ("entity", "establishment"), ("entity", "evidence"),
    ("facts", "location"), ("facts", "control_plane"), ("facts", "telemetry"), ("facts", "egress"),
    ("facts", "certificates"), ("facts", "security"), ("facts", "sbom"), ("facts", "components"), ("facts", "keys"),
    ("facts", "assurance"), ("facts", "data_use"), ("cluster", "evidence"), ("cluster", "subcontractors"),
    ("cluster", "facts"),
)  # fmt: skip


def forget(known: Fleet, lost: set[tuple[str, str]]) -> Fleet:
    """The fleet with some groups of facts not stated anywhere."""

    def entity(spec: LegalEntitySpec) -> LegalEntitySpec:
        return spec.model_copy(update={field: None for kind, field in lost if kind == "entity"})

    def cluster(spec: SovereignClusterSpec) -> SovereignClusterSpec:
        groups = {field: None for kind, field in lost if kind == "facts"}
        facts = spec.facts.model_copy(update=groups) if spec.facts else None
        pools = [
            pool.model_copy(update={"facts": pool.facts.model_copy(update=groups)}) if pool.facts else pool
            for pool in spec.node_pools
        ]
        own = {field: None for kind, field in lost if kind == "cluster"}
        return spec.model_copy(update={"facts": facts, "node_pools": pools} | own)

    return Fleet(
        {name: entity(spec) for name, spec in known.entities.items()},
        {name: cluster(spec) for name, spec in known.clusters.items()},
    )


@few
@given(fleet.fleets, questions(), st.sets(st.sampled_from(FORGOTTEN), min_size=1, max_size=4))
def test_unknown_facts_never_make_anything_eligible(
    known: Fleet, question: Question, lost: set[tuple[str, str]]
) -> None:
    assert eligible(forget(known, lost).build(), question) <= eligible(known.build(), question)


@few
@given(fleet.fleets, questions(), fleet.fields)
def test_only_satisfied_admits(known: Fleet, question: Question, rooms: Rooms) -> None:
    """What is chosen satisfies each mandatory rule of its level, asked again one by one."""
    inventory = known.build()
    chosen = decision(inventory, question, rooms).chosen
    assume(chosen is not None)
    assert chosen is not None
    row = question.table(inventory).row(chosen)
    assert row is not None and row.levels[question.request.level] is Verdict.SATISFIED
    mandatory = {r.spec.id for r in inventory.frameworks[question.framework].rules if r.spec.mandatory}
    assert not [r for r in row.failed if r.level <= question.request.level and r.rule in mandatory]


@few
@given(fleet.fleets, questions())
def test_every_pool_is_judged_by_its_own_facts(known: Fleet, question: Question) -> None:
    """Whatever a table shares between pools that are alike: the evaluator says the same of each alone."""
    inventory = known.build()
    framework, options = inventory.frameworks[question.framework], question.options
    for key in fleet_keys(inventory):
        candidate, row = inventory.candidate(key), question.table(inventory).row(key)
        assert candidate is not None and row is not None
        alone = evaluate(framework, candidate, entities=inventory.entities, at=AT, options=options)
        failed = alone.failed(max(framework.levels), recognition=options.recognition)
        assert (row.levels, row.proven, row.until) == (alone.levels, alone.proven, alone.until)
        assert row.touched == alone.touched
        assert [(r.rule, r.verdict, r.findings) for r in row.failed] == [(r.rule, r.verdict, r.reasons) for r in failed]


@few
@given(fleet.fleets, questions())
def test_a_stricter_tier_never_has_more_candidates(known: Fleet, question: Question) -> None:
    inventory = known.build()
    levels = inventory.frameworks[question.framework].levels
    found = [eligible(inventory, replace(question, request=replace(question.request, level=n))) for n in levels]
    for looser, stricter in pairwise(found):
        assert stricter <= looser


def same(one: Inventory, other: Inventory, question: Question, rooms: Rooms, at: datetime = AT) -> None:
    assert one.digest == other.digest
    assert explanation(one, question, rooms, at) == explanation(other, question, rooms, at)
    for previous in (None, *fleet_keys(other)):
        assert decision(one, question, rooms, previous, at) == decision(other, question, rooms, previous, at)


def fleet_keys(inventory: Inventory) -> list[Key]:
    return [(name, pool.name) for name, spec in inventory.clusters.items() for pool in spec.node_pools]


@few
@given(fleet.fleets, fleet.fleets, questions(), fleet.fields, st.randoms(use_true_random=False))
def test_the_order_of_the_inventory_changes_nothing(
    known: Fleet, past: Fleet, question: Question, rooms: Rooms, random: Any
) -> None:
    """Told in any order, on top of what was there before and is gone: the same decision and explanation."""
    inventory = past.build()
    question.table(inventory)  # the tables exist, so that every step is an update of them
    steps = [("entity", name) for name in {*known.entities, *past.entities}]
    steps += [("cluster", name) for name in {*known.clusters, *past.clusters}] * 2
    random.shuffle(sorted(steps))
    seen: set[str] = set()
    for kind, name in steps:
        if kind == "entity":
            inventory.set_entity(name, known.entities.get(name), at=AT)
        elif name in seen:
            inventory.set_cluster(name, known.clusters.get(name), at=AT)
        else:  # first gone, so that slots are given up and taken again by others
            inventory.set_cluster(name, None, at=AT)
            seen.add(name)
    same(inventory, known.build(), question, rooms)


@few
@given(fleet.fleets, questions(), fleet.fields)
def test_explanation_and_decision_agree(known: Fleet, question: Question, rooms: Rooms) -> None:
    inventory = known.build()
    decided = decision(inventory, question, rooms)
    explained = explanation(inventory, question, rooms)
    legal = [one for one in explained if not one.refusals]
    assert [one.key for one in explained] == sorted(fleet_keys(inventory))
    assert (decided.candidates, decided.eligible) == (len(explained), len(legal))
    assert all((one.verdict is Verdict.SATISFIED) == (not one.refusals) for one in explained)
    assert (decided.outcome is Outcome.NO_ELIGIBLE_CANDIDATE) == (not legal)
    counted: dict[str, Counter[Verdict]] = {}
    for one in explained:
        for rule in one.refusals:
            counted.setdefault(rule.rule, Counter())[rule.verdict] += 1
    assert {r.rule: (r.violated, r.unknown) for r in decided.refused} == {
        rule: (count[Verdict.VIOLATED], count[Verdict.UNKNOWN]) for rule, count in counted.items()
    }
    totals = [r.violated + r.unknown for r in decided.refused]
    assert totals == sorted(totals, reverse=True)
    single = [(*one.key, one.refusals[0].rule) for one in explained if len(one.refusals) == 1]
    assert [(n.cluster, n.pool, n.rule) for n in decided.nearest] == single[:NEAREST]
    obstacles = {one.key: one.obstacle for one in legal}
    if decided.chosen is not None:
        assert obstacles[decided.chosen] == ""
    elif legal:
        assert all(obstacles.values()) and decided.obstacle


@few
@given(fleet.fleets, st.lists(fleet.requests, min_size=2, max_size=4), fleet.fields)
def test_answers_do_not_depend_on_what_was_asked_before(known: Fleet, asked: list[Request], rooms: Rooms) -> None:
    """The many workloads that share a table each get the answer they would get alone."""
    shared = known.build()
    asking = [Question(request, "cada", Options()) for request in asked]
    alone = [decision(known.build(), question, rooms) for question in asking]
    for _ in range(2):
        assert [decision(shared, question, rooms) for question in asking] == alone


@few
@given(fleet.fleets, questions(), fleet.fields)
def test_the_choice_is_the_best_there_is(known: Fleet, question: Question, rooms: Rooms) -> None:
    """Against a plain search: the lowest level that will do, then the most room, then the name."""
    inventory, request = known.build(), question.request
    table = question.table(inventory)

    def rank(key: Key) -> tuple[int, int, Key]:
        row = table.row(key)
        assert row is not None
        return row.proven, -free(key), key

    def free(key: Key) -> int:
        return rooms.room(key).free(request.shape, rooms.reserved(key, beside=request.key))

    fitting = [
        key
        for key in eligible(inventory, question)
        if rooms.reachable(key[0]) and rooms.room(key).carries(request.shape) and free(key) >= request.replicas
    ]
    assert decision(inventory, question, rooms).chosen == min(fitting, key=rank, default=None)


@few
@given(fleet.fleets, questions(), fleet.fields, st.data())
def test_a_placement_is_kept_while_it_may_be(
    known: Fleet, question: Question, rooms: Rooms, data: st.DataObject
) -> None:
    """Legal: kept, however full. Told to stay: left where it is, nothing new decided. Else: never kept."""
    inventory = known.build()
    previous, stay = data.draw(fleet.keys), data.draw(st.sampled_from(["", "because"]))
    decided = decision(inventory, question, rooms, previous, stay=stay)
    fits = not rooms.reachable(previous[0]) or rooms.room(previous).carries(question.request.shape)
    if previous in eligible(inventory, question):
        assert decided.kept == fits
        assert fits or decided.chosen != previous
    elif stay:
        assert (decided.chosen, decided.outcome, decided.obstacle) == (None, Outcome.HELD, stay)
    else:
        assert decided.chosen != previous and not decided.kept
        fresh = decision(inventory, question, rooms)
        assert (decided.chosen, decided.outcome) == (fresh.chosen, fresh.outcome)


@few
@given(fleet.fleets, questions(), fleet.fields)
def test_a_pool_that_is_gone_is_not_kept(known: Fleet, question: Question, rooms: Rooms) -> None:
    inventory = known.build()
    chosen = decision(inventory, question, rooms).chosen
    assume(chosen is not None)
    assert chosen is not None
    left = known.without_pool(chosen)
    inventory.set_cluster(chosen[0], left.clusters[chosen[0]], at=AT)
    decided = decision(inventory, question, rooms, previous=chosen)
    assert decided.chosen != chosen and not decided.kept
    assert decided == decision(left.build(), question, rooms)


Step = tuple[str, str, Any]
steps = st.one_of(
    st.tuples(st.just("entity"), st.sampled_from(fleet.ENTITY_NAMES), st.one_of(st.none(), fleet.entities)),
    st.tuples(st.just("cluster"), st.sampled_from(fleet.CLUSTER_NAMES), st.one_of(st.none(), fleet.clusters)),
    st.tuples(st.just("amend"), st.sampled_from(fleet.CLUSTER_NAMES), st.sampled_from(sorted(fleet.FACT_CHANGES))),
    st.tuples(st.just("amend"), st.sampled_from(fleet.CLUSTER_NAMES), st.just("in France")),
    st.tuples(st.just("time"), st.just(""), st.integers(1, 20)),
)


def settle(known: Fleet, step: Step) -> Step:
    """An amendment as the whole new cluster that it leads to."""
    kind, name, value = step
    if kind != "amend":
        return step
    spec = known.clusters.get(name)
    return ("cluster", name, fleet.amended(spec, value) if spec else None)


def take(inventory: Inventory, step: Step, at: datetime) -> Change:
    kind, name, value = step
    match kind:
        case "entity":
            return inventory.set_entity(name, value, at=at)
        case "cluster":
            return inventory.set_cluster(name, value, at=at)
        case _:
            return inventory.advance(at=at)


def take_plainly(known: Fleet, step: Step) -> Fleet:
    kind, name, value = step
    of: dict[str, Any] = {"entity": dict(known.entities), "cluster": dict(known.clusters), "time": {}}
    if kind != "time":
        of[kind].pop(name, None)
        if value is not None:
            of[kind][name] = value
    return Fleet(of["entity"], of["cluster"])


def told(row: Row | None) -> object:
    return None if row is None else (row.levels, row.failed, row.candidate.country)


@few
@given(fleet.fleets, st.lists(steps, min_size=1, max_size=6), questions(), fleet.fields)
def test_updates_equal_a_rebuild(known: Fleet, history: list[Step], question: Question, rooms: Rooms) -> None:
    """After every change and every day that passes; and whatever an update changed, it says so."""
    at = AT
    inventory = known.build()
    question.table(inventory)
    for step in history:
        before = known.build(at)
        old = {key: told(question.table(before, at).row(key)) for key in fleet_keys(before)}
        step = settle(known, step)
        known = take_plainly(known, step)
        at += timedelta(days=step[2]) if step[0] == "time" else timedelta()
        change = take(inventory, step, at)
        rebuilt = known.build(at)
        same(inventory, rebuilt, question, rooms, at)
        new = {key: told(question.table(rebuilt, at).row(key)) for key in fleet_keys(rebuilt)}
        differ = {key for key in {*old, *new} if old.get(key) != new.get(key)}
        assert differ <= change.candidates


@few
@given(fleet.fleets, questions(), st.lists(steps, max_size=6), fleet.fields)
def test_a_table_built_in_slices_equals_a_rebuild(
    known: Fleet, question: Question, history: list[Step], rooms: Rooms
) -> None:
    """Whatever is told between two slices, and whatever of it concerns clusters already in or still to come."""
    at, inventory = AT, known.build()
    fillers = [inventory.fill(question.framework, question.options, at=lambda: at, size=1) for _ in range(2)]
    for number, step in enumerate(history):
        next(fillers[number % 2], None)
        step = settle(known, step)
        known = take_plainly(known, step)
        at += timedelta(days=step[2]) if step[0] == "time" else timedelta()
        take(inventory, step, at)
    for _ in fillers[0]:
        assert not inventory.filled(question.framework, question.options)
    assert inventory.filled(question.framework, question.options) and next(fillers[1], None) is None
    same(inventory, known.build(at), question, rooms, at)


@few
@given(fleet.fleets, questions(), st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_time_is_followed_to_the_day(known: Fleet, question: Question, days: list[int]) -> None:
    """Between two due dates nothing changes, so that waking up at them is enough."""
    inventory = known.build()
    table = question.table(inventory)
    for step in days:
        due = inventory.next_due
        at = AT + timedelta(days=step)
        if due is not None and due > at:
            rebuilt = known.build(at)
            for key in fleet_keys(rebuilt):
                assert told(table.row(key)) == told(question.table(rebuilt, at).row(key))
