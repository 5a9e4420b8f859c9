"""PlacementRecords of decisions: complete, small enough for etcd, and the same for the same decision."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from devcluster import DevclusterError, Plane
from domicile.inventory.inventory import Inventory
from domicile.model.objects import read_spec
from domicile.model.verdicts import Finding, RuleVerdict, Verdict
from domicile.placement.decide import Nearest, Outcome, Request, decide
from domicile.placement.explain import Explained, explain
from domicile.placement.recording import Recorded
from domicile.report.placement_record import MAX_BYTES, Told, placement_records, record_name
from domicile.report.records import Decided, workload_subject
from domicile.tiers.framework import digest_of
from domicile.tiers.reading import Options
from tests.crds.cases import manifest, spec_of
from tests.placement import fleet
from tests.placement.fleet import AT, ROOMY, Rooms
from tests.replay.records import inventory, objects

Json = dict[str, Any]
NAMESPACE = "records"
ALL = {(cluster, pool): ROOMY for cluster in ("c1", "c2") for pool in ("p1", "p2")}


def told(name: str = "mistral", uid: str = "u-1", known: Inventory | None = None) -> tuple[Told, list[Explained]]:
    """A decision over two clusters, of which one is abroad, and its explanation."""
    known = known or inventory(objects())
    request, rooms = Request(f"{NAMESPACE}/{name}", 3, fleet.SHAPES[1], 2), Rooms(ALL)
    verdicts = known.verdicts("cada", Options(), at=AT)
    field = Recorded(rooms, request=request)
    made = decide(request, verdicts=verdicts, field=field, previous=("c1", "p9"))
    call = Decided(request, verdicts.framework, Options(), known.digest, AT, ("c1", "p9"), "", field.document(), made)
    subject = workload_subject(NAMESPACE, name=name, uid=uid, generation=3, spec={"replicas": 2})
    return Told(subject, call, "0.1.0"), explain(request, verdicts=verdicts, field=rooms)


def candidate(number: int, *, rules: int = 1, findings: int = 1, text: str = "x", pool: str = "p") -> Explained:
    """A candidate that so many rules refuse, each for so many facts."""
    found = tuple(Finding(Verdict.VIOLATED, text, f"fact-{n}", text, text, text) for n in range(findings))
    refused = tuple(RuleVerdict(f"R.{n}", text, 1, Verdict.VIOLATED, found) for n in range(rules))
    return Explained((f"c{number:04}", pool), Verdict.VIOLATED, refused, 7, "")


def entries(records: list[Json]) -> list[Json]:
    return [entry for record in records for entry in record["spec"]["entries"]]


def names(records: list[Json]) -> list[tuple[str, str]]:
    return [(entry["cluster"], entry["nodePool"]) for entry in entries(records)]


def test_it_tells_the_decision_and_why_every_other_candidate_was_refused() -> None:
    decision, explained = told()
    (record,) = placement_records(decision, explained=explained, log=(17, "ab" * 32))
    read_spec(record)
    spec = record["spec"]
    digest = digest_of({"replicas": 2})
    assert spec["workload"] == {"name": "mistral", "uid": "u-1", "generation": 3, "specDigest": digest}
    assert (spec["outcome"], spec["level"], spec["decidedAt"]) == ("Placed", 3, "2026-11-01T00:00:00.000000Z")
    assert (spec["chosen"], spec["previous"]) == (
        {"cluster": "c1", "nodePool": "p1"},
        {"cluster": "c1", "nodePool": "p9"},
    )
    assert (spec["candidates"], spec["eligible"], spec["slice"]) == (4, 2, {"index": 0, "of": 1})
    assert spec["framework"]["digest"] == decision.decided.framework.digest
    assert spec["inventory"] == decision.decided.facts
    assert spec["log"] == {"seq": 17, "hash": "ab" * 32}
    abroad = next(entry for entry in spec["entries"] if entry["cluster"] == "c2")
    rules = {refusal.rule for one in explained if one.key == ("c2", "p1") for refusal in one.refusals}
    assert {rule["rule"] for rule in abroad["rules"]} == rules and rules
    assert "CH" in json.dumps(abroad["rules"][0]["findings"])


def test_it_belongs_to_its_workload() -> None:
    decision, explained = told()
    (record,) = placement_records(decision, explained=explained)
    metadata = record["metadata"]
    assert metadata["namespace"] == NAMESPACE
    assert metadata["labels"] == {"domicile.dev/infd": "mistral", "domicile.dev/record": metadata["name"]}
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "domicile.dev/v1alpha1",
            "kind": "InferenceDeployment",
            "name": "mistral",
            "uid": "u-1",
            "controller": False,
            "blockOwnerDeletion": False,
        }
    ]


def test_the_name_is_that_of_the_decision() -> None:
    decision, explained = told()
    name = record_name(decision)
    assert name.startswith("mistral-") and len(name) == len("mistral-") + 10
    assert name == record_name(told()[0])
    assert name == placement_records(decision, explained=explained, log=(1, "00" * 32))[0]["metadata"]["name"]
    later = replace(decision, decided=replace(decision.decided, at=AT.replace(microsecond=1)))
    held = replace(decision, outcome="MovesPaused")
    elsewhere = replace(decision, decided=replace(decision.decided, facts="sha256:" + "0" * 64))
    assert len({name, *map(record_name, (later, held, elsewhere, told(uid="u-2")[0]))}) == 5


@pytest.mark.parametrize("name", ["m" * 63, "m" * 51 + "-" + "m" * 5, "m"])
def test_the_name_is_also_a_label_value(name: str) -> None:
    (record, *_) = placement_records(told(name)[0], explained=[])
    label = record["metadata"]["labels"]["domicile.dev/record"]
    assert len(label) <= 63 and "--" not in label and label == record["metadata"]["name"]


def test_what_was_not_done_has_no_chosen_place() -> None:
    decision, explained = told()
    held = replace(decision, outcome="DecisionLogUnavailable", reason="no space left")
    (record,) = placement_records(held, explained=explained)
    assert "chosen" not in record["spec"]
    assert (record["spec"]["outcome"], record["spec"]["reason"]) == ("DecisionLogUnavailable", "no space left")


def test_the_chosen_and_the_nearest_come_first_then_names() -> None:
    decision, _ = told()
    finding = Finding(Verdict.VIOLATED, "s", "f", "x", "y")
    near = (Nearest("c0150", "p", "R.0", finding), Nearest("c0003", "p", "R.0", finding))
    made = replace(decision.decided.decision, chosen=("c0199", "p"), nearest=near)
    decision = replace(decision, decided=replace(decision.decided, decision=made))
    records = placement_records(decision, explained=[candidate(n) for n in reversed(range(230))])
    assert [len(record["spec"]["entries"]) for record in records] == [100, 100, 30]
    first, *others = names(records)
    assert first == ("c0199", "p")
    assert others[:4] == [("c0150", "p"), ("c0003", "p"), ("c0000", "p"), ("c0001", "p")]
    assert others[2:] == sorted(others[2:]) and len(set(others)) == 229


def test_slices_are_numbered_and_hang_together() -> None:
    decision, _ = told()
    records = placement_records(decision, explained=[candidate(n) for n in range(201)])
    name = record_name(decision)
    assert [record["metadata"]["name"] for record in records] == [name, f"{name}-2", f"{name}-3"]
    assert [record["spec"]["slice"] for record in records] == [{"index": n, "of": 3} for n in range(3)]
    assert {record["metadata"]["labels"]["domicile.dev/record"] for record in records} == {name}
    without = [{**record["spec"], "slice": None, "entries": None} for record in records]
    assert without[0] == without[1] == without[2]


@pytest.mark.parametrize("text", ["x" * 600, "é" * 600, "\x01" * 600])
def test_a_slice_fits_into_etcd_whatever_it_tells(text: str) -> None:
    decision, _ = told()
    explained = [candidate(n, rules=25, findings=2, text=text) for n in range(120)]
    records = placement_records(decision, explained=explained)
    assert len(records) > 2
    assert all(len(json.dumps(record).encode()) <= MAX_BYTES * 1.03 for record in records)  # the blanks of json.dumps
    assert len(names(records)) == 120
    assert {len(entry["rules"]) for entry in entries(records)} == {25}
    assert {len(rule["findings"]) for entry in entries(records) for rule in entry["rules"]} == {2}
    for record in records:
        read_spec(record)


def test_a_candidate_that_fills_an_object_keeps_every_rule() -> None:
    """Two findings of 258 rules at their longest are more than an object holds: facts go, rules stay."""
    decision, _ = told()
    (record,) = placement_records(decision, explained=[candidate(1, rules=258, findings=4, text="é" * 512)])
    read_spec(record)
    (entry,) = record["spec"]["entries"]
    assert len(entry["rules"]) == 258
    assert len(json.dumps(record)) <= MAX_BYTES * 1.03


def test_long_texts_are_cut_and_show_it() -> None:
    decision, _ = told()
    decision = replace(decision, reason="r" * 600)
    (record,) = placement_records(decision, explained=[candidate(1, text="t" * 513)])
    read_spec(record)
    (rule,) = record["spec"]["entries"][0]["rules"]
    assert len(rule["clause"]) == 512 and rule["clause"].endswith("t…")
    assert record["spec"]["reason"].endswith("r…")


def test_a_decision_without_candidates_is_told_too() -> None:
    decision, _ = told()
    made = replace(decision.decided.decision, outcome=Outcome.NO_ELIGIBLE_CANDIDATE, chosen=None, candidates=0)
    (record,) = placement_records(replace(decision, decided=replace(decision.decided, decision=made)), explained=[])
    read_spec(record)
    assert (record["spec"]["entries"], record["spec"]["slice"]) == ([], {"index": 0, "of": 1})


# ---- on a real API server -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def api(crds_installed: Plane) -> Iterator[Plane]:
    """The hub with a namespace of this suite."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    crds_installed.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    yield crds_installed
    for name in ("mistral", "leaving"):
        delete(crds_installed, name)
    crds_installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def create(hub: Plane, name: str) -> str:
    """A workload on the hub; gives its uid."""
    raw = manifest("InferenceDeployment", spec_of("InferenceDeployment", {}), name, namespace=NAMESPACE)
    created = json.loads(hub.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(raw)))
    return str(created["metadata"]["uid"])


