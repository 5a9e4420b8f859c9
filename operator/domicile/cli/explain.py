"""``domicile explain``: why a workload may run where it may and nowhere else, from files or from a cluster."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from domicile.cli.errors import BadInput

if TYPE_CHECKING:
    from domicile.cli.deciding import Asked
    from domicile.cli.subjects import Scene, Subject

EPILOG = """\b
Examples:
  domicile explain infd/assistant -n health
  domicile explain assistant -n health --all
  domicile explain infd/assistant --candidate nordlys-1/h100
  domicile explain sovc/nordlys-1
  domicile explain infd/assistant -f deploy/ -f ../facts
  domicile explain infd/assistant -o json

\b
Exit codes: 0 placeable (a cluster: some pool proves a level), 1 not,
2 bad input."""


class ExplainOutput(StrEnum):
    """Forms of the answer."""

    TABLE = "table"
    JSON = "json"


def explain(
    what: Annotated[str, typer.Argument(metavar="NAME", help="infd/NAME or NAME: a workload; sovc/NAME: a cluster.")],
    *,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace of the workload.")] = None,
    filename: Annotated[
        list[str] | None, typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Ask files, not a cluster.")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(metavar="CLUSTER/POOL", help="Every rule of this candidate, with all facts.")
    ] = None,
    every_rule: Annotated[bool, typer.Option("--all", help="Every failed rule and fact, not only the first.")] = False,
    framework: Annotated[str, typer.Option(metavar="NAME", help="For a cluster: the framework to explain.")] = "cada",
    output: Annotated[ExplainOutput, typer.Option("--output", "-o", help="Form of the answer.")] = ExplainOutput.TABLE,
    at: Annotated[str | None, typer.Option("--at", metavar="INSTANT", help="As of this instant; default: now.")] = None,
    kubeconfig: Annotated[str | None, typer.Option(metavar="FILE", help="Kubeconfig of the hub.")] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="Context in the kubeconfig.")] = None,
) -> None:
    """Say why a workload may run where, or what a cluster proves.

    Shows every candidate with the rules that refuse it: clause, fact found, fact wanted, evidence and its age.
    """
    from domicile.cli.clock import instant
    from domicile.cli.subjects import CLUSTER, WORKLOAD, parse_subject, the_workload
    from domicile.cli.terminal import complain_about, say

    subject, moment = parse_subject(what), instant(at)
    if candidate is not None and subject.kind != WORKLOAD:
        raise BadInput(f"--candidate: {subject} is no workload; explain infd/NAME --candidate CLUSTER/POOL")
    scene = _scene(filename, namespace=namespace, kubeconfig=kubeconfig, context=context, at=moment)
    complain_about(scene.problems, scene.warnings)
    form = Form(output, every_rule)
    if subject.kind == CLUSTER:
        text, code = _cluster(scene, subject, framework, form=form, at=moment)
    else:
        asked = the_workload(scene, subject=subject, namespace=namespace or scene.namespace)
        text, code = _workload(scene, asked, candidate, form=form, at=moment)
    say(text)
    raise typer.Exit(2 if scene.problems and not scene.live else code)


class Form(NamedTuple):
    """How an answer is to be shown."""

    output: ExplainOutput
    every_rule: bool


def _scene(
    filename: list[str] | None, *, namespace: str | None, kubeconfig: str | None, context: str | None, at: datetime
) -> Scene:
    if filename:
        from domicile.cli.files import gather
        from domicile.cli.subjects import scene_of

        return scene_of(gather(filename, facts=None, stdin=sys.stdin), at=at)
    from domicile.cli.live import read_hub

    return read_hub(namespace=namespace, kubeconfig=kubeconfig, context=context, at=at)


def _workload(scene: Scene, asked: Asked, candidate: str | None, *, form: Form, at: datetime) -> tuple[str, int]:
    from domicile.cli.explained import candidate_answer, workload_answer
    from domicile.cli.terminal import page
    from domicile.report.tables import candidate_table, explain_table

    if candidate is None:
        answer = workload_answer(scene, asked=asked, at=at)
        code = 0 if answer.workload.placeable else 1
    else:
        answer = candidate_answer(scene, asked=asked, candidate=candidate, at=at)
        code = 0 if all(c.verdict == "Satisfied" for c in answer.workload.explanation) else 1
    if form.output is ExplainOutput.JSON:
        return _json(answer), code
    if candidate is None:
        return explain_table(answer, page=page(), every_rule=form.every_rule), code
    return candidate_table(answer, page=page()), code


def _cluster(scene: Scene, subject: Subject, framework: str, *, form: Form, at: datetime) -> tuple[str, int]:
    from domicile.cli.explained import cluster_answer
    from domicile.cli.terminal import page
    from domicile.report.tables import cluster_table

    answer = cluster_answer(scene, subject=subject, framework=framework, at=at)
    if form.output is ExplainOutput.JSON:
        return _json(answer), answer.exit_code
    return cluster_table(answer, page=page(), every_rule=form.every_rule), answer.exit_code


def _json(answer: Any) -> str:
    import json

    from domicile.report.answers import plain

    return json.dumps(plain(answer), indent=2, ensure_ascii=False) + "\n"
