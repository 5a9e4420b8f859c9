"""The ownership graph above one entity: holders, holdings, and who can decide through how many layers.

Two readings of the same documents: ``ownership_graph`` trusts only what its evidence carries at the floor that asks;
``stated_graph`` takes every holding as it is written, to see whom a notified change concerns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from domicile.model.facts import Subject
from domicile.model.schema import read_instant
from domicile.model.verdicts import EvidenceClass, Verdict
from domicile.tiers.reading import Context, latest_review, standing

DECISIVE_RIGHTS = frozenset({"veto", "boardMajority", "goldenShare", "generalPartner"})
TERMINAL_KINDS = frozenset(
    {"state", "stateFund", "foundation", "naturalPerson", "dispersed", "internationalOrganisation"}
)
"""Holders that have no owners of their own."""
MAX_HOLDERS = 2000  # a graph beyond this is unknown rather than slow


class Edge(NamedTuple):
    """One holding: ``holder`` holds ``held``."""

    holder: str
    held: str
    capital: float
    votes: float
    rights: frozenset[str]
    group: str
    sized: bool  # capital and votes are stated
    known: bool  # and so are the rights


class Holder(NamedTuple):
    """A node of the graph. ``gap`` says what is missing about its own owners; empty = accounted for."""

    name: str
    title: str
    kind: str
    places: tuple[str, ...]
    vouched: bool  # evidence carries the places
    gap: str


@dataclass(slots=True)
class Graph:
    """Holders above ``target`` with their holdings; ``doubt`` says why it cannot be used."""

    target: str
    holders: dict[str, Holder] = field(default_factory=dict)
    doubt: str = ""
    _above: defaultdict[str, list[Edge]] = field(default_factory=lambda: defaultdict(list))
    _below: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, edge: Edge) -> None:
        """Add a holding."""
        self._above[edge.held].append(edge)
        self._below[edge.holder].append(edge.held)

    def above(self, name: str) -> list[Edge]:
        """The direct holdings in ``name``."""
        return self._above.get(name, [])

    def controllers(self) -> list[Holder]:
        """Every holder that can decide over the target. Many small holders cannot."""
        others = (h for name, h in self.holders.items() if name != self.target and h.kind != "dispersed")
        return [h for h in others if self.controls(h.name)]

    def controls(self, holder: str) -> bool:
        """Whether ``holder``, with everything it controls, can decide over the target: half the votes or capital,
        alone or in concert, or a decisive right. Exactly half is joint control, which counts."""
        reach = {holder}
        todo = list(self._below.get(holder, ()))
        while todo and self.target not in reach:
            held = todo.pop()
            if held not in reach and self._decides(held, reach):
                reach.add(held)
                todo += [n for name in reach for n in self._below.get(name, ()) if n not in reach]
        return self.target in reach

    def _decides(self, held: str, reach: set[str]) -> bool:
        own = [e for e in self._above[held] if e.holder in reach]
        if any(e.rights & DECISIVE_RIGHTS for e in own):
            return True
        groups = {e.group for e in own if e.group}
        together = [e for e in self._above[held] if e.holder in reach or e.group in groups]
        return sum(e.votes for e in together) >= 50 or sum(e.capital for e in together) >= 50


def places_of(doc: Mapping[str, Any]) -> tuple[str, ...]:
    """Every country an entity is directed from: nationality or state, seats, executive management."""
    seats = doc.get("seats") or {}
    stated = [doc.get("country"), seats.get("registeredOffice"), seats.get("centralAdministration")]
    stated += (doc.get("management") or {}).get("countries", [])
    return tuple(dict.fromkeys(p for p in stated if p))


def ownership_graph(ctx: Context, target: str, coverage: float) -> Graph:
    """The graph as far as evidence carries it. An audited conclusion on a holder stands for what is above it."""
    graph = Graph(target)
    todo = [target]
    while todo and not graph.doubt:
        name = todo.pop()
        if name in graph.holders:
            continue
        subject = ctx.entity(name)
        if subject is None:
            graph.doubt = f"LegalEntity/{name} does not exist; create it or correct the reference"
        elif name != target and _concluded(ctx, subject):
            _add_concluded(graph, name, subject, ctx)
        else:
            readable = standing(ctx, subject, "ownership").verdict is Verdict.SATISFIED
            ownership = (subject.doc.get("ownership") or {}) if readable else {}
            graph.holders[name] = _holder(ctx, name, subject, _gap(name, subject, ownership, coverage))
            todo += _add_owners(graph, name, ownership)
        if len(graph.holders) > MAX_HOLDERS:
            graph.doubt = f"more than {MAX_HOLDERS} holders"
    return graph


def stated_graph(ctx: Context, target: str) -> Graph:
    """The graph as it is written down, evidence or not."""
    graph = Graph(target)
    for name in ctx.above(target):
        subject = ctx.entities.by_name.get(name)
        if subject is not None:
            graph.holders[name] = _holder(ctx, name, subject, "")
            _add_owners(graph, name, subject.doc.get("ownership") or {})
    return graph


def _holder(ctx: Context, name: str, subject: Subject, gap: str) -> Holder:
    groups = [g for g in ("country", "seats", "management") if g in subject.doc]
    vouched = all(standing(ctx, subject, g).verdict is Verdict.SATISFIED for g in groups)
    return Holder(name, name, subject.doc.get("kind", "company"), places_of(subject.doc), vouched, gap)


def _gap(name: str, subject: Subject, ownership: Mapping[str, Any], coverage: float) -> str:
    if subject.doc.get("kind", "company") in TERMINAL_KINDS:
        return ""
    if ownership.get("owners") is None:
        return f"owners of {name} are not stated"
    covered = ownership.get("coveragePercent")
    if covered is None or covered < coverage:
        stated = "not stated" if covered is None else f"{covered:g} percent"
        return f"shareholder coverage of {name} {stated}, {coverage:g} percent needed"
    return ""


def _concluded(ctx: Context, subject: Subject) -> bool:
    """Whether an audited conclusion on control is there, newer than every closed change."""
    conclusion = subject.doc.get("control")
    worth = standing(ctx, subject, "control", at_least=EvidenceClass.AUDITED)
    if conclusion is None or worth.verdict is not Verdict.SATISFIED:
        return False
    if conclusion["conclusion"] != "none" and not conclusion.get("controllers"):
        return False
    reviewed = latest_review(ctx, subject, "control")
    effective = (read_instant(c["effective"]) for c in subject.doc.get("materialChanges") or () if "effective" in c)
    return reviewed is not None and all(reviewed >= moment for moment in effective if ctx.passed(moment))


def _add_concluded(graph: Graph, name: str, subject: Subject, ctx: Context) -> None:
    """A holder with an audited conclusion: the controllers it names decide over it, and nobody else."""
    graph.holders[name] = _holder(ctx, name, subject, "")
    for number, controller in enumerate(subject.doc["control"].get("controllers") or ()):
        key = f"{name}.controllers[{number}]"
        title, kind = controller.get("name", "a controller"), controller.get("kind", "company")
        graph.holders[key] = Holder(key, title, kind, (controller["country"],), True, "")
        graph.add(Edge(key, name, 0, 0, frozenset({"generalPartner"}), "", True, True))


def _add_owners(graph: Graph, name: str, ownership: Mapping[str, Any]) -> list[str]:
    """Add the holders of ``name``; those that are LegalEntities are returned, to be read themselves."""
    entities = []
    capital = votes = 0.0
    for number, owner in enumerate(ownership.get("owners") or ()):
        edge = _edge(owner, owner.get("entity") or f"{name}.owners[{number}]", name)
        graph.add(edge)
        capital, votes = capital + edge.capital, votes + edge.votes
        if "entity" in owner:
            entities.append(owner["entity"])
        else:
            graph.holders[edge.holder] = _described(owner, edge.holder)
    if capital > 100.5 or votes > 100.5:
        graph.doubt = f"contradictory: the holders of {name} add up to more than 100 percent"
    return entities


def _described(owner: Mapping[str, Any], key: str) -> Holder:
    """A holder described in place: what its own owners are is not stated, unless it can have none."""
    kind, title = owner.get("kind", "company"), owner.get("name", "a holder")
    places = (owner["country"],) if "country" in owner else ()
    return Holder(key, title, kind, places, True, "" if kind in TERMINAL_KINDS else f"owners of {title} are not stated")


def _edge(owner: Mapping[str, Any], holder: str, held: str) -> Edge:
    capital, votes = owner.get("capitalPercent"), owner.get("votesPercent")
    sized = capital is not None and votes is not None
    capital = votes if capital is None else capital
    votes = capital if votes is None else votes
    rights = frozenset(owner.get("specialRights") or ())
    known = sized and "specialRights" in owner
    return Edge(holder, held, capital or 0.0, votes or 0.0, rights, owner.get("concertGroup", ""), sized, known)
