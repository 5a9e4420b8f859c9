"""Facts that satisfy every rule up to level 3, dated relative to today, as plain documents that a test may change."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

BASELINE = Path(__file__).resolve().parents[1] / "scenarios" / "baseline.yaml"
API_VERSION = "domicile.dev/v1alpha1"
NOW = datetime.now(UTC)


def day(offset: int) -> str:
    """A date ``offset`` days from today."""
    return (NOW + timedelta(days=offset)).date().isoformat()


def _baseline(kind: str) -> Json:
    documents = yaml.safe_load_all(BASELINE.read_text())
    found: Json = next(d["spec"] for d in documents if d["kind"] == kind)
    for entry in found["evidence"]:
        entry |= {"issued": day(-200), "reviewed": day(-30)}
    return found


_ENTITY, _CLUSTER = _baseline("LegalEntity"), _baseline("SovereignCluster")
_ENTITY["ownership"]["asOf"] = day(-60)
_FACTS: Json = _CLUSTER["facts"]
_FACTS["sbom"]["generated"] = day(-30)
_FACTS["certificates"][0]["validUntil"] = day(400)
_FACTS["assurance"] = {
    "statementPublished": True,
    "opinion": {"result": "positive", "level": 3, "auditorIndependent": True},
}


def merged(document: Json, patch: Json) -> Json:
    """RFC 7386: ``document`` with ``patch``; None removes."""
    result = copy.deepcopy(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def entity_spec(**patch: Any) -> Json:
    """A Union-owned provider."""
    return merged(_ENTITY, patch)


def cluster_spec(provider: str, pools: list[Json], **patch: Any) -> Json:
    """A cluster in Denmark that proves level 3 and lacks the audit opinion for level 4."""
    return merged(_CLUSTER, {"provider": provider, "nodePools": pools, **patch})


def fact_group(name: str, **patch: Any) -> Json:
    """A group of the cluster's facts, changed: for a pool that differs from its cluster."""
    return merged(_FACTS[name], patch)


def foreign_control() -> Json:
    """The patch of an entity that makes it controlled from the United States, without safeguards."""
    owner = {"name": "Parent Inc", "kind": "company", "country": "US", "capitalPercent": 100, "votesPercent": 100}
    return {
        "ownership": {"owners": [{**owner, "specialRights": []}]},
        "control": {"controllers": [{"name": "Parent Inc", "kind": "company", "country": "US", "means": ["votes"]}]},
    }


def pool(name: str, *, provider: str, product: str, **more: Any) -> Json:
    """A node pool; its nodes carry ``test://NAME/`` as the prefix of their provider id."""
    return {
        "name": name,
        "provider": provider,
        "nodes": {"providerIDPrefix": f"test://{name}/"},
        "accelerator": {"product": product, "memory": "80Gi"},
        **more,
    }


def node(name: str, *, pool: str, gpus: int, labels: Json | None = None) -> Json:
    """A node that KWOK keeps ready."""
    size = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    metadata = {"name": name, "labels": labels or {}, "annotations": {"kwok.x-k8s.io/node": "fake"}}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {"providerID": f"test://{pool}/{name}"},
        "status": {"allocatable": size, "capacity": size},
    }


def workload(name: str, *, product: str = "", tier: int | None = 3, gpus: int = 1, **spec: Any) -> Json:
    """An InferenceDeployment that asks for ``gpus`` of ``product`` per pod."""
    annotations = {} if tier is None else {"domicile.dev/sovereignty-tier": str(tier)}
    base: Json = {
        "model": {"name": "m", "source": "file:///weights"},
        "runtime": {"name": "vLLM", "image": image("a")},
        "replicas": 1,
        "resources": {"cpu": "1", "memory": "1Gi"},
    }
    if product:
        base["resources"]["accelerator"] = {"products": [product], "count": gpus}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceDeployment",
        "metadata": {"name": name, "annotations": annotations},
        "spec": merged(base, spec),
    }


def image(letter: str) -> str:
    """An image pinned by a digest of one letter."""
    return f"registry.example.eu/runtime@sha256:{letter * 64}"
