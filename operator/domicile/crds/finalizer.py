"""The MutatingAdmissionPolicy that puts our finalizer on a new InferenceDeployment, which saves the operator a write.

A comfort, not a protection: the operator adds the finalizer itself where it is missing, before it delivers anything.
"""

from __future__ import annotations

from typing import Any

from domicile.model.labels import FINALIZER
from domicile.model.schema import GROUP, VERSION

FINALIZER_POLICY = "domicile-placement-finalizer"
API = "admissionregistration.k8s.io/v1"  # served from Kubernetes 1.36 on


def finalizer_policy() -> list[dict[str, Any]]:
    """The policy and its binding. Nobody owns the field it sets, so that no later apply takes the finalizer away."""
    created = {
        "apiGroups": [GROUP],
        "apiVersions": [VERSION],
        "operations": ["CREATE"],
        "resources": ["inferencedeployments"],
        "scope": "*",  # the default, said so that a second apply finds no difference
    }
    held = f"Object{{metadata: Object.metadata{{finalizers: ['{FINALIZER}']}}}}"
    policy = {
        "apiVersion": API,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": FINALIZER_POLICY},
        "spec": {
            "failurePolicy": "Ignore",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [created]},
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": held}}],
        },
    }
    binding = {
        "apiVersion": API,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": FINALIZER_POLICY},
        "spec": {"policyName": FINALIZER_POLICY},
    }
    return [policy, binding]
