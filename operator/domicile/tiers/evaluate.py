"""The evaluator: one framework, one candidate, one instant -> a verdict per rule and per tier.

Pure and total: same inputs, same bytes; no clock, no I/O. Operator, command line, report and replay all call this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from domicile.model.facts import Candidate, Entities
from domicile.model.framework import EvidenceFloor, RuleKind, Tier
from domicile.model.verdicts import Finding, RuleVerdict, Verdict, worst
from domicile.tiers.framework import Framework, Rule
from domicile.tiers.reading import Context, Memo, Options
from domicile.tiers.sharing import Shared
from domicile.tiers.vocabulary import rule_result

NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All rules and tiers of one framework for one candidate at one instant.

    ``criteria`` and ``recognition`` map a level to its verdict; ``levels`` is what admits under the options asked.
    ``until`` is the next instant at which the passing of time alone may change a verdict.
    """

    rules: tuple[RuleVerdict, ...]
    criteria: Mapping[int, Verdict]
    recognition: Mapping[int, Verdict]
    levels: Mapping[int, Verdict]
    until: datetime | None
    touched: frozenset[str]  # LegalEntities the verdicts depend on, existing or not

    @property
    def proven(self) -> int:
        """Highest level that is Satisfied with all below it; 0 where none is."""
        proven = 0
        for level, verdict in sorted(self.levels.items()):
            if verdict is not Verdict.SATISFIED:
                break
            proven = level
        return proven

    def failed(self, level: int, *, recognition: bool = False) -> tuple[RuleVerdict, ...]:
        """Rules up to ``level`` that keep the candidate from it, in the order of the pack."""
        return tuple(
            r
            for r in self.rules
            if r.level <= level and r.verdict is not Verdict.SATISFIED and (recognition or not r.recognition)
        )


def evaluate(
    framework: Framework,
    candidate: Candidate,
    *,
    entities: Entities,
    at: datetime,
    options: Options = NO_OPTIONS,
    shared: Shared | None = None,
) -> Evaluation:
    """Ask every rule of ``framework`` about ``candidate`` as of ``at`` (UTC). Never stops at a first failure.
    ``shared`` belongs to one framework under the same options; it saves work and changes no answer."""
    if candidate.void:
        return _void(framework, candidate, options)
    contexts: dict[int, Context] = {}
    memos: dict[EvidenceFloor, Memo] = {}
    boundaries: list[datetime] = []
    touched: set[str] = set()
    verdicts = []
    for rule in framework.rules:
        ctx = contexts.get(rule.group)
        if ctx is None:
            ctx = contexts[rule.group] = Context(
                at=at,
                floor=rule.floor,
                subcontractors=rule.tier.subcontractors,
                options=options,
                territories=framework.territories,
                entities=entities,
                candidate=candidate,
                boundaries=boundaries,
                group=rule.group,
                memos=memos,
                shared=shared,
                touched=touched,
            )
        verdicts.append(_rule_verdict(ctx, rule))
    aggregated = _aggregate(framework, verdicts, options)
    return Evaluation(tuple(verdicts), *aggregated, min(boundaries, default=None), frozenset(touched))


def _void(framework: Framework, candidate: Candidate, options: Options) -> Evaluation:
    """Nothing is known of a candidate whose facts were stated for something else."""
    label = f"SovereignCluster/{candidate.cluster}"
    finding = Finding(Verdict.UNKNOWN, label, "identity.kubeSystemUID", candidate.void, "the cluster the facts are for")
    verdicts = [
        RuleVerdict(
            rule.spec.id,
            rule.spec.clause,
            rule.spec.level,
            Verdict.UNKNOWN,
            (finding,),
            rule.spec.verdict is RuleKind.RECOGNITION,
        )
        for rule in framework.rules
    ]
    return Evaluation(tuple(verdicts), *_aggregate(framework, verdicts, options), None, frozenset())


def _rule_verdict(ctx: Context, rule: Rule) -> RuleVerdict:
    spec = rule.spec
    verdict, findings = rule_result(ctx, spec.id, rule.predicate, by_class=rule.by_class)
    asked = verdict is Verdict.VIOLATED and spec.waivable and spec.id in ctx.options.waivers
    waived = asked and not any(f.revoked and f.verdict is Verdict.VIOLATED for f in findings)
    if waived:  # a waiver accepts what is known to fail; what is unknown stays unknown, what is revoked violated
        verdict = worst(f.verdict for f in findings if f.verdict is Verdict.UNKNOWN)
    recognition = spec.verdict is RuleKind.RECOGNITION
    return RuleVerdict(spec.id, spec.clause, spec.level, verdict, findings, recognition, waived)


def _aggregate(
    framework: Framework, verdicts: list[RuleVerdict], options: Options
) -> tuple[dict[int, Verdict], dict[int, Verdict], dict[int, Verdict]]:
    criteria: dict[int, Verdict] = {}
    recognition: dict[int, Verdict] = {}
    gates = [rule.spec.mandatory for rule in framework.rules]
    below = Verdict.SATISFIED
    for level in framework.levels:
        tier = framework.tier(level)
        due = [v for v, gate in zip(verdicts, gates, strict=True) if gate and v.level <= level]
        below = worst((below, worst(v.verdict for v in due if not v.recognition)))
        if tier and tier.score:
            below = worst((below, _score(framework, verdicts, tier)))
        criteria[level] = below
        recognition[level] = worst(v.verdict for v in due if v.recognition)
    admits = {n: worst((criteria[n], recognition[n])) if options.recognition else criteria[n] for n in criteria}
    return criteria, recognition, admits


def _score(framework: Framework, verdicts: list[RuleVerdict], tier: Tier) -> Verdict:
    """Weighted aggregation: Satisfied where the objectives surely met reach the threshold, Violated where even the
    unknown ones could not."""
    assert tier.score is not None
    by_objective: dict[str, list[Verdict]] = {}
    for rule, verdict in zip(framework.rules, verdicts, strict=True):
        if rule.spec.objective is not None and rule.spec.level <= tier.level:
            by_objective.setdefault(rule.spec.objective, []).append(verdict.verdict)
    weights = {o.id: o.weight for o in framework.spec.objectives if o.id in by_objective}  # asked for at this tier
    needed = sum(weights.values()) * tier.score.at_least / 100 - 1e-9  # sums of weights such as 0.1 are not exact
    met = {o: worst(vs) for o, vs in by_objective.items()}
    surely = sum(w for o, w in weights.items() if met[o] is Verdict.SATISFIED)
    possibly = sum(w for o, w in weights.items() if met[o] is not Verdict.VIOLATED)
    if surely >= needed:
        return Verdict.SATISFIED
    return Verdict.UNKNOWN if possibly >= needed else Verdict.VIOLATED
