"""What a person reads: one function per screen, plain data in, text out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from domicile.report.answers import (
    CandidateAnswer,
    CaseAnswer,
    ClusterAnswer,
    ExplainAnswer,
    Fact,
    Observed,
    PlanAnswer,
    PoolAnswer,
    RuleAnswer,
    ScenarioAnswer,
    WorkloadAnswer,
)
from domicile.report.layout import BAD, FAINT, HEADING, Page, columns, headline, paragraph, render, word

REFUSALS_SHOWN = 5
RULES_SHOWN = 3
FACTS_SHOWN = 3
ROOM_FOR_COLUMNS = 76
ROOM_FOR_REASONS = 110
NOTHING: Text = Text("")


def plan_table(answer: PlanAnswer, *, page: Page) -> str:
    """All workloads, then why each that is not placeable is not, then what was not checked."""
    parts: list[RenderableType] = []
    if answer.workloads:
        parts.append(_overview(answer.workloads, page))
    for workload in answer.workloads:
        if not workload.placeable:
            parts += [NOTHING, *_why_not(workload)]
    placeable = sum(w.placeable for w in answer.workloads)
    many = len(answer.workloads)
    parts += [NOTHING] if answer.workloads else []
    if answer.workloads:
        parts.append(paragraph(f"{_count(many, 'workload')}: {placeable} placeable, {many - placeable} not"))
    parts += [paragraph(word(note, FAINT)) for note in answer.notes]
    return render(parts, page=page)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _overview(workloads: Iterable[WorkloadAnswer], page: Page) -> RenderableType:
    if page.wide(ROOM_FOR_COLUMNS):
        header = ("WORKLOAD", "TIER", "RESULT", "CANDIDATE", "ELIGIBLE")
        return columns([_row(w) for w in workloads], header=header)
    rows = []
    for workload in workloads:
        name, tier, outcome, where, eligible = _row(workload)
        place = f"on {where}" if where else ""
        of = f"({eligible} eligible)" if eligible else ""
        rows += [headline(word(name, HEADING), f"tier {tier}"), headline(outcome, place, of, indent=2)]
    return Group(*rows)


def _row(workload: WorkloadAnswer) -> tuple[str, str, Text, str, str]:
    return (
        workload.key,
        "?" if workload.tier is None else str(workload.tier),
        word(workload.outcome, None if workload.placeable else BAD),
        workload.placement.name if workload.placement else "",
        f"{len(workload.eligible)} of {workload.candidates}" if workload.candidates else "",
    )


def _why_not(workload: WorkloadAnswer) -> list[RenderableType]:
    place = f"({workload.file}:{workload.line})" if workload.file else ""
    parts = [paragraph(word(workload.key, HEADING), place), paragraph(workload.message, indent=2)]
    if workload.refused:
        rows = [(r.rule, r.clause, _refusals(r.violated, r.unknown)) for r in workload.refused[:REFUSALS_SHOWN]]
        parts.append(columns(rows, header=("RULE", "CLAUSE", "CANDIDATES REFUSED"), indent=2))
        hidden = len(workload.refused) - len(rows)
        parts += [paragraph(word(f"... {_count(hidden, 'more rule')}", FAINT), indent=2)] if hidden else []
    for miss in workload.nearest:
        parts.append(paragraph(f"one rule short: {miss.name}, {miss.rule}:", miss.fact.sentence, indent=2))
    if workload.explanation:
        command = f"domicile explain infd/{workload.name} -n {workload.namespace} -f ..."
        parts.append(paragraph(word(f"every candidate and rule: {command}", FAINT), indent=2))
    return parts


def _refusals(violated: int, unknown: int) -> str:
    counts = [f"{violated} violated"] * bool(violated) + [f"{unknown} unknown"] * bool(unknown)
    return ", ".join(counts)


# -- explain -----------------------------------------------------------------------------------------------------


def explain_table(answer: ExplainAnswer, *, page: Page, every_rule: bool) -> str:
    """One workload, every candidate; the first failed rules of each, or all of them."""
    workload = answer.workload
    parts: list[RenderableType] = [_title(answer), NOTHING]
    parts += _conditions(answer.conditions)
    if workload.message:
        parts += [headline(word(workload.outcome, BAD), workload.message), NOTHING]
    for candidate in workload.explanation:
        parts += _candidate(candidate, page, every_rule)
    parts += [NOTHING] if workload.explanation else []
    parts += [paragraph(word(note, FAINT)) for note in answer.notes]
    return render(parts, page=page)


def _title(answer: ExplainAnswer) -> RenderableType:
    workload = answer.workload
    tier = "no tier" if workload.tier is None else f"tier {workload.tier} of {workload.framework}"
    where = f"on {', '.join(c.name for c in answer.running_on)}" if answer.running_on else ""
    since = next((c.since for c in answer.conditions if c.type == "Placed" and c.status == "True"), "")
    since = f" since {since}" if where and since else ""
    would = f"would go to {workload.placement.name}" if workload.placement and not answer.conditions else ""
    return paragraph(word(workload.key, HEADING), *(f"· {part}" for part in (tier, where + since, would) if part))


def _conditions(conditions: Sequence[Observed]) -> list[RenderableType]:
    if not conditions:
        return []
    rows = [(c.type, c.status, c.reason, c.message) for c in conditions]
    return [columns(rows, header=("CONDITION", "STATUS", "REASON", "MESSAGE")), NOTHING]


def _candidate(candidate: CandidateAnswer, page: Page, every_rule: bool) -> list[RenderableType]:
    shown = candidate.rules if every_rule else candidate.rules[:RULES_SHOWN]
    hidden = len(candidate.rules) - len(shown)
    if candidate.verdict == "Satisfied":
        but = f"but {candidate.obstacle}" if candidate.obstacle else ""
        return [headline(word(candidate.name, HEADING), word("Satisfied"), _count(candidate.rules_asked, "rule"), but)]
    parts = [headline(word(candidate.name, HEADING), word(candidate.verdict), _held(candidate))]
    if page.wide(ROOM_FOR_REASONS):
        parts.append(columns([_rule_row(r, every_rule) for r in shown], indent=2))
    else:
        for rule in shown:
            parts += _rule(rule, every_rule)
    return parts + ([paragraph(word(f"... {hidden} more (--all)", FAINT), indent=2)] if hidden else [])


def _held(candidate: CandidateAnswer) -> str:
    """How many rules of the tier hold; a candidate that meets them all may still be one the workload does not want."""
    held = f"{candidate.satisfied} of {_count(candidate.rules_asked, 'rule')} hold"
    unwanted = candidate.verdict != "Satisfied" and candidate.satisfied == candidate.rules_asked
    return f"{held}, excluded by the workload's own wishes" if unwanted else held


def _rule_row(rule: RuleAnswer, every_fact: bool) -> tuple[str, Text, str, Text]:
    reasons = Text("\n").join(word(line, "") for line in _facts(rule.findings, every_fact))
    return rule.rule, word(rule.verdict), rule.clause, reasons


def _rule(rule: RuleAnswer, every_fact: bool) -> list[RenderableType]:
    lines = [headline(rule.rule, word(rule.verdict), rule.clause, indent=2)]
    return lines + [paragraph(line, indent=4) for line in _facts(rule.findings, every_fact)]


def _facts(facts: Sequence[Fact], every_fact: bool) -> list[str]:
    shown = facts if every_fact else facts[:FACTS_SHOWN]
    hidden = len(facts) - len(shown)
    return [fact.sentence for fact in shown] + ([f"... {_count(hidden, 'more fact')} (--all)"] if hidden else [])


def candidate_table(answer: ExplainAnswer, *, page: Page) -> str:
    """One candidate: every rule of the tier, satisfied ones included, with every fact it looked at."""
    parts: list[RenderableType] = [_title(answer)]
    for candidate in answer.workload.explanation:
        obstacle = f"but {candidate.obstacle}" if candidate.obstacle else ""
        name, verdict = word(candidate.name, HEADING), word(candidate.verdict)
        parts.append(headline(name, verdict, _held(candidate), obstacle))
        for rule in candidate.rules:
            parts += [NOTHING, *_whole_rule(rule)]
    parts += [NOTHING, *(paragraph(word(note, FAINT)) for note in answer.notes)]
    return render(parts, page=page)


def _whole_rule(rule: RuleAnswer) -> list[RenderableType]:
    kind = "(recognition: kept apart from the criteria)" if rule.recognition else ""
    parts = [headline(word(rule.rule, HEADING), word(rule.verdict), rule.clause, kind)]
    parts += [paragraph(word(rule.title, FAINT), indent=2)] if rule.title else []
    for fact in rule.findings:
        differs = [word(fact.verdict)] if fact.verdict != rule.verdict else []
        parts.append(paragraph(*differs, fact.sentence, indent=2))
    return parts if rule.findings else [*parts, paragraph("nothing of this kind is there", indent=2)]


# -- clusters ----------------------------------------------------------------------------------------------------


def cluster_table(answer: ClusterAnswer, *, page: Page, every_rule: bool) -> str:
    """The pools of a cluster: what each proves, and what is missing for the next level."""
    title = (word(answer.cluster, HEADING), f"· provider {answer.provider}", f"· {answer.framework}")
    parts: list[RenderableType] = [paragraph(*title), NOTHING, *_conditions(answer.conditions)]
    for pool in answer.pools:
        parts += _pool(pool, every_rule)
    if not answer.pools:
        parts.append(paragraph("has no node pool; add one to spec.nodePools"))
    return render(parts, page=page)


def _pool(pool: PoolAnswer, every_rule: bool) -> list[RenderableType]:
    proven = f"proves level {pool.proven}" if pool.proven else "proves no level"
    parts = [headline(word(pool.node_pool, HEADING), proven, f"({pool.country})" if pool.country else "")]
    rows = [(f"level {level.level}", word(level.criteria), level.recognition) for level in pool.levels]
    parts.append(columns(rows, header=("", "CRITERIA", "RECOGNITION"), indent=2))
    if pool.next_level is not None:
        parts.append(paragraph(f"missing for level {pool.next_level}:", indent=2))
    shown = pool.missing if every_rule else pool.missing[:RULES_SHOWN]
    for rule in shown:
        parts += _rule(rule, every_rule)
    hidden = len(pool.missing) - len(shown)
    parts += [paragraph(word(f"... {hidden} more (--all)", FAINT), indent=2)] if hidden else []
    return [*parts, NOTHING]


# -- scenarios ---------------------------------------------------------------------------------------------------


def scenario_table(answer: ScenarioAnswer, *, page: Page, passing: bool) -> str:
    """Failed cases with what was expected and the reasons found; passing ones on demand; the count."""
    parts: list[RenderableType] = []
    for case in answer.cases:
        if case.passed and passing:
            parts.append(headline(word("passed"), case.place, case.name))
        elif not case.passed:
            parts += _failed_case(case)
    passed = sum(case.passed for case in answer.cases)
    failed = len(answer.cases) - passed
    files = len({case.file for case in answer.cases})
    counts = f"{_count(len(answer.cases), 'case')} in {_count(files, 'file')}: {passed} passed, {failed} failed"
    return render([*parts, paragraph(word(counts, BAD if failed else "green"))], page=page)


def _failed_case(case: CaseAnswer) -> list[RenderableType]:
    parts = [headline(word("failed", BAD), case.place, word(case.name, HEADING))]
    parts += [paragraph(mismatch, indent=2) for mismatch in case.mismatches]
    if case.failed:
        parts.append(paragraph(word("rules found not Satisfied:", FAINT), indent=2))
    for rule in case.failed:
        parts += _rule(rule, every_fact=False)
    return parts
