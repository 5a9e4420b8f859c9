"""JSON schema of a pydantic model -> structural schema of apiextensions.k8s.io/v1.

The API server refuses ``$ref``, ``anyOf`` with null, ``const``, numeric exclusive bounds, ``propertyNames`` and more.
What can be said otherwise is rewritten here; a keyword this module does not know is an error, not a silent loss.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from domicile.model.schema import Model

Schema = dict[str, Any]

KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
REWRITTEN = {
    "properties",
    "items",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "const",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "x-key-message",
}
DROPPED = {"title", "examples", "$defs", "x-entity"}


class SchemaError(ValueError):
    """A model uses something that no structural schema can say."""


def structural_schema(model: type[Model]) -> Schema:
    """The schema of ``model`` as the API server takes it. Raises SchemaError."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _rewrite(_first_sentence_only(raw), raw.get("$defs", {}), model.__name__)


def _rewrite(raw: Schema, defs: Mapping[str, Schema], path: str) -> Schema:
    node = _resolve(raw, defs, path)
    unknown = set(node) - set(KEPT) - REWRITTEN - DROPPED
    if unknown or "type" not in node:
        raise SchemaError(f"{path}: {', '.join(sorted(unknown)) or 'no type'}: no structural schema can say that")
    result: Schema = {key: node[key] for key in KEPT if key in node}
    if result.get("default", ...) is None:
        del result["default"]  # optional means absent: the API server knows no null here
    if "const" in node:
        result["enum"] = [node["const"]]
    for numeric, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if numeric in node:
            result |= {bound: node[numeric], numeric: True}
    if node["type"] == "array":
        result.setdefault("x-kubernetes-list-type", "atomic")
        result["items"] = _rewrite(node["items"], defs, f"{path}[]")
    if node.get("properties"):
        result["properties"] = {
            name: _rewrite(child, defs, f"{path}.{name}") for name, child in node["properties"].items()
        }
    elif node["type"] == "object":
        result |= _map(node, defs, path)
    return result


def _resolve(raw: Schema, defs: Mapping[str, Schema], path: str) -> Schema:
    """``raw`` with references and ``X or null`` replaced by what they name; its own keywords win."""
    if "$ref" in raw:
        target = _first_sentence_only(defs[raw["$ref"].rpartition("/")[2]])
        return _resolve({**target, **{k: v for k, v in raw.items() if k != "$ref"}}, defs, path)
    if "anyOf" in raw:
        options = [option for option in raw["anyOf"] if option.get("type") != "null"]
        if len(options) != 1:
            raise SchemaError(f"{path}: a union of types; use one object with optional fields and a check")
        return _resolve({**options[0], **{k: v for k, v in raw.items() if k != "anyOf"}}, defs, path)
    return raw


def _first_sentence_only(model: Schema) -> Schema:
    """Docstrings speak to programmers after their first sentence; users see that one."""
    if "description" not in model:
        return model
    text = re.sub(r"\s+", " ", inspect.cleandoc(model["description"])).replace("``", "")
    return {**model, "description": re.split(r"(?<=\.) (?=[A-Z])", text)[0]}


def _map(node: Schema, defs: Mapping[str, Schema], path: str) -> Schema:
    """``additionalProperties`` of a map, and a CEL check in place of restricted keys."""
    patterns = node.get("patternProperties", {})
    values = next(iter(patterns.values()), node.get("additionalProperties"))
    if not isinstance(values, dict):  # an object without fields, or one whose fields nobody knows
        return {}
    limits = [f"key.matches(r'{pattern}')" for pattern in patterns]
    names = node.get("propertyNames", {})
    limits += [f"size(key) >= {names['minLength']}"] if names.get("minLength") else []
    limits += [f"size(key) <= {names['maxLength']}"] if "maxLength" in names else []
    result: Schema = {"additionalProperties": _rewrite(values, defs, f"{path}{{}}")}
    if limits:
        message = node.get("x-key-message") or f"keys have at most {names['maxLength']} characters" + "".join(
            f" and match {pattern}" for pattern in patterns
        )
        rule = f"self.all(key, {' && '.join(limits)})"
        result["x-kubernetes-validations"] = [{"rule": rule, "message": message}]
    return result
