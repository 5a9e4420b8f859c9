"""Building blocks of the API models: bounded strings, lists and names, shared by every kind.

Every string has a longest length, every list and map a largest size, because the API server estimates the cost of
CEL rules from them and because an unbounded status cannot be stored.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from domicile.model.rules import Check, Transition, broken

GROUP = "domicile.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
MOMENT = rf"^{DAY}(T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(\.[0-9]+)?(Z|[+-][0-9]{{2}}:[0-9]{{2}}))?$"
AGE = r"^[1-9][0-9]{0,5}(h|d|mo)$"
PERIOD = r"^[0-9]{1,6}(s|m|h|d)$"
PERIOD_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"


class Model(BaseModel):
    """Base of every API type: camelCase on the wire, unknown fields refused, values frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_enum_values=False
    )

    checks: ClassVar[tuple[Check, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="after")
    def _run_checks(self) -> Self:
        error = broken(self.checks, self) if self.checks else None
        if error is not None:
            raise error
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        schema = handler(core)
        validations = [c.as_validation() for c in cls.checks] + [t.as_validation() for t in cls.transitions]
        if validations:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = validations
        return schema

    def plain(self) -> dict[str, Any]:
        """The JSON document as a user would write it: camelCase, nothing that was left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_instant(text: str, *, end_of_day: bool = False) -> datetime:
    """The UTC instant a date or RFC 3339 time names; a bare date is its first or, on demand, its last moment.

    Raises ValueError for a day that the calendar lacks.
    """
    if "T" in text:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    return start + timedelta(days=1) if end_of_day else start


def add_age(start: datetime, age: str) -> datetime:
    """``start`` plus an age such as ``12mo``, ``365d`` or ``4320h``; a month's end stays within the month."""
    match = re.fullmatch(r"([0-9]+)(h|d|mo)", age)
    if match is None:
        raise ValueError(f"{age!r} is no age; write a number and h, d or mo, such as 12mo")
    number, unit = int(match[1]), match[2]
    if unit != "mo":
        return start + (timedelta(hours=number) if unit == "h" else timedelta(days=number))
    months = start.year * 12 + start.month - 1 + number
    year, month = divmod(months, 12)
    for day in (start.day, 30, 29, 28):
        try:
            return start.replace(year=year, month=month + 1, day=min(day, start.day))
        except ValueError:
            continue
    raise ValueError(f"{age!r} after {start} is outside the calendar")


def read_period(text: str) -> timedelta:
    """A period such as ``30s``, ``10m``, ``24h`` or ``14d``. Raises ValueError for anything else."""
    if re.fullmatch(PERIOD, text) is None:
        raise ValueError(f"{text!r} is no period; write a number and s, m, h or d, such as 24h")
    return timedelta(**{PERIOD_UNITS[text[-1]]: int(text[:-1])})


def _exists(text: str) -> str:
    read_instant(text)
    return text


type_name = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=type_name)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Line = Annotated[str, StringConstraints(max_length=512)]
Text = Annotated[str, StringConstraints(max_length=4096)]
Country = Annotated[str, StringConstraints(max_length=2, pattern=r"^[A-Z]{2}$")]
Subdivision = Annotated[str, StringConstraints(max_length=6, pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$")]
Place = Annotated[str, StringConstraints(max_length=6, pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
Moment = Annotated[str, StringConstraints(max_length=40, pattern=MOMENT), AfterValidator(_exists)]
Age = Annotated[str, StringConstraints(max_length=9, pattern=AGE)]
Period = Annotated[str, StringConstraints(max_length=7, pattern=PERIOD)]
Digest = Annotated[str, StringConstraints(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]
Quantity = Annotated[str, StringConstraints(max_length=32, pattern=QUANTITY)]
Percent = Annotated[float, Field(ge=0, le=100)]
Places = Annotated[list[Place], Field(max_length=64)]
Names = Annotated[list[ObjectName], Field(max_length=64)]
Level = Annotated[int, Field(ge=0, le=9)]

EntityRef = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253, pattern=type_name),
    Field(json_schema_extra={"x-entity": True}),
]
"""Name of a LegalEntity; fact paths may go on through it."""
