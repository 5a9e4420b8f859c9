"""The pure renderers: nothing is cut at any width, nothing in an object reaches the terminal as a command."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from domicile.report.answers import (
    CandidateAnswer,
    ExplainAnswer,
    Fact,
    Note,
    Observed,
    PlanAnswer,
    RuleAnswer,
    WorkloadAnswer,
    plain,
)
from domicile.report.junit import plan_junit
from domicile.report.layout import Page
from domicile.report.sarif import plan_sarif
from domicile.report.tables import candidate_table, explain_table, plan_table

FACT = Fact("Violated", "LegalEntity/" + "n" * 70, "support.performedFrom", "IN", "Union", "audited by revisor", 12)
RULE = RuleAnswer("L2.h", "Annex II 2.1(h)", "Support stays in the Union", 2, "Violated", False, (FACT,))
CANDIDATE = CandidateAnswer("c" * 63, "p" * 63, "DK", "Violated", 3, 4, "", (RULE,))
WORKLOAD = WorkloadAnswer(
    "team", "w" * 63, "deploy/app.yaml", 7, 3, "cada/COM-2026-502", "NoEligibleCandidate", False,
    "none of 3 candidates satisfies tier 3", None, 3, (), (), (), (CANDIDATE,),
)  # fmt: skip
EVIL = "\x1b[31mred\x07 [bold]x[/bold] </failure>"


def plan_of(workload: WorkloadAnswer) -> PlanAnswer:
    return PlanAnswer("2026-11-01T00:00:00Z", (workload,), (Note("a.yaml:1", "", EVIL),), (), ("a note",))


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("width", [1, 30, 40, 60, 80, 110, 200])
def test_nothing_is_cut_at_any_width(width: int) -> None:
    explained = ExplainAnswer(
        "2026-11-01T00:00:00Z", WORKLOAD, (), (Observed("Ready", "False", "R", "m " * 40, ""),), ()
    )
    for text in (
        explain_table(explained, page=Page(width), every_rule=True),
        candidate_table(explained, page=Page(width)),
        plan_table(plan_of(WORKLOAD), page=Page(width)),
    ):
        assert max(map(len, text.splitlines())) <= max(width, 30)
        assert "w" * 63 in squeezed(text)
    if width < 110:
        assert squeezed(FACT.sentence) in squeezed(explain_table(explained, page=Page(width), every_rule=True))


def test_objects_cannot_command_the_terminal() -> None:
    text = plan_table(plan_of(replace(WORKLOAD, message=EVIL)), page=Page(200, color=True))
    assert "\x1b[31mred" not in text and "\x07" not in text
    assert "\\x1b[31mred\\x07 [bold]x[/bold] </failure>" in text


def test_colour_only_where_asked_for() -> None:
    plan = plan_of(WORKLOAD)
    assert "\x1b[" not in plan_table(plan, page=Page(80))
    assert "\x1b[" in plan_table(plan, page=Page(80, color=True))


def test_junit_stays_xml_whatever_objects_say() -> None:
    root = ElementTree.fromstring(plan_junit(plan_of(replace(WORKLOAD, message=EVIL, name=EVIL))))
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None and "[bold]x[/bold] </failure>" in (failure.text or "")


def test_sarif_of_standard_input_has_no_place() -> None:
    log = plan_sarif(plan_of(replace(WORKLOAD, file="-")), version="1")
    assert "locations" not in log["runs"][0]["results"][0]
    absolute = plan_sarif(plan_of(replace(WORKLOAD, file="/a b/c.yaml")), version="1")["runs"][0]["results"][0]
    assert absolute["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///a%20b/c.yaml"


def test_plain_names_every_field_in_camel_case() -> None:
    assert list(plain(FACT)) == ["verdict", "subject", "fact", "found", "wanted", "evidence", "evidenceAgeDays"]
