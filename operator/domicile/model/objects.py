"""Kubernetes objects of our kinds: from a raw document to name and typed spec, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.schema import API_VERSION, Model
from domicile.model.status import InferenceDeploymentStatus, ObjectStatus, SovereignClusterStatus
from domicile.model.workload import InferenceDeploymentSpec


class Kind(NamedTuple):
    """One of our kinds as the API server knows it."""

    kind: str
    plural: str
    short: str
    namespaced: bool
    spec: type[Model]
    status: type[Model]


KINDS = {
    k.kind: k
    for k in (
        Kind(
            "InferenceDeployment",
            "inferencedeployments",
            "infd",
            True,
            InferenceDeploymentSpec,
            InferenceDeploymentStatus,
        ),
        Kind("SovereignCluster", "sovereignclusters", "sovc", False, SovereignClusterSpec, SovereignClusterStatus),
        Kind("LegalEntity", "legalentities", "entity", False, LegalEntitySpec, ObjectStatus),
        Kind("SovereigntyFramework", "sovereigntyframeworks", "svf", False, SovereigntyFrameworkSpec, ObjectStatus),
    )
}


class FieldProblem(NamedTuple):
    """One thing wrong with an object: the field, as a path, and what to do."""

    path: tuple[str | int, ...]
    message: str

    @property
    def field(self) -> str:
        """``spec.nodePools[0].provider``."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
        return text

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ObjectError(ValueError):
    """An object that cannot be read: all its problems."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def read_spec(raw: Mapping[str, Any]) -> Model:
    """The typed spec of a raw object of one of our kinds. Raises ObjectError with every problem."""
    kind = KINDS.get(str(raw.get("kind")))
    if kind is None:
        raise ObjectError([FieldProblem(("kind",), f"{raw.get('kind')!r} is none of {', '.join(KINDS)}")])
    if raw.get("apiVersion") != API_VERSION:
        raise ObjectError([FieldProblem(("apiVersion",), f"{raw.get('apiVersion')!r}; write {API_VERSION}")])
    spec = raw.get("spec")
    if not isinstance(spec, Mapping):
        raise ObjectError([FieldProblem(("spec",), "is missing; add it")])
    try:
        return kind.spec.model_validate(spec)
    except ValidationError as error:
        raise ObjectError([_problem(kind, e) for e in error.errors()]) from error


def _problem(kind: Kind, error: Any) -> FieldProblem:
    path = ("spec", *(p for p in error["loc"]))
    message, value = str(error["msg"]), error.get("input")
    if error["type"] == "extra_forbidden":
        message = "no such field; see kubectl explain " + ".".join([kind.plural, *(str(p) for p in path[:-1])])
    elif error["type"] == "missing":
        message = "is required; add it"
    elif error["type"] == "string_pattern_mismatch":
        message = f"{value!r} does not match {error['ctx']['pattern']}"
    elif not isinstance(value, dict | list):
        message = f"{message[0].lower()}{message[1:]}, found {value!r}"
    return FieldProblem(path, message)
