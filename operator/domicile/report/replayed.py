"""What replaying a decision of the log found, as plain data and as a screen. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.console import RenderableType

from domicile.report.layout import BAD, FAINT, HEADING, Page, headline, paragraph, render, word


class Result(StrEnum):
    """How a replay ended."""

    SAME = "Same"
    DIFFERENT = "Different"
    NOT_REPLAYABLE = "NotReplayable"


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that came out otherwise; JSON values, None where there is none."""

    path: str
    recorded: Any
    replayed: Any


@dataclass(frozen=True, slots=True)
class Replay:
    """One decision of the log, decided again. ``reason`` says why it could not be; ``law_only`` that rooms were not
    recorded, so that the choice among legal candidates was not made again."""

    seq: int
    time: str
    type: str
    subject: str
    outcome: str
    facts: int  # objects whose facts were taken from the log
    result: Result
    reason: str = ""
    law_only: bool = False
    differences: tuple[Difference, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 same, 1 different, 2 not replayable."""
        return {Result.SAME: 0, Result.DIFFERENT: 1, Result.NOT_REPLAYABLE: 2}[self.result]


NOT_VERIFIED = "Whether the log is whole and signed was not looked at."
LAW_ONLY = (
    "The record does not hold what was known of room: too many candidates were asked. Verdicts, refusals and whether"
    " the place is legal were compared; the choice among legal candidates was not made again."
)
SAYS = {
    Result.SAME: ("the same bytes", "green"),
    Result.DIFFERENT: ("not what is recorded", BAD),
    Result.NOT_REPLAYABLE: ("cannot be decided again", BAD),
}


def replay_table(replay: Replay, *, page: Page) -> str:
    """The record, how its replay ended, and every difference."""
    text, style = SAYS[replay.result]
    title = (word(f"record {replay.seq}", HEADING), replay.time, replay.type, replay.subject, replay.outcome)
    parts: list[RenderableType] = [headline(*title), headline(word(text, style), f"from {_objects(replay.facts)}")]
    parts += [paragraph(replay.reason, indent=2)] if replay.reason else []
    for difference in replay.differences:
        parts.append(paragraph(word(difference.path, HEADING), indent=2))
        parts.append(paragraph("recorded", _shown(difference.recorded), indent=4))
        parts.append(paragraph("replayed", _shown(difference.replayed), indent=4))
    parts += [paragraph(word(LAW_ONLY, FAINT))] if replay.law_only else []
    return render([*parts, paragraph(word(NOT_VERIFIED, FAINT))], page=page)


def _objects(number: int) -> str:
    return f"{number} object{'' if number == 1 else 's'}"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
