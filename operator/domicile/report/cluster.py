"""Status of the kinds that hold facts: what a cluster proves, and whether an entity or a pack can be used. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domicile.model.verdicts import Verdict
from domicile.placement.disruption import Opened
from domicile.placement.verdicts import Row
from domicile.report.conditions import Said, conditions, instant

MAX_MISSING = 64
MAX_MISSING_IN_ALL = 512  # over all pools, with texts of MAX_TEXT: below the 1.5 MB that etcd takes
MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class PoolStory:
    """One pool: its verdict, how many nodes it has, and why they cannot be told where they cannot."""

    name: str
    row: Row | None
    nodes: int
    problem: str


@dataclass(frozen=True, slots=True)
class ClusterStory:
    """Everything the status of a SovereignCluster tells. ``reach`` is empty where the member answers."""

    generation: int
    pools: Sequence[PoolStory]
    levels: Sequence[int]
    connected: bool
    reach: str
    control: str
    problems: Sequence[str]
    uid: str = ""  # of the cluster that the facts were used for


def cluster_status(story: ClusterStory, *, before: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """The whole status document of a SovereignCluster."""
    said = [_accepted(story.problems), _reachable(story)]
    if any(pool.problem for pool in story.pools):
        message = "; ".join(f"pool {p.name}: {p.problem}" for p in story.pools if p.problem)
        said.append(Said("Stalled", "True", "PoolsOverlap", message))
    usable = said[0].status == "True" and said[1].status == "True" and len(said) == 2
    worst = next((s for s in said if s.status != "True" or s.type == "Stalled"), said[0])
    said.append(Said("Ready", "True" if usable else "False", "Usable" if usable else worst.reason, worst.message))
    status: dict[str, Any] = {"kubeSystemUID": story.uid} if story.uid else {}
    return status | {
        "observedGeneration": story.generation,
        "control": story.control,
        "levels": " ".join(f"{p.name}={p.row.proven if p.row else 0}" for p in story.pools)[:500],
        "reachable": said[1].status,
        "poolCount": len(story.pools),
        "nodePools": [_pool(pool, story.levels, MAX_MISSING_IN_ALL // len(story.pools)) for pool in story.pools],
        "conditions": conditions(said, before=before.get("conditions") or (), generation=story.generation, at=at),
    }


def _accepted(problems: Sequence[str]) -> Said:
    if not problems:
        return Said("Accepted", "True", "Accepted", "facts can be read")
    return Said("Accepted", "False", "FactsInvalid", "; ".join(problems[:10]))


def _reachable(story: ClusterStory) -> Said:
    if not story.connected:
        return Said("Reachable", "False", "NoConnection", "spec.connection is not set; nothing is delivered there")
    if story.reach:
        return Said("Reachable", "False", "Unreachable", story.reach)
    return Said("Reachable", "True", "Connected", "nodes and pods are being watched")


def _pool(pool: PoolStory, levels: Sequence[int], most: int) -> dict[str, Any]:
    row = pool.row
    proven = [n for n in levels if row is not None and row.levels.get(n) is Verdict.SATISFIED]
    following = next((n for n in levels if row is not None and n > row.proven), None)
    missing = row.refusals(following) if row is not None and following is not None else ()
    return {
        "name": pool.name,
        "nodes": pool.nodes,
        "levels": proven,
        "missing": [
            {
                "rule": rule.rule,
                "verdict": str(rule.verdict),
                "fact": f"{rule.findings[0].subject} {rule.findings[0].fact}"[:MAX_TEXT],
                "found": rule.findings[0].found[:MAX_TEXT],
                "wanted": rule.findings[0].wanted[:MAX_TEXT],
            }
            for rule in missing[: min(MAX_MISSING, most)]
        ],
        "problem": pool.problem[:MAX_TEXT],
    }


@dataclass(frozen=True, slots=True)
class ObjectStory:
    """Everything the status of a LegalEntity or a SovereigntyFramework tells."""

    generation: int
    problems: Sequence[str]
    digest: str
    breaker: Opened | None = None


def object_status(story: ObjectStory, *, before: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Status of a LegalEntity or a SovereigntyFramework."""
    accepted = _accepted(story.problems)
    if not story.problems:
        accepted = accepted._replace(message="in use")
    said = [accepted, Said("Ready", accepted.status, accepted.reason, accepted.message)]
    if story.problems:
        said.append(Said("Stalled", "True", accepted.reason, accepted.message))
    generation = story.generation
    status: dict[str, Any] = {"observedGeneration": generation, "digest": story.digest}
    if story.breaker is not None:
        opened = story.breaker
        lost = f"{opened.lost} of {opened.placed} placed workloads lost eligibility"
        release = f"once the facts are checked, annotate this object domicile.dev/resume-moves={opened.id}"
        said.append(Said("MovesPaused", "True", "BreakerOpen", f"{lost}; nothing is moved or stopped; {release}"))
        status["breaker"] = {
            "id": opened.id,
            "opened": instant(opened.at),
            "lost": opened.lost,
            "placed": opened.placed,
        }
    return status | {
        "conditions": conditions(said, before=before.get("conditions") or (), generation=generation, at=at)
    }
