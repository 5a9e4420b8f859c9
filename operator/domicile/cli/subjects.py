"""What ``explain`` can be asked about: names as people write them, and the objects they stand for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NamedTuple

from domicile.cli.deciding import Asked
from domicile.cli.errors import BadInput
from domicile.cli.files import Objects
from domicile.cli.planning import inventory_of, notes, workloads_of
from domicile.inventory.inventory import Inventory
from domicile.model.facts import Candidate
from domicile.model.objects import KINDS
from domicile.report.answers import Note

WORKLOAD, CLUSTER = "InferenceDeployment", "SovereignCluster"
NAMES_SHOWN = 8


class Subject(NamedTuple):
    """A kind and a name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def parse_subject(text: str) -> Subject:
    """``infd/NAME``, ``inferencedeployment/NAME``, ``NAME`` or ``sovc/NAME``. Raises BadInput for other kinds."""
    written, slash, name = text.rpartition("/")
    if not slash:
        return Subject(WORKLOAD, name)
    for kind in (KINDS[WORKLOAD], KINDS[CLUSTER]):
        names = {kind.short, kind.plural, kind.kind.lower(), f"{kind.plural}.domicile.dev"}
        if written.lower() in names and name:
            return Subject(kind.kind, name)
    raise BadInput(f"{text!r} cannot be explained; write infd/NAME for a workload or sovc/NAME for a cluster")


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything an explanation is drawn from, out of files or from a hub."""

    inventory: Inventory
    workloads: tuple[Asked, ...]
    problems: tuple[Note, ...]
    warnings: tuple[Note, ...]
    notes: tuple[str, ...]
    malformed: frozenset[str]
    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``Kind/name`` -> status, of live objects."""
    namespace: str | None = None
    """The namespace that was read, of a hub."""

    @property
    def live(self) -> bool:
        """Whether it comes from a hub."""
        return self.namespace is not None


def scene_of(objects: Objects, *, at: datetime) -> Scene:
    """The scene of files; what was written by a workload's status is not looked at."""
    inventory, found = inventory_of(objects, at=at)
    workloads = tuple(workloads_of(objects))
    return Scene(
        inventory=inventory,
        workloads=workloads,
        problems=(*objects.problems, *found),
        warnings=objects.warnings,
        notes=notes(workloads, objects=objects),
        malformed=objects.malformed,
    )


def the_workload(scene: Scene, *, subject: Subject, namespace: str | None) -> Asked:
    """The workload of that name. Raises BadInput where there is none, with near names, or more than one."""
    named = [w for w in scene.workloads if w.item.name == subject.name and namespace in (None, w.namespace)]
    if len(named) == 1:
        return named[0]
    if named:
        where = ", ".join(sorted(w.namespace for w in named))
        raise BadInput(f"{subject} is in namespaces {where}; choose one with -n")
    elsewhere = [w.namespace for w in scene.workloads if w.item.name == subject.name]
    if elsewhere:
        raise BadInput(f"{subject} is not in namespace {namespace}; it is in {', '.join(sorted(elsewhere))}")
    where = f" in namespace {namespace}" if namespace else ""
    raise _not_found(scene, subject, where, known=(w.item.name for w in scene.workloads))


def the_pools(scene: Scene, *, subject: Subject) -> list[Candidate]:
    """The pools of the cluster of that name. Raises BadInput where there is none, with near names."""
    spec = scene.inventory.clusters.get(subject.name)
    if spec is None:
        raise _not_found(scene, subject, "", known=scene.inventory.clusters)
    keys = ((subject.name, pool.name) for pool in spec.node_pools)
    return [candidate for key in keys if (candidate := scene.inventory.candidate(key)) is not None]


def the_candidate(scene: Scene, *, text: str) -> Candidate:
    """The candidate ``cluster/pool``. Raises BadInput where there is none, with near names."""
    cluster, _, pool = text.partition("/")
    candidate = scene.inventory.candidate((cluster, pool))
    if candidate is None:
        names = [f"{c}/{p.name}" for c, spec in scene.inventory.clusters.items() for p in spec.node_pools]
        raise BadInput(f"--candidate: there is no {text!r}; {near(text, known=names)}")
    return candidate


def _not_found(scene: Scene, subject: Subject, where: str, *, known: Iterable[str]) -> BadInput:
    if str(subject) in scene.malformed:
        return BadInput(f"{subject} cannot be read; correct what is named above")
    return BadInput(f"there is no {subject}{where}; {near(subject.name, known=known)}")


def near(name: str, *, known: Iterable[str]) -> str:
    """Names like ``name``, else the first that exist, for an error message."""
    names = sorted(set(known))
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
    return f"there is: {shown}" if names else "there is none at all"
