"""One decision of the log, decided again from the records before it, and compared byte by byte. Pure.

The same evaluator decides as in the operator. What it needs is in the record (request, options, instant, previous
place, what the field answered) and in the facts stated before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domicile.evidence.canonical import canonical
from domicile.evidence.record import Entry
from domicile.inventory.inventory import Inventory
from domicile.model.verdicts import Verdict
from domicile.placement.decide import Field, Request, decide, standing
from domicile.placement.explain import explain
from domicile.placement.recording import NotRecorded, Replayed, Unseen
from domicile.placement.verdicts import Key, Verdicts
from domicile.replay.facts import Newest, Statement, Unusable, inventory_of, remember, statements
from domicile.report.records import decision_document, explanation_digest, options_of, place_of, request_of
from domicile.report.replayed import Difference, Replay, Result
from domicile.tiers.reading import Options

LAW = ("candidates", "eligible", "refused", "nearest")
"""Members of a decision that no room has a say in."""

Json = Mapping[str, Any]


class NoSuchRecord(LookupError):
    """The entries end before the record asked for, or begin after it."""


def replay(entries: Iterable[Entry], *, seq: int) -> Replay:
    """Decide record ``seq`` of ``entries``, which are in the order of the log, again. Raises NoSuchRecord."""
    newest: Newest = {}
    entry = None
    for entry in entries:
        if entry.seq >= seq:
            break
        remember(newest, entry)
    if entry is None or entry.seq != seq:
        raise NoSuchRecord(_missing(entry, seq))
    try:
        return _replay(entry, statements(newest))
    except Unusable as error:
        return _told(entry, len(newest), Result.NOT_REPLAYABLE, reason=str(error))


def _missing(last: Entry | None, seq: int) -> str:
    if last is None:
        return f"there is no record {seq}: there are no records at all"
    return f"there is no record {seq}: {'the first after it' if last.seq > seq else 'the last one'} is {last.seq}"


def _told(entry: Entry, facts: int, result: Result, **found: Any) -> Replay:
    subject = entry.body.get("subject")
    named = subject if isinstance(subject, dict) else {}
    name = "/".join(str(named[part]) for part in ("kind", "namespace", "name") if named.get(part))
    outcome = str(entry.body.get("outcome", ""))
    return Replay(entry.seq, entry.time, entry.type, name, outcome, facts, result, **found)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A decision as its record has it."""

    decision: Json
    facts: str
    policy: str
    policy_digest: str
    at: datetime
    request: Request
    options: Options
    previous: Key | None
    stay: str
    field: Field | None
    explanation: str | None


