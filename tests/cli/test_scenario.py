"""``domicile test``: scenario files, passing, failing and broken."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.running import FLEET, answer, run

HEAD = """\
framework: cada
at: "2026-11-01T00:00:00Z"
baseline: [{facts}/entities.yaml, {facts}/clusters.yaml]
subject: {{cluster: nordlys-1, nodePool: h100}}
cases:
- name: holds
  expect: {{4: Satisfied}}
"""
FAILS = """\
- name: telemetry leaves
  patch:
    SovereignCluster/nordlys-1: {spec: {facts: {telemetry: {sinks: [{endpoint: x, country: US}]}}}}
  expect: {1: Satisfied}
  because: [L1.a]
"""
BROKEN = """\
- name: typo
  patch: {SovereignCluster/nordlys-1: {spec: {fax: 1}}}
"""


def written(folder: Path, *cases: str) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(HEAD.format(facts=FLEET / "facts") + "".join(cases))
    return file


@pytest.mark.parametrize(
    ("cases", "exit_code"), [((), 0), ((FAILS,), 1), ((BROKEN,), 2), ((FAILS, BROKEN), 2)], ids=str
)
def test_exit_codes(tmp_path: Path, cases: tuple[str, ...], exit_code: int) -> None:
    assert run("test", written(tmp_path, *cases)).exit_code == exit_code


def test_failed_cases_show_what_was_expected_and_found(tmp_path: Path) -> None:
    text = run("test", written(tmp_path, FAILS), columns=200).stdout
    assert "scenario.yaml:8  telemetry leaves" in text
    assert "level 1: expected Satisfied, found Violated" in text
    assert "because: L1.a is Satisfied" in text
    assert "telemetry.sinks[0].country: US" in text
    assert "2 cases in 1 file: 1 passed, 1 failed" in text
    assert "holds" not in text
    assert "passed" in run("test", written(tmp_path), "--verbose").stdout.splitlines()[0]


def test_json(tmp_path: Path) -> None:
    holds, fails = answer("test", written(tmp_path, FAILS))["cases"]
    assert (holds["passed"], holds["levels"], holds["failed"]) == (True, dict.fromkeys("1234", "Satisfied"), [])
    assert fails["failed"][0].keys() >= {"rule", "clause", "verdict", "findings"}
    assert fails["file"].endswith("scenario.yaml") and fails["place"] == fails["file"] + ":8"


def test_junit(tmp_path: Path) -> None:
    root = ElementTree.fromstring(run("test", written(tmp_path, FAILS, BROKEN), "-o", "junit").stdout)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")


def test_a_folder_gives_its_scenario_files(tmp_path: Path) -> None:
    written(tmp_path, FAILS)
    (tmp_path / "baseline.yaml").write_text("kind: LegalEntity\n")
    assert len(answer("test", tmp_path)["cases"]) == 2
    (tmp_path / "scenario.yaml").unlink()
    result = run("test", tmp_path)
    assert (result.exit_code, "holds no scenario file" in result.stderr) == (2, True)


@pytest.mark.parametrize("content", [b"a: [1\n", b"casess: 1\n", b"\x00", b"\xff", b""])
def test_broken_files_do_not_stop_the_others(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    result = run("test", tmp_path / "x.yaml", written(tmp_path))
    assert result.exit_code == 2
    assert "x.yaml" in result.stderr
    assert "1 passed" in result.stdout
