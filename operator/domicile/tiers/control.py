"""The control test: who has decisive influence over an entity (Art. 2(21), Annex III 7), seen from one territory.

Order of proof: a closed change of control voids what was concluded before it; then an audited conclusion; only then
the ownership graph, which can prove control but, without an audit, can disprove it for the lowest evidence floor only.
No percentage is the rule: a majority is one way to control among others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from domicile.inventory.facts import Subject
from domicile.model.places import Territory
from domicile.model.schema import read_instant
from domicile.model.verdicts import EvidenceClass, Verdict, worst
from domicile.tiers.reading import MISSING, Context, standing

DECISIVE_RIGHTS = frozenset({"veto", "boardMajority", "goldenShare", "generalPartner"})
TERMINAL_KINDS = frozenset(
    {"state", "stateFund", "foundation", "naturalPerson", "dispersed", "internationalOrganisation"}
)
MAX_HOLDERS = 2000  # a graph beyond this is unknown rather than slow


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


class Edge(NamedTuple):
    """One holding: ``holder`` holds ``held``."""

    holder: str
    held: str
    capital: float
    votes: float
    rights: frozenset[str]
    group: str
    known: bool  # shares and rights are stated


class Holder(NamedTuple):
    """A node of the ownership graph."""

    title: str
    kind: str
    places: tuple[str, ...]
    resolved: bool  # its own owners are accounted for, or it can have none


def control_of(ctx: Context, entity: Subject, test: ControlTest) -> Controlled:
    """Apply the control test to ``entity``."""
    problem = ctx.entities.problems.get(entity.label.partition("/")[2])
    if problem:
        return Controlled(Verdict.UNKNOWN, (), problem, "ownership.owners", "")
    closed = _closed_change(ctx, entity)
    if closed:
        return _after_change(ctx, entity, closed, test)
    concluded = _conclusion(ctx, entity, test)
    if concluded and concluded[1].rank >= EvidenceClass.AUDITED.rank:
        return concluded[0]
    graph = _from_graph(ctx, entity, test)
    return graph if concluded is None else _both(concluded[0], graph)


def _both(concluded: Controlled, graph: Controlled) -> Controlled:
    """An unaudited conclusion beside the graph: control stands on either; its absence must not be contradicted."""
    if concluded.verdict is not Verdict.SATISFIED or graph.verdict is not Verdict.VIOLATED:
        return concluded
    found = f"contradictory: concluded {concluded.found}, but {graph.found}"
    return Controlled(Verdict.UNKNOWN, graph.countries, found, "control", concluded.evidence)


def _closed_change(ctx: Context, entity: Subject) -> Mapping[str, Any] | None:
    """The latest closed change of control that no later conclusion covers (5.5 X3)."""
    latest: tuple[datetime, Mapping[str, Any]] | None = None
    for change in entity.doc.get("materialChanges") or ():
        if "effective" not in change:
            continue
        effective = read_instant(change["effective"])
        if ctx.passed(effective) and (latest is None or effective > latest[0]):
            latest = (effective, change)
    if latest is None:
        return None
    worth = standing(ctx, entity, "control")
    attested = worth.verdict is Verdict.SATISFIED and worth.reviewed is not None and worth.reviewed >= latest[0]
    return None if attested and "control" in entity.doc else latest[1]


def _after_change(ctx: Context, entity: Subject, change: Mapping[str, Any], test: ControlTest) -> Controlled:
    found = f"{change['kind']} effective {change['effective']}, control not attested since"
    acquirer = ctx.entity(change["acquirer"]) if "acquirer" in change else None
    places = [change["acquirerCountry"]] if "acquirerCountry" in change else []
    if acquirer is not None and acquirer is not entity:
        places += _places(acquirer.doc)
    outside = tuple(dict.fromkeys(p for p in places if test.outside.where(p) is Verdict.VIOLATED))
    if outside:
        found = f"{change['kind']} by an acquirer from {', '.join(outside)} {found.partition(' ')[2]}"
    elif acquirer is not None and acquirer is not entity:
        held = _from_graph(ctx, acquirer, test)
        outside = held.countries if held.verdict is Verdict.VIOLATED else ()
    verdict = Verdict.VIOLATED if outside else Verdict.UNKNOWN
    return Controlled(verdict, outside, found, "materialChanges", "notice")


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


def _places(doc: Mapping[str, Any]) -> tuple[str, ...]:
    """Every country the entity is directed from: nationality or state, seats, executive management."""
    seats = doc.get("seats") or {}
    stated = [doc.get("country"), seats.get("registeredOffice"), seats.get("centralAdministration")]
    stated += (doc.get("management") or {}).get("countries", [])
    return tuple(dict.fromkeys(p for p in stated if p))


def _from_graph(ctx: Context, entity: Subject, test: ControlTest) -> Controlled:
    """What the ownership graph proves (section 5.3 of the reading): control, its absence, or nothing."""
    target = entity.label.partition("/")[2]
    worth = standing(ctx, entity, "ownership")
    ownership = entity.doc.get("ownership")
    if ownership is None or worth.verdict is not Verdict.SATISFIED:
        note = worth.note if ownership is not None else ""
        return Controlled(Verdict.UNKNOWN, (), MISSING if ownership is None else "ownership", "ownership", note)
    holders, edges, doubt = _graph(ctx, target)
    if doubt:
        return Controlled(Verdict.UNKNOWN, (), doubt, "ownership.owners", worth.note)
    controllers = [name for name in holders if name != target and _controls(name, target, edges)]
    verdicts = {name: _one_controller(holders[name].kind, holders[name].places, test) for name in controllers}
    links = _links(entity, test)
    outside = tuple(
        dict.fromkeys(
            place
            for name, verdict in verdicts.items()
            if verdict is not Verdict.SATISFIED
            for place in holders[name].places
            if test.outside.where(place) is not Verdict.SATISFIED
        )
    ) + tuple(country for country, verdict in links if verdict is Verdict.VIOLATED)
    verdict = worst([*verdicts.values(), *(verdict for _, verdict in links)])
    if verdict is Verdict.VIOLATED:
        who = ", ".join(holders[n].title for n, v in verdicts.items() if v is Verdict.VIOLATED) or "a conferring link"
        return Controlled(verdict, outside, f"controlled by {who}", "ownership.owners", worth.note)
    open_point = _open_point(target, ownership, holders, edges, controllers, test)
    if verdict is Verdict.UNKNOWN or open_point:
        return Controlled(Verdict.UNKNOWN, outside, open_point or "a controller is unclear", "ownership", worth.note)
    if ctx.floor.at_least.rank > EvidenceClass.SELF_DECLARED.rank:
        found = "ownership shows no control from outside, but no audited conclusion on control"
        return Controlled(Verdict.UNKNOWN, (), found, "control", worth.note)
    return Controlled(Verdict.SATISFIED, (), "ownership shows no control from outside", "ownership", worth.note)


def _links(entity: Subject, test: ControlTest) -> Iterator[tuple[str, Verdict]]:
    for link in entity.doc.get("links") or ():
        inside = test.outside.where(link["country"])
        if inside is not Verdict.SATISFIED and link.get("confersControl") is not False:
            confers = inside is Verdict.VIOLATED and link.get("confersControl") is True
            yield link["country"], Verdict.VIOLATED if confers else Verdict.UNKNOWN


def _graph(ctx: Context, target: str) -> tuple[dict[str, Holder], list[Edge], str]:
    """All holders above ``target`` with their edges; the third value says why the graph cannot be used."""
    holders: dict[str, Holder] = {}
    edges: list[Edge] = []
    todo = [target]
    while todo:
        name = todo.pop()
        if name in holders:
            continue
        subject = ctx.entity(name)
        assert subject is not None  # dangling owners were found before the walk
        readable = standing(ctx, subject, "ownership").verdict is Verdict.SATISFIED
        ownership = (subject.doc.get("ownership") or {}) if readable else {}
        owners = ownership.get("owners") or []
        kind = subject.doc.get("kind", "company")
        audited = standing(ctx, subject, "control", at_least=EvidenceClass.AUDITED)
        concluded = "control" in subject.doc and audited.verdict is Verdict.SATISFIED
        holders[name] = Holder(name, kind, _places(subject.doc), kind in TERMINAL_KINDS or bool(owners) or concluded)
        if concluded and name != target:
            _concluded_edges(subject, name, holders, edges)
        for number, owner in enumerate(owners):
            holder = owner.get("entity") or f"{name}.owners[{number}]"
            edges.append(_edge(owner, holder, name))
            if "entity" in owner:
                todo.append(holder)
            else:
                kind = owner.get("kind", "company")
                places = (owner["country"],) if "country" in owner else ()
                title = owner.get("name", "a holder")
                holders[holder] = Holder(title, kind, places, kind in TERMINAL_KINDS)
        if len(holders) > MAX_HOLDERS:
            return holders, edges, f"more than {MAX_HOLDERS} holders"
    for name in holders:
        if sum(e.capital for e in edges if e.held == name) > 100.5 or _votes(edges, name) > 100.5:
            return holders, edges, f"contradictory: the holders of {name} add up to more than 100 percent"
    return holders, edges, ""


def _votes(edges: list[Edge], name: str) -> float:
    return sum(e.votes for e in edges if e.held == name)


def _concluded_edges(subject: Subject, name: str, holders: dict[str, Holder], edges: list[Edge]) -> None:
    """Controllers that an audited conclusion names for a holder count as its controllers in the graph."""
    for number, controller in enumerate(subject.doc["control"].get("controllers") or ()):
        key = f"{name}.controllers[{number}]"
        kind = controller.get("kind", "company")
        holders[key] = Holder(controller.get("name", "a controller"), kind, (controller["country"],), True)
        edges.append(Edge(key, name, 0, 0, frozenset({"generalPartner"}), "", True))


def _edge(owner: Mapping[str, Any], holder: str, held: str) -> Edge:
    capital, votes = owner.get("capitalPercent"), owner.get("votesPercent")
    known = (capital is not None or votes is not None) and "specialRights" in owner
    capital = votes if capital is None else capital
    votes = capital if votes is None else votes
    rights = frozenset(owner.get("specialRights") or ())
    return Edge(holder, held, capital or 0.0, votes or 0.0, rights, owner.get("concertGroup", ""), known)


def _controls(holder: str, target: str, edges: list[Edge]) -> bool:
    """Whether ``holder``, with everything it controls, can decide over ``target``: half the votes or capital of it,
    alone or in concert, or a decisive right. Exactly half is joint control, which counts."""
    reach = {holder}
    grown = True
    while grown and target not in reach:
        grown = False
        for held in {e.held for e in edges if e.holder in reach} - reach:
            if _decides(held, reach, edges):
                reach.add(held)
                grown = True
    return target in reach


def _decides(held: str, reach: set[str], edges: list[Edge]) -> bool:
    above = [e for e in edges if e.held == held]
    own = [e for e in above if e.holder in reach]
    groups = {e.group for e in own if e.group}
    together = [e for e in above if e.holder in reach or e.group in groups]
    if any(e.rights & DECISIVE_RIGHTS for e in own):
        return True
    return sum(e.votes for e in together) >= 50 or sum(e.capital for e in together) >= 50


def _open_point(
    target: str,
    ownership: Mapping[str, Any],
    holders: Mapping[str, Holder],
    edges: list[Edge],
    controllers: list[str],
    test: ControlTest,
) -> str:
    """What keeps the graph from showing that there is no control from outside; empty when nothing does."""
    coverage = ownership.get("coveragePercent")
    if coverage is None or coverage < test.coverage:
        stated = "not stated" if coverage is None else f"{coverage:g} percent"
        return f"shareholder coverage {stated}, {test.coverage:g} percent needed"
    for name in controllers:
        if not holders[name].resolved:
            return f"owners of {holders[name].title} are not stated"
    for edge in edges:
        if edge.held != target:
            continue
        places = holders[edge.holder].places
        inside = bool(places) and worst(test.outside.where(p) for p in places) is Verdict.SATISFIED
        matters = max(edge.capital, edge.votes) >= test.disclosure or bool(edge.rights) or not edge.known
        if matters and not inside and (edge.rights or not edge.known or not places):
            return f"rights or seat of holder {holders[edge.holder].title} are unclear"
    return ""


