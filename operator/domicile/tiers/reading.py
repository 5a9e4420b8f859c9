"""Reading one fact: its value, and whether its evidence carries it at the tier that asks.

Missing, stale, contradictory and under-evidenced facts are Unknown before any predicate sees them; a fact whose
only attestation was revoked is Violated (Art. 17(11), 20(7)).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from domicile.model.evidence import EvidenceStatus
from domicile.model.facts import Candidate, Entities, EvidenceItem, Subject
from domicile.model.framework import EvidenceFloor, SubcontractorClass
from domicile.model.places import Territory, normalise
from domicile.model.schema import add_age
from domicile.model.verdicts import EvidenceClass, Finding, Verdict
from domicile.tiers.paths import Path
from domicile.tiers.sharing import Shared

MISSING = "not stated"
SELF_EVIDENT = frozenset({"materialChanges"})
"""Groups that need no evidence: a notice against one's own interest (Art. 23(1))."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a workload may ask for that changes a verdict; a small key beside the framework."""

    recognition: bool = False
    require_union_citizens: bool = False
    max_evidence_age: str | None = None
    waivers: frozenset[str] = frozenset()


class Standing(NamedTuple):
    """What the evidence of one fact is worth: Satisfied = usable, and what to show for it."""

    verdict: Verdict
    note: str
    strength: EvidenceClass
    reviewed: datetime | None


class Reading(NamedTuple):
    """One value found under a path. ``standing`` other than Satisfied settles the predicate."""

    subject: str
    fact: str
    value: Any  # None = not stated
    standing: Standing

    def finding(self, verdict: Verdict, wanted: str, found: str | None = None) -> Finding:
        """This reading as an explanation."""
        text = found if found is not None else show(self.value)
        revoked = self.standing.verdict is Verdict.VIOLATED
        return Finding(verdict, self.subject, self.fact, text, wanted, self.standing.note, revoked)


class Scope(NamedTuple):
    """Where paths start: an object, or one item of a list inside it."""

    subject: Subject
    value: Any
    prefix: str = ""
    template: str = ""


def root(subject: Subject) -> Scope:
    """The scope of a whole object."""
    return Scope(subject, subject.doc)


class Memo(NamedTuple):
    """What was worked out once at one evidence floor: the worth of facts and of attestations, and larger results."""

    standings: dict[tuple[int, str, int], Standing]
    weighed: dict[tuple[int, int], Standing]
    found: dict[tuple[Any, ...], Any]


@dataclass(slots=True)
class Context:
    """Everything one evaluation at one evidence floor may look at; collects when a verdict may change by time."""

    at: datetime
    floor: EvidenceFloor
    subcontractors: SubcontractorClass
    options: Options
    territories: Mapping[str, Territory]
    entities: Entities
    candidate: Candidate
    boundaries: list[datetime] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    group: int = 0  # differs where the class of subcontractors does
    memos: dict[EvidenceFloor, Memo] = field(default_factory=dict)
    shared: Shared | None = None
    memo: Memo = field(init=False)

    def __post_init__(self) -> None:
        self.memo = self.memos.setdefault(self.floor, Memo({}, {}, {}))

    def at_floor(self, floor: EvidenceFloor) -> Context:
        """The same questions asked at another evidence floor."""
        return replace(self, floor=floor)

    def alone(self) -> Context:
        """The same questions with collectors of their own, to see what just one answer depends on."""
        return replace(self, boundaries=[], touched=set(), memos={}, shared=None)

    def entity(self, name: str) -> Subject | None:
        """The LegalEntity of that name; remembers that the verdict depends on it, also where it does not exist."""
        self.touched.add(name)
        return self.entities.by_name.get(name)

    def above(self, name: str) -> tuple[str, ...]:
        """The LegalEntity of that name and everything above it in the ownership chain; the verdict depends on all."""
        names = self.entities.above(name)
        self.touched.update(names)
        return names

    def passed(self, moment: datetime) -> bool:
        """Whether ``moment`` has come; if not, it becomes a time to look again."""
        if moment <= self.at:
            return True
        self.boundaries.append(moment)
        return False


