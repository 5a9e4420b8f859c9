"""Replaying: the same bytes from the log alone, and every way in which that can fail is told apart."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.evidence.record import Entry, Record, RecordType
from domicile.placement.capacity import Reservation
from domicile.placement.decide import Outcome
from domicile.placement.recording import Answers
from domicile.replay.replay import NoSuchRecord, replay
from domicile.report.replayed import Result
from tests.placement import fleet
from tests.placement.fleet import Rooms
from tests.replay import records
from tests.replay.records import FIVE_PODS, decision, entries, facts, inventory, lines, more, objects, placed

KNOWN = objects()
STATED = facts(KNOWN)
LAST = len(STATED)


def log(payload: dict[str, Any]) -> list[Record]:
    return [*STATED, placed(payload)]


def changed(path: tuple[str | int, ...], value: Any, *, at: int = LAST) -> list[Entry]:
    """The log with one value of one record replaced."""
    stored = lines(log(decision(inventory(KNOWN))))
    stored[at] = records.amended(stored[at], path, value)
    return [Entry.parse(line) for line in stored]


@pytest.mark.parametrize(
    ("pods", "previous", "outcome"),
    [
        (5, None, Outcome.PLACED),
        (5, ("c1", "p2"), Outcome.PLACED),
        (5, ("c2", "p1"), Outcome.PLACED),
        (50, None, Outcome.INSUFFICIENT_CAPACITY),
    ],
)
def test_a_decision_on_record_is_made_again(pods: int, previous: Any, outcome: Outcome) -> None:
    payload = decision(inventory(KNOWN), more(FIVE_PODS, pods), previous=previous)
    result = replay(entries(log(payload)), seq=LAST)
    assert (result.result, result.differences, result.exit_code) == (Result.SAME, (), 0)
    assert (payload["outcome"], result.subject) == (outcome, "InferenceDeployment/ns/name")
    assert result.facts == 4 and not result.law_only


def test_the_newest_statement_before_the_record_counts() -> None:
    """An object that changed, one that came back, one that is gone; what follows the record does not count."""
    before = facts({("LegalEntity", "nordlys"): fleet.entity("seat abroad"), ("SovereignCluster", "c1"): None,
                    ("SovereignCluster", "c9"): KNOWN["SovereignCluster", "c2"]})  # fmt: skip
    after = facts({("SovereignCluster", "c9"): None})
    later = facts({("SovereignCluster", "c1"): None})
    payload = decision(inventory(KNOWN))
    told = [*before, *STATED, *after, placed(payload), *later, placed(payload)]
    seq = len(before) + LAST + len(after)
    assert replay(entries(told), seq=seq).result is Result.SAME
    last = replay(entries(told), seq=len(told) - 1)
    assert last.result is Result.NOT_REPLAYABLE
    assert "some of them are not among these records" in last.reason


def test_void_facts_are_void_again() -> None:
    void = {"c1": "another cluster answers"}
    payload = decision(inventory(KNOWN, void))
    assert payload["outcome"] == Outcome.NO_ELIGIBLE_CANDIDATE
    assert replay(entries([*facts(KNOWN, void), placed(payload)]), seq=LAST).result is Result.SAME
    assert replay(entries(log(payload)), seq=LAST).result is Result.NOT_REPLAYABLE


def test_facts_changed_in_the_log_show_in_their_digest_and_in_the_decision() -> None:
    """Whoever moves the cluster abroad after the fact leaves two traces."""
    path = ("spec", "facts", "location", "country")
    result = replay(changed(path, "CH", at=1), seq=LAST)
    assert (result.result, result.exit_code) == (Result.DIFFERENT, 1)
    found = {difference.path: difference for difference in result.differences}
    assert "records[1].digest (SovereignCluster/c1)" in found
    assert found["decision.chosen"].recorded == {"cluster": "c1", "nodePool": "p1"}
    assert found["decision.chosen"].replayed is None
    assert found["decision.eligible"].recorded == 2 and found["decision.eligible"].replayed == 0


@pytest.mark.parametrize(
    ("path", "value", "shows"),
    [
        (("decision", "chosen", "nodePool"), "p2", "decision.chosen.nodePool"),
        (("decision", "obstacle"), "none", "decision.obstacle"),
        (("decision", "refused", 0, "violated"), 1, "decision.refused[0].violated"),
        (("decision", "nearest"), [{}], "decision.nearest"),
        (("decision", "more"), None, "decision"),
        (("inputs", "request", "replicas"), 50, "decision.outcome"),
        (("inputs", "previous"), {"cluster": "c1", "nodePool": "p2"}, "decision.chosen.nodePool"),
        (("inputs", "field", "rooms", 0, "free"), 0, "decision.chosen.nodePool"),
        (("inputs", "field", "rooms"), [], "decision"),
        (("inputs", "field", "reachable"), {"c1": False}, "decision.outcome"),
        (("explanationDigest",), "sha256:0", "explanationDigest"),
    ],
)
def test_a_record_changed_afterwards_differs(path: tuple[str | int, ...], value: Any, shows: str) -> None:
    result = replay(changed(path, value), seq=LAST)
    assert result.result is Result.DIFFERENT
    assert shows in [difference.path for difference in result.differences]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("inputs", "facts"), "sha256:0", "the decision was made from sha256:0"),
        (("policy", "digest"), "sha256:0", "the decision was made by sha256:0"),
        (("policy", "name"), "seal", "SovereigntyFramework/seal is not stated in any record before it"),
        (("inputs", "at"), "2026-11-01T00:00:00", "no time zone"),
        (("inputs", "request", "level"), "high", "its inputs cannot be read"),
        (("inputs", "field", "rooms"), [{}], "its inputs cannot be read"),
        (("decision",), [], "its inputs cannot be read"),
        (("inputs",), {}, "its inputs cannot be read"),
    ],
)
def test_what_cannot_be_replayed_says_why(path: tuple[str | int, ...], value: Any, says: str) -> None:
    result = replay(changed(path, value), seq=LAST)
    assert (result.result, result.exit_code) == (Result.NOT_REPLAYABLE, 2)
    assert says in result.reason


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("spec", "facts", "location", "country"), 7, "the facts of SovereignCluster/c1 in record 1 cannot be read"),
        (("subject",), None, "record 1 states facts and does not say of what"),
    ],
)
def test_facts_that_cannot_be_read_are_named(path: tuple[str | int, ...], value: Any, says: str) -> None:
    result = replay(changed(path, value, at=1), seq=LAST)
    assert result.result is Result.NOT_REPLAYABLE and says in result.reason


@pytest.mark.parametrize("missing", range(LAST))
def test_a_log_without_some_of_the_facts_is_not_replayable(missing: int) -> None:
    told = [record for number, record in enumerate(STATED) if number != missing]
    result = replay(entries([*told, placed(decision(inventory(KNOWN)))]), seq=len(told))
    assert result.result is Result.NOT_REPLAYABLE and result.reason


def test_a_record_without_facts_before_it_is_not_replayable() -> None:
    result = replay(entries([placed(decision(inventory(KNOWN)))]), seq=0)
    assert (result.result, result.reason) == (Result.NOT_REPLAYABLE, "no record before it states any fact")


def test_a_record_that_is_no_decision_says_so() -> None:
    result = replay(entries(STATED), seq=1)
    assert result.result is Result.NOT_REPLAYABLE
    assert "FactsStated record that holds no decision" in result.reason
    opened = Record.of(RecordType.VIOLATION_OPENED, {"outcome": "ViolationOpened"})
    assert "holds no decision" in replay(entries([*STATED, opened]), seq=LAST).reason


@pytest.mark.parametrize(("seq", "says"), [(9, "the last one is 4"), (0, "the first after it is 3")])
def test_a_record_that_is_not_there(seq: int, says: str) -> None:
    told = entries(log(decision(inventory(KNOWN))))
    with pytest.raises(NoSuchRecord, match=says):
        replay(told[3:] if seq == 0 else told, seq=seq)


def test_without_the_field_only_the_law_is_compared() -> None:
    payload = decision(inventory(KNOWN), keep_field=False)
    result = replay(entries(log(payload)), seq=LAST)
    assert (result.result, result.law_only) == (Result.SAME, True)
    payload["decision"]["chosen"] = {"cluster": "c2", "nodePool": "p1"}
    unlawful = replay(entries(log(payload)), seq=LAST)
    assert [d.path for d in unlawful.differences] == ["decision.chosen"]
    payload["decision"]["eligible"] = 3
    assert "decision.eligible" in [d.path for d in replay(entries(log(payload)), seq=LAST).differences]


def test_rooms_decide_as_they_did() -> None:
    """The roomier pool was chosen because of a promise that is in no fact."""
    promises = {("c1", "p1"): (Reservation(fleet.SHAPES[1], 3),)}
    payload = decision(inventory(KNOWN), rooms=Rooms({}, promises))
    assert payload["decision"]["chosen"] == {"cluster": "c1", "nodePool": "p2"}
    assert replay(entries(log(payload)), seq=LAST).result is Result.SAME
    assert Answers(True, 16, 13, 8).free(fleet.SHAPES[1], ()) == 13
