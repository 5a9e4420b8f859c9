"""Kubernetes objects of our kinds: from a raw document to name and typed spec, with errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.records import DecisionLogSpec, DecisionLogStatus, NoStatus, PlacementRecordSpec
from domicile.model.schema import API_VERSION, Model
from domicile.model.status import FrameworkStatus, InferenceDeploymentStatus, ObjectStatus, SovereignClusterStatus
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
        Kind("SovereigntyFramework", "sovereigntyframeworks", "svf", False, SovereigntyFrameworkSpec, FrameworkStatus),
        Kind("PlacementRecord", "placementrecords", "plr", True, PlacementRecordSpec, NoStatus),
        Kind("DecisionLog", "decisionlogs", "dlog", False, DecisionLogSpec, DecisionLogStatus),
    )
}

STATED = (
    "InferenceDeployment",
    "SovereignCluster",
    "LegalEntity",
    "SovereigntyFramework",
)  # the kinds that users write


NULL = "null is no value; give one or remove the field"


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
    problems = [FieldProblem(path, NULL) for path in _nulls(spec, ("spec",))]
    model: Model | None = None
    try:
        # Strict and through JSON, as the API server reads it: "2" is no number, "true" is no boolean.
        model = kind.spec.model_validate_json(json.dumps(spec), strict=True)
    except ValidationError as error:
        told = {problem.path for problem in problems}
        problems += [problem for e in error.errors() if (problem := _problem(kind, e)).path not in told]
    if model is None or problems:
        raise ObjectError(problems)
    return model


def change_problems(old: Model, new: Model) -> list[FieldProblem]:
    """What the API server would refuse in the step from one accepted spec to another of the same kind."""
    return [FieldProblem(("spec",), rule.message) for rule in new.transitions if not rule.holds(new, old)]


def _nulls(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Paths of nulls, which the API server takes for no optional field; what a rule requires is its own affair."""
    if value is None:
        yield path
    elif isinstance(value, Mapping):
        for key, child in value.items():
            if key != "require":
                yield from _nulls(child, (*path, key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _nulls(child, (*path, number))


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
