"""From verdicts to answers: the candidates of a request, the rules of a candidate, the findings of a rule. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from domicile.cli.room import DeclaredRoom
from domicile.inventory.inventory import Inventory
from domicile.model.facts import Candidate
from domicile.model.framework import RuleKind
from domicile.model.verdicts import Finding, RuleVerdict, Verdict
from domicile.placement.decide import COUNTRIES_RULE, EXCLUDED_RULE, Request
from domicile.placement.explain import explain
from domicile.placement.request import Accepted
from domicile.report.answers import CandidateAnswer, Fact, LevelAnswer, PoolAnswer, RuleAnswer
from domicile.tiers.evaluate import Evaluation, evaluate
from domicile.tiers.framework import Framework

OWN_WISHES = (COUNTRIES_RULE, EXCLUDED_RULE)
_REVIEWED = re.compile(r"reviewed (\d{4})-(\d\d)-(\d\d)")


@dataclass(frozen=True, slots=True)
class Question:
    """An accepted workload and everything its answer is drawn from."""

    accepted: Accepted
    inventory: Inventory
    at: datetime

    @property
    def request(self) -> Request:
        """What the workload asks for."""
        return self.accepted.request

    @property
    def framework(self) -> Framework:
        """The rule pack that gives the tier its meaning."""
        return self.inventory.frameworks[self.accepted.framework]


def fact_answer(finding: Finding, *, at: datetime) -> Fact:
    """A finding with the age of its evidence in whole days."""
    reviewed = _REVIEWED.search(finding.evidence)
    age = (at - datetime(*map(int, reviewed.groups()), tzinfo=UTC)).days if reviewed else None  # type: ignore[misc,arg-type]
    subject, fact, found, wanted = finding.subject, finding.fact, finding.found, finding.wanted
    return Fact(finding.verdict.value, subject, fact, found, wanted, finding.evidence, age)


def rule_answer(
    verdict: RuleVerdict, *, titles: dict[str, str], at: datetime, findings: Iterable[Finding] | None = None
) -> RuleAnswer:
    """One rule; its reasons, unless other ``findings`` are given."""
    shown = verdict.reasons if findings is None else findings
    return RuleAnswer(
        rule=verdict.rule,
        clause=verdict.clause,
        title=titles.get(verdict.rule, ""),
        level=verdict.level,
        verdict=verdict.verdict.value,
        recognition=verdict.recognition,
        findings=tuple(fact_answer(f, at=at) for f in dict.fromkeys(shown)),
    )


def titles_of(framework: Framework) -> dict[str, str]:
    """Rule id -> what must hold."""
    return {rule.spec.id: rule.spec.title for rule in framework.rules}


def rules_asked(question: Question) -> int:
    """How many rules of the framework speak to the tier under the options asked for."""
    recognition = question.accepted.options.recognition
    specs = (rule.spec for rule in question.framework.rules)
    return sum(s.level <= question.request.level and (recognition or s.verdict is RuleKind.CRITERIA) for s in specs)


def explain_all(question: Question) -> tuple[CandidateAnswer, ...]:
    """Every candidate with every rule that keeps it from the tier, in the order of their names."""
    accepted = question.accepted
    verdicts = question.inventory.verdicts(accepted.framework, accepted.options, at=question.at)
    titles, asked = titles_of(question.framework), rules_asked(question)
    answers = []
    for one in explain(question.request, verdicts=verdicts, field=DeclaredRoom(question.inventory)):
        candidate = question.inventory.candidate(one.key)
        own = sum(refusal.rule in OWN_WISHES for refusal in one.refusals)
        answers.append(
            CandidateAnswer(
                cluster=one.key[0],
                node_pool=one.key[1],
                country=candidate.country if candidate else "",
                verdict=one.verdict.value,
                satisfied=asked - (len(one.refusals) - own),
                rules_asked=asked,
                obstacle=one.obstacle,
                rules=tuple(rule_answer(r, titles=titles, at=question.at) for r in one.refusals),
            )
        )
    return tuple(answers)


def explain_one(question: Question, candidate: Candidate) -> CandidateAnswer:
    """One candidate evaluated again: every rule of the tier, satisfied ones included, with all facts looked at."""
    short = next(c for c in explain_all(question) if (c.cluster, c.node_pool) == (candidate.cluster, candidate.pool))
    evaluation = evaluate(
        question.framework,
        candidate,
        entities=question.inventory.entities,
        at=question.at,
        options=question.accepted.options,
    )
    titles = titles_of(question.framework)
    rules = [r for r in evaluation.rules if r.level <= question.request.level]
    own = tuple(rule for rule in short.rules if rule.rule in OWN_WISHES)
    return CandidateAnswer(
        cluster=short.cluster,
        node_pool=short.node_pool,
        country=short.country,
        verdict=short.verdict,
        satisfied=short.satisfied,
        rules_asked=short.rules_asked,
        obstacle=short.obstacle,
        rules=own + tuple(rule_answer(r, titles=titles, at=question.at, findings=r.findings) for r in rules),
    )


def explain_pool(candidate: Candidate, *, framework: Framework, inventory: Inventory, at: datetime) -> PoolAnswer:
    """What one pool proves at every level, and what is missing for the next."""
    evaluation = evaluate(framework, candidate, entities=inventory.entities, at=at)
    above = [level for level in framework.levels if level > evaluation.proven]
    missing = evaluation.failed(above[0]) if above else ()
    titles = titles_of(framework)
    return PoolAnswer(
        node_pool=candidate.pool,
        country=candidate.country,
        proven=evaluation.proven,
        levels=tuple(_level(evaluation, level) for level in framework.levels),
        next_level=above[0] if above else None,
        missing=tuple(rule_answer(r, titles=titles, at=at) for r in missing),
    )


def _level(evaluation: Evaluation, level: int) -> LevelAnswer:
    unknown = Verdict.UNKNOWN
    criteria, recognition = evaluation.criteria.get(level, unknown), evaluation.recognition.get(level, unknown)
    return LevelAnswer(level, criteria.value, recognition.value)
