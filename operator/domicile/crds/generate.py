"""CustomResourceDefinitions of all kinds, from the models."""

from __future__ import annotations

from typing import Any, NamedTuple

from domicile.crds.structural import Schema, structural_schema
from domicile.model.objects import KINDS, Kind
from domicile.model.schema import GROUP, VERSION

CATEGORY = "domicile"


class Column(NamedTuple):
    """One column of ``kubectl get``."""

    name: str
    path: str
    type: str = "string"


def _condition(condition: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


AGE = Column("Age", ".metadata.creationTimestamp", "date")
COLUMNS: dict[str, tuple[Column, ...]] = {
    "InferenceDeployment": (
        Column("Tier", ".status.tier", "integer"),
        Column("Ready", _condition("Ready")),
        Column("Compliant", _condition("Compliant")),
        Column("Cluster", ".status.cluster"),
        Column("Pool", ".status.nodePool"),
        Column("Reason", ".status.reason"),
        AGE,
    ),
    "SovereignCluster": (
        Column("Provider", ".spec.provider"),
        Column("Control", ".status.control"),
        Column("Pools", ".status.poolCount", "integer"),
        Column("Levels", ".status.levels"),
        Column("Reachable", ".status.reachable"),
        AGE,
    ),
    "LegalEntity": (
        Column("Kind", ".spec.kind"),
        Column("Country", ".spec.seats.registeredOffice"),
        Column("Valid", _condition("Accepted")),
        Column("Reason", _condition("Accepted", "reason")),
        AGE,
    ),
    "SovereigntyFramework": (
        Column("Version", ".spec.version"),
        Column("Accepted", _condition("Accepted")),
        Column("Paused", _condition("MovesPaused")),
        Column("Reason", _condition("Accepted", "reason")),
        AGE,
    ),
    "PlacementRecord": (
        Column("Workload", ".spec.workload.name"),
        Column("Outcome", ".spec.outcome"),
        Column("Cluster", ".spec.chosen.cluster"),
        Column("Pool", ".spec.chosen.nodePool"),
        Column("Eligible", ".spec.eligible", "integer"),
        Column("Candidates", ".spec.candidates", "integer"),
        AGE,
    ),
    "DecisionLog": (
        Column("Size", ".status.size", "integer"),
        Column("Published", ".status.publishedAt", "date"),
        AGE,
    ),
}
SCALE = {
    "InferenceDeployment": {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
}


def all_crds() -> list[dict[str, Any]]:
    """One CustomResourceDefinition per kind."""
    return [crd(kind) for kind in KINDS.values()]


def crd(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of ``kind``."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> dict[str, Any]:
    scale = SCALE.get(kind.kind)
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}} | ({"scale": scale} if scale else {}),
        "additionalPrinterColumns": [_column(column) for column in COLUMNS[kind.kind]],
        "schema": {"openAPIV3Schema": root_schema(kind)},
    }


def _column(column: Column) -> dict[str, Any]:
    return {"name": column.name, "type": column.type, "jsonPath": column.path}


def root_schema(kind: Kind) -> Schema:
    """Schema of a whole object. ``metadata`` stays open: the API server checks it itself."""
    spec = structural_schema(kind.spec)
    return {
        "type": "object",
        "description": spec["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "maxLength": 64, "description": "domicile.dev/v1alpha1"},
            "kind": {"type": "string", "maxLength": 64, "description": kind.kind},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural_schema(kind.status),
        },
    }
