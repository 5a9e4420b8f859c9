"""What a change of facts would do to workloads, as plain data and as a screen. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from rich.console import RenderableType
from rich.text import Text

from domicile.report.answers import CandidateName, Note
from domicile.report.layout import BAD, FAINT, HEADING, Page, headline, paragraph, render, word


class Effect(StrEnum):
    """What becomes of a workload, worst first."""

    STOPS = "Stops"
    MOVES = "Moves"
    LEFT = "Left"
    STOPS_BEING_PLACEABLE = "StopsBeingPlaceable"
    BECOMES_PLACEABLE = "BecomesPlaceable"
    RECOVERS = "Recovers"


TOUCHING = frozenset({Effect.STOPS, Effect.MOVES, Effect.LEFT})
COUNTED = {
    Effect.STOPS: "to be stopped",
    Effect.MOVES: "to move",
    Effect.LEFT: "left where it may not run",
    Effect.STOPS_BEING_PLACEABLE: "no longer placeable",
    Effect.BECOMES_PLACEABLE: "newly placeable",
    Effect.RECOVERS: "legal again",
}
STYLES = {Effect.STOPS: BAD, Effect.MOVES: "yellow", Effect.LEFT: BAD, Effect.STOPS_BEING_PLACEABLE: BAD}


@dataclass(frozen=True, slots=True)
class FactChange:
    """One object of the change: ``Added``, ``Changed``, ``Deleted`` or ``Unchanged``."""

    kind: str
    name: str
    change: str


@dataclass(frozen=True, slots=True)
class Next:
    """The stricter action that follows at the end of a grace period."""

    at: str
    effect: Effect
    goes_to: CandidateName | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """One workload that the change concerns. ``cause`` is the rule or wish that is against its place, ``reason`` what
    keeps it there or from every place."""

    namespace: str
    name: str
    tier: int | None
    framework: str
    effect: Effect
    runs_on: CandidateName | None
    goes_to: CandidateName | None
    cause: str
    reason: str
    then: Next | None

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class WhatIfAnswer:
    """All workloads that a change concerns, how many it does not, and what was not looked at."""

    at: str
    changes: tuple[FactChange, ...]
    workloads: tuple[Outlook, ...]
    unchanged: int
    problems: tuple[Note, ...]
    warnings: tuple[Note, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where nothing that runs is touched, 1 where something is, 2 bad input."""
        if self.problems:
            return 2
        return 1 if any(workload.effect in TOUCHING for workload in self.workloads) else 0


def what_if_table(answer: WhatIfAnswer, *, page: Page) -> str:
    """The change, every workload it concerns with the cause, and the count."""
    parts: list[RenderableType] = [
        paragraph(word(f"{change.kind}/{change.name}", HEADING), change.change.lower()) for change in answer.changes
    ]
    for outlook in answer.workloads:
        parts += [Text(""), *_outlook(outlook)]
    parts += [Text(""), paragraph(_summary(answer))]
    parts += [paragraph(word(note, FAINT)) for note in answer.notes]
    return render(parts, page=page)


def _outlook(outlook: Outlook) -> list[RenderableType]:
    tier = "no tier" if outlook.tier is None else f"tier {outlook.tier}"
    what = word(_sentence(outlook.effect, outlook.runs_on, outlook.goes_to), STYLES.get(outlook.effect, "green"))
    parts = [headline(word(outlook.key, HEADING), tier, what)]
    parts += [paragraph(text, indent=2) for text in (outlook.cause, outlook.reason) if text]
    if outlook.then is not None:
        follows = _sentence(outlook.then.effect, outlook.runs_on, outlook.then.goes_to)
        parts.append(paragraph(f"at {outlook.then.at}:", follows, indent=2))
    return parts


def _sentence(effect: Effect, place: CandidateName | None, target: CandidateName | None) -> str:
    here, there = (place.name if place else ""), (target.name if target else "")
    match effect:
        case Effect.STOPS:
            return f"stops on {here}" + (f", then starts on {there}" if there else "")
        case Effect.MOVES:
            return f"moves from {here} to {there}"
        case Effect.LEFT:
            return f"is left on {here}"
        case Effect.RECOVERS:
            return f"stays on {here}, where it is legal again"
        case Effect.BECOMES_PLACEABLE:
            return f"becomes placeable, on {there}"
        case _:
            return "stops being placeable"


def _summary(answer: WhatIfAnswer) -> str:
    many = Counter(workload.effect for workload in answer.workloads)
    counts = [f"{many[effect]} {COUNTED[effect]}" for effect in Effect if many[effect]]
    total = len(answer.workloads) + answer.unchanged
    return f"{total} workload{'' if total == 1 else 's'}: " + ", ".join([*counts, f"{answer.unchanged} unchanged"])