def delete(hub: Plane, name: str) -> None:
    """No operator runs here that would take the finalizer off."""
    where, patch = (name, "-n", NAMESPACE), json.dumps({"metadata": {"finalizers": None}})
    hub.kubectl("delete", "infd", *where, "--wait=false", "--ignore-not-found")
    with suppress(DevclusterError):
        hub.kubectl("patch", "infd", *where, "--type=merge", "-p", patch)


def apply(hub: Plane, record: Json) -> str:
    options = ("--server-side", "--field-manager=domicile", "--validate=strict")
    return hub.kubectl("apply", *options, "-f", "-", stdin=json.dumps(record))


def test_the_server_takes_it_once_and_for_all(api: Plane) -> None:
    decision, _ = told(uid=create(api, "mistral"))
    largest = [candidate(n, rules=30, findings=2, text="é" * 500) for n in range(90)]
    records = placement_records(decision, explained=largest, log=(17, "ab" * 32))
    assert len(records) > 1
    for record in [*records, records[0]]:  # the second time nothing differs
        apply(api, record)
    header, line, *_ = api.kubectl("get", "plr", "-n", NAMESPACE).splitlines()
    assert header.split() == ["NAME", "WORKLOAD", "OUTCOME", "CLUSTER", "POOL", "ELIGIBLE", "CANDIDATES", "AGE"]
    assert line.split()[1:7] == ["mistral", "Placed", "c1", "p1", "2", "4"]

    stored = json.loads(api.kubectl("get", "plr", record_name(decision), "-n", NAMESPACE, "-o", "json"))
    assert read_spec(stored) == read_spec(records[0])
    changes: list[Json] = [{"eligible": 3}, {"entries": []}, {"log": {"seq": 18, "hash": "ab" * 32}}]
    for change in changes:
        with pytest.raises(DevclusterError, match="a record is never changed"):
            apply(api, {**records[0], "spec": records[0]["spec"] | change})


def test_it_goes_with_its_workload(api: Plane) -> None:
    decision, explained = told("leaving", uid=create(api, "leaving"))
    (record,) = placement_records(decision, explained=explained)
    apply(api, record)
    delete(api, "leaving")
    api.kubectl("wait", "--for=delete", f"plr/{record_name(decision)}", "-n", NAMESPACE, "--timeout=30s")
