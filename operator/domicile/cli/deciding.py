"""One workload -> its answer: accepted or refused, placed or why not. The order of the operator: tier, render-time
refusals, then the decision. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domicile.cli.explaining import Question, explain_all, fact_answer, titles_of
from domicile.cli.inventories import FieldPath, Item, read_path
from domicile.cli.room import DeclaredRoom
from domicile.inventory.inventory import Inventory
from domicile.model.verdicts import Verdict
from domicile.model.workload import TIER_ANNOTATION, InferenceDeploymentSpec
from domicile.placement.decide import Decision, Outcome, decide, standing
from domicile.placement.explain import explain
from domicile.placement.react import policy_of, react, reason_to_stay
from domicile.placement.request import Accepted, Refusal, RefusalReason, TierSources
from domicile.placement.verdicts import Key
from domicile.render.admit import admit
from domicile.report.answers import CandidateName, NearestMiss, RefusedBy, WorkloadAnswer


@dataclass(frozen=True, slots=True)
class Asked:
    """A workload as it stands in a file or on the hub."""

    item: Item
    namespace: str
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    in_force: int | None = None
    previous: Key | None = None
    violated_since: datetime | None = None
    stopped: bool = False

    @property
    def spec(self) -> InferenceDeploymentSpec:
        """The typed spec."""
        assert isinstance(self.item.spec, InferenceDeploymentSpec)
        return self.item.spec


def accepted(asked: Asked, *, inventory: Inventory) -> Accepted | Refusal:
    """The request, or the first reason to refuse it."""
    annotations = asked.item.raw["metadata"].get("annotations") or {}
    sources = TierSources(annotations, asked.namespace_labels, asked.in_force)
    key = f"{asked.namespace}/{asked.item.name}"
    return admit(key, asked.spec, sources=sources, frameworks=inventory.frameworks)


def answer(asked: Asked, *, inventory: Inventory, at: datetime) -> WorkloadAnswer:
    """The decision on one workload, explained where it is not placed."""
    result = accepted(asked, inventory=inventory)
    if isinstance(result, Refusal):
        return _refused(asked, result, inventory)
    question = Question(result, inventory, at)
    verdicts = inventory.verdicts(result.framework, result.options, at=at)
    room = DeclaredRoom(inventory)
    stay = _reason_to_stay(asked, result, inventory, at=at)
    decision = decide(result.request, verdicts=verdicts, field=room, previous=asked.previous, stay=stay)
    placed = decision.outcome is Outcome.PLACED
    standing = explain(result.request, verdicts=verdicts, field=room)
    titles = titles_of(question.framework)
    return WorkloadAnswer(
        namespace=asked.namespace,
        name=asked.item.name,
        file=_file(asked),
        line=_line(asked, ("metadata", "name")),
        tier=result.request.level,
        framework=question.framework.id,
        outcome=decision.outcome.value,
        placeable=placed,
        message=message_of(decision, question=question),
        placement=CandidateName(*decision.chosen) if decision.chosen else None,
        candidates=decision.candidates,
        eligible=tuple(CandidateName(*one.key) for one in standing if one.verdict is Verdict.SATISFIED),
        refused=tuple(
            RefusedBy(r.rule, r.clause, titles.get(r.rule, ""), r.violated, r.unknown) for r in decision.refused
        ),
        nearest=tuple(NearestMiss(n.cluster, n.pool, n.rule, fact_answer(n.finding, at=at)) for n in decision.nearest),
        explanation=() if placed else explain_all(question),
    )


def _reason_to_stay(asked: Asked, accepted: Accepted, inventory: Inventory, *, at: datetime) -> str:
    if asked.previous is None:
        return ""
    verdicts = inventory.verdicts(accepted.framework, accepted.options, at=at)
    tier = inventory.frameworks[accepted.framework].tier(accepted.request.level)
    assert tier is not None
    stands = standing(accepted.request, verdicts=verdicts, place=asked.previous)
    policy = policy_of(tier, asked.spec.sovereignty.on_violation)
    reaction = react(policy, standing=stands, since=asked.violated_since or at, at=at)
    return reason_to_stay(asked.previous, standing=stands, reaction=reaction)


def message_of(decision: Decision, *, question: Question) -> str:
    """In one sentence what stands in the way, empty where nothing does."""
    tier = f"tier {question.request.level} of {question.framework.id}"
    if decision.outcome is Outcome.PLACED:
        return ""
    if decision.outcome is not Outcome.NO_ELIGIBLE_CANDIDATE:
        return decision.obstacle
    if not decision.candidates:
        return f"there is no candidate for {tier}: no SovereignCluster with a node pool was found"
    many = f"none of {decision.candidates} candidates" if decision.candidates > 1 else "the only candidate does not"
    verb = "satisfies" if decision.candidates > 1 else "satisfy"
    own = " and the workload's own wishes" if question.request.countries or question.request.excluded else ""
    return f"{many} {verb} {tier}{own}"


def _refused(asked: Asked, refusal: Refusal, inventory: Inventory) -> WorkloadAnswer:
    name = asked.spec.sovereignty.framework
    framework = inventory.frameworks.get(name)
    return WorkloadAnswer(
        namespace=asked.namespace,
        name=asked.item.name,
        file=_file(asked),
        line=_line(asked, _field(asked, refusal)),
        tier=_written_tier(asked),
        framework=framework.id if framework else name,
        outcome=refusal.reason.value,
        placeable=False,
        message=_remedied(refusal, name, inventory),
        placement=None,
        candidates=0,
        eligible=(),
        refused=(),
        nearest=(),
        explanation=(),
    )


def _remedied(refusal: Refusal, name: str, inventory: Inventory) -> str:
    if refusal.reason is not RefusalReason.FRAMEWORK_NOT_FOUND:
        return refusal.message
    known = ", ".join(sorted(inventory.frameworks))
    why = inventory.framework_problems.get(name)
    return f"{refusal.message}; {'it is refused: ' + '; '.join(why) if why else 'known: ' + (known or 'none')}"


def _field(asked: Asked, refusal: Refusal) -> FieldPath:
    """Where in the file the refusal points to."""
    field = re.match(r"(?:spec|metadata)(?:\.\w+|\[\d+\])*", refusal.message)
    if field and refusal.reason is not RefusalReason.TIER_UNKNOWN:
        return read_path(field[0])
    annotated = TIER_ANNOTATION in (asked.item.raw["metadata"].get("annotations") or {})
    return ("metadata", "annotations", TIER_ANNOTATION) if annotated else ("spec", "sovereignty", "tier")


def _written_tier(asked: Asked) -> int | None:
    written = (asked.item.raw["metadata"].get("annotations") or {}).get(TIER_ANNOTATION)
    if isinstance(written, str) and written.isascii() and written.isdigit():
        return int(written)
    return asked.spec.sovereignty.tier


def _file(asked: Asked) -> str:
    return str(asked.item.origin.file) if asked.item.origin else ""


def _line(asked: Asked, path: FieldPath) -> int:
    return asked.item.origin.document.line(path) if asked.item.origin else 0
