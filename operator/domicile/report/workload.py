"""The status of an InferenceDeployment, from what was decided and what was observed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domicile.model.labels import WORKLOAD
from domicile.model.verdicts import RuleVerdict, Verdict
from domicile.placement.decide import STAYING, Decision, Outcome
from domicile.placement.request import Refusal
from domicile.placement.verdicts import Key, Row
from domicile.report.conditions import Said, conditions, instant
from domicile.report.violation import Violation
from domicile.tiers.framework import Framework


@dataclass(frozen=True, slots=True)
class Copy:
    """One delivered or to-be-delivered copy. ``ready`` as observed; ``problem`` says what keeps it from being so."""

    key: Key
    country: str
    desired: int
    digest: str
    ready: int = 0
    delivered: bool = False
    verified: bool = True  # False where the member cannot be asked
    available: bool = False
    problem: str = ""
    pods: int = 0  # bound in its pool

    def plain(self) -> dict[str, Any]:
        """As an entry of ``status.placements``."""
        cluster, pool = self.key
        entry = {"cluster": cluster, "nodePool": pool, "country": self.country, "desired": self.desired}
        return {**entry, "ready": self.ready, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the status of one workload tells."""

    generation: int
    name: str
    tier: int | None
    framework: Framework | None
    inventory_digest: str
    decision: Decision | None
    refusal: Refusal | None = None
    copies: tuple[Copy, ...] = ()
    row: Row | None = field(default=None)  # verdict of the candidate it runs on
    suspended: bool = False
    violation: Violation | None = None
    strays: tuple[str, ...] = ()  # pods where no decision put them
    moved: datetime | None = None  # set where moving or stopping begins now
    stopped: datetime | None = None  # since when it is scaled to zero
    look_again: datetime | None = None
    records: tuple[str, ...] | None = None  # names of its PlacementRecords, None: as before


