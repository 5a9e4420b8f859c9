"""``domicile plan``: verdicts, exit codes, what is said about bad input, and every form of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from domicile.tiers.packs import pack_text
from tests.cli.running import AT, FIXTURES, FLEET, answer, fleet, run
from tests.crds.cases import manifest, spec_of

CADA = pack_text("cada")
NORDLYS_OWNER = "{name: Nordlys Fonden, kind: foundation, country: DK, capitalPercent: 85"
ALPEN_OWNER = "{name: Alpen Stiftung, kind: foundation, country: CH, capitalPercent: 85"


@pytest.mark.parametrize("columns", [80, 60])
def test_table_is_as_it_was(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES)
    result = run("plan", "-f", "fleet", "--at", AT, columns=columns)
    assert result.stdout == (FIXTURES / f"plan-{columns}.txt").read_text()
    assert max(map(len, result.stdout.splitlines())) <= columns


class Bad(NamedTuple):
    """An input, and what standard error must say."""

    name: str
    says: tuple[str, ...]
    replace: tuple[str, str] | None = None
    extra: dict[str, str | bytes] | None = None
    exit_code: int = 2


BAD = (
    Bad("typo in a field", ("clusters.yaml:37: SovereignCluster/nordlys-1: spec.nodePolls: no such field",),
        ("  nodePools:", "  nodePolls:")),
    Bad("unknown country",
        ("clusters.yaml:8: SovereignCluster/nordlys-1: spec.facts.location.country: XX is not an ISO",),
        ("{country: DK, subdivision: DK-84", "{country: XX, subdivision: DK-84")),
    Bad("missing entity",
        ("clusters.yaml:5: SovereignCluster/nordlys-1: LegalEntity/nordlyx does not exist; create it",),
        ("  provider: nordlys", "  provider: nordlyx")),
    Bad("missing owner",
        ("entities.yaml:15: LegalEntity/nordlys: spec.ownership.owners: owner LegalEntity/ghost does",),
        (NORDLYS_OWNER, "{entity: ghost, capitalPercent: 85")),
    Bad("ownership cycle", ("LegalEntity/nordlys: spec.ownership.owners: ownership cycle nordlys -> nordlys",),
        (NORDLYS_OWNER, "{entity: nordlys, capitalPercent: 85")),
    Bad("two frameworks of one id",
        ("a.yaml:8: SovereigntyFramework/cada-eu: spec.id: cada COM-2026-502 is also defined by cada; keep one",
         "b.yaml:8: SovereigntyFramework/cada: spec.id: cada COM-2026-502 is also defined by cada-eu; keep one"),
        extra={"a.yaml": CADA.replace("  name: cada", "  name: cada-eu", 1), "b.yaml": CADA}),
    Bad("pack with a typo", ("SovereigntyFramework/cada: spec.versoin: no such field",),
        extra={"a.yaml": CADA.replace("version:", "versoin:", 1)}),
    Bad("pack with an unknown fact", ("a.yaml:85: SovereigntyFramework/cada: spec.rules[0] (L1.a): fact path",),
        extra={"a.yaml": CADA.replace("isTrue: [establishment.genuine]", "isTrue: [establishment.genuin]", 1)}),
    Bad("YAML syntax", ("x.yaml:2: ",), extra={"x.yaml": "a: [1,\nb: }\n"}),
    Bad("no Kubernetes object",
        ("x.yaml:1: no Kubernetes object: kind is missing",), extra={"x.yaml": "replicas: 3\n"}),
    Bad("binary", ("x.yaml: is not UTF-8 text",), extra={"x.yaml": b"\x7fELF\x00\xff\xfe"}),
    Bad("control characters", ("x.yaml: is not text",), extra={"x.yaml": b"kind: x\x00\n"}),
    Bad("defined twice", ("x.yaml:3: LegalEntity/alpen: is defined twice, first at",),
        extra={"x.yaml": "apiVersion: domicile.dev/v1alpha1\nkind: LegalEntity\nmetadata: {name: alpen}\nspec: {}\n"}),
    Bad("tier as a number",
        ('workloads.yaml:13: InferenceDeployment/assistant: metadata.annotations[domicile.dev/sovereignty-tier]: 3 is',
         'write "3"'),
        ('sovereignty-tier: "3"', "sovereignty-tier: 3")),
    Bad("unquoted NO", ('warning: ', 'clusters.yaml:8: unquoted NO is read as false by kubectl; write "NO"'),
        ("{country: DK, subdivision: DK-84", "{country: NO, subdivision: NO-03"), exit_code=1),
    Bad("unquoted yes", ('entities.yaml:9: unquoted yes is read as true by kubectl; write "yes"',),
        ("genuine: true", "genuine: yes")),
)  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_input_is_named_with_place_and_remedy_and_admits_nothing(case: Bad, tmp_path: Path) -> None:
    result = run("plan", "-f", fleet(tmp_path, replace=case.replace, extra=case.extra), "--at", AT)
    assert result.exit_code == case.exit_code, result.stderr
    for text in case.says:
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert "health/triage" in result.stdout, "the other objects are still planned"


def test_broken_pack_is_not_replaced_by_the_built_in_one(tmp_path: Path) -> None:
    broken = fleet(tmp_path, extra={"a.yaml": CADA.replace("version:", "versoin:", 1)})
    outcomes = {w["outcome"] for w in answer("plan", "-f", broken, "--at", AT)["workloads"]}
    assert outcomes == {"FrameworkNotFound"}


def test_follow_up_errors_of_a_broken_object_are_left_out(tmp_path: Path) -> None:
    result = run("plan", "-f", fleet(tmp_path, replace=("  sme: false", "  smee: false")), "--at", AT)
    assert "LegalEntity/nordlys: spec.smee" in result.stderr
    assert "does not exist" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (("-f", FLEET / "facts"), 0),
        (("-f", FLEET), 1),
        (("-f", FLEET / "apps"), 1),
        (("-f", "/nowhere"), 2),
        (("-f", FLEET, "--at", "yesterday"), 2),
        (("-f", FLEET, "-o", "xml"), 2),
        ((), 2),
    ],
)
def test_exit_codes(arguments: tuple[str | Path, ...], exit_code: int) -> None:
    at = () if "--at" in arguments else ("--at", AT)
    assert run("plan", *arguments, *at).exit_code == exit_code


def test_placeable_is_exit_code_0(tmp_path: Path) -> None:
    assert run("plan", "-f", fleet(tmp_path, replace=("countries: [FR]", "countries: [DK]")), "--at", AT).exit_code == 0


def test_time_decides() -> None:
    placed = answer("plan", "-f", FLEET, "--at", AT)["workloads"][0]
    later = answer("plan", "-f", FLEET, "--at", "2027-10-01T00:00:00Z")["workloads"][0]
    assert (placed["outcome"], later["outcome"]) == ("Placed", "NoEligibleCandidate")


def test_empty_folder_and_foreign_objects_are_bad_input(tmp_path: Path) -> None:
    assert "holds no manifest" in run("plan", "-f", tmp_path).stderr
    (tmp_path / "x.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    result = run("plan", "-f", tmp_path)
    assert result.exit_code == 2
    assert "no Domicile object" in result.stderr


def test_inventory_folder_gives_facts_and_no_workloads(tmp_path: Path) -> None:
    facts = fleet(tmp_path)
    result = answer("plan", "-f", FLEET / "apps", "--inventory", facts, "--at", AT)
    assert [w["name"] for w in result["workloads"]] == ["assistant", "triage"]
    assert not result["problems"]
    assert str(FLEET) in result["workloads"][0]["file"]


def test_standard_input_beside_an_inventory() -> None:
    text = (FLEET / "apps" / "workloads.yaml").read_text()
    result = answer("plan", "-f", "-", "--inventory", FLEET / "facts", "--at", AT, stdin=text)
    assert [(w["file"], w["line"], w["outcome"]) for w in result["workloads"]] == [
        ("-", 10, "Placed"),
        ("-", 28, "NoEligibleCandidate"),
    ]
    broken = run("plan", "-f", "-", stdin="a: [1,\nb: }\n")
    assert broken.stderr.startswith("error: -:2: ")


def test_a_file_named_twice_is_read_once_and_hidden_folders_are_not(tmp_path: Path) -> None:
    folder = fleet(tmp_path)
    (folder / ".github").mkdir()
    (folder / ".github" / "ci.yaml").write_text("jobs: {}\n")
    result = answer("plan", "-f", folder, "-f", folder / "entities.yaml", "--at", AT)
    assert not result["problems"]


@pytest.mark.parametrize(
    ("replace", "outcome", "line"),
    [
        (('minimum-tier: "2"', 'minimum-tier: "4"'), "TierBelowFloor", 13),
        (('    domicile.dev/sovereignty-tier: "3"', "    a: b"), "TierMissing", 14),
        (('sovereignty-tier: "3"', 'sovereignty-tier: "7"'), "TierUnknown", 13),
        (('sovereignty-tier: "3"', "sovereignty-tier: high"), "TierUnknown", 13),
        (("--max-model-len=32768", "--trust-remote-code"), "ArgumentRefused", 19),
        (("  name: assistant", "  name: assistant.v2"), "InvalidSpec", 10),
        (("products: [H100, H200]", "products: [B300]"), "InsufficientCapacity", 10),
    ],
)
def test_refusals_come_with_their_line(tmp_path: Path, replace: tuple[str, str], outcome: str, line: int) -> None:
    workload = answer("plan", "-f", fleet(tmp_path, replace=replace), "--at", AT)["workloads"][0]
    assert (workload["outcome"], workload["line"], workload["placeable"]) == (outcome, line, False)
    assert workload["message"]


def test_notes_say_once_what_was_not_checked(tmp_path: Path) -> None:
    assert answer("plan", "-f", FLEET, "--at", AT)["notes"] == ["Capacity was not checked: no cluster was asked."]
    moved = fleet(tmp_path, replace=("name: health", "name: other"))
    assert "namespace health" in answer("plan", "-f", moved, "--at", AT)["notes"][1]


def test_sarif_has_rules_with_clauses_and_places() -> None:
    result = run("plan", "-f", FLEET, "--at", AT, "-o", "sarif")
    log = json.loads(result.stdout)["runs"][0]
    rules = {rule["id"]: rule for rule in log["tool"]["driver"]["rules"]}
    assert rules["L1.a"]["help"]["text"] == "Annex II 1.1(a)"
    for number, found in enumerate(log["results"]):
        place = found["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith("apps/workloads.yaml")
        assert place["region"]["startLine"] == 28
        assert list(rules)[found["ruleIndex"]] == found["ruleId"], number
    assert len({found["partialFingerprints"]["domicile/v1"] for found in log["results"]}) == len(log["results"])


def test_sarif_shows_bad_input_and_warnings(tmp_path: Path) -> None:
    folder = fleet(tmp_path, replace=("{country: DK, subdivision: DK-84", "{country: NO, subdivision: NO-03"),
                   extra={"x.yaml": "replicas: 3\n"})  # fmt: skip
    found = json.loads(run("plan", "-f", folder, "--at", AT, "-o", "sarif").stdout)["runs"][0]["results"]
    assert {"BadInput": "error", "UnquotedBoolean": "warning"}.items() <= {
        r["ruleId"]: r["level"] for r in found
    }.items()


def test_junit_has_one_case_per_workload_and_the_explanation_as_failure(tmp_path: Path) -> None:
    root = ElementTree.fromstring(run("plan", "-f", FLEET, "--at", AT, "-o", "junit").stdout)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    failure = root.find("testsuite/testcase[@name='triage']/failure")
    assert failure is not None and failure.get("type") == "NoEligibleCandidate"
    assert "L1.a Violated, Annex II 1.1(a): LegalEntity/alpen seats.registeredOffice: CH" in (failure.text or "")
    broken = fleet(tmp_path, extra={"x.yaml": "replicas: 3\n"})
    assert ElementTree.fromstring(run("plan", "-f", broken, "--at", AT, "-o", "junit").stdout).get("errors") == "1"


def test_same_input_gives_the_same_bytes() -> None:
    first, second = (run("plan", "-f", FLEET, "--at", AT, "-o", "json").stdout for _ in range(2))
    assert first == second


def test_what_the_operator_wrote_states_nothing(tmp_path: Path) -> None:
    """An export of a whole namespace is input as good as any: records and the log's head are passed over."""
    written = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [manifest(kind, spec_of(kind, {})) for kind in ("PlacementRecord", "DecisionLog")],
    }
    without = run("plan", "-f", fleet(tmp_path), "--at", AT)
    (tmp_path / "export.json").write_text(json.dumps(written))
    result = run("plan", "-f", tmp_path, "--at", AT)
    assert (result.exit_code, result.stdout, result.stderr) == (without.exit_code, without.stdout, without.stderr)
