"""The generated files are current, and every schema is structural: quick feedback before a real API server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from domicile.crds.files import generated_files
from domicile.crds.generate import all_crds
from domicile.crds.policy import policies
from domicile.crds.structural import KEPT, SchemaError, structural_schema
from domicile.model.objects import KINDS, ObjectError, change_problems, read_spec
from domicile.model.schema import Model
from tests.crds.cases import CASES, CHANGES, NULLS, Case, Change, manifest, spec_of

ROOT = Path(__file__).resolve().parents[2]
Node = tuple[str, dict[str, Any]]
ALLOWED = {*KEPT, "properties", "items", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum"}


def nodes(path: str, schema: dict[str, Any]) -> Iterator[Node]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", child)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(path + mark, schema[key])


NODES = [
    node
    for crd in all_crds()
    for node in nodes(crd["spec"]["names"]["kind"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
]


def faults(schema: dict[str, Any]) -> Iterator[str]:
    """What the API server would refuse, or what would make the cost of rules or the size of objects unbounded."""
    kind = schema.get("type")
    if kind not in ("object", "array", "string", "integer", "number", "boolean"):
        yield f"type {kind}"
    if set(schema) - ALLOWED:
        yield f"keywords {set(schema) - ALLOWED}"
    if "properties" in schema and "additionalProperties" in schema:
        yield "properties and additionalProperties"
    if not isinstance(schema.get("additionalProperties", {}), dict):
        yield "additionalProperties is no schema"
    if schema.get("x-kubernetes-preserve-unknown-fields", True) is not True:
        yield "x-kubernetes-preserve-unknown-fields other than true"
    yield from unbounded(schema)
    yield from bad_default(schema)
    yield from bad_list_map(schema)


def unbounded(schema: dict[str, Any]) -> Iterator[str]:
    if schema["type"] == "string" and not {"maxLength", "enum"} & set(schema):
        yield "a string without maxLength"
    if schema["type"] == "array" and not {"items", "maxItems", "x-kubernetes-list-type"} <= set(schema):
        yield "a list without items, maxItems or list type"
    if "additionalProperties" in schema and "maxProperties" not in schema:
        yield "a map without maxProperties"


def bad_default(schema: dict[str, Any]) -> Iterator[str]:
    if "default" not in schema:
        return
    value = schema["default"]
    if value is None or ("enum" in schema and value not in schema["enum"]):
        yield f"default {value!r}"
    if isinstance(value, str) and "enum" not in schema:
        fits = schema.get("minLength", 0) <= len(value) <= schema["maxLength"]
        if not fits or not re.search(schema.get("pattern", ""), value):
            yield f"default {value!r} is not valid itself"


def bad_list_map(schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("x-kubernetes-list-type") == "map":
        items = schema["items"]
        for key in schema["x-kubernetes-list-map-keys"]:
            if key not in items.get("required", []) and "default" not in items["properties"][key]:
                yield f"list map key {key} may be absent"


@pytest.mark.parametrize(("path", "text"), generated_files().items(), ids=str)
def test_file_is_current(path: str, text: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == text, "run: python -m domicile.crds"


def test_no_file_is_left_over() -> None:
    assert {f"crds/{file.name}" for file in (ROOT / "crds").iterdir()} <= set(generated_files())


def test_generation_gives_the_same_bytes_twice() -> None:
    assert generated_files() == generated_files()


def test_every_schema_is_structural_and_bounded() -> None:
    assert [(path, fault) for path, schema in NODES for fault in faults(schema)] == []


def test_every_field_is_described() -> None:
    silent = [
        path for path, schema in NODES if not schema.get("description") and not path.endswith(("[]", "{}", ".metadata"))
    ]
    assert silent == []


def test_only_the_predicates_of_rules_are_open() -> None:
    opened = [path for path, schema in NODES if "x-kubernetes-preserve-unknown-fields" in schema]
    assert opened == ["SovereigntyFramework.spec.rules[].require"]
    bare = {path for path, s in NODES if s["type"] == "object" and not {"properties", "additionalProperties"} & set(s)}
    assert {path for path in bare if not path.endswith(".metadata")} == {
        *opened,
        "SovereignCluster.spec.connection.hub",
        "PlacementRecord.status",
        "DecisionLog.spec",
    }


def test_each_kind_has_its_definition() -> None:
    for crd in all_crds():
        kind = KINDS[crd["spec"]["names"]["kind"]]
        version = crd["spec"]["versions"][0]
        assert crd["spec"]["names"]["shortNames"] == [kind.short]
        assert version["subresources"]["status"] == {}
        assert ("scale" in version["subresources"]) == (kind.kind == "InferenceDeployment")
        assert version["additionalPrinterColumns"][-1]["name"] == "Age"
        assert len(json.dumps(crd)) < 200_000  # fits into the annotation of a client-side apply


def test_messages_name_a_remedy_and_fit_on_a_line() -> None:
    rules = [rule for _, schema in NODES for rule in schema.get("x-kubernetes-validations", [])]
    assert len(rules) >= 9
    for rule in rules:
        assert 20 < len(rule["message"]) < 250 and "\n" not in rule["message"]


def test_policies_fail_closed_and_let_deletion_pass() -> None:
    by_kind = {(p["kind"], p["metadata"]["name"]): p["spec"] for p in policies()}
    for (kind, name), spec in by_kind.items():
        if kind == "ValidatingAdmissionPolicy":
            assert spec["failurePolicy"] == "Fail"
            assert spec["matchConditions"][0]["expression"] == "!has(object.metadata.deletionTimestamp)"
            binding = by_kind["ValidatingAdmissionPolicyBinding", name]
            assert binding == {"policyName": name, "validationActions": ["Deny"]}


def test_a_union_of_types_is_refused() -> None:
    class Odd(Model):
        amount: int | str = Field(default=1)

    with pytest.raises(SchemaError, match=r"Odd\.amount: a union of types"):
        structural_schema(Odd)


def test_rewrites() -> None:
    class Shapes(Model):
        """First sentence (Art. 20(5)). Second."""

        above: float = Field(gt=0, lt=5, examples=[1], description="Above zero")

    assert structural_schema(Shapes) == {
        "description": "First sentence (Art. 20(5)).",
        "type": "object",
        "required": ["above"],
        "properties": {
            "above": {
                "description": "Above zero",
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 5,
                "exclusiveMaximum": True,
            }
        },
    }


@pytest.mark.parametrize("case", CASES + NULLS, ids=lambda case: f"{case.kind}: {case.name}")
def test_models_judge(case: Case) -> None:
    raw = manifest(case.kind, spec_of(case.kind, case.change))
    if not case.offline:
        read_spec(raw)
        return
    with pytest.raises(ObjectError) as refusal:
        read_spec(raw)
    assert case.offline in str(refusal.value)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_models_judge_changes(change: Change) -> None:
    old, new = (read_spec(manifest(change.kind, spec_of(change.kind, part))) for part in (change.old, change.new))
    problems = "; ".join(map(str, change_problems(old, new)))
    assert change.refused in problems if change.refused else problems == ""


def test_every_rule_has_a_case() -> None:
    """A check that no case breaks is a check nobody knows to work."""
    rules = [rule["message"] for _, schema in NODES for rule in schema.get("x-kubernetes-validations", [])]
    fragments = [case.server for case in CASES if case.server] + [
        change.refused for change in CHANGES if change.refused
    ]
    assert [message for message in set(rules) if not any(fragment in message for fragment in fragments)] == []


def test_yaml_keeps_what_looks_like_something_else() -> None:
    for path, text in generated_files().items():
        if path.endswith(".yaml"):
            assert [d["metadata"]["name"] for d in yaml.safe_load_all(text)]
