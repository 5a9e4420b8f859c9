"""Records of decisions: nothing of a decision or of its inputs is lost on the way into the log and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domicile.evidence.canonical import canonical, parse
from domicile.inventory.inventory import Inventory
from domicile.placement import recording
from domicile.placement.decide import Decision, Field, Outcome, Request, decide
from domicile.placement.explain import explain
from domicile.placement.recording import NotRecorded, Recorded, Replayed
from domicile.placement.verdicts import Key
from domicile.report.records import (
    Decided,
    decision_document,
    decision_payload,
    explanation_digest,
    facts_payload,
    moment,
    options_of,
    place_of,
    request_of,
    workload_subject,
)
from domicile.tiers.framework import digest_of
from domicile.tiers.reading import Options
from tests.placement import fleet
from tests.placement.fleet import AT, Fleet, Question, Rooms, questions

few = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
SUBJECT = workload_subject("ns", name="name", uid="u-1", generation=3, spec={"replicas": 2})


def decided(inventory: Inventory, question: Question, field: Field, previous: Key | None, stay: str) -> Decision:
    return decide(question.request, verdicts=question.table(inventory), field=field, previous=previous, stay=stay)


def recorded(inventory: Inventory, question: Question, rooms: Rooms, previous: Key | None, stay: str) -> Any:
    """The payload of a decision as a reader of the log has it."""
    field = Recorded(rooms, request=question.request)
    decision = decided(inventory, question, field, previous, stay)
    payload = decision_payload(
        SUBJECT,
        decided=Decided(
            request=question.request,
            framework=inventory.frameworks[question.framework],
            options=question.options,
            facts=inventory.digest,
            at=AT,
            previous=previous,
            stay=stay,
            field=field.document(),
            decision=decision,
        ),
        operator_version="0.1.0",
    )
    return parse(canonical(payload))


places = st.one_of(st.none(), fleet.keys)


@few
@given(fleet.fleets, fleet.fleets, questions(), fleet.fields, places, st.sampled_from(["", "because"]))
def test_a_recorded_decision_can_be_made_again_to_the_same_bytes(
    known: Fleet, past: Fleet, question: Question, rooms: Rooms, previous: Key | None, stay: str
) -> None:
    """From the payload alone and the same facts, told in another order to an inventory without a past."""
    grown = past.build()
    question.table(grown)
    for name in {*past.clusters, *known.clusters}:
        grown.set_cluster(name, known.clusters.get(name), at=AT)
    for name in {*past.entities, *known.entities}:
        grown.set_entity(name, known.entities.get(name), at=AT)
    payload = recorded(grown, question, rooms, previous, stay)
    inputs = payload["inputs"]
    fresh = Fleet(known.entities, dict(reversed(list(known.clusters.items())))).build()
    assert fresh.digest == inputs["facts"]
    verdicts = fresh.verdicts(payload["policy"]["name"], options_of(inputs["options"]), at=AT)
    again = decide(
        request_of(inputs["request"]),
        verdicts=verdicts,
        field=Replayed(inputs["field"]),
        previous=place_of(inputs["previous"]),
        stay=inputs["stay"],
    )
    assert canonical(decision_document(again)) == canonical(payload["decision"])


@few
@given(fleet.fleets, questions(), fleet.fields, places)
def test_recording_changes_no_decision(known: Fleet, question: Question, rooms: Rooms, previous: Key | None) -> None:
    inventory = known.build()
    field = Recorded(rooms, request=question.request)
    assert decided(inventory, question, field, previous, "") == decided(inventory, question, rooms, previous, "")


@few
@given(fleet.requests, fleet.options)
def test_requests_and_options_come_back_whole(request: Any, options: Options) -> None:
    options = replace(options, waivers=frozenset({"L2.b", "L1.a"}))
    payload = recorded(Fleet({}, {}).build(), Question(request, "cada", options), Rooms({}), None, "")
    back = request_of(payload["inputs"]["request"])
    assert back == request and options_of(payload["inputs"]["options"]) == options
    assert all(isinstance(part, float) for part in back.shape[2:]) and isinstance(back.shape.products, tuple)


def test_what_a_decision_holds_is_all_in_its_record() -> None:
    """A field added to Decision is forgotten by nobody."""
    payload = recorded(one_cluster(), plain_question(), Rooms({}), None, "")
    assert set(payload["decision"]) == {field.name for field in fields(Decision)}


def test_a_field_that_was_asked_too_much_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_ASKED", 1)
    within = recorded(one_cluster(), plain_question(), Rooms({}), None, "")
    assert len(within["inputs"]["field"]["rooms"]) == 1
    beyond = recorded(one_cluster(("p1", "p2")), plain_question(), Rooms({}), None, "")
    assert beyond["inputs"]["field"] is None
    assert beyond["outcome"] == Outcome.PLACED


def test_what_was_not_asked_is_not_made_up() -> None:
    field = Replayed({"reachable": {"c1": True}, "rooms": []})
    with pytest.raises(NotRecorded, match="c1/p1"):
        field.room(("c1", "p1"))
    with pytest.raises(NotRecorded, match="c2"):
        field.reachable("c2")


def test_what_was_done_may_differ_from_what_was_decided() -> None:
    field = Recorded(Rooms({}), request=plain_question().request)
    decision = decided(one_cluster(), plain_question(), field, None, "")
    framework = fleet.frameworks()["cada"]
    call = Decided(plain_question().request, framework, Options(), "sha256:0", AT, None, "", field.document(), decision)
    payload = decision_payload(
        SUBJECT, decided=call, operator_version="1", outcome="MoveQueued", reason="full", record="name-abc"
    )
    assert (payload["outcome"], payload["reason"], payload["record"]) == ("MoveQueued", "full", "name-abc")
    assert payload["decision"]["outcome"] == "Placed"
    assert payload["policy"]["digest"] == framework.digest and payload["policy"]["id"] == "cada"


def test_facts_are_recorded_whole_and_their_absence_too() -> None:
    spec = one_cluster().clusters["c1"].plain()
    stated = facts_payload("SovereignCluster", name="c1", spec=spec)
    assert (stated["spec"], stated["digest"]) == (spec, digest_of(spec))
    assert "void" not in stated
    gone = facts_payload("SovereignCluster", name="c1", spec=None, void="another cluster answers")
    assert (gone["spec"], gone["digest"], gone["void"]) == (None, None, "another cluster answers")


def explanations() -> Iterator[tuple[str, Fleet, Rooms]]:
    yield "as it is", Fleet({}, {"c1": fleet.cluster("nordlys", (), (("p1", "nordlys", ()),))}), Rooms({})
    other = fleet.cluster("nordlys", ("in France",), (("p1", "nordlys", ()),))
    yield "other facts", Fleet({}, {"c1": other}), Rooms({})
    yield "another entity", Fleet({"nordlys": fleet.entity("seat abroad")}, {"c1": other}), Rooms({})


def test_every_difference_of_an_explanation_shows_in_its_digest() -> None:
    question = plain_question()
    digests = {
        name: explanation_digest(explain(question.request, verdicts=question.table(known.build()), field=rooms))
        for name, known, rooms in explanations()
    }
    assert len(set(digests.values())) == 3


def test_instants_are_in_utc_with_microseconds() -> None:
    berlin = timezone(timedelta(hours=1))
    assert moment(datetime(2026, 11, 1, 10, 0, 0, 5, berlin)) == "2026-11-01T09:00:00.000005Z"


def one_cluster(pools: tuple[str, ...] = ("p1",)) -> Inventory:
    spec = fleet.cluster("nordlys", (), tuple((pool, "nordlys", ()) for pool in pools))
    return Fleet({"nordlys": fleet.entity()}, {"c1": spec}).build()


def plain_question() -> Question:
    return Question(replace(REQUEST, level=1), "cada", Options())


REQUEST = Request("ns/name", 1, fleet.SHAPES[1], 1)
