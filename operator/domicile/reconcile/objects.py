"""The hub's objects as reconciles read them: parsed once per generation, never raising for what a user wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.labels import FINALIZER, RESUME_MOVES
from domicile.model.objects import ObjectError, read_spec
from domicile.model.schema import read_instant
from domicile.model.workload import InferenceDeploymentSpec
from domicile.placement.verdicts import Key


class WorkKey(NamedTuple):
    """What the queue holds: a kind and ``namespace/name`` or ``name``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """An InferenceDeployment as the hub has it; ``spec`` is None where it cannot be read."""

    key: str
    uid: str
    version: int  # resourceVersion, comparable within one kind (KEP-5504)
    generation: int
    annotations: Mapping[str, str]
    deleting: bool
    held: bool  # our finalizer is on it
    spec: InferenceDeploymentSpec | None
    problem: str
    status: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        """Namespace of the object, also of what is delivered."""
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        """Name of the object, also of what is delivered."""
        return self.key.partition("/")[2]

    @property
    def asks(self) -> tuple[object, ...]:
        """All that its user can change."""
        return self.uid, self.generation, self.deleting, self.annotations

    @property
    def placed(self) -> list[Key]:
        """Where its status says copies are, the current one first."""
        return [(p["cluster"], p["nodePool"]) for p in self.status.get("placements") or ()]

    def moment(self, field: str) -> datetime | None:
        """An instant of its status, None where it is not said."""
        text = self.status.get(field)
        return read_instant(text) if text else None

    def condition(self, name: str) -> tuple[str, str]:
        """Status and reason of a condition; empty where it is not said."""
        said = ((c["status"], c["reason"]) for c in self.status.get("conditions") or () if c["type"] == name)
        return next(said, ("", ""))


class Stated(NamedTuple):
    """An object that states facts: its spec, or why it cannot be read."""

    generation: int
    spec: SovereignClusterSpec | LegalEntitySpec | SovereigntyFrameworkSpec | None
    problem: str
    status: Mapping[str, Any]
    changed: datetime | None = None  # when somebody last wrote its spec, as far as the API server says
    approval: str = ""  # what the annotation that releases an open breaker says
    uid: str = ""


def read_workload(raw: Mapping[str, Any], *, known: Workload | None) -> Workload:
    """A raw InferenceDeployment. A known generation is not parsed again."""
    metadata = raw["metadata"]
    spec, problem = None, ""
    if known is not None and (known.uid, known.generation) == (metadata["uid"], metadata.get("generation", 0)):
        spec, problem = known.spec, known.problem
    else:
        try:
            read = read_spec(raw)
            assert isinstance(read, InferenceDeploymentSpec)
            spec = read
        except ObjectError as error:
            problem = str(error)
    return Workload(
        key=f"{metadata['namespace']}/{metadata['name']}",
        uid=metadata["uid"],
        version=int(metadata.get("resourceVersion", "0")),
        generation=metadata.get("generation", 0),
        annotations=dict(metadata.get("annotations") or {}),
        deleting="deletionTimestamp" in metadata,
        held=FINALIZER in (metadata.get("finalizers") or ()),
        spec=spec,
        problem=problem,
        status=raw.get("status") or {},
    )


def read_stated(raw: Mapping[str, Any]) -> Stated:
    """A raw SovereignCluster, LegalEntity or SovereigntyFramework."""
    spec, problem = None, ""
    try:
        read = read_spec(raw)
        assert isinstance(read, SovereignClusterSpec | LegalEntitySpec | SovereigntyFrameworkSpec)
        spec = read
    except ObjectError as error:
        problem = str(error)
    metadata = raw["metadata"]
    return Stated(
        generation=metadata.get("generation", 0),
        spec=spec,
        problem=problem,
        status=raw.get("status") or {},
        changed=_changed(metadata),
        approval=(metadata.get("annotations") or {}).get(RESUME_MOVES, ""),
        uid=metadata.get("uid", ""),
    )


def _changed(metadata: Mapping[str, Any]) -> datetime | None:
    """The newest write that was not to the status. Field managers are what an API server keeps of history."""
    times = [e["time"] for e in metadata.get("managedFields") or () if "time" in e and not e.get("subresource")]
    return read_instant(max(times)) if times else None
