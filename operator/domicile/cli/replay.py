"""``domicile replay``: a decision of the log made again, from the log alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domicile.cli.errors import BadInput

if TYPE_CHECKING:
    from domicile.evidence.record import Entry
    from domicile.report.replayed import Replay

EPILOG = """\b
Examples:
  domicile replay 120417 --log-dir /var/lib/domicile/log
  domicile replay 120417 --log-dir copy-of-the-log -o json
  domicile replay excerpt.jsonl
  domicile log show ./log -o json | head -n 120418 | domicile replay -

\b
Exit codes: 0 the same bytes, 1 not what is recorded, 2 cannot be
replayed (facts are missing, no such record) or bad input."""

STDIN = "-"


class ReplayOutput(StrEnum):
    """Forms of the answer."""

    TABLE = "table"
    JSON = "json"


def replay(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SEQ|FILE", help="A record of --log-dir, or a file (- = standard input) whose last record is meant."
        ),
    ],
    *,
    log_dir: Annotated[
        Path | None, typer.Option("--log-dir", metavar="DIR", help="The directory of the decision log, or a copy.")
    ] = None,
    output: Annotated[ReplayOutput, typer.Option("--output", "-o", help="Form of the answer.")] = ReplayOutput.TABLE,
) -> None:
    """Decide again what a record says was decided, and compare.

    Takes the facts from the records before it and everything else from the record itself: no cluster is asked. FILE
    holds records as the log stores them, one per line: those that state the facts, and last the decision.
    """
    from domicile.cli.terminal import say

    answer = _from_log(int(what), log_dir) if what.isascii() and what.isdigit() else _from_file(what, log_dir)
    say(_rendered(answer, output=output))
    raise typer.Exit(answer.exit_code)


def _from_log(seq: int, log_dir: Path | None) -> Replay:
    from domicile.evidence.errors import LogDamaged
    from domicile.evidence.layout import entries, segments
    from domicile.replay.replay import NoSuchRecord
    from domicile.replay.replay import replay as decide_again

    if log_dir is None:
        raise BadInput(f"record {seq} of which log? name its directory with --log-dir")
    if not segments(log_dir):
        raise BadInput(f"--log-dir: {log_dir} holds no segments of a decision log; name the directory above segments/")
    try:
        return decide_again(entries(log_dir), seq=seq)
    except NoSuchRecord as error:
        raise BadInput(f"{log_dir}: {error}") from error
    except LogDamaged as error:
        raise BadInput(f"{log_dir}: the log is damaged: {error}") from error
    except OSError as error:
        raise BadInput(f"{log_dir}: cannot be read: {error}") from error


def _from_file(name: str, log_dir: Path | None) -> Replay:
    from domicile.replay.replay import replay as decide_again

    if log_dir is not None:
        raise BadInput(f"{name}: a file holds its facts itself; leave out --log-dir, or give a record's number")
    found = list(_entries(name))
    if not found:
        raise BadInput(f"{name}: holds no record; write one per line, the decision last")
    for one, other in pairwise(found):
        if other.seq <= one.seq:
            raise BadInput(f"{name}: record {other.seq} follows {one.seq}; keep them in the order of the log")
    return decide_again(found, seq=found[-1].seq)


def _entries(name: str) -> Iterator[Entry]:
    """The records of a file, one per line; empty lines are passed over."""
    from domicile.evidence.record import Entry, EntryInvalid

    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror}; name a file of records, or a record by its number") from error
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            try:
                yield Entry.parse(line)
            except EntryInvalid as error:
                raise BadInput(f"{name}:{number}: no record of a log: {error}") from None


def _rendered(answer: Replay, *, output: ReplayOutput) -> str:
    import json

    from domicile.cli.terminal import page
    from domicile.report.answers import plain
    from domicile.report.replayed import replay_table

    if output is ReplayOutput.JSON:
        document: Any = plain(answer)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return replay_table(answer, page=page())
