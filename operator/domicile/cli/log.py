"""``domicile log``: verify a decision log without trusting whoever wrote it, and read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from domicile.cli.errors import BadInput

if TYPE_CHECKING:
    from domicile.evidence.checkpoint import VerifierKey
    from domicile.evidence.record import Entry
    from domicile.evidence.report import Report

VERIFY_EPILOG = """\b
Examples:
  domicile log verify /var/lib/domicile/log
  domicile log verify copy-of-the-log --key log.key.pub
  domicile log verify copy-of-the-log --key log.key.pub --sink /mnt/witness
  domicile log verify copy-of-the-log --key old.pub --key new.pub -o json

\b
Exit codes: 0 whole, 1 damaged, 2 bad input (no log, no key)."""

SHOW_EPILOG = """\b
Examples:
  domicile log show /var/lib/domicile/log --tail 20
  domicile log show ./log 17
  domicile log show ./log -n health --name assistant
  domicile log show ./log --type Placed --type Moved --outcome Placed
  domicile log show ./log --since 2026-11-01 --until 2026-11-02 -o json

\b
Exit codes: 0 shown (an empty list, too), 2 bad input or a line that
is no record."""

SHOWN = 20  # problems

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Verify and read the decision log.")
T = TypeVar("T")


class LogOutput(StrEnum):
    """Forms of the answer."""

    TABLE = "table"
    JSON = "json"


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the log (--log-dir), or a copy.")]
Output = Annotated[LogOutput, typer.Option("--output", "-o", help="Form of the answer.")]


@app.command("verify", epilog=VERIFY_EPILOG)
def verify(
    directory: Directory,
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Public key that signed it. Default: DIR.key.pub. Repeatable."),
    ] = None,
    sink: Annotated[
        list[Path] | None,
        typer.Option("--sink", metavar="DIR", help="Checkpoints that were kept elsewhere. Repeatable."),
    ] = None,
    output: Output = LogOutput.TABLE,
) -> None:
    """Check chain, tree, checkpoints and signatures, and name the first bad record.

    Only keys, and checkpoints kept elsewhere, are trusted. Without the latter nothing shows that a log was replaced as
    a whole by an older copy, or rewritten by whoever has the signing key. The operator may be writing meanwhile.
    """
    from domicile.cli.terminal import say, say_json
    from domicile.evidence.verify import verify as check

    _need_log(directory)
    keys = [_key(path) for path in key or [directory.resolve().with_name(directory.resolve().name + ".key.pub")]]
    elsewhere = _kept(sink or ())
    try:
        report = check(directory, keys=keys, elsewhere=elsewhere)
    except OSError as error:
        raise BadInput(f"{directory}: cannot be read: {error}") from error
    if output is LogOutput.JSON:
        say_json(_document(report))
    else:
        say("".join(f"{line}\n" for line in _told(report, sinks=bool(sink))))
    raise typer.Exit(0 if report.ok else 1)


@app.command("show", epilog=SHOW_EPILOG)
def show(
    directory: Directory,
    seq: Annotated[int | None, typer.Argument(metavar="SEQ", min=0, help="One record, in full.")] = None,
    *,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Of this type, such as Placed. Repeatable.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Of workloads in this namespace.")] = None,
    name: Annotated[str | None, typer.Option(help="About the object of this name.")] = None,
    outcome: Annotated[str | None, typer.Option(help="With this outcome.")] = None,
    since: Annotated[str | None, typer.Option(metavar="INSTANT", help="At or after.")] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Before.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many of them.")] = None,
    tail: Annotated[int | None, typer.Option(min=1, help="The last so many of them.")] = None,
    output: Output = LogOutput.TABLE,
) -> None:
    """List records, oldest first; with SEQ, print one.

    JSON is one record to a line, with the bytes that the log holds. Whether the log is whole, verify tells. Filters
    are compared letter by letter.
    """
    from itertools import islice

    from domicile.cli.clock import instant
    from domicile.cli.terminal import say
    from domicile.evidence.show import Filter, row, select

    _need_log(directory)
    if limit and tail:
        raise BadInput("--limit and --tail: the first or the last of them? give one")
    if seq is not None:
        record = next((entry for entry in _records(directory, first=seq) if entry.seq == seq), None)
        if record is None:
            raise BadInput(f"{directory}: has no record {seq}; domicile log show {directory} --tail 1 shows the last")
        say(_line(record) if output is LogOutput.JSON else _shown(record.body))
        return
    _warn_of_types(kind or ())
    wanted = Filter(
        types=frozenset(kind or ()),
        namespace=namespace,
        name=name,
        since=instant(since, option="--since") if since else None,
        until=instant(until, option="--until") if until else None,
        outcome=outcome,
    )
    chosen = islice(select(_records(directory), by=wanted), limit)
    if output is LogOutput.JSON:
        for line in _last(map(_line, chosen), tail):
            say(line)
        return
    say(_table(list(_last(map(row, chosen), tail))))


def _need_log(directory: Path) -> None:
    from domicile.evidence.layout import CHECKPOINTS, SEGMENTS

    try:
        known = any((directory / folder).is_dir() for folder in (SEGMENTS, CHECKPOINTS))
    except OSError as error:
        raise BadInput(f"{directory}: cannot be read: {error}") from error
    if not known:
        raise BadInput(f"{directory}: is no decision log; name the directory above {SEGMENTS}/")


def _key(path: Path) -> VerifierKey:
    from domicile.evidence.checkpoint import CheckpointInvalid, VerifierKey

    try:
        return VerifierKey.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"--key: {path}: {error.strerror}; name the public key (.pub) of the log, as you were given it"
        ) from error
    except (CheckpointInvalid, UnicodeDecodeError) as error:
        raise BadInput(f"--key: {path}: {error}; name a public key (.pub)") from error


def _kept(folders: Iterable[Path]) -> dict[str, bytes]:
    from domicile.evidence.sinks import held_in

    kept: dict[str, bytes] = {}
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"--sink: {folder}: no such directory; name one that holds checkpoints")
        try:
            held = held_in(folder)
        except OSError as error:
            raise BadInput(f"--sink: {folder}: cannot be read: {error}") from error
        if not held:
            raise BadInput(f"--sink: {folder}: holds no checkpoints; name the directory that has <20 digits>.txt")
        kept |= held
    return kept


def _told(report: Report, *, sinks: bool) -> Iterator[str]:
    """The report in lines."""
    from domicile.report.layout import printable

    yield f"log          {report.origin or 'no name: no checkpoint could be believed'}"
    yield f"records      {report.records} in {report.segments} segments, {report.bytes} bytes"
    if report.first_time:
        yield f"written      {report.first_time} to {report.last_time}"
    yield f"root         {report.root}"
    yield f"checkpoints  {report.checkpoints} match, {report.checkpoints_failed} do not"
    yield f"covered      {report.proven} records; {report.unproven} after them rest on the chain alone"
    yield f"keys         {', '.join(report.keys) or 'none'}"
    for notice in report.notices:
        yield f"note: {printable(notice)}"
    if not sinks:
        yield "note: no --sink: that an older copy was put in its place would not show"
    if report.first is None:
        yield "whole"
        return
    for problem in report.problems[:SHOWN]:
        yield f"problem: {printable(str(problem))}"
    if report.problem_count > SHOWN:
        yield f"and {report.problem_count - SHOWN} more problems"
    where = "first bad record" if report.first.line is not None else "no record is to blame alone"
    yield f"DAMAGED: {where}: {printable(str(report.first))}"


def _document(report: Report) -> dict[str, object]:
    """The report as JSON: its fields, and what follows from them."""
    from dataclasses import asdict

    first = report.first
    return {**asdict(report), "ok": report.ok, "unproven": report.unproven, "first": first and asdict(first)}


def _records(directory: Path, *, first: int = 0) -> Iterator[Entry]:
    """The records as they are stored. What is no record ends the list with an error, after those before it."""
    from domicile.evidence.errors import LogDamaged
    from domicile.evidence.layout import entries

    try:
        yield from entries(directory, first=first)
    except LogDamaged as error:
        raise BadInput(f"{directory}: {error}; see domicile log verify") from error
    except OSError as error:
        raise BadInput(f"{directory}: cannot be read: {error}") from error


def _last(items: Iterable[T], tail: int | None) -> Iterable[T]:
    from collections import deque

    return items if tail is None else deque(items, maxlen=tail)


def _line(entry: Entry) -> str:
    from domicile.evidence.canonical import canonical

    return canonical(entry.body).decode() + "\n"


def _table(rows: list[tuple[str, ...]]) -> str:
    from domicile.evidence.show import COLUMNS
    from domicile.report.layout import printable

    lines = [COLUMNS, *(tuple(map(printable, line)) for line in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines)


def _shown(body: object) -> str:
    """A body as indented JSON; whatever a terminal would obey is spelled out, which is the same JSON."""
    import json

    text = json.dumps(body, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n"


def _warn_of_types(kinds: Iterable[str]) -> None:
    """A misspelled type selects nothing; one of a later version might."""
    from domicile.cli.terminal import complain
    from domicile.evidence.record import RecordType

    for kind in kinds:
        if kind not in set(RecordType):
            complain([f"--type: {kind} is none of {', '.join(RecordType)}"], kind="warning")
