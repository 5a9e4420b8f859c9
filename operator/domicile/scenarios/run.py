"""Running a scenario file: patch the baseline, evaluate the candidate, compare verdicts and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from domicile.documents.load import Problem
from domicile.documents.yaml import Document, YamlError, read_documents
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.facts import Candidate, Entities, candidates_of, entity_subject
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.objects import STATED, ObjectError, read_spec
from domicile.model.schema import API_VERSION, Model, read_instant
from domicile.model.verdicts import RuleVerdict, Verdict
from domicile.scenarios.format import CandidateRef, Case, ScenarioFile, merge_patch
from domicile.tiers.evaluate import Evaluation, evaluate
from domicile.tiers.framework import Framework, FrameworkError, load_framework
from domicile.tiers.packs import BUILT_IN, pack_text
from domicile.tiers.reading import Options

Objects = dict[str, Mapping[str, Any]]  # "Kind/name" -> raw object


@dataclass(frozen=True, slots=True)
class CaseResult:
    """Outcome of one case: mismatches in words, and what was evaluated."""

    name: str
    place: str
    mismatches: tuple[str, ...]
    levels: Mapping[int, Verdict]
    failed: tuple[RuleVerdict, ...]
    bad_input: bool = False

    @property
    def passed(self) -> bool:
        """Whether everything came out as expected."""
        return not self.mismatches


class ScenarioError(ValueError):
    """A scenario file that cannot be run at all: every problem with its place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def run_file(path: Path) -> list[CaseResult]:
    """Run all cases of a file, in order. Raises ScenarioError where file or baseline cannot be read."""
    document, scenario = _read(path)
    baseline = _baseline(path, scenario)
    frameworks: dict[str, Framework] = {}
    return [
        _run_case(case, f"{path}:{document.line(('cases', number))}", scenario, baseline, frameworks)
        for number, case in enumerate(scenario.cases)
    ]


