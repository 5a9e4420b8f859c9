"""The control test: who has decisive influence over an entity (Art. 2(21), Annex III 7), seen from one territory.

Order of proof: a closed change of control, of the entity or of a holder that controls it, voids what was attested
before it; then an audited conclusion; only then the ownership graph, which can prove control but, without an audit,
can disprove it for the lowest evidence floor only. No percentage is the rule: a majority is one way to control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from domicile.model.facts import Subject
from domicile.model.places import Territory
from domicile.model.schema import read_instant
from domicile.model.verdicts import EvidenceClass, Verdict, worst
from domicile.tiers.ownership import Graph, Holder, ownership_graph, places_of, stated_graph
from domicile.tiers.reading import MISSING, Context, latest_review, standing

NEVER = datetime.min.replace(tzinfo=UTC)


class ControlTest(NamedTuple):
    """Parameters of the test, from the framework."""

    outside: Territory
    natural_persons: Verdict  # what a controlling person from outside means
    disclosure: float  # percent from which a holder matters
    coverage: float  # percent of capital and votes that must be accounted for


class Controlled(NamedTuple):
    """Outcome: Satisfied = no control from outside, Violated = controlled from outside."""

    verdict: Verdict
    countries: tuple[str, ...]  # of controllers outside, or possibly outside
    found: str
    fact: str
    evidence: str
    complete: bool = True  # False: there may be other controllers than those from ``countries``


class Change(NamedTuple):
    """A closed change of control that is newer than what was attested."""

    name: str  # LegalEntity that changed hands
    effective: datetime
    change: Mapping[str, Any]


def control_of(ctx: Context, entity: Subject, test: ControlTest) -> Controlled:
    """Apply the control test to ``entity``."""
    key = ("control", entity.label, test.outside.name, *test[1:])
    known: Controlled | None = ctx.memo.found.get(key)
    if known is None:
        known = ctx.memo.found[key] = _control_of(ctx, entity, test)
    return known


def _control_of(ctx: Context, entity: Subject, test: ControlTest) -> Controlled:
    ctx.above(_name(entity))
    problem = ctx.entities.problems.get(_name(entity))
    if problem:
        return Controlled(Verdict.UNKNOWN, (), problem, "ownership.owners", "", complete=False)
    changes = _closed_changes(ctx, entity)
    settled = _settled(ctx, entity, test, max((c.effective for c in changes), default=None))
    if settled:
        return settled
    reviews = [r for group in ("control", "ownership") if (r := latest_review(ctx, entity, group))]
    return _after_change(ctx, [c for c in changes if c.effective > max(reviews, default=NEVER)], test)


def _name(entity: Subject) -> str:
    return entity.label.partition("/")[2]


def _settled(ctx: Context, entity: Subject, test: ControlTest, changed: datetime | None) -> Controlled | None:
    """What conclusion and ownership say, each only if attested since ``changed``; None where neither is."""
    concluded = _conclusion(ctx, entity, test) if _since(ctx, entity, "control", changed) else None
    if concluded and concluded[1].rank >= EvidenceClass.AUDITED.rank:
        return concluded[0]
    if not _since(ctx, entity, "ownership", changed):
        return concluded[0] if concluded else None
    graph = _from_graph(ctx, entity, test)
    return graph if concluded is None else _both(concluded[0], graph)


def _since(ctx: Context, entity: Subject, group: str, changed: datetime | None) -> bool:
    if changed is None:
        return True
    reviewed = latest_review(ctx, entity, group) if group in entity.doc else None
    return reviewed is not None and reviewed >= changed


def _both(concluded: Controlled, graph: Controlled) -> Controlled:
    """An unaudited conclusion beside the graph: control stands on either; its absence must not be contradicted."""
    if graph.verdict is not Verdict.VIOLATED:
        return concluded
    if concluded.verdict is Verdict.VIOLATED:
        countries = tuple(sorted({*concluded.countries, *graph.countries}))
        return concluded._replace(countries=countries, complete=graph.complete)
    found = f"contradictory: concluded {concluded.found}, but {graph.found}"
    return Controlled(Verdict.UNKNOWN, graph.countries, found, "control", concluded.evidence, complete=False)


def _closed_changes(ctx: Context, entity: Subject) -> list[Change]:
    """Closed changes of control of the entity, or of a holder that controls it (5.5 X3), whatever was attested."""
    own = _name(entity)
    graph: Graph | None = None
    closed = []
    for name in ctx.above(own):
        subject = ctx.entities.by_name.get(name)
        for change in (subject.doc.get("materialChanges") or ()) if subject else ():
            if "effective" not in change or not ctx.passed(read_instant(change["effective"])):
                continue
            if name != own:  # a notice needs no evidence, so neither does the chain it comes down
                graph = graph or stated_graph(ctx, own)
                if not graph.controls(name):
                    continue
            closed.append(Change(name, read_instant(change["effective"]), change))
    return closed


def _after_change(ctx: Context, changes: list[Change], test: ControlTest) -> Controlled:
    """Controlled from outside if an acquirer is; otherwise nobody knows until control is attested anew."""
    verdicts: list[Verdict] = []
    countries: list[str] = []
    found = []
    for name, _, change in changes:
        acquirer = ctx.entity(change["acquirer"]) if change.get("acquirer", name) != name else None
        places = tuple(dict.fromkeys((*_acquirer_country(change), *(places_of(acquirer.doc) if acquirer else ()))))
        kind = acquirer.doc.get("kind", "company") if acquirer else "company"
        verdict = _one_controller(kind, places, test)
        outside = [p for p in places if test.outside.where(p) is not Verdict.SATISFIED]
        if verdict is Verdict.SATISFIED and acquirer is not None:
            held = _acquirer_held(ctx, acquirer, test)
            verdict, outside = held.verdict, list(held.countries)
        verdicts.append(verdict)
        countries += outside
        by = f" by an acquirer from {', '.join(outside)}" if outside else ""
        found.append(f"{change['kind']} of {name}{by} effective {change['effective']}, control not attested since")
    verdict = Verdict.VIOLATED if Verdict.VIOLATED in verdicts else Verdict.UNKNOWN
    unique = tuple(sorted(set(countries)))
    return Controlled(verdict, unique, "; ".join(found), "materialChanges", "notice", complete=False)


def _acquirer_country(change: Mapping[str, Any]) -> Iterator[str]:
    if "acquirerCountry" in change:
        yield change["acquirerCountry"]


def _acquirer_held(ctx: Context, acquirer: Subject, test: ControlTest) -> Controlled:
    """Who controls the acquirer, by conclusion or graph; its own changes are not followed, they may lead back."""
    ctx.above(_name(acquirer))
    problem = ctx.entities.problems.get(_name(acquirer))
    unknown = Controlled(Verdict.UNKNOWN, (), problem or "", "ownership.owners", "", complete=False)
    return unknown if problem else _settled(ctx, acquirer, test, None) or unknown


def _conclusion(ctx: Context, entity: Subject, test: ControlTest) -> tuple[Controlled, EvidenceClass] | None:
    """The conclusion somebody drew, with its strength; None where it is missing or its evidence does not carry it."""
    control = entity.doc.get("control")
    worth = standing(ctx, entity, "control")
    if control is None or control["conclusion"] == "undetermined" or worth.verdict is not Verdict.SATISFIED:
        return None
    if control["conclusion"] == "none":
        return Controlled(Verdict.SATISFIED, (), "no controller", "control", worth.note), worth.strength
    controllers = control.get("controllers") or []
    if not controllers:
        return None
    verdicts = [_one_controller(c.get("kind", "company"), (c["country"],), test) for c in controllers]
    outside = tuple(
        dict.fromkeys(c["country"] for c, v in zip(controllers, verdicts, strict=True) if v is not Verdict.SATISFIED)
    )
    who = ", ".join(f"{c.get('name', 'a party')} ({c['country']})" for c in controllers)
    found = f"{control['conclusion']} control by {who}"
    return Controlled(worst(verdicts), outside, found, "control", worth.note), worth.strength


def _one_controller(kind: str, places: tuple[str, ...], test: ControlTest) -> Verdict:
    """Satisfied where a controller is inside; a person from outside is what the framework says."""
    if not places:
        return Verdict.UNKNOWN
    verdict = worst(test.outside.where(place) for place in places)
    return test.natural_persons if verdict is Verdict.VIOLATED and kind == "naturalPerson" else verdict


def _from_graph(ctx: Context, entity: Subject, test: ControlTest) -> Controlled:
    """What the ownership graph proves (section 5.3 of the reading): control, its absence, or nothing."""
    worth = standing(ctx, entity, "ownership")
    if "ownership" not in entity.doc or worth.verdict is not Verdict.SATISFIED:
        stated = "ownership" in entity.doc
        note = worth.note if stated else ""
        found = "ownership" if stated else MISSING
        return Controlled(Verdict.UNKNOWN, (), found, "ownership", note, complete=False)
    graph = ownership_graph(ctx, _name(entity), test.coverage)
    if graph.doubt:
        return Controlled(Verdict.UNKNOWN, (), graph.doubt, "ownership.owners", worth.note, complete=False)
    controllers = graph.controllers()
    verdicts = [(h, _holder_verdict(h, test)) for h in controllers]
    links = list(_links(ctx, entity, test))
    outside = [p for h, v in verdicts if v is not Verdict.SATISFIED for p in _outside(h, test)]
    outside += [country for country, verdict in links if verdict is Verdict.VIOLATED]
    verdict = worst([*(v for _, v in verdicts), *(v for _, v in links)])
    open_point = _open_point(graph, controllers, test)
    unplaced = any(v is not Verdict.SATISFIED and not _outside(h, test) for h, v in verdicts)
    complete = not (open_point or unplaced or any(v is Verdict.UNKNOWN for _, v in links))
    countries = tuple(sorted(set(outside)))
    if verdict is Verdict.VIOLATED:
        who = ", ".join(h.title for h, v in verdicts if v is Verdict.VIOLATED) or "a conferring link"
        return Controlled(verdict, countries, f"controlled by {who}", "ownership.owners", worth.note, complete)
    if verdict is Verdict.UNKNOWN or open_point:
        found = open_point or "a controller is unclear"
        return Controlled(Verdict.UNKNOWN, countries, found, "ownership", worth.note, complete)
    if ctx.floor.at_least.rank > EvidenceClass.SELF_DECLARED.rank:
        found = "ownership shows no control from outside, but no audited conclusion on control"
        return Controlled(Verdict.UNKNOWN, (), found, "control", worth.note, complete=False)
    return Controlled(Verdict.SATISFIED, (), "ownership shows no control from outside", "ownership", worth.note)


def _holder_verdict(holder: Holder, test: ControlTest) -> Verdict:
    """A seat outside counts on anybody's word; a seat inside only with evidence."""
    verdict = _one_controller(holder.kind, holder.places, test)
    return Verdict.UNKNOWN if verdict is Verdict.SATISFIED and not holder.vouched else verdict


