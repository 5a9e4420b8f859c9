"""``domicile what-if``: who moves, stops, is left or becomes placeable, from files and as the hub has it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domicile.cli.changes import change
from domicile.cli.files import gather
from domicile.cli.foresight import foresee
from domicile.cli.ground import Ground, ground_of
from domicile.report.outlook import Effect, WhatIfAnswer
from tests.cli.running import AT, FLEET, fleet, run

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def patch_of(kind: str, name: str, spec: str) -> str:
    return f"kind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"


MOVED_ABROAD = patch_of("LegalEntity", "nordlys", "seats: {registeredOffice: CH}")
HALL_SOLD = patch_of("LegalEntity", "hall-two", "seats: {registeredOffice: US}")
HALL_SILENT = patch_of("LegalEntity", "hall-two", "seats: null")
IN_FRANCE = patch_of("SovereignCluster", "nordlys-1", "facts: {location: {country: FR, subdivision: null}}")
SEATS = "seats: {registeredOffice: DK, centralAdministration: DK, mainEstablishment: DK}"
ANY_COUNTRY = ("    countries: [FR]", "    countries: [DK]")


def ask(tmp_path: Path, *arguments: str | Path, patch: str = "", columns: int = 100) -> Any:
    """One invocation on the fleet, of which triage runs in the second hall."""
    facts = tmp_path / "facts"
    if not facts.exists():
        facts.mkdir()
        fleet(facts, replace=ANY_COUNTRY)
    (tmp_path / "change.yaml").write_text(patch)
    how = ("--patch", tmp_path / "change.yaml") if patch else ()
    return run("what-if", *how, "-i", facts, "--at", AT, *arguments, columns=columns)


def document(tmp_path: Path, *arguments: str | Path, patch: str = "") -> Any:
    return json.loads(ask(tmp_path, *arguments, "-o", "json", patch=patch).stdout)


def effects(answer: Any) -> dict[str, str]:
    return {workload["name"]: workload["effect"] for workload in answer["workloads"]}


def test_a_copy_moves_to_another_legal_place(tmp_path: Path) -> None:
    result = ask(tmp_path, patch=HALL_SOLD)
    assert result.exit_code == 1, result.stderr
    assert result.stdout.startswith("LegalEntity/hall-two changed\n")
    assert "health/triage  tier 2  moves from nordlys-1/h100-hall2 to nordlys-1/h100" in result.stdout
    assert "seats.registeredOffice: US" in result.stdout
    assert "2 workloads: 1 to move, 1 unchanged" in result.stdout
    assert "Capacity was not checked" in result.stdout and "What runs where was not asked" in result.stdout


def test_grace_says_what_follows_and_when(tmp_path: Path) -> None:
    answer = document(tmp_path, patch=MOVED_ABROAD)
    assert effects(answer) == {"assistant": "Left", "triage": "Left"}
    assistant = answer["workloads"][0]
    assert assistant["runsOn"] == {"cluster": "nordlys-1", "nodePool": "h100"}
    assert assistant["then"] == {"at": "2026-11-02T00:00:00Z", "effect": "Stops", "goesTo": None}
    assert assistant["cause"].startswith("L1.a") and "none of 3 candidates satisfies" in assistant["reason"]
    assert "at 2026-11-02T00:00:00Z: stops on nordlys-1/h100" in ask(tmp_path, patch=MOVED_ABROAD).stdout


def test_unknown_facts_move_nothing_before_their_own_grace_ends(tmp_path: Path) -> None:
    (triage,) = document(tmp_path, patch=HALL_SILENT)["workloads"]
    assert (triage["effect"], triage["goesTo"]) == ("Left", None)
    assert "facts about nordlys-1/h100-hall2 are open" in triage["reason"]
    assert triage["then"] == {
        "at": "2026-12-01T00:00:00Z",
        "effect": "Moves",
        "goesTo": {"cluster": "nordlys-1", "nodePool": "h100"},
    }


def test_what_becomes_placeable_touches_nothing_that_runs() -> None:
    result = run("what-if", "--patch", "-", "-i", FLEET, "--at", AT, stdin=IN_FRANCE)
    assert result.exit_code == 0, result.stderr
    assert "health/triage  tier 2  becomes placeable, on nordlys-1/h100" in result.stdout
    assert "2 workloads: 1 newly placeable, 1 unchanged" in result.stdout


def test_a_whole_object_takes_the_place_of_the_known_one(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    text = (FLEET / "facts" / "entities.yaml").read_text().split("---\n")[1]
    assert "name: hall-two" in text
    (folder / "hall.yaml").write_text(text)
    same = ask(tmp_path, "-f", folder)
    assert (same.exit_code, "LegalEntity/hall-two unchanged" in same.stdout) == (0, True)
    (folder / "hall.yaml").write_text(text.replace("registeredOffice: DK", "registeredOffice: US"))
    assert effects(document(tmp_path, "-f", folder)) == {"triage": "Moves"}
    (folder / "hall.yaml").write_text(text.replace("name: hall-two", "name: hall-three"))
    added = document(tmp_path, "-f", folder)
    assert added["changes"] == [{"kind": "LegalEntity", "name": "hall-three", "change": "Added"}]
    assert (added["workloads"], added["unchanged"]) == ([], 2)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("sovc/nordlys-1", {"assistant": "Left", "triage": "Left"}),
        ("sovereigncluster/alpen", {}),
        ("entity/hall-two", {"triage": "Left"}),
        ("svf/cada", {"assistant": "Left", "triage": "Left"}),
    ],
)
def test_a_fact_that_is_gone(tmp_path: Path, what: str, expected: dict[str, str]) -> None:
    answer = document(tmp_path, "--delete", what)
    assert effects(answer) == expected
    assert [c["change"] for c in answer["changes"]] == ["Deleted"]
    assert all(workload["tier"] for workload in answer["workloads"])


def test_what_a_deletion_leaves_dangling_is_only_a_warning(tmp_path: Path) -> None:
    result = ask(tmp_path, "--delete", "entity/hall-two")
    assert result.exit_code == 1
    assert "warning: " in result.stderr and "LegalEntity/hall-two does not exist" in result.stderr


def test_a_pool_that_loses_its_accelerator_is_left(tmp_path: Path) -> None:
    """No law is broken, and yet the workload cannot stay: the spec asks for what the pool no longer has."""
    pool = "{name: h100, provider: nordlys, nodes: {names: []}, accelerator: {product: L40S, memory: 48Gi}}"
    patch = f"kind: SovereignCluster\nmetadata: {{name: nordlys-1}}\nspec: {{nodePools: [{pool}]}}\n"
    found = {w["name"]: w for w in document(tmp_path, patch=patch)["workloads"]}
    assert found["assistant"]["cause"] == "nordlys-1/h100 does not carry H100 or H200 any more"
    assert "no eligible candidate carries H100 or H200" in found["assistant"]["reason"]
    assert found["triage"]["goesTo"] == {"cluster": "nordlys-1", "nodePool": "h100"}


def test_only_one_namespace_on_demand(tmp_path: Path) -> None:
    answer = document(tmp_path, "-n", "elsewhere", patch=MOVED_ABROAD)
    assert (answer["workloads"], answer["unchanged"]) == ([], 0)


def test_many_at_once_would_open_the_breaker(tmp_path: Path) -> None:
    workload = (FLEET / "apps" / "workloads.yaml").read_text().split("---\n")[1]
    copies = "---\n".join(workload.replace("name: assistant", f"name: assistant-{n}") for n in range(12))
    (tmp_path / "many.yaml").write_text(copies)
    result = ask(tmp_path, "-i", tmp_path / "many.yaml", patch=MOVED_ABROAD)
    assert "14 of 14 placed workloads of SovereigntyFramework/cada lose their place" in result.stdout.replace("\n", " ")
    few = ask(tmp_path, "-i", tmp_path / "many.yaml", patch=HALL_SOLD)
    assert "breaker" not in few.stdout


@pytest.mark.parametrize("columns", [80, 40])
def test_nothing_is_cut_off_on_a_narrow_terminal(tmp_path: Path, columns: int) -> None:
    text = ask(tmp_path, patch=MOVED_ABROAD, columns=columns).stdout
    assert max(map(len, text.splitlines())) <= columns
    flowing = " ".join(text.split())
    assert "health/assistant tier 3 is left on nordlys-1/h100" in flowing
    assert "at 2026-11-02T00:00:00Z: stops on nordlys-1/h100" in flowing


BAD = (
    ("no change", "", (), "what is to change? name facts with -f, --patch or --delete"),
    ("unknown object", "kind: LegalEntity\nmetadata:\n  name: nordlis\nspec: {}\n", (),
     "change.yaml:3: LegalEntity/nordlis: does not exist; did you mean nordlys?"),
    ("unknown field", "kind: LegalEntity\nmetadata: {name: nordlys}\nspec:\n  sme: false\n  seat: {}\n", (),
     "change.yaml:5: LegalEntity/nordlys: spec.seat: no such field"),
    ("wrong value", "kind: LegalEntity\nmetadata: {name: nordlys}\nspec:\n  sme: maybe\n", (),
     "change.yaml:4: LegalEntity/nordlys: spec.sme"),
    ("unknown country", MOVED_ABROAD.replace("CH", "XX"), (),
     "change.yaml:4: LegalEntity/nordlys: spec.seats.registeredOffice: XX is not an ISO"),
    ("pack that does not load", patch_of("SovereigntyFramework", "cada", "territories: {Union: null}"), (),
     "SovereigntyFramework/cada: spec.rules"),
    ("no spec", "kind: LegalEntity\nmetadata: {name: nordlys}\n", (),
     "change.yaml:1: LegalEntity/nordlys: spec: is missing; write the part to change"),
    ("other parts", MOVED_ABROAD + "status: {}\n", (),
     "change.yaml:5: LegalEntity/nordlys: status: is no part of a patch"),
    ("a workload", "kind: InferenceDeployment\nmetadata: {name: triage}\nspec: {}\n", (),
     "change.yaml:1: no patch: write kind (SovereignCluster, LegalEntity, SovereigntyFramework)"),
    ("no object", "- 1\n", (), "change.yaml:1: no patch"),
    ("syntax", "a: [1,\nb: }\n", (), "change.yaml:2: "),
    ("empty", "# nothing\n", (), "change.yaml: holds no patch"),
    ("deleting what is not there", "", ("--delete", "sovc/nordlys-2"),
     "--delete: SovereignCluster/nordlys-2: does not exist; did you mean nordlys-1?"),
    ("deleting a workload", "", ("--delete", "infd/triage"),
     "--delete: infd/triage: names no fact; write sovc/NAME, entity/NAME, svf/NAME"),
    ("no such file", "", ("--patch", "missing.yaml"), "missing.yaml: No such file or directory"),
    ("whole workloads", "", ("-f", FLEET / "apps"),
     "workloads.yaml:8: InferenceDeployment/assistant: is no fact: what-if changes SovereignCluster"),
    ("standard input twice", "", ("--patch", "-", "-f", "-"), "standard input can be read once"),
)  # fmt: skip


@pytest.mark.parametrize(("patch", "arguments", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_named_with_place_and_remedy(
    tmp_path: Path, patch: str, arguments: tuple[str, ...], says: str
) -> None:
    result = ask(tmp_path, *arguments, patch=patch)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


def test_problems_of_the_known_facts_are_bad_input_too(tmp_path: Path) -> None:
    (tmp_path / "facts").mkdir()
    fleet(tmp_path / "facts", replace=("  nodePools:", "  nodePolls:"))
    result = ask(tmp_path, "--delete", "sovc/alpen")
    assert (result.exit_code, "spec.nodePolls: no such field" in result.stderr) == (2, True)


# -- as the hub has it: places, violations and stops are in the status -------------------------------------------------


@pytest.fixture
def ground() -> Ground:
    return replace(ground_of(gather([str(FLEET)], facts=None, stdin=io.StringIO()), at=NOW), live=True)


def foreseen(ground: Ground, tmp_path: Path, patch: str, at: datetime = NOW, **status: Any) -> WhatIfAnswer:
    """The answer about assistant alone, with what its status says."""
    asked = next(w for w in ground.workloads if w.item.name == "assistant")
    alone = replace(ground, workloads=(replace(asked, **status),))
    (tmp_path / "change.yaml").write_text(patch)
    changed = change(ground.facts, files=[], patches=[str(tmp_path / "change.yaml")], deletions=[], stdin=io.StringIO())
    return foresee(alone, changed=changed, at=at)


HERE, ABROAD = ("nordlys-1", "h100"), ("alpen", "zrh-1")
NO_CHANGE = patch_of("LegalEntity", "alpen", "sme: true")


def test_a_copy_in_violation_before_and_after_is_unchanged(ground: Ground, tmp_path: Path) -> None:
    answer = foreseen(ground, tmp_path, NO_CHANGE, previous=ABROAD)
    assert (answer.workloads, answer.unchanged, answer.exit_code) == ((), 1, 0)


def test_a_violation_that_is_open_keeps_its_grace(ground: Ground, tmp_path: Path) -> None:
    """The seat moves abroad while the copy is in violation already: the period does not begin anew."""
    began = NOW - timedelta(hours=20)
    (outlook,) = foreseen(ground, tmp_path, MOVED_ABROAD, previous=ABROAD, violated_since=began).workloads
    assert outlook.effect is Effect.LEFT
    assert outlook.then is not None and outlook.then.at == "2026-11-01T04:00:00Z"
    (late,) = foreseen(
        ground, tmp_path, MOVED_ABROAD, NOW + timedelta(days=2), previous=ABROAD, violated_since=began
    ).workloads
    assert (late.effect, late.then) == (Effect.STOPS, None)


def test_a_copy_becomes_legal_again(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "before.yaml").write_text(patch_of("LegalEntity", "nordlys", "seats: null"))
    broken = change(ground.facts, files=[], patches=[str(tmp_path / "before.yaml")], deletions=[], stdin=io.StringIO())
    seats = patch_of("LegalEntity", "nordlys", SEATS)
    (outlook,) = foreseen(replace(ground, facts=broken.facts), tmp_path, seats, previous=HERE).workloads
    assert (outlook.effect, outlook.goes_to) == (Effect.RECOVERS, None)
    assert outlook.runs_on is not None and outlook.runs_on.name == "nordlys-1/h100"


def test_a_stopped_workload_waits_for_a_place(ground: Ground, tmp_path: Path) -> None:
    answer = foreseen(ground, tmp_path, MOVED_ABROAD, previous=HERE, stopped=True)
    assert [(w.effect, w.runs_on) for w in answer.workloads] == [(Effect.STOPS_BEING_PLACEABLE, None)]
    assert answer.exit_code == 0


def test_a_workload_on_its_way_to_its_first_place_is_unchanged(ground: Ground, tmp_path: Path) -> None:
    answer = foreseen(ground, tmp_path, NO_CHANGE, previous=None)
    assert (answer.workloads, answer.unchanged) == ((), 1)