def workload_status(story: Story, *, before: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The whole status document; equal to ``before`` when nothing changed."""
    said = _conditions(story)
    ready = next(s for s in said if s.type == "Ready")
    first = story.copies[0] if story.copies else None
    status: dict[str, Any] = {
        "observedGeneration": story.generation,
        "replicas": sum(copy.desired for copy in story.copies),
        "readyReplicas": sum(copy.ready for copy in story.copies),
        "selector": f"{WORKLOAD}={story.name}",
        "cluster": first.key[0] if first else "",
        "nodePool": first.key[1] if first else "",
        "reason": ready.reason,
        "conditions": conditions(said, before=before.get("conditions") or (), generation=story.generation, at=at),
        "placements": [copy.plain() for copy in story.copies],
    }
    if story.tier is not None:
        status["tier"] = story.tier
    decision = _decision(story, before)
    if decision:
        status["decision"] = decision
    moments = [m for m in (story.row.until if story.row else None, story.look_again) if m is not None]
    if moments:
        status["nextEvaluationTime"] = instant(min(moments))
    return status | _history(story, before)


def _history(story: Story, before: Mapping[str, Any]) -> dict[str, Any]:
    """What the status remembers across decisions: the open violation, the last move, whether it is stopped, records."""
    violation = before.get("violation") if story.refusal is not None else None
    if story.violation is not None:
        violation = story.violation.plain()
    moved = instant(story.moved) if story.moved else before.get("lastMoved")
    records = before.get("records") if story.records is None else list(story.records)
    stopped = instant(story.stopped) if story.stopped else None
    if story.refusal is not None:
        stopped = before.get("stopped")
    history = {"violation": violation, "lastMoved": moved, "stopped": stopped, "records": records}
    return {name: value for name, value in history.items() if value}


def _decision(story: Story, before: Mapping[str, Any]) -> dict[str, Any] | None:
    """The decision in short. The inventory digest is that of the decision, so it moves only when the decision does."""
    if story.decision is None or story.framework is None:
        return before.get("decision")
    decision, framework = story.decision, story.framework
    document = {
        "framework": {
            "id": framework.spec.id or framework.name,
            "version": framework.spec.version,
            "digest": framework.digest,
        },
        "candidates": decision.candidates,
        "eligible": decision.eligible,
        "refused": [r._asdict() for r in decision.refused[:64]],
        "nearest": [
            {
                "cluster": near.cluster,
                "nodePool": near.pool,
                "rule": near.rule,
                "fact": f"{near.finding.subject} {near.finding.fact}"[:500],
                "found": near.finding.found[:500],
                "wanted": near.finding.wanted[:500],
            }
            for near in decision.nearest
        ],
    }
    old = before.get("decision") or {}
    waits = decision.outcome in STAYING and _reason(before, "Placed") == decision.outcome
    if (decision.kept or waits) and old.get("framework") == document["framework"]:
        return old
    unchanged = {k: v for k, v in old.items() if k != "inventory"} == document
    return {**document, "inventory": old["inventory"] if unchanged else story.inventory_digest}


def _reason(status: Mapping[str, Any], condition: str) -> str:
    return next((str(c["reason"]) for c in status.get("conditions") or () if c["type"] == condition), "")


def _conditions(story: Story) -> list[Said]:
    if story.refusal is not None:
        return _refused(story)
    accepted = Said("Accepted", "True", "Accepted", f"tier {story.tier}")
    compliant, placed = _compliant(story), _placed(story)
    said = [accepted, compliant, placed]
    if story.copies:
        said += [_delivered(story), _available(story)]
    if story.row is not None:
        said.append(_evidence(story.row, story.tier or 0))
    return [*said, *_summary(story, compliant, placed)]


def _refused(story: Story) -> list[Said]:
    assert story.refusal is not None
    reason, message = str(story.refusal.reason), story.refusal.message
    said = [
        Said("Ready", "False", reason, message),
        Said("Stalled", "True", reason, message),
        Said("Accepted", "False", reason, message),
        Said("Compliant", "Unknown", "NotEvaluated", "the object was not accepted"),
    ]
    if story.copies:
        said += [_delivered(story), _available(story)]
    return said


def _compliant(story: Story) -> Said:
    """Whether what runs is where it may run; for what does not run, whether a legal place exists."""
    decision, row = story.decision, story.row
    assert decision is not None
    leaving = [copy for copy in story.copies[1:] if not copy.verified or copy.pods]
    if story.strays:
        more = f" and {len(story.strays) - 3} more" if len(story.strays) > 3 else ""
        where = ", ".join(story.strays[:3])
        return Said("Compliant", "False", "ObservedOutsidePlacement", f"not where it was placed: {where}{more}")
    if leaving:
        where = ", ".join("/".join(copy.key) for copy in leaving)
        return Said("Compliant", "False", "Vacating", f"a copy still runs on {where}, which it has to leave")
    if row is not None and story.tier is not None:
        failed = row.refusals(story.tier)
        if not failed and decision.outcome is Outcome.NO_ELIGIBLE_CANDIDATE:
            message = f"{row.candidate.name} satisfies the tier, but not {_own(decision)}"
            return Said("Compliant", "False", "OutsideWishes", message)
        if not failed:
            return Said("Compliant", "True", "AllRulesSatisfied", f"{row.satisfied} rules hold on {row.candidate.name}")
        if story.stopped is not None:
            message = f"scaled to zero, since {row.candidate.name} does not satisfy the tier: {_first(failed)}"
            return Said("Compliant", "False", "Stopped", message)
        violated = [r for r in failed if r.verdict is Verdict.VIOLATED]
        status, reason = ("False", "CandidateLostEligibility") if violated else ("Unknown", "FactsUnknown")
        return Said("Compliant", status, reason, _first(failed))
    if story.copies:
        where = "/".join(story.copies[0].key)
        return Said("Compliant", "Unknown", "FactsUnknown", f"no facts about {where}, where it was placed")
    if decision.outcome is Outcome.NO_ELIGIBLE_CANDIDATE:
        return Said("Compliant", "False", "NoEligibleCandidate", _why_none(decision))
    return Said("Compliant", "True", "AllRulesSatisfied", f"{decision.eligible} candidates satisfy tier {story.tier}")


def _first(failed: Sequence[RuleVerdict]) -> str:
    """The first of the rules that failed, a violated one before one that is open, and how many more there are."""
    rule = next((r for r in failed if r.verdict is Verdict.VIOLATED), failed[0])
    more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{rule.rule} ({rule.clause}) {rule.findings[0].sentence()}{more}"


def _own(decision: Decision) -> str:
    """The wishes of the workload that refuse candidates."""
    return " and ".join(r.rule for r in decision.refused if r.rule.startswith("spec.")) or "what the workload asks for"


def _why_none(decision: Decision) -> str:
    if not decision.candidates:
        return "there are no candidates; create a SovereignCluster with node pools"
    rules = ", ".join(f"{r.rule} ({r.violated + r.unknown})" for r in decision.refused[:5])
    text = f"none of {decision.candidates} candidates satisfies the tier; refused by {rules}"
    if decision.nearest:
        near = decision.nearest[0]
        text += f"; nearest: {near.cluster}/{near.pool}, {near.rule}: {near.finding.sentence()}"
    return text


def _placed(story: Story) -> Said:
    decision = story.decision
    assert decision is not None
    if decision.outcome in STAYING:
        return Said("Placed", "True", str(decision.outcome), decision.obstacle)
    if decision.outcome is Outcome.PLACED and decision.chosen:
        how = "kept" if decision.kept else f"chosen among {decision.eligible} eligible candidates"
        return Said("Placed", "True", "Placed", f"{'/'.join(decision.chosen)}, {how}")
    message = decision.obstacle or _why_none(decision)
    if story.copies:
        where = "/".join(story.copies[0].key)
        how = "was scaled to zero" if story.stopped else "is left as it is"
        message = f"the copy on {where} {how}: {message}"
    return Said("Placed", "False", str(decision.outcome), message)


def _delivered(story: Story) -> Said:
    copy = story.copies[0]
    where = copy.key[0]
    if not copy.verified:
        return Said("Delivered", "Unknown", "UnverifiedDelivery", f"{where} cannot be asked: {copy.problem}")
    if copy.delivered:
        return Said("Delivered", "True", "Delivered", f"all objects are on {where}")
    return Said("Delivered", "False", "DeliveryFailed" if copy.problem else "Delivering", copy.problem)


def _available(story: Story) -> Said:
    copy = story.copies[0]
    counted = f"{copy.ready} of {copy.desired} pods ready"
    if not copy.verified:
        return Said("Available", "Unknown", "UnverifiedDelivery", f"last seen: {counted}")
    if copy.available:
        return Said("Available", "True", "PodsReady", counted)
    stuck = copy.problem if copy.delivered else ""
    return Said("Available", "False", "PodsNotReady", f"{counted}; {stuck}" if stuck else counted)


def _evidence(row: Row, level: int) -> Said:
    open_points = [r for r in row.refusals(level) if r.verdict is Verdict.UNKNOWN]
    if open_points:
        return Said("EvidenceValid", "False", "EvidenceMissing", open_points[0].findings[0].sentence())
    until = f"; next date at which that may change: {instant(row.until)}" if row.until else ""
    return Said("EvidenceValid", "True", "Verified", f"evidence carries level {level}{until}")


def _summary(story: Story, compliant: Said, placed: Said) -> list[Said]:
    """Ready, with Reconciling or Stalled beside it but never both (kstatus)."""
    if compliant.status != "True" and story.copies:
        return [Said("Ready", "False", "NotCompliant", compliant.message), _blocked(placed, compliant)]
    if placed.status != "True":
        return [Said("Ready", "False", placed.reason, placed.message), _blocked(placed, placed)]
    if story.stopped is not None:
        return [
            Said("Ready", "False", "Stopped", placed.message),
            Said("Reconciling", "True", placed.reason, placed.message),
        ]
    if story.suspended:
        return [Said("Ready", "False", "Suspended", "spec.suspend is set")]
    delivered, available = _delivered(story), _available(story)
    if delivered.status == "True" and available.status == "True":
        return [Said("Ready", "True", "Serving", available.message)]
    current = available if delivered.status == "True" else delivered
    if current.status == "Unknown":
        return [Said("Ready", "Unknown", current.reason, current.message)]
    if current.reason == "DeliveryFailed":
        return [
            Said("Ready", "False", "DeliveryFailed", current.message),
            Said("Stalled", "True", "DeliveryFailed", current.message),
        ]
    return [
        Said("Ready", "False", "Deploying", current.message),
        Said("Reconciling", "True", "RollingOut", current.message),
    ]


def _blocked(placed: Said, cause: Said) -> Said:
    """Capacity and reach come back by themselves; the law does not."""
    if placed.reason in (Outcome.INSUFFICIENT_CAPACITY, Outcome.CANDIDATES_UNREACHABLE) or placed.status == "True":
        return Said("Reconciling", "True", placed.reason, placed.message)
    return Said("Stalled", "True", placed.reason, cause.message)