def _outside(holder: Holder, test: ControlTest) -> list[str]:
    return [p for p in holder.places if test.outside.where(p) is not Verdict.SATISFIED]


def _links(ctx: Context, entity: Subject, test: ControlTest) -> Iterator[tuple[str, Verdict]]:
    for link in entity.doc.get("links") or ():
        inside = test.outside.where(link["country"])
        if inside is Verdict.SATISFIED:
            continue
        if inside is Verdict.VIOLATED and link.get("confersControl") is True:
            yield link["country"], Verdict.VIOLATED
        elif link.get("confersControl") is not False or standing(ctx, entity, "links").verdict is not Verdict.SATISFIED:
            yield link["country"], Verdict.UNKNOWN


def _open_point(graph: Graph, controllers: list[Holder], test: ControlTest) -> str:
    """What keeps the graph from showing that there is no control from outside; empty when nothing does."""
    for holder in (graph.holders[graph.target], *controllers):
        if holder.gap:
            return holder.gap
        for edge in graph.above(holder.name):
            above = graph.holders[edge.holder]
            inside = above.vouched and bool(above.places) and not _outside(above, test)
            matters = max(edge.capital, edge.votes) >= test.disclosure or bool(edge.rights) or not edge.sized
            if above.kind == "dispersed" and not edge.rights:
                continue  # many small holders are no holder
            if matters and not inside and (edge.rights or not edge.known or not above.places):
                return f"rights or seat of holder {above.title} are unclear"
    return ""
