"""SARIF 2.1.0, which code hosts show beside the lines of a change: one result per workload and rule that refuses it.

Rule id = id of the rule in its pack, help = its clause; what no rule of a pack says (a missing tier, bad input) has the
reason as its id. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from domicile.report.answers import Note, PlanAnswer, RefusedBy, WorkloadAnswer

Json = dict[str, Any]
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
BAD_INPUT = "BadInput"
MISREAD = "UnquotedBoolean"
STDIN = "-"


def plan_sarif(answer: PlanAnswer, *, version: str) -> Json:
    """The log as a JSON document."""
    rules: dict[str, Json] = {}
    results = [result for workload in answer.workloads for result in _results(workload, rules)]
    for problem in answer.problems:
        rules.setdefault(BAD_INPUT, _rule(BAD_INPUT, "An object that cannot be used", "Correct the field named"))
        results.append(_result(BAD_INPUT, "error", problem.line, _place(problem), problem.line))
    for warning in answer.warnings:
        rules.setdefault(MISREAD, _rule(MISREAD, "A scalar that kubectl reads as a boolean", "Put it in quotes"))
        results.append(_result(MISREAD, "warning", warning.message, _place(warning), warning.line))
    order = {rule: number for number, rule in enumerate(rules)}
    for result in results:
        result["ruleIndex"] = order[result["ruleId"]]
    driver = {"name": "domicile", "version": version, "semanticVersion": version, "rules": list(rules.values())}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _results(workload: WorkloadAnswer, rules: dict[str, Json]) -> Iterator[Json]:
    if workload.placeable:
        return
    place = (workload.file, workload.line)
    if not workload.refused or workload.eligible:
        rules.setdefault(workload.outcome, _rule(workload.outcome, "The workload is not placeable", workload.message))
        message = f"{workload.key}: {workload.outcome}: {workload.message}"
        yield _result(workload.outcome, "error", message, place, workload.key)
        return
    for refusal in workload.refused:
        rules.setdefault(refusal.rule, _rule(refusal.rule, refusal.title or refusal.clause, refusal.clause))
        message = _message(workload, refusal)
        yield _result(refusal.rule, "error", message, place, f"{workload.key} {refusal.rule}")


def _message(workload: WorkloadAnswer, refusal: RefusedBy) -> str:
    many = refusal.violated + refusal.unknown
    counts = f"{refusal.violated} violated, {refusal.unknown} unknown"
    text = f"{workload.key} (tier {workload.tier}): {refusal.rule}, {refusal.clause}, refuses {many} of "
    text += f"{workload.candidates} candidates ({counts})"
    example = next(_examples(workload, refusal.rule), "")
    return f"{text}. {example}" if example else text


def _examples(workload: WorkloadAnswer, rule: str) -> Iterator[str]:
    for candidate in workload.explanation:
        for answer in candidate.rules:
            if answer.rule == rule and answer.findings:
                yield f"{candidate.name}: {answer.findings[0].sentence}"


def _rule(name: str, title: str, text: str) -> Json:
    return {
        "id": name,
        "shortDescription": {"text": title},
        "help": {"text": text},
        "defaultConfiguration": {"level": "error"},
    }


def _result(rule: str, level: str, message: str, place: tuple[str, int], identity: str) -> Json:
    result: Json = {"ruleId": rule, "level": level, "message": {"text": message}}
    file, line = place
    if file and file != STDIN:
        location: Json = {"artifactLocation": {"uri": _uri(file)}}
        if line:
            location["region"] = {"startLine": line}
        result["locations"] = [{"physicalLocation": location}]
    digest = hashlib.sha256(f"{rule} {identity}".encode()).hexdigest()
    return result | {"partialFingerprints": {"domicile/v1": digest}}


def _uri(file: str) -> str:
    """A relative reference for a relative path, as code hosts want it; a file URI for an absolute one."""
    path = quote(file.replace("\\", "/").removeprefix("./"))
    return f"file://{path}" if path.startswith("/") else path


def _place(note: Note) -> tuple[str, int]:
    file, _, line = note.place.rpartition(":")
    return (file, int(line)) if line.isdigit() else (note.place, 0)
