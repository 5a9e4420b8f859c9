"""Fact paths: checked once against the typed fact model, then followed through plain documents.

``telemetry.sinks[].country`` names the country of every sink. A path may go on through a reference to a
LegalEntity: ``components[].supplier.seats.registeredOffice``.
"""

from __future__ import annotations

import difflib
import types
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Field

from domicile.model.cluster import Burst, Facility, PlacementFacts, Subcontractor
from domicile.model.entity import LegalEntitySpec
from domicile.model.schema import EntityRef


class CandidateFacts(PlacementFacts):
    """What paths of the candidate may name: fact groups and the parties of the pool."""

    provider: EntityRef | None = None
    cluster_provider: EntityRef | None = None
    facility: Facility | None = None
    subcontractors: list[Subcontractor] | None = None
    bursts_to: list[Burst] | None = Field(default=None)


class Step(NamedTuple):
    """One field of a path: its name, whether it holds a list, whether it refers to a LegalEntity."""

    name: str
    many: bool
    entity: bool


@dataclass(frozen=True, slots=True)
class Path:
    """A checked path. ``template`` is the path without brackets, by which evidence covers it."""

    text: str
    steps: tuple[Step, ...]
    single: bool = False  # no list and no reference on the way: one value

    @property
    def template(self) -> str:
        """``telemetry.sinks.country``."""
        return self.text.replace("[]", "")


class PathError(ValueError):
    """A path that names no fact."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The type a path starts from: a model, or a scalar inside a list (``leaf``)."""

    model: type[BaseModel] | None


CANDIDATE = Shape(CandidateFacts)
ENTITY = Shape(LegalEntitySpec)


def compile_path(text: str, shape: Shape) -> tuple[Path, Shape]:
    """The checked path and the shape of what it names. Raises PathError naming the wrong part and the nearest."""
    steps: list[Step] = []
    model = shape.model
    for raw in text.split("."):
        name, bracket, _ = raw.partition("[]")
        if model is None:
            raise PathError(f"fact path {text!r}: {steps[-1].name if steps else 'a value'} has no field {name!r}")
        fields = _fields(model)
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(fields))}"
            raise PathError(f"fact path {text!r}: no field {name!r}{hint}")
        many, inner, entity = fields[name]
        if bracket and not many:
            raise PathError(f"fact path {text!r}: {name!r} is not a list")
        steps.append(Step(name, bool(bracket), entity))
        model = LegalEntitySpec if entity and (bracket or not many) else inner
    single = not any(s.many for s in steps) and not any(s.entity for s in steps[:-1])
    return Path(text, tuple(steps), single), Shape(model)


@lru_cache(maxsize=256)
def _fields(model: type[BaseModel]) -> dict[str, tuple[bool, type[BaseModel] | None, bool]]:
    """Wire name -> (is a list, model inside, refers to a LegalEntity)."""
    return {
        info.alias or name: _shape_of(info.annotation, list(info.metadata), info.json_schema_extra)
        for name, info in model.model_fields.items()
    }


def _shape_of(annotation: Any, metadata: list[Any], extra: Any) -> tuple[bool, type[BaseModel] | None, bool]:
    many, entity = False, isinstance(extra, dict) and "x-entity" in extra
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *more = get_args(annotation)
            metadata += more
        elif origin in (Union, types.UnionType):
            annotation = next(a for a in get_args(annotation) if a is not types.NoneType)
        elif origin is list:
            many, annotation = True, get_args(annotation)[0]
        else:
            break
    for item in metadata:
        schema_extra = getattr(item, "json_schema_extra", None)
        entity = entity or (isinstance(schema_extra, dict) and "x-entity" in schema_extra)
    inner = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return many, inner, entity
