"""Standard output and standard error: what is written where, how wide, and when in colour."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from domicile.report.answers import Note
    from domicile.report.layout import Page

UNBOUND = 120
"""Columns where nobody looks at a terminal: a log, a file, a pipe."""
SIGPIPE = 141


def page() -> Page:
    """What standard output has room for: ``COLUMNS``, else the terminal, else enough for a log."""
    from domicile.report.layout import Page

    known = os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty()
    return Page(shutil.get_terminal_size().columns if known else UNBOUND, color=coloured(sys.stdout))


def coloured(stream: TextIO) -> bool:
    """Colour is for terminals, and not for those that asked for none (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """Write an answer. A reader that went away (``| head``) ends the program without a word."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(SIGPIPE) from None


def say_json(document: Any) -> None:
    """Write an answer as indented JSON."""
    say(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def complain(lines: Iterable[str], *, kind: str = "error") -> None:
    """Write errors or warnings to standard error, one line each."""
    from domicile.report.layout import printable

    colour = {"error": "\x1b[31m", "warning": "\x1b[33m"}.get(kind, "") if coloured(sys.stderr) else ""
    prefix = f"{colour}{kind}:\x1b[0m" if colour else f"{kind}:"
    for line in lines:
        sys.stderr.write(f"{prefix} {printable(line)}\n")


def complain_about(problems: Iterable[Note], warnings: Iterable[Note] = ()) -> None:
    """Write what is wrong with the input, then what is only doubtful."""
    complain([note.line for note in problems])
    complain([note.line for note in warnings], kind="warning")
