"""``domicile what-if``: who would move, stop or become placeable if facts changed. Nothing is written."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from domicile.cli.errors import BadInput

if TYPE_CHECKING:
    from domicile.cli.ground import Ground
    from domicile.report.outlook import WhatIfAnswer

EPILOG = """\b
Examples:
  domicile what-if -f nordlys-after-the-sale.yaml
  domicile what-if --patch acquisition.yaml -n health
  domicile what-if --delete sovc/nordlys-1
  domicile what-if -f new/ -i facts/ -i deploy/
  domicile what-if --patch x.yaml -i facts/ -i deploy/ -o json

\b
A patch is a YAML document with kind, metadata.name and the part of
spec that changes; null removes a field (RFC 7396).

\b
Exit codes: 0 nothing that runs is touched, 1 something would move,
stop or be left where it may not run, 2 bad input."""

STDIN = "-"


class WhatIfOutput(StrEnum):
    """Forms of the answer."""

    TABLE = "table"
    JSON = "json"


def what_if(
    *,
    filename: Annotated[
        list[str] | None,
        typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Whole facts as they would be."),
    ] = None,
    patch: Annotated[
        list[str] | None, typer.Option("--patch", metavar="FILE|-", help="Parts of facts, merged onto those known.")
    ] = None,
    delete: Annotated[
        list[str] | None, typer.Option("--delete", metavar="KIND/NAME", help="A fact as if it were gone.")
    ] = None,
    inventory: Annotated[
        list[str] | None,
        typer.Option("--inventory", "-i", metavar="FILE|DIR", help="Facts and workloads from files, not a cluster."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Only workloads of this namespace; default: of all.")
    ] = None,
    output: Annotated[WhatIfOutput, typer.Option("--output", "-o", help="Form of the answer.")] = WhatIfOutput.TABLE,
    at: Annotated[str | None, typer.Option("--at", metavar="INSTANT", help="As of this instant; default: now.")] = None,
    kubeconfig: Annotated[str | None, typer.Option(metavar="FILE", help="Kubeconfig of the hub.")] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="Context in the kubeconfig.")] = None,
) -> None:
    """Say who would move, stop or become placeable if facts changed.

    Takes SovereignClusters, LegalEntities and SovereigntyFrameworks as they would be, and decides every workload
    before and after, as the operator would, except for free capacity and budgets. Nothing is written.
    """
    from domicile.cli.changes import change
    from domicile.cli.clock import instant
    from domicile.cli.foresight import foresee
    from domicile.cli.terminal import complain_about, say

    moment = instant(at)
    files, patches, deletions = filename or [], patch or [], delete or []
    if not (files or patches or deletions):
        raise BadInput("what is to change? name facts with -f, --patch or --delete")
    if [*files, *patches].count(STDIN) > 1 or STDIN in (inventory or ()):
        raise BadInput("-: standard input can be read once, for -f or for --patch")
    ground = _ground(inventory, namespace=namespace, kubeconfig=kubeconfig, context=context, at=moment)
    changed = change(ground.facts, files=files, patches=patches, deletions=deletions, stdin=sys.stdin)
    answer = foresee(ground, changed=changed, at=moment)
    complain_about((*(ground.problems if ground.live else ()), *answer.problems), answer.warnings)
    say(_rendered(answer, output=output))
    raise typer.Exit(answer.exit_code)


def _ground(
    inventory: list[str] | None, *, namespace: str | None, kubeconfig: str | None, context: str | None, at: datetime
) -> Ground:
    if not inventory:
        from domicile.cli.live import read_ground

        return read_ground(namespace=namespace, kubeconfig=kubeconfig, context=context)
    from dataclasses import replace

    from domicile.cli.files import gather
    from domicile.cli.ground import ground_of

    ground = ground_of(gather(inventory, facts=None, stdin=sys.stdin), at=at)
    if namespace is None:
        return ground
    return replace(ground, workloads=tuple(asked for asked in ground.workloads if asked.namespace == namespace))


def _rendered(answer: WhatIfAnswer, *, output: WhatIfOutput) -> str:
    import json

    from domicile.cli.terminal import page
    from domicile.report.answers import plain
    from domicile.report.outlook import what_if_table

    if output is WhatIfOutput.JSON:
        return json.dumps(plain(answer), indent=2, ensure_ascii=False) + "\n"
    return what_if_table(answer, page=page())
