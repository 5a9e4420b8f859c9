"""``domicile explain`` from files: workloads, candidates, clusters, and names that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import AT, FIXTURES, FLEET, answer, fleet, run

FROM = ("-f", FLEET, "--at", AT)


@pytest.mark.parametrize("columns", [120, 60])
def test_screen_is_as_it_was(columns: int) -> None:
    result = run("explain", "infd/assistant", *FROM, columns=columns)
    assert result.stdout == (FIXTURES / f"explain-{columns}.txt").read_text()
    assert max(map(len, result.stdout.splitlines())) <= columns


@pytest.mark.parametrize(
    "name",
    ["assistant", "infd/assistant", "inferencedeployment/assistant", "inferencedeployments.domicile.dev/assistant"],
)
def test_every_form_of_a_name(name: str) -> None:
    result = run("explain", name, *FROM)
    assert result.exit_code == 0
    assert result.stdout.startswith("health/assistant · tier 3 of cada/COM-2026-502 · would go to nordlys-1/h100\n")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("triage",), 1, ""),
        (("sovc/nordlys-1",), 0, ""),
        (("sovc/alpen",), 1, ""),
        (("assistant", "--candidate", "nordlys-1/h100"), 0, ""),
        (("assistant", "--candidate", "alpen/zrh-1"), 1, ""),
        (("assistent",), 2, "did you mean assistant?"),
        (("assistant", "-n", "helth"), 2, "it is in health"),
        (("sovc/nordlys-2",), 2, "did you mean nordlys-1?"),
        (("sovc/nordlys-1", "--framework", "seal"), 2, "no usable 'seal'"),
        (("assistant", "--candidate", "nordlys-1/h10"), 2, "did you mean nordlys-1/h100"),
        (("sovc/nordlys-1", "--candidate", "x/y"), 2, "is no workload"),
        (("node/x",), 2, "write infd/NAME"),
        (("infd/",), 2, "write infd/NAME"),
    ],
)
def test_exit_codes_and_errors(arguments: tuple[str, ...], exit_code: int, says: str) -> None:
    result = run("explain", *arguments, *FROM)
    assert result.exit_code == exit_code, result.stderr
    assert says in result.stderr


def test_the_first_rules_are_shown_and_all_on_demand() -> None:
    short, whole = run("explain", "assistant", *FROM).stdout, run("explain", "assistant", *FROM, "--all").stdout
    assert "... 14 more (--all)" in short
    assert "more (--all)" not in whole
    assert "L3.h" in whole and "L3.h" not in short


def test_a_candidate_shows_every_rule_with_facts_and_the_age_of_evidence() -> None:
    candidate = answer("explain", "assistant", *FROM, "--candidate", "nordlys-1/h100")["workload"]["explanation"][0]
    criteria = [rule for rule in candidate["rules"] if not rule["recognition"]]
    assert len(criteria) == candidate["rulesAsked"] == candidate["satisfied"]
    assert any(rule["recognition"] for rule in candidate["rules"])
    office = candidate["rules"][0]["findings"][0]
    assert (office["fact"], office["found"], office["wanted"]) == ("seats.registeredOffice", "DK", "Union")
    assert office["evidenceAgeDays"] == 61


def test_own_wishes_are_told_apart_from_the_law() -> None:
    result = run("explain", "triage", *FROM).stdout
    assert "22 of 22 rules hold, excluded by the workload's own wishes" in result


def test_a_cluster_says_what_is_missing_for_the_next_level() -> None:
    pools = {p["nodePool"]: p for p in answer("explain", "sovc/nordlys-1", *FROM)["pools"]}
    assert (pools["h100"]["proven"], pools["h100"]["nextLevel"], pools["h100"]["missing"]) == (4, None, [])
    assert (pools["h100-hall2"]["proven"], pools["h100-hall2"]["nextLevel"]) == (2, 3)
    assert [rule["rule"] for rule in pools["h100-hall2"]["missing"]] == ["L3.d"]
    assert [level["level"] for level in pools["h100"]["levels"]] == [1, 2, 3, 4]


def test_one_name_in_two_namespaces_needs_a_choice(tmp_path: Path) -> None:
    text = (FLEET / "apps" / "workloads.yaml").read_text().replace("health", "care")
    folder = fleet(tmp_path, extra={"more.yaml": text})
    assert "choose one with -n" in run("explain", "assistant", "-f", folder, "--at", AT).stderr
    chosen = run("explain", "assistant", "-n", "care", "-f", folder, "--at", AT)
    assert chosen.stdout.startswith("care/assistant")


def test_a_broken_workload_is_not_called_missing(tmp_path: Path) -> None:
    folder = fleet(tmp_path, replace=("  replicas: 2", "  replicass: 2"))
    result = run("explain", "assistant", "-f", folder, "--at", AT)
    assert result.exit_code == 2
    assert "cannot be read; correct what is named above" in result.stderr
