"""What ``explain`` answers, from a scene. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from domicile.cli.clock import written
from domicile.cli.deciding import Asked, accepted, answer
from domicile.cli.errors import BadInput
from domicile.cli.explaining import Question, explain_all, explain_one, explain_pool
from domicile.cli.subjects import CLUSTER, WORKLOAD, Scene, Subject, near, the_candidate, the_pools
from domicile.placement.request import Accepted
from domicile.report.answers import (
    CandidateAnswer,
    CandidateName,
    ClusterAnswer,
    ExplainAnswer,
    Observed,
)


def workload_answer(scene: Scene, *, asked: Asked, at: datetime) -> ExplainAnswer:
    """The workload with every candidate and every rule that refuses it."""
    question = _question(scene, asked, at)
    return _answer(scene, asked, explain_all(question) if question else (), at=at)


def candidate_answer(scene: Scene, *, asked: Asked, candidate: str, at: datetime) -> ExplainAnswer:
    """The workload with one candidate and every rule asked about it. Raises BadInput for an unknown candidate."""
    wanted = the_candidate(scene, text=candidate)
    question = _question(scene, asked, at)
    return _answer(scene, asked, (explain_one(question, wanted),) if question else (), at=at)


def _question(scene: Scene, asked: Asked, at: datetime) -> Question | None:
    result = accepted(asked, inventory=scene.inventory)
    return Question(result, scene.inventory, at) if isinstance(result, Accepted) else None


def _answer(scene: Scene, asked: Asked, explanation: tuple[CandidateAnswer, ...], *, at: datetime) -> ExplainAnswer:
    status = scene.statuses.get(f"{WORKLOAD}/{asked.item.name}", {})
    placements = status.get("placements") or ()
    return ExplainAnswer(
        at=written(at),
        workload=replace(answer(asked, inventory=scene.inventory, at=at), explanation=explanation),
        running_on=tuple(CandidateName(p["cluster"], p["nodePool"]) for p in placements),
        conditions=conditions(status),
        notes=scene.notes,
    )


def cluster_answer(scene: Scene, *, subject: Subject, framework: str, at: datetime) -> ClusterAnswer:
    """Every pool of a cluster at every level. Raises BadInput for an unknown cluster or framework."""
    pools = the_pools(scene, subject=subject)
    pack = scene.inventory.frameworks.get(framework)
    if pack is None:
        why = "; ".join(scene.inventory.framework_problems.get(framework, ()))
        known = near(framework, known=scene.inventory.frameworks)
        raise BadInput(f"--framework: there is no usable {framework!r}{': ' + why if why else ''}; {known}")
    return ClusterAnswer(
        at=written(at),
        cluster=subject.name,
        provider=scene.inventory.clusters[subject.name].provider,
        framework=pack.id,
        pools=tuple(explain_pool(pool, framework=pack, inventory=scene.inventory, at=at) for pool in pools),
        conditions=conditions(scene.statuses.get(f"{CLUSTER}/{subject.name}", {})),
    )


def conditions(status: Mapping[str, Any]) -> tuple[Observed, ...]:
    """The conditions of a live object, in the order of its status."""
    names = ("type", "status", "reason", "message", "lastTransitionTime")
    return tuple(Observed(*(str(c.get(name, "")) for name in names)) for c in status.get("conditions") or ())