def _read(path: Path) -> tuple[Document, ScenarioFile]:
    try:
        documents = read_documents(path.read_text(encoding="utf-8"))
    except YamlError as error:
        line, _, message = str(error).partition(": ")
        raise ScenarioError([Problem(f"{path}:{line}", "", message)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([Problem(str(path), "", f"cannot be read: {error}")]) from error
    if len(documents) != 1:
        raise ScenarioError([Problem(str(path), "", f"one document is needed, found {len(documents)}")])
    document = documents[0]
    try:
        return document, ScenarioFile.model_validate(document.value)
    except ValidationError as error:
        problems = [
            Problem(f"{path}:{document.line(e['loc'])}", ".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()
        ]
        raise ScenarioError(problems) from error


def _baseline(path: Path, scenario: ScenarioFile) -> Objects:
    objects: Objects = {}
    problems: list[Problem] = []
    for name in scenario.baseline:
        file = path.parent / name
        try:
            documents = read_documents(file.read_text(encoding="utf-8"))
        except (YamlError, OSError, UnicodeDecodeError) as error:
            problems.append(Problem(str(file), "", f"baseline cannot be read: {error}"))
            continue
        objects |= {f"{d.value.get('kind')}/{d.value['metadata']['name']}": d.value for d in documents}
    key = f"SovereigntyFramework/{scenario.framework}"
    if key not in objects:
        if scenario.framework not in BUILT_IN:
            known = ", ".join(BUILT_IN)
            message = f"framework {scenario.framework!r} is neither in the baseline nor built in ({known})"
            problems.append(Problem(str(path), "framework", message))
        else:
            objects[key] = read_documents(pack_text(scenario.framework))[0].value
    if problems:
        raise ScenarioError(problems)
    return objects


def _run_case(
    case: Case, place: str, scenario: ScenarioFile, baseline: Objects, frameworks: dict[str, Framework]
) -> CaseResult:
    try:
        objects = _patched(case, baseline)
        touched = f"SovereigntyFramework/{scenario.framework}" in case.patch
        framework = _framework(scenario.framework, objects, {} if touched else frameworks)
        outcome = _evaluate(case, scenario, framework, objects)
    except (ObjectError, FrameworkError, LookupError) as error:
        return CaseResult(case.name, place, (f"bad input: {error}",), {}, (), bad_input=True)
    return CaseResult(
        case.name,
        place,
        tuple(_mismatches(case, outcome)),
        outcome.levels,
        outcome.failed(max(framework.levels), recognition=case.options.basis.value == "recognition"),
    )


def _patched(case: Case, baseline: Objects) -> Objects:
    objects = dict(baseline)
    for key, patch in case.patch.items():
        kind, _, name = key.partition("/")
        if kind not in STATED:
            raise LookupError(f"patch {key}: {kind!r} is none of {', '.join(STATED)}")
        if patch is None:
            objects.pop(key, None)
            continue
        start = objects.get(key) or {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}}
        objects[key] = merge_patch(start, patch)
    return objects


def _spec(key: str, objects: Objects, kind: type[Model]) -> Model:
    try:
        spec = read_spec(objects[key])
    except ObjectError as error:
        raise LookupError(f"{key}: {error}") from error
    assert isinstance(spec, kind)
    return spec


def _framework(name: str, objects: Objects, cache: dict[str, Framework]) -> Framework:
    if name not in cache:
        spec = _spec(f"SovereigntyFramework/{name}", objects, SovereigntyFrameworkSpec)
        assert isinstance(spec, SovereigntyFrameworkSpec)
        cache[name] = load_framework(name, spec)
    return cache[name]


def _evaluate(case: Case, scenario: ScenarioFile, framework: Framework, objects: Objects) -> Evaluation:
    entities = {}
    for key in objects:
        if key.startswith("LegalEntity/"):
            spec = _spec(key, objects, LegalEntitySpec)
            assert isinstance(spec, LegalEntitySpec)
            name = key.partition("/")[2]
            entities[name] = entity_subject(name, spec)
    options = Options(
        recognition=case.options.basis.value == "recognition",
        require_union_citizens=case.options.require_union_citizens,
        max_evidence_age=case.options.max_evidence_age,
        waivers=frozenset(case.options.waivers),
    )
    return evaluate(
        framework,
        _candidate(case.subject or scenario.subject, objects),
        entities=Entities.of(entities),
        at=read_instant(case.at or scenario.at),
        options=options,
    )


def _candidate(ref: CandidateRef, objects: Objects) -> Candidate:
    key = f"SovereignCluster/{ref.cluster}"
    if key not in objects:
        raise LookupError(f"subject: {key} is neither in the baseline nor patched in")
    spec = _spec(key, objects, SovereignClusterSpec)
    assert isinstance(spec, SovereignClusterSpec)
    for candidate in candidates_of(ref.cluster, spec):
        if candidate.pool == ref.node_pool:
            return candidate
    pools = ", ".join(p.name for p in spec.node_pools)
    raise LookupError(f"subject: {key} has no node pool {ref.node_pool!r}; it has: {pools or 'none'}")


def _mismatches(case: Case, outcome: Evaluation) -> list[str]:
    found = []
    pairs = ((case.expect, outcome.levels, "level"), (case.expect_recognition, outcome.recognition, "recognition"))
    for expected, actual, what in pairs:
        for level, verdict in expected.items():
            if level not in actual:
                found.append(f"{what} {level}: the framework has no such level")
            elif actual[level] is not verdict:
                found.append(f"{what} {level}: expected {verdict}, found {actual[level]}")
    failed = {r.rule for r in outcome.rules if r.verdict is not Verdict.SATISFIED}
    known = {r.rule for r in outcome.rules}
    for rule in case.because:
        if rule not in known:
            found.append(f"because: the framework has no rule {rule}")
        elif rule not in failed:
            found.append(f"because: {rule} is Satisfied; it was expected among the reasons")
    return found