def _read(entry: Entry) -> _Recorded:
    body = entry.body
    if "inputs" not in body or "decision" not in body:
        raise Unusable(f"a {entry.type} record that holds no decision; name one that does, such as Placed or Refused")
    try:
        inputs, field = body["inputs"], body["inputs"]["field"]
        return _Recorded(
            decision={**body["decision"]},
            facts=inputs["facts"],
            policy=body["policy"]["name"],
            policy_digest=body["policy"]["digest"],
            at=_instant(inputs["at"]),
            request=request_of(inputs["request"]),
            options=options_of(inputs["options"]),
            previous=place_of(inputs["previous"]),
            stay=str(inputs["stay"]),
            field=None if field is None else Replayed(field),
            explanation=body.get("explanationDigest"),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unusable(f"its inputs cannot be read: {type(error).__name__}: {error}") from None


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return at


def _replay(entry: Entry, stated: list[Statement]) -> Replay:
    recorded = _read(entry)
    inventory = inventory_of(stated, at=recorded.at)
    contradictions = [differs for statement in stated if (differs := statement.contradiction)]
    known = sum(statement.spec is not None for statement in stated)
    if why := _unlike(recorded, inventory, known=known, contradicted=bool(contradictions)):
        return _told(entry, known, Result.NOT_REPLAYABLE, reason=why, differences=tuple(contradictions))
    verdicts = inventory.verdicts(recorded.policy, recorded.options, at=recorded.at)
    found = [*contradictions, *_decision_differences(recorded, verdicts), *_explanation_difference(recorded, verdicts)]
    result = Result.DIFFERENT if found else Result.SAME
    return _told(entry, known, result, law_only=recorded.field is None, differences=tuple(found))


def _unlike(recorded: _Recorded, inventory: Inventory, *, known: int, contradicted: bool) -> str:
    """Why the facts of the log are not those that the decision was made from; empty where they are. Facts that
    contradict their own digests have been changed since, which is told as a difference."""
    if not known:
        return "no record before it states any fact"
    framework = inventory.frameworks.get(recorded.policy)
    if framework is None:
        problems = "; ".join(inventory.framework_problems.get(recorded.policy, ()))
        why = f"does not load: {problems}" if problems else "is not stated in any record before it"
        return f"SovereigntyFramework/{recorded.policy} {why}"
    if contradicted:
        return ""
    if inventory.digest != recorded.facts:
        return (
            f"the facts stated before it have the digest {inventory.digest}, the decision was made from"
            f" {recorded.facts}: some of them are not among these records"
        )
    if framework.digest != recorded.policy_digest:
        return (
            f"SovereigntyFramework/{recorded.policy} as stated before it has the digest {framework.digest}, the"
            f" decision was made by {recorded.policy_digest}"
        )
    return ""


def _decision_differences(recorded: _Recorded, verdicts: Verdicts) -> Iterator[Difference]:
    if recorded.field is None:
        yield from _law_differences(recorded, verdicts)
        return
    try:
        again = decide(
            recorded.request,
            verdicts=verdicts,
            field=recorded.field,
            previous=recorded.previous,
            stay=recorded.stay,
        )
    except NotRecorded as error:
        asks = f"asks for {error}, which the decision on record did not"
        yield Difference("decision", recorded.decision.get("outcome"), asks)
        return
    document = decision_document(again)
    if canonical(document) != canonical(recorded.decision):
        found = list(_differences("decision", recorded.decision, document))
        yield from found or [Difference("decision", recorded.decision, document)]  # a null where there was nothing


def _law_differences(recorded: _Recorded, verdicts: Verdicts) -> Iterator[Difference]:
    again = decision_document(decide(recorded.request, verdicts=verdicts, field=Unseen(), previous=None))
    for member in LAW:
        yield from _differences(f"decision.{member}", recorded.decision.get(member), again[member])
    chosen = place_of(recorded.decision.get("chosen"))
    if chosen is not None:
        verdict = standing(recorded.request, verdicts=verdicts, place=chosen).verdict
        if verdict is not Verdict.SATISFIED:
            yield Difference("decision.chosen", recorded.decision.get("chosen"), f"is {verdict}")


def _explanation_difference(recorded: _Recorded, verdicts: Verdicts) -> Iterator[Difference]:
    if recorded.explanation is not None:
        digest = explanation_digest(explain(recorded.request, verdicts=verdicts, field=Unseen()))
        yield from _differences("explanationDigest", recorded.explanation, digest)


def _differences(path: str, recorded: Any, replayed: Any) -> Iterator[Difference]:
    """Every value below ``path`` that is not the same; whole branches where their shape differs."""
    if isinstance(recorded, Mapping) and isinstance(replayed, Mapping):
        for name in sorted({*recorded, *replayed}):
            yield from _differences(f"{path}.{name}", recorded.get(name), replayed.get(name))
    elif isinstance(recorded, list) and isinstance(replayed, list) and len(recorded) == len(replayed):
        for number, (one, other) in enumerate(zip(recorded, replayed, strict=True)):
            yield from _differences(f"{path}[{number}]", one, other)
    elif canonical(recorded) != canonical(replayed):
        yield Difference(path, recorded, replayed)
