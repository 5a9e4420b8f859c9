"""``domicile plan``: from files to a verdict per workload, for people and for pipelines."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from domicile.report.answers import PlanAnswer

EPILOG = """\b
Examples:
  domicile plan -f deploy/
  domicile plan -f app.yaml --inventory ../facts
  kustomize build overlays/eu | domicile plan -f - --inventory facts/
  domicile plan -f . -o sarif > domicile.sarif
  domicile plan -f . --at 2027-03-02

\b
Exit codes: 0 all placeable, 1 some not, 2 bad input."""


class PlanOutput(StrEnum):
    """Forms of the answer."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"


Files = Annotated[
    list[str],
    typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Manifests: files, folders, or - for standard input."),
]
At = Annotated[
    str | None, typer.Option("--at", metavar="INSTANT", help="Decide as of this day or RFC 3339 time; default: now.")
]
FactsFolder = Annotated[
    str | None,
    typer.Option("--inventory", metavar="DIR", help="More facts from here; workloads in it are ignored."),
]


def plan(
    filename: Files,
    *,
    output: Annotated[PlanOutput, typer.Option("--output", "-o", help="Form of the answer.")] = PlanOutput.TABLE,
    inventory: FactsFolder = None,
    at: At = None,
) -> None:
    """Say where each workload may run, from files alone.

    Reads InferenceDeployments with the clusters, entities and rule packs beside them, and decides as the operator
    would, except for free capacity: no cluster is asked. Pack cada is built in.
    """
    from domicile.cli import planning
    from domicile.cli.clock import instant
    from domicile.cli.files import gather
    from domicile.cli.terminal import complain_about, say

    moment = instant(at)
    answer = planning.plan(gather(filename, facts=inventory, stdin=sys.stdin), at=moment)
    complain_about(answer.problems, answer.warnings)
    say(rendered(answer, output=output))
    raise typer.Exit(answer.exit_code)


def rendered(answer: PlanAnswer, *, output: PlanOutput) -> str:
    """The answer in the form asked for."""
    import json

    from domicile import __version__
    from domicile.report.answers import plain

    if output is PlanOutput.JUNIT:
        from domicile.report.junit import plan_junit

        return plan_junit(answer)
    if output is PlanOutput.SARIF:
        from domicile.report.sarif import plan_sarif

        return json.dumps(plan_sarif(answer, version=__version__), indent=2, ensure_ascii=False) + "\n"
    if output is PlanOutput.JSON:
        return json.dumps(plain(answer), indent=2, ensure_ascii=False) + "\n"
    from domicile.cli.terminal import page
    from domicile.report.tables import plan_table

    return plan_table(answer, page=page())
