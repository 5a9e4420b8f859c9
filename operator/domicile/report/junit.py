"""JUnit XML, which every CI system shows: one test case per workload or scenario case, failure text = the explanation.

Bad input is an ``error`` of a case of its own, so that a report never looks green beside exit code 2. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from domicile.report.answers import CaseAnswer, Note, PlanAnswer, RuleAnswer, ScenarioAnswer, WorkloadAnswer
from domicile.report.layout import printable


def plan_junit(answer: PlanAnswer) -> str:
    """One suite; class = namespace, name = workload."""
    suite = Element("testsuite", name="domicile plan", timestamp=answer.at.rstrip("Z"))
    for workload in answer.workloads:
        case = _case(suite, workload.namespace, workload.name, file=workload.file, line=workload.line)
        if not workload.placeable:
            _add(case, "failure", workload.outcome, workload.message, _explanation(workload))
    for problem in answer.problems:
        _problem(suite, problem)
    _add_text(suite, "system-out", "\n".join(answer.notes))
    _add_text(suite, "system-err", "\n".join(note.line for note in answer.warnings))
    return _document([suite])


def scenario_junit(answer: ScenarioAnswer) -> str:
    """One suite per file; class = file, name = case."""
    by_file: defaultdict[str, list[CaseAnswer]] = defaultdict(list)
    for case in answer.cases:
        by_file[case.file].append(case)
    suites = []
    for file, cases in by_file.items():
        suite = Element("testsuite", name=printable(file))
        suites.append(suite)
        for case in cases:
            place = case.place.rpartition(":")
            element = _case(suite, file, case.name, file=file, line=int(place[2]) if place[2].isdigit() else 0)
            if not case.passed:
                kind = "error" if case.bad_input else "failure"
                reasons = [*case.mismatches, *(line for rule in case.failed for line in _rule(rule))]
                _add(element, kind, "BadInput" if case.bad_input else "Mismatch", case.mismatches[0], reasons)
    if answer.problems:
        suite = Element("testsuite", name="input")
        suites.append(suite)
        for problem in answer.problems:
            _problem(suite, problem)
    return _document(suites)


def _case(suite: Element, classname: str, name: str, *, file: str, line: int) -> Element:
    case = SubElement(suite, "testcase", classname=printable(classname), name=printable(name))
    if file:
        case.set("file", printable(file))
    if line:
        case.set("line", str(line))
    return case


def _problem(suite: Element, problem: Note) -> None:
    case = _case(suite, "input", problem.place or "input", file="", line=0)
    _add(case, "error", "BadInput", problem.message, [problem.line])


def _add(case: Element, tag: str, kind: str, message: str, text: Iterable[str]) -> None:
    outcome = SubElement(case, tag, type=kind, message=printable(message))
    outcome.text = "\n".join(printable(line) for line in text)


def _add_text(suite: Element, tag: str, text: str) -> None:
    if text:
        SubElement(suite, tag).text = "\n".join(map(printable, text.splitlines()))


def _explanation(workload: WorkloadAnswer) -> list[str]:
    lines = [workload.message]
    for candidate in workload.explanation:
        obstacle = f", but {candidate.obstacle}" if candidate.obstacle else ""
        lines.append(f"{candidate.name}: {candidate.verdict}{obstacle}")
        lines += [f"  {line}" for rule in candidate.rules for line in _rule(rule)]
    return lines


def _rule(rule: RuleAnswer) -> list[str]:
    return [f"{rule.rule} {rule.verdict}, {rule.clause}: {fact.sentence}" for fact in rule.findings] or [
        f"{rule.rule} {rule.verdict}, {rule.clause}"
    ]


def _document(suites: list[Element]) -> str:
    root = Element("testsuites")
    for suite in suites:
        cases = suite.findall("testcase")
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
        root.append(suite)
    for total in ("tests", "failures", "errors"):
        root.set(total, str(sum(int(suite.get(total, "0")) for suite in suites)))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"