def show(value: Any) -> str:
    """A value as a reviewer reads it."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(show(v) for v in value) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{k} {show(v)}" for k, v in value.items())
    return str(value)


def standing(ctx: Context, subject: Subject, template: str, *, at_least: EvidenceClass | None = None) -> Standing:
    """What the evidence for the fact at ``template`` is worth at this floor, at this instant."""
    needed = at_least or ctx.floor.at_least
    key = (id(subject), template, id(needed))  # members of an enumeration hash slowly
    known = ctx.memo.standings.get(key)
    if known is None:
        known = ctx.memo.standings[key] = _standing(ctx, subject, template, needed)
    return known


def latest_review(ctx: Context, subject: Subject, template: str) -> datetime | None:
    """When the fact was last vouched for with evidence that counts at this floor; None = never."""
    weighed = (_weigh(ctx, entry, ctx.floor.at_least) for entry in _covering(subject, template))
    return max((w.reviewed for w in weighed if w.verdict is Verdict.SATISFIED and w.reviewed), default=None)


def _covering(subject: Subject, template: str) -> list[EvidenceItem]:
    return [e for e in subject.evidence_of(template.partition(".")[0]) if e.covers_fact(template)]


def _standing(ctx: Context, subject: Subject, template: str, needed: EvidenceClass) -> Standing:
    if template.partition(".")[0] in SELF_EVIDENT:
        return Standing(Verdict.SATISFIED, "notice", EvidenceClass.NONE, None)
    entries = _covering(subject, template)
    if needed is EvidenceClass.NONE and not entries:
        return Standing(Verdict.SATISFIED, "", EvidenceClass.NONE, None)
    weighed = [_weigh(ctx, entry, needed) for entry in entries]
    usable = [w for w in weighed if w.verdict is Verdict.SATISFIED]
    if usable:
        return max(usable, key=lambda w: (w.strength.rank, w.reviewed or ctx.at))
    if not weighed:
        return Standing(Verdict.UNKNOWN, f"no evidence; {needed.value} needed", EvidenceClass.NONE, None)
    revoked = [w for w in weighed if w.verdict is Verdict.VIOLATED]
    return (revoked or sorted(weighed, key=lambda w: -w.strength.rank))[0]


def _weigh(ctx: Context, entry: EvidenceItem, needed: EvidenceClass) -> Standing:
    key = (id(entry), id(needed))
    known = ctx.memo.weighed.get(key)
    if known is None:
        known = ctx.memo.weighed[key] = _weigh_anew(ctx, entry, needed)
    return known


def _weigh_anew(ctx: Context, entry: EvidenceItem, needed: EvidenceClass) -> Standing:
    reviewed = entry.reviewed if ctx.passed(entry.reviewed) else entry.issued  # a review to come is none yet
    by = f"{entry.strength.value} by {entry.issuer}, reviewed {reviewed:%Y-%m-%d}"

    def worth(verdict: Verdict, note: str) -> Standing:
        return Standing(verdict, note, entry.strength, reviewed)

    if entry.status is EvidenceStatus.REVOKED:
        return worth(Verdict.VIOLATED, f"{by}, revoked")
    if entry.status is not EvidenceStatus.ACTIVE:
        return worth(Verdict.UNKNOWN, f"{by}, still {entry.status.value}")
    if entry.strength.rank < needed.rank:
        return worth(Verdict.UNKNOWN, f"{by}; {needed.value} needed")
    if not ctx.passed(entry.issued):
        return worth(Verdict.UNKNOWN, f"{by}, issued only {entry.issued:%Y-%m-%d}")
    if entry.expires and ctx.passed(entry.expires):
        return worth(Verdict.UNKNOWN, f"{by}, expired {entry.expires:%Y-%m-%d}")
    for age in (ctx.floor.reviewed_within, ctx.options.max_evidence_age):
        if age and ctx.passed(due(reviewed, age)):
            return worth(Verdict.UNKNOWN, f"{by}, review overdue since {due(reviewed, age):%Y-%m-%d}")
    return worth(Verdict.SATISFIED, by)


@lru_cache(maxsize=4096)
def due(reviewed: datetime, age: str) -> datetime:
    """The instant from which a review is overdue; a review of a whole day counts through the same day."""
    whole_day = reviewed.hour == reviewed.minute == reviewed.second == 0
    return add_age(add_age(reviewed, age), "1d") if whole_day and not age.endswith("h") else add_age(reviewed, age)


def read(ctx: Context, scope: Scope, path: Path) -> Iterator[Reading]:
    """Every value under ``path``; one Reading without a value where something on the way is not stated."""
    if path.single:
        return iter((_single(ctx, scope, path),))
    return _follow(ctx, scope.subject, scope.value, path, 0, scope.prefix, scope.template)


def _single(ctx: Context, scope: Scope, path: Path) -> Reading:
    """The one value under a path without lists and references, as ``_follow`` would find it."""
    value, depth = scope.value, 0
    while value is not None and depth < len(path.steps):
        value = value.get(path.steps[depth].name) if isinstance(value, dict) else None
        depth += 1
    name = path.text if depth == len(path.steps) else ".".join(s.name for s in path.steps[:depth])
    text = f"{scope.prefix}.{name}" if scope.prefix else name
    template = f"{scope.template}.{name}" if scope.template else name
    return _reading(ctx, scope.subject, text, template, value)


def _follow(
    ctx: Context, subject: Subject, value: Any, path: Path, index: int, text: str, template: str
) -> Iterator[Reading]:
    if index == len(path.steps):
        yield _reading(ctx, subject, text, template, value)
        return
    step = path.steps[index]
    here = value.get(step.name) if isinstance(value, dict) else None
    text = f"{text}.{step.name}" if text else step.name
    template = f"{template}.{step.name}" if template else step.name
    if here is None:
        yield _reading(ctx, subject, text, template, None)
        return
    last = index + 1 == len(path.steps)
    if not step.many:
        yield from _enter(ctx, subject, here, path, index + 1, text, template, step.entity and not last)
        return
    if last or not here:
        verdict = standing(ctx, subject, template)
        if verdict.verdict is not Verdict.SATISFIED:
            yield Reading(subject.label_of(template.partition(".")[0]), text, here, verdict)
            return
    for number, item in enumerate(here):
        inner = f"{text}[{number}]"
        yield from _enter(ctx, subject, item, path, index + 1, inner, template, step.entity and not last)


def _enter(
    ctx: Context, subject: Subject, value: Any, path: Path, index: int, text: str, template: str, cross: bool
) -> Iterator[Reading]:
    """Go on inside the object, or cross to the LegalEntity that ``value`` names."""
    if not cross:
        yield from _follow(ctx, subject, value, path, index, text, template)
        return
    link = standing(ctx, subject, template)
    entity = ctx.entity(value)
    if link.verdict is not Verdict.SATISFIED:
        yield Reading(subject.label_of(template.partition(".")[0]), text, value, link)
    elif entity is None:
        yield missing_entity(subject.label_of(template.partition(".")[0]), text, value)
    else:
        yield from _follow(ctx, entity, entity.doc, path, index, "", "")


def missing_entity(label: str, fact: str, name: str) -> Reading:
    """A reference to a LegalEntity that is not there."""
    note = f"LegalEntity/{name} does not exist; create it or correct the reference"
    return Reading(label, fact, name, Standing(Verdict.UNKNOWN, note, EvidenceClass.NONE, None))


def _reading(ctx: Context, subject: Subject, text: str, template: str, value: Any) -> Reading:
    label = subject.label_of(template.partition(".")[0])
    if value is None:
        return Reading(label, text, None, Standing(Verdict.UNKNOWN, "", EvidenceClass.NONE, None))
    worth = standing(ctx, subject, template)
    if worth.verdict is Verdict.SATISFIED:
        said = _asserted_otherwise(subject, template, value)
        if said is not None:
            note = f"contradictory: declared {show(value)}, {said[0]} states {said[1]}"
            worth = worth._replace(verdict=Verdict.UNKNOWN, note=note)
    return Reading(label, text, value, worth)


def _asserted_otherwise(subject: Subject, template: str, value: Any) -> tuple[str, str] | None:
    """Who states another value, and which; a document that states a part of a group read whole is compared too."""
    for entry in subject.evidence_of(template.partition(".")[0]):
        if not entry.asserts or entry.status is not EvidenceStatus.ACTIVE:
            continue
        said = entry.asserts.get(template)
        if said is not None and not _says(said, value):
            return entry.issuer, said
        for path, inner in entry.asserts.items():
            if isinstance(value, Mapping) and path.startswith(template + "."):
                declared = value.get(path.removeprefix(template + "."))
                if declared is not None and not _says(inner, declared):
                    return entry.issuer, inner
    return None


def _says(text: str, value: Any) -> bool:
    """Whether a document's words mean ``value``: lists in any order, numbers by value, countries in any spelling."""
    if isinstance(value, list):
        return sorted(_words(text)) == sorted(_words(", ".join(show(v) for v in value)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return normalise(text.strip()) == normalise(show(value))


def _words(text: str) -> list[str]:
    return [normalise(word.strip()) for word in text.strip("[] ").split(",") if word.strip()]
