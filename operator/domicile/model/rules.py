"""What the API server checks beyond types, written once: as CEL for the server and as Python for everything offline.

A model lists its checks in ``checks`` and, for changes of an existing object, in ``transitions``; the generated CRDs
carry the CEL, the models themselves run the Python. A test puts the same objects through both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

JsonSchema = dict[str, Any]


class Check(NamedTuple):
    """A condition over the fields of one model. The message names the field and the remedy."""

    cel: str
    message: str
    holds: Callable[[Any], object]  # true or false by truth value

    def as_validation(self) -> JsonSchema:
        """The entry of ``x-kubernetes-validations``."""
        return {"rule": self.cel, "message": self.message}


class Transition(NamedTuple):
    """A condition over the new and the old spec of one object; ``holds`` takes them in that order."""

    cel: str
    message: str
    holds: Callable[[Any, Any], bool]

    def as_validation(self) -> JsonSchema:
        """The entry of ``x-kubernetes-validations``; the server evaluates it on updates only."""
        return {"rule": self.cel, "message": self.message, "reason": "FieldValueForbidden"}


def broken(checks: tuple[Check, ...], value: object) -> PydanticCustomError | None:
    """One error with the messages of all checks that do not hold."""
    messages = [check.message for check in checks if not check.holds(value)]
    return PydanticCustomError("check", "{messages}", {"messages": "; ".join(messages)}) if messages else None


class Keyed:
    """Marks a list whose items differ in the named fields: a list-map for the API server, no twins offline."""

    def __init__(self, *fields: str) -> None:
        self._fields = fields

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._refuse_twins, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        keys = [to_camel(field) for field in self._fields]
        return {**handler(core), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}

    def _refuse_twins(self, items: list[Any]) -> list[Any]:
        twins = sorted(set(self._twins(items)))
        if twins:
            message = f"{' and '.join(map(to_camel, self._fields))} must be unique; {', '.join(twins)} appears twice"
            raise PydanticCustomError("twins", "{message}", {"message": message})
        return items

    def _twins(self, items: list[Any]) -> Iterator[str]:
        seen = set()
        for item in items:
            key = tuple(getattr(item, field) for field in self._fields)
            if key in seen:
                yield "/".join(map(str, key))
            seen.add(key)
