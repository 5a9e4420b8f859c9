"""Text for a terminal of any width: paragraphs that wrap with an indent, and columns. Nothing is ever cut off. Pure."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

NARROWEST = 30
HANG = 2
STYLES = {"Satisfied": "green", "Placed": "green", "passed": "green", "Unknown": "yellow", "Violated": "red"}
HEADING = "bold"
FAINT = "dim"
BAD = "red"


@dataclass(frozen=True, slots=True)
class Page:
    """What text is laid out for: its width in columns, and whether it may be coloured."""

    width: int
    color: bool = False

    def wide(self, columns: int) -> bool:
        """Whether there is room for ``columns``; if not, things stand below each other."""
        return self.width >= columns


def printable(text: str) -> str:
    """``text`` without control characters, which a terminal would obey: they are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def word(text: str, style: str | None = None) -> Text:
    """A text in its style; a verdict or an outcome brings its own."""
    return Text(printable(text), style=style if style is not None else STYLES.get(text, ""), overflow="fold")


def paragraph(*parts: str | Text, indent: int = 0) -> RenderableType:
    """Parts joined by a space, wrapped; further lines hang two columns deeper."""
    return Padding(_Hanging(_joined(parts, " ")), (0, 0, 0, indent))


def headline(*parts: str | Text, indent: int = 0) -> RenderableType:
    """A paragraph with two blanks between its parts, as columns have."""
    return Padding(_Hanging(_joined(parts, "  ")), (0, 0, 0, indent))


def _joined(parts: Iterable[str | Text], blank: str) -> Text:
    return Text(blank).join(part if isinstance(part, Text) else word(part, "") for part in parts if str(part))


class _Hanging:
    """A text whose further lines are indented."""

    def __init__(self, body: Text) -> None:
        self._body = body

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        first, *rest = self._body.wrap(console, max(options.max_width - HANG, 1), overflow="fold") or [Text()]
        yield first
        for line in rest:
            yield Padding(line, (0, 0, 0, HANG))


def columns(rows: Iterable[Sequence[str | Text]], *, header: Sequence[str] = (), indent: int = 0) -> RenderableType:
    """Rows in columns as wide as their content; where that is too wide, cells wrap."""
    table = Table(box=None, pad_edge=False, show_edge=False, show_header=bool(header), padding=(0, 2, 0, 0))
    rows = [[cell if isinstance(cell, Text) else word(cell) for cell in row] for row in rows]
    for number in range(max([len(header), *map(len, rows)], default=0)):
        title = header[number] if header else ""
        table.add_column(Text(title, style=HEADING), overflow="fold")
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, indent))


def render(parts: Iterable[RenderableType], *, page: Page) -> str:
    """The text, each line without trailing blanks, with one newline at the end."""
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(page.width, NARROWEST),
        force_terminal=page.color,
        color_system="standard" if page.color else None,
        no_color=not page.color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},
    )
    for part in parts:
        console.print(part)
    return "\n".join(re.sub(r" +((?:\x1b\[0m)?)$", r"\1", line) for line in out.getvalue().splitlines()) + "\n"
