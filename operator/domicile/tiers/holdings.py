"""Shares that parties from outside a territory hold in an entity, directly or through others (SecNumCloud 19.6.b)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from domicile.model.facts import Subject
from domicile.model.verdicts import Verdict
from domicile.tiers.control import ControlTest, control_of
from domicile.tiers.ownership import TERMINAL_KINDS, places_of
from domicile.tiers.reading import Context, standing

S, U, V = Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED


class Share(NamedTuple):
    """Percent of capital and of votes."""

    capital: float
    votes: float

    def of(self, other: Share) -> Share:
        """This share of that share."""
        return Share(self.capital * other.capital / 100, self.votes * other.votes / 100)

    def __add__(self, other: object) -> Share:
        assert isinstance(other, Share)
        return Share(self.capital + other.capital, self.votes + other.votes)

    @property
    def most(self) -> float:
        """The larger of the two; both must stay below a limit."""
        return max(self)


WHOLE, NONE = Share(100, 100), Share(0, 0)


class Shares:
    """What is held from outside by whom, how much might be, and which rights outsiders hold."""

    def __init__(self) -> None:
        self.outside: defaultdict[str, Share] = defaultdict(lambda: NONE)
        self.unclear = NONE
        self.rights: set[str] = set()
        self.rights_open = False


def shares_from_outside(ctx: Context, entity: Subject, test: ControlTest) -> Shares:
    """Follow the holdings of ``entity`` upwards. A holder controlled from outside counts whole."""
    shares = Shares()
    ctx.above(entity.label.partition("/")[2])
    if entity.label.partition("/")[2] in ctx.entities.problems:
        shares.unclear = WHOLE
    else:
        _follow(ctx, entity, WHOLE, shares, test)
    return shares


def _follow(ctx: Context, entity: Subject, part: Share, shares: Shares, test: ControlTest) -> None:
    ownership = entity.doc.get("ownership") or {}
    if ownership.get("owners") is None or standing(ctx, entity, "ownership").verdict is not S:
        shares.unclear += part
        return
    open_percent = 100 - ownership.get("coveragePercent", 0)
    shares.unclear += part.of(Share(open_percent, open_percent))
    for number, owner in enumerate(ownership["owners"]):
        held = part.of(_stated(owner, shares))
        name = owner.get("entity") or f"{owner.get('name', 'a holder')} ({entity.label} {number})"
        inside, further = _holder(ctx, owner, test)
        if inside is V:
            shares.outside[name] += held
        elif further is not None:  # not controlled from outside, or not known to be: its own holders count
            _follow(ctx, further, held, shares, test)
        elif inside is U:
            shares.unclear += held
        if inside is not S and part == WHOLE:
            shares.rights |= set(owner.get("specialRights") or ()) if inside is V else set()
            shares.rights_open |= "specialRights" not in owner or (inside is U and bool(owner["specialRights"]))


def _stated(owner: Mapping[str, Any], shares: Shares) -> Share:
    """The share of an owner; a side that is not stated may be as large as the other and stays open beyond."""
    capital, votes = owner.get("capitalPercent"), owner.get("votesPercent")
    if capital is None or votes is None:
        shares.unclear = shares.unclear + Share(100 if capital is None else 0, 100 if votes is None else 0)
    return Share(capital or 0.0, votes or 0.0)


def _holder(ctx: Context, owner: Mapping[str, Any], test: ControlTest) -> tuple[Verdict, Subject | None]:
    """Whether a holder is inside, and the entity to look through where its own holders count."""
    if "entity" not in owner:
        inside = test.outside.where(owner["country"]) if "country" in owner else U
        return (U if inside is S and owner.get("kind", "company") not in TERMINAL_KINDS else inside), None
    subject = ctx.entity(owner["entity"])
    if subject is None:
        return U, None
    where = [test.outside.where(place) for place in places_of(subject.doc)]
    if V in where:
        return V, None
    if subject.doc.get("kind", "company") in TERMINAL_KINDS:
        vouched = all(standing(ctx, subject, g).verdict is S for g in ("country", "seats") if g in subject.doc)
        return (S if where and U not in where and vouched else U), None
    return control_of(ctx, subject, test).verdict, subject
