"""ValidatingAdmissionPolicies on tiers: enforced by the API server itself, with or without a running operator."""

from __future__ import annotations

from typing import Any

from domicile.model.schema import GROUP, VERSION
from domicile.model.workload import TIER_ANNOTATION, TIER_FLOOR_LABEL

Manifest = dict[str, Any]

TIER_POLICY = "domicile-tier"
FLOOR_POLICY = "domicile-minimum-tier"
NONE = -1  # an effective tier or floor that nobody wrote


def policies() -> list[Manifest]:
    """The policies and their bindings."""
    tier = _policy(TIER_POLICY, (GROUP, VERSION, "inferencedeployments"), TIER_VARIABLES, TIER_RULES)
    floor = _policy(FLOOR_POLICY, ("", "v1", "namespaces"), FLOOR_VARIABLES, FLOOR_RULES)
    # Namespaces without the label, the great majority, are none of this policy's business.
    floor["spec"]["matchConditions"].append(
        {"name": "has-or-had-a-floor", "expression": f"{_written_floor('object')} || {_written_floor('oldObject')}"}
    )
    return [tier, _binding(TIER_POLICY), floor, _binding(FLOOR_POLICY)]


def _policy(name: str, resource: tuple[str, str, str], variables: dict[str, str], rules: list[Manifest]) -> Manifest:
    group, version, plural = resource
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": [version],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": [plural],
                        "scope": "*",  # the default, said so that a second apply finds no difference
                    }
                ]
            },
            # What is on its way out is never held back: finalizers must come off.
            "matchConditions": [{"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}],
            "variables": [{"name": key, "expression": cel} for key, cel in variables.items()],
            "validations": rules,
        },
    }


def _binding(policy: str) -> Manifest:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": policy},
        "spec": {"policyName": policy, "validationActions": ["Deny"]},
    }


def _annotation(of: str) -> str:
    return f"{of}.?metadata.?annotations[?'{TIER_ANNOTATION}']"


def _field(of: str) -> str:
    return f"{of}.?spec.?sovereignty.?tier"


def _effective(of: str) -> str:
    """Tier of an object: the annotation where it is a number, else the field, else NONE."""
    annotation = f"{_annotation(of)}.orValue('')"
    return f"{annotation}.matches('^[0-9]$') ? int({annotation}) : int({_field(of)}.orValue({NONE}))"


def _floor(of: str) -> str:
    return f"{of}.?metadata.?labels[?'{TIER_FLOOR_LABEL}']"


def _written_floor(of: str) -> str:
    return f"({of} != null && {_floor(of)}.hasValue())"


def _deny_unless(expression: str, plain: str, message: str, reason: str = "Invalid") -> Manifest:
    """One validation. ``message`` is a CEL expression that names values; ``plain`` is said where those hold a line
    break, which the API server allows in no computed message."""
    return {"expression": expression, "message": plain, "messageExpression": message, "reason": reason}


TIER_VARIABLES = {
    "annotation": f"{_annotation('object')}.orValue('')",
    "annotated": f"{_annotation('object')}.hasValue()",
    "field": f"int({_field('object')}.orValue({NONE}))",
    "tier": _effective("object"),
    "oldTier": f"oldObject == null ? {NONE} : ({_effective('oldObject')})",
    "floor": f"{_floor('namespaceObject')}.orValue('')",
}
TIER_RULES = [
    _deny_unless(
        "!variables.annotated || variables.annotation.matches('^[0-9]$')",
        f"annotation {TIER_ANNOTATION} is no tier; write a number, 0 to 9",
        f"'annotation {TIER_ANNOTATION} says ' + variables.annotation + ', which is no tier; write a number, 0 to 9'",
    ),
    _deny_unless(
        f"!variables.annotated || variables.field == {NONE} || variables.annotation == string(variables.field)",
        f"annotation {TIER_ANNOTATION} and spec.sovereignty.tier differ; keep one, or make them equal",
        f"'annotation {TIER_ANNOTATION} says ' + variables.annotation + ', spec.sovereignty.tier says '"
        " + string(variables.field) + '; keep one, or make them equal'",
    ),
    _deny_unless(
        f"variables.tier == {NONE} || variables.floor == '' || variables.floor.matches('^[0-9]$')",
        f"label {TIER_FLOOR_LABEL} of the namespace is no tier; have it corrected",
        f"'label {TIER_FLOOR_LABEL} of the namespace says ' + variables.floor"
        " + ', which is no tier; have it corrected'",
        "Forbidden",
    ),
    _deny_unless(
        f"variables.tier == {NONE} || !variables.floor.matches('^[0-9]$') || variables.tier >= int(variables.floor)",
        f"the tier is below the {TIER_FLOOR_LABEL} of the namespace; raise the tier",
        f"'tier ' + string(variables.tier) + ' is below ' + variables.floor + ', the {TIER_FLOOR_LABEL} of the"
        " namespace; raise the tier'",
        "Forbidden",
    ),
    _deny_unless(
        "variables.tier >= variables.oldTier",
        "the tier is never lowered or removed in place; delete the object and create it again",
        "'the tier is never lowered or removed in place: it is ' + string(variables.oldTier) + ' and would be '"
        f" + (variables.tier == {NONE} ? 'gone' : string(variables.tier)) + '; delete the object and create it again'",
        "Forbidden",
    ),
]

FLOOR_VARIABLES = {
    "floor": f"{_floor('object')}.orValue('')",
    "oldFloor": f"oldObject == null ? '' : {_floor('oldObject')}.orValue('')",
}
FLOOR_RULES = [
    _deny_unless(
        "variables.floor == '' || variables.floor.matches('^[0-9]$')",
        f"label {TIER_FLOOR_LABEL} is no tier; write a number, 0 to 9",
        f"'label {TIER_FLOOR_LABEL} says ' + variables.floor + ', which is no tier; write a number, 0 to 9'",
    ),
    _deny_unless(
        "!variables.oldFloor.matches('^[0-9]$') || (variables.floor.matches('^[0-9]$')"
        " && int(variables.floor) >= int(variables.oldFloor))",
        f"label {TIER_FLOOR_LABEL} may only rise",
        f"'label {TIER_FLOOR_LABEL} is ' + variables.oldFloor + ' and may only rise; to lower it, a cluster"
        f" administrator removes the binding {FLOOR_POLICY} first'",
        "Forbidden",
    ),
]
