"""``domicile log``: verify a decision log without trusting whoever wrote it, and read it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domicile.cli.errors import BadInput

if TYPE_CHECKING:
    from domicile.evidence.checkpoint import VerifierKey

VERIFY_EPILOG = """\b
Examples:
  domicile log verify /var/lib/domicile/log --key log.key.pub
  domicile log verify ./log --key log.key.pub --sink /mnt/witness

\b
Exit codes: 0 whole, 1 not, 2 bad input."""

SHOW_EPILOG = """\b
Examples:
  domicile log show ./log
  domicile log show ./log 17
  domicile log show ./log --namespace health --type Placed --type Moved
  domicile log show ./log --since 2026-11-01 -o json"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Verify and read the decision log.")


class LogOutput(StrEnum):
    """Forms of the answer."""

    TABLE = "table"
    JSON = "json"


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the log (--log-dir of the operator).")]
Output = Annotated[LogOutput, typer.Option("--output", "-o", help="Form of the answer.")]


@app.command("verify", epilog=VERIFY_EPILOG)
def verify(
    directory: Directory,
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Public key that signed it; default: DIR.key.pub."),
    ] = None,
    sink: Annotated[
        list[Path] | None, typer.Option("--sink", metavar="DIR", help="Checkpoints that were kept elsewhere.")
    ] = None,
    output: Output = LogOutput.TABLE,
) -> None:
    """Check chain, tree, checkpoints and signatures, and name the first bad record.

    Only the key, and checkpoints kept elsewhere, are trusted. Without the latter a log that was cut or replaced as a
    whole by whoever holds the key does not show.
    """
    import json
    from dataclasses import asdict

    from domicile.cli.terminal import say
    from domicile.evidence.sinks import held_in
    from domicile.evidence.verify import verify as check

    keys = [_key(path) for path in key or [directory.with_name(directory.name + ".key.pub")]]
    elsewhere: dict[str, bytes] = {}
    for folder in sink or ():
        if not folder.is_dir():
            raise BadInput(f"--sink: {folder}: no such directory")
        elsewhere |= held_in(folder)
    try:
        report = check(directory, keys=keys, elsewhere=elsewhere)
    except OSError as error:
        raise BadInput(f"{directory}: {error}; name the directory of a decision log") from error
    if output is LogOutput.JSON:
        say(json.dumps(asdict(report), indent=2, default=str) + "\n")
    else:
        lines = [
            f"{report.origin or 'no origin'}: {report.records} records in {report.segments} segments,"
            f" {report.checkpoints} checkpoints match, {report.proven} records are covered by one",
            f"root {report.root}",
        ]
        if report.first_time:
            lines.append(f"from {report.first_time} to {report.last_time}")
        lines += [f"note: {notice}" for notice in report.notices]
        lines += [f"problem: {problem}" for problem in report.problems[:20]]
        if report.problem_count > 20:
            lines.append(f"and {report.problem_count - 20} more problems")
        lines.append("whole" if not report.problem_count else f"NOT whole: {report.problem_count} problems")
        say("\n".join(lines) + "\n")
    raise typer.Exit(1 if report.problem_count else 0)


@app.command("show", epilog=SHOW_EPILOG)
def show(
    directory: Directory,
    seq: Annotated[int | None, typer.Argument(metavar="SEQ", min=0, help="One record, in full.")] = None,
    *,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Records of this type, such as Placed.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Of workloads in this namespace.")] = None,
    name: Annotated[str | None, typer.Option(help="About the object of this name.")] = None,
    outcome: Annotated[str | None, typer.Option(help="With this outcome.")] = None,
    since: Annotated[str | None, typer.Option(metavar="INSTANT", help="At or after.")] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Before.")] = None,
    tail: Annotated[int | None, typer.Option(min=1, help="The last so many of them.")] = None,
    output: Output = LogOutput.TABLE,
) -> None:
    """List records, oldest first; with SEQ, print one.

    JSON is one record to a line, as the log holds it.
    """
    from collections import deque

    from domicile.cli.clock import instant
    from domicile.cli.terminal import say
    from domicile.evidence.layout import entries
    from domicile.evidence.record import EntryInvalid
    from domicile.evidence.show import COLUMNS, Filter, row, select

    if not directory.is_dir():
        raise BadInput(f"{directory}: no such directory; name the directory of a decision log")
    wanted = Filter(
        types=frozenset(kind or ()),
        namespace=namespace,
        name=name,
        since=instant(since) if since else None,
        until=instant(until) if until else None,
        outcome=outcome,
    )
    try:
        if seq is not None:
            found = next((e for e in entries(directory, first=seq) if e.seq == seq), None)
            if found is None:
                raise BadInput(f"{directory} has no record {seq}")
            say(_json(found.body, indent=2))
            return
        chosen = deque(select(entries(directory), by=wanted), maxlen=tail)
    except (EntryInvalid, OSError) as error:
        raise BadInput(f"{directory}: {error}; see domicile log verify") from error
    if output is LogOutput.JSON:
        say("".join(_json(entry.body) for entry in chosen))
        return
    rows = [COLUMNS, *(tuple(row(entry)) for entry in chosen)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(COLUMNS))]
    say("".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in rows))


def _key(path: Path) -> VerifierKey:
    from domicile.evidence.checkpoint import CheckpointInvalid, VerifierKey

    try:
        return VerifierKey.parse(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise BadInput(f"--key: {path}: {error.strerror}; name the public key (.pub) of the log") from error
    except CheckpointInvalid as error:
        raise BadInput(f"--key: {path}: {error}") from error


def _json(body: Any, indent: int | None = None) -> str:
    import json

    return json.dumps(body, indent=indent, ensure_ascii=False, separators=None if indent else (",", ":")) + "\n"
