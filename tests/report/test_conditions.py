"""Conditions as tools read them: transition times, one order, and a story that never contradicts itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.model.status import InferenceDeploymentStatus, SovereignClusterStatus
from domicile.model.verdicts import Finding, RuleVerdict, Verdict
from domicile.placement.decide import STAYING, Decision, Nearest, Outcome, Refused
from domicile.placement.request import Refusal, RefusalReason
from domicile.placement.verdicts import Row, Verdicts
from domicile.report.cluster import ClusterStory, ObjectStory, PoolStory, cluster_status, object_status
from domicile.report.conditions import ORDER, Said, conditions
from domicile.report.workload import Copy, Story, workload_status
from domicile.tiers.reading import Options
from tests.placement import fleet

AT = datetime(2026, 11, 1, 12, 30, 45, 678901, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
ETCD_LIMIT = 1_500_000  # bytes an API server can store of one object


def types(said: list[dict[str, Any]]) -> list[str]:
    return [c["type"] for c in said]


def test_a_new_condition() -> None:
    (said,) = conditions([Said("Ready", "True", "Serving", "2 of 2")], before=(), generation=7, at=AT)
    assert said == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 7,
        "lastTransitionTime": "2026-11-01T12:30:45Z",
        "reason": "Serving",
        "message": "2 of 2",
    }


MOVES = (
    (Said("Ready", "True", "Serving", "1 of 1"), False),
    (Said("Ready", "True", "Other", "another message"), False),
    (Said("Ready", "False", "Serving", "1 of 1"), True),
    (Said("Ready", "Unknown", "Serving", "1 of 1"), True),
)


@pytest.mark.parametrize(("now", "moved"), MOVES)
def test_transition_time_moves_with_the_status_only(now: Said, moved: bool) -> None:
    before = conditions([Said("Ready", "True", "Serving", "1 of 1")], before=(), generation=1, at=AT)
    (said,) = conditions([now], before=before, generation=2, at=LATER)
    assert said["lastTransitionTime"] == ("2026-11-01T12:35:45Z" if moved else "2026-11-01T12:30:45Z")
    assert (said["observedGeneration"], said["reason"], said["message"]) == (2, now.reason, now.message)


def test_what_is_not_said_is_absent_and_comes_back_new() -> None:
    before = conditions([Said("Stalled", "True", "X"), Said("Ready", "False", "X")], before=(), generation=1, at=AT)
    middle = conditions([Said("Ready", "False", "X")], before=before, generation=1, at=LATER)
    assert types(middle) == ["Ready"]
    after = conditions([Said("Stalled", "True", "X")], before=middle, generation=1, at=LATER)
    assert after[0]["lastTransitionTime"] == "2026-11-01T12:35:45Z"


@given(st.permutations(ORDER))
def test_one_order(shuffled: list[str]) -> None:
    said = conditions([Said(name, "True", "X") for name in shuffled], before=(), generation=1, at=AT)
    assert types(said) == list(ORDER)


def test_a_message_is_cut() -> None:
    (said,) = conditions([Said("Ready", "False", "X", "é" * 5000)], before=(), generation=1, at=AT)
    assert len(said["message"]) == 2000


# -- the story of a workload ---------------------------------------------------------------------------------------

INVENTORY = fleet.Fleet(
    {"nordlys": fleet.entity(), "other": fleet.entity("foreign owner"), "third": fleet.entity("staff unknown")},
    {
        name: fleet.cluster(provider, (), (("p1", provider, ()),))
        for name, provider in (("c1", "nordlys"), ("c2", "other"), ("c3", "third"))
    },
).build()
TABLE: Verdicts = INVENTORY.verdicts("cada", Options(), at=fleet.AT)
ROWS = {name: TABLE.row((name, "p1")) for name in ("c1", "c2", "c3")}
FINDING = Finding(Verdict.VIOLATED, "LegalEntity/x", "seats.registeredOffice", "CH", "Union")

texts = st.sampled_from(("", "x", "a problem"))
copies = st.builds(
    Copy,
    st.sampled_from((("c1", "p1"), ("c2", "p1"), ("c3", "p1"), ("gone", "p1"))),
    st.just("DK"),
    st.integers(0, 3),
    st.just("sha256:" + "1" * 64),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    texts,
)
decisions = st.builds(
    Decision,
    st.sampled_from(Outcome),
    st.one_of(st.none(), st.just(("c1", "p1"))),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 3),
    st.just((Refused("L1.a", "Annex II 1.1(a)", 1, 2),)),
    st.lists(st.just(Nearest("c2", "p1", "L3.g", FINDING)), max_size=1).map(tuple),
    texts,
).map(lambda d: replace(d, chosen=("c1", "p1") if d.outcome is Outcome.PLACED else None))
told = st.builds(
    Story,
    st.integers(1, 3),
    st.just("w"),
    st.integers(1, 4),
    st.just(INVENTORY.frameworks["cada"]),
    st.just("sha256:" + "2" * 64),
    decisions,
    st.none(),
    st.lists(copies, max_size=2, unique_by=lambda c: c.key).map(tuple),
    st.sampled_from((None, *ROWS.values())),
    st.booleans(),
)
refusals = st.builds(Refusal, st.sampled_from(RefusalReason), texts)
stories = st.one_of(
    told.filter(lambda s: bool(s.copies) or (s.decision and s.decision.outcome not in (Outcome.PLACED, *STAYING))),
    st.builds(lambda story, refusal: replace(story, refusal=refusal, decision=None, row=None), told, refusals),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(stories, min_size=1, max_size=4))
def test_a_story_never_contradicts_itself(history: list[Story]) -> None:
    """Whatever happens one after the other: kstatus reads one answer, and the API server takes the status."""
    before: dict[str, Any] = {}
    for story in history:
        status = workload_status(story, before=before, at=AT)
        InferenceDeploymentStatus.model_validate(status)
        said = {c["type"]: c for c in status["conditions"]}
        assert types(status["conditions"]) == [t for t in ORDER if t in said], "each once, in one order"
        assert not ("Reconciling" in said and "Stalled" in said)
        ready = said["Ready"]
        if ready["status"] == "True":
            assert not {"Reconciling", "Stalled"} & said.keys()
            assert all(c["status"] == "True" for c in status["conditions"] if c["type"] != "EvidenceValid")
        assert status["reason"] == ready["reason"]
        assert all(c["observedGeneration"] == status["observedGeneration"] == story.generation for c in said.values())
        assert status == workload_status(story, before=status, at=LATER), "the same again writes nothing"
        before = status


def story(copy: Copy | None = None, row: Row | None = None, **fields: Any) -> dict[str, Any]:
    decided = Decision(Outcome.PLACED, ("c1", "p1"), False, 3, 1, (), (), "")
    told = Story(
        generation=1,
        name="w",
        tier=3,
        framework=INVENTORY.frameworks["cada"],
        inventory_digest="sha256:" + "2" * 64,
        decision=decided,
        copies=(copy,) if copy else (),
        row=row,
    )
    status = workload_status(replace(told, **fields), before={}, at=AT)
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


RUNNING = Copy(("c1", "p1"), "DK", 2, "sha256:" + "1" * 64, ready=2, delivered=True, available=True)
LEFT = Decision(Outcome.NO_ELIGIBLE_CANDIDATE, None, False, 3, 0, (), (), "")
FULL = Decision(Outcome.INSUFFICIENT_CAPACITY, None, False, 3, 1, (), (), "full")
LOST = Decision(Outcome.CANDIDATES_UNREACHABLE, None, False, 3, 1, (), (), "c1 is away")
REFUSED = Refusal(RefusalReason.ARGUMENT_REFUSED, "spec.runtime.args[0]: no")
STORIES: tuple[tuple[str, dict[str, Any], dict[str, tuple[str, str]]], ...] = (
    (
        "serving",
        {"copy": RUNNING, "row": ROWS["c1"]},
        {"Ready": ("True", "Serving"), "Compliant": ("True", "AllRulesSatisfied"), "Placed": ("True", "Placed")},
    ),
    (
        "rolling out",
        {"copy": replace(RUNNING, ready=1, available=False), "row": ROWS["c1"]},
        {
            "Ready": ("False", "Deploying"),
            "Reconciling": ("True", "RollingOut"),
            "Available": ("False", "PodsNotReady"),
        },
    ),
    (
        "delivery refused",
        {"copy": replace(RUNNING, delivered=False, available=False, problem="quota"), "row": ROWS["c1"]},
        {"Ready": ("False", "DeliveryFailed"), "Stalled": ("True", "DeliveryFailed")},
    ),
    (
        "cut off",
        {"copy": replace(RUNNING, verified=False), "row": ROWS["c1"]},
        {"Ready": ("Unknown", "UnverifiedDelivery"), "Delivered": ("Unknown", "UnverifiedDelivery")},
    ),
    (
        "lost its eligibility, nowhere to go",
        {"copy": RUNNING, "row": ROWS["c2"], "decision": LEFT},
        {
            "Ready": ("False", "NotCompliant"),
            "Compliant": ("False", "CandidateLostEligibility"),
            "Stalled": ("True", "NoEligibleCandidate"),
            "Available": ("True", "PodsReady"),
        },
    ),
    (
        "facts became unknown",
        {"copy": RUNNING, "row": ROWS["c3"], "decision": LEFT},
        {"Compliant": ("Unknown", "FactsUnknown"), "EvidenceValid": ("False", "EvidenceMissing")},
    ),
    (
        "nothing is known of where it runs",
        {"copy": RUNNING, "decision": LEFT},
        {"Compliant": ("Unknown", "FactsUnknown"), "Ready": ("False", "NotCompliant")},
    ),
    (
        "nothing legal",
        {"decision": LEFT},
        {"Compliant": ("False", "NoEligibleCandidate"), "Stalled": ("True", "NoEligibleCandidate")},
    ),
    (
        "no room",
        {"decision": FULL},
        {"Compliant": ("True", "AllRulesSatisfied"), "Reconciling": ("True", "InsufficientCapacity")},
    ),
    ("all away", {"decision": LOST}, {"Reconciling": ("True", "CandidatesUnreachable")}),
    (
        "suspended",
        {"copy": replace(RUNNING, desired=0, ready=0), "row": ROWS["c1"], "suspended": True},
        {"Ready": ("False", "Suspended"), "Available": ("True", "PodsReady")},
    ),
    (
        "refused while it runs",
        {"copy": RUNNING, "refusal": REFUSED, "decision": None},
        {
            "Accepted": ("False", "ArgumentRefused"),
            "Stalled": ("True", "ArgumentRefused"),
            "Compliant": ("Unknown", "NotEvaluated"),
            "Available": ("True", "PodsReady"),
        },
    ),
)


@pytest.mark.parametrize(("fields", "expected"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES])
def test_stories(fields: dict[str, Any], expected: dict[str, tuple[str, str]]) -> None:
    said = story(**fields)
    assert expected.items() <= said.items()


def test_the_inventory_of_a_decision_is_the_one_it_was_made_on() -> None:
    """Facts that change nothing about the decision do not move it, so that nothing is written for them."""
    digests = ["sha256:" + letter * 64 for letter in "123"]
    told = Story(1, "w", 3, INVENTORY.frameworks["cada"], digests[0], LEFT)
    first = workload_status(told, before={}, at=AT)
    other_facts = replace(told, inventory_digest=digests[1])
    assert workload_status(other_facts, before=first, at=LATER) == first
    other_decision = replace(other_facts, decision=replace(LEFT, candidates=4), inventory_digest=digests[2])
    assert workload_status(other_decision, before=first, at=LATER)["decision"]["inventory"] == digests[2]


# -- limits --------------------------------------------------------------------------------------------------------

LONG = "é" * 3000
LONG_FINDING = Finding(Verdict.UNKNOWN, LONG, LONG, LONG, LONG, LONG)


def test_a_decision_of_any_size_can_be_stored() -> None:
    refused = tuple(Refused(f"R.{number}", "c" * 512, 9, 9) for number in range(500))
    nearest = tuple(Nearest("c" * 253, "p" * 63, "R.1", LONG_FINDING) for _ in range(5))
    decided = Decision(Outcome.NO_ELIGIBLE_CANDIDATE, None, False, 10**6, 0, refused, nearest, LONG)
    told = Story(1, "w", 3, INVENTORY.frameworks["cada"], "sha256:" + "2" * 64, decided)
    status = workload_status(told, before={}, at=AT)
    InferenceDeploymentStatus.model_validate(status)
    assert [r["rule"] for r in status["decision"]["refused"]][:2] == ["R.0", "R.1"], "those that refuse most"
    assert size(status) < ETCD_LIMIT / 10


def test_a_cluster_of_any_size_can_be_stored() -> None:
    """128 pools, each short of more rules than fit, with texts as long as they come."""
    row = ROWS["c3"]
    assert row is not None
    missing = tuple(RuleVerdict(f"R.{n}", "c", 1, Verdict.UNKNOWN, (LONG_FINDING,)) for n in range(250))
    bad = replace(row, levels={1: Verdict.UNKNOWN}, failed=missing, proven=0)
    pools = [PoolStory(f"p{number:062}", bad, 10**6, LONG) for number in range(128)]
    told = ClusterStory(1, pools, (1, 2, 3, 4), True, LONG, "Unknown", [LONG] * 500)
    status = cluster_status(told, before={}, at=AT)
    SovereignClusterStatus.model_validate(status)
    assert len(status["nodePools"]) == 128 and all(pool["missing"] for pool in status["nodePools"])
    assert size(status) < ETCD_LIMIT / 1.5, "with room for the spec beside it"


def size(status: dict[str, Any]) -> int:
    return len(json.dumps(status, ensure_ascii=False).encode())


def test_a_cluster_with_few_pools_tells_all() -> None:
    row = ROWS["c3"]
    assert row is not None
    told = ClusterStory(1, [PoolStory("p1", row, 3, "")], (1, 2, 3, 4), True, "", "Union", [])
    status = cluster_status(told, before={}, at=AT)
    (pool,) = status["nodePools"]
    assert pool["levels"] == [n for n in (1, 2, 3, 4) if row.levels[n] is Verdict.SATISFIED]
    assert [m["rule"] for m in pool["missing"]] == [r.rule for r in row.refusals(row.proven + 1)]
    assert status["levels"] == f"p1={row.proven}"


CLUSTERS: tuple[tuple[str, dict[str, Any], tuple[str, str]], ...] = (
    ("usable", {}, ("True", "Usable")),
    ("facts wrong", {"problems": ["spec.x: no"]}, ("False", "FactsInvalid")),
    ("no connection", {"connected": False}, ("False", "NoConnection")),
    ("away", {"reach": "no answer"}, ("False", "Unreachable")),
    ("overlap", {"pools": [PoolStory("p1", None, 0, "shares nodes")]}, ("False", "PoolsOverlap")),
)


@pytest.mark.parametrize(("fields", "ready"), [c[1:] for c in CLUSTERS], ids=[c[0] for c in CLUSTERS])
def test_clusters(fields: dict[str, Any], ready: tuple[str, str]) -> None:
    told = ClusterStory(1, [], (1, 2), True, "", "Union", [])
    status = cluster_status(replace(told, **fields), before={}, at=AT)
    SovereignClusterStatus.model_validate(status)
    said = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    assert said["Ready"] == ready
    assert ("Stalled" in said) == (ready[1] == "PoolsOverlap")


def test_objects() -> None:
    good = object_status(ObjectStory(1, [], "sha256:1"), before={}, at=AT)
    assert [(c["type"], c["status"]) for c in good["conditions"]] == [("Ready", "True"), ("Accepted", "True")]
    bad = object_status(ObjectStory(2, ["spec.x: no; do y"], ""), before=good, at=LATER)
    said = {c["type"]: c for c in bad["conditions"]}
    assert {t: c["status"] for t, c in said.items()} == {"Ready": "False", "Stalled": "True", "Accepted": "False"}
    assert said["Accepted"]["message"] == "spec.x: no; do y"
