"""Objects that both the API server and the models must take or refuse: one table, two judges."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

Json = dict[str, Any]

PINNED = "sha256:" + "9f" * 32
NODE_LABEL = "domicile.node-restriction.kubernetes.io"


class Case(NamedTuple):
    """A change to the smallest valid spec of a kind. ``server`` and ``offline`` are fragments of the refusals."""

    name: str
    kind: str
    change: Json
    server: str = ""
    offline: str = ""


def taken(kind: str, name: str, change: Json) -> Case:
    return Case(name, kind, change)


def refused(kind: str, name: str, change: Json, server: str, offline: str = "") -> Case:
    return Case(name, kind, change, server, offline or server)


SMALLEST: dict[str, Json] = {
    "InferenceDeployment": {
        "model": {"name": "m", "source": f"oci://registry.example.eu/m@{PINNED}"},
        "runtime": {"image": f"registry.example.eu/r@{PINNED}"},
    },
    "SovereignCluster": {"provider": "nordlys"},
    "LegalEntity": {},
    "SovereigntyFramework": {
        "version": "1",
        "tiers": [{"level": 1}],
        "rules": [{"id": "R.1", "clause": "1", "title": "One", "level": 1, "require": {"isTrue": ["sbom.complete"]}}],
    },
    "PlacementRecord": {
        "workload": {"name": "w", "uid": "1", "generation": 1, "specDigest": PINNED},
        "decidedAt": "2026-11-01T00:00:00Z",
        "outcome": "Placed",
        "level": 3,
        "framework": {"id": "cada", "version": "1", "digest": PINNED},
        "inventory": PINNED,
        "operatorVersion": "0.1.0",
        "candidates": 1,
        "eligible": 1,
        "slice": {"index": 0, "of": 1},
    },
    "DecisionLog": {},
}
RULE = SMALLEST["SovereigntyFramework"]["rules"][0]


def spec_of(kind: str, change: Json) -> Json:
    """The smallest spec of ``kind`` with ``change`` merged in; ``...`` removes a field."""
    return merged(SMALLEST[kind], change)


def merged(base: Json, change: Json) -> Json:
    result = copy.deepcopy(base)
    for key, value in change.items():
        if value is ...:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def manifest(kind: str, spec: Json, name: str = "case", **metadata: Any) -> Json:
    metadata = {"name": name, **metadata}
    return {"apiVersion": "domicile.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def _tolerating(key: str) -> Json:
    return {"scheduling": {"tolerations": [{"key": key, "operator": "Exists"}]}}


def _pools(*nodes: Json, names: tuple[str, ...] = ("a", "b")) -> Json:
    return {
        "nodePools": [
            {"name": name, "provider": "nordlys", "nodes": one} for name, one in zip(names, nodes, strict=False)
        ]
    }


def _owner(**owner: Any) -> Json:
    return {"ownership": {"owners": [owner]}}


ONE_NODES = "give exactly one of providerIDPrefix, names or labels"
ONE_WAY = "give exactly one of hub or kubeconfigSecret"
ONE_HOLDER = "give either entity, or name, kind and country of the holder"
UNPINNED = "oci:// weights must be pinned"
OWN_KEYS = "are Domicile's own; remove it"
NEEDS_CONTROLLERS = "the conclusion sole or joint needs controllers"
SECRET = {"namespace": "domicile-system", "name": "member"}
DUPLICATE = ("Duplicate value", "must be unique")
WRONG_TYPE = ("must be of type", "valid")

WORKLOAD = [
    taken("InferenceDeployment", "smallest", {}),
    taken("InferenceDeployment", "weights pinned by digest", {"model": {"source": "oci://m", "digest": PINNED}}),
    taken("InferenceDeployment", "weights on a claim", {"model": {"source": "pvc://weights/m"}}),
    taken("InferenceDeployment", "weights in the image", {"model": {"source": "file:///models/m"}}),
    refused("InferenceDeployment", "weights by tag", {"model": {"source": "oci://m:v1"}}, UNPINNED),
    refused("InferenceDeployment", "weights by half a digest", {"model": {"source": "oci://m@sha256:9f2c"}}, UNPINNED),
    refused("InferenceDeployment", "weights of a hub", {"model": {"source": "org/m"}}, "should match", "not match"),
    refused("InferenceDeployment", "image by tag", {"runtime": {"image": "r:v1"}}, "should match", "not match"),
    refused("InferenceDeployment", "no image", {"runtime": {"image": ...}}, "Required value", "is required"),
    taken("InferenceDeployment", "foreign toleration", _tolerating("nvidia.com/gpu")),
    taken("InferenceDeployment", "a name that only ends alike", _tolerating("notdomicile.dev/x")),
    refused("InferenceDeployment", "own taint", _tolerating("domicile.dev/level"), OWN_KEYS),
    refused("InferenceDeployment", "own taint, bare", _tolerating("domicile.dev"), OWN_KEYS),
    refused("InferenceDeployment", "own taint, subdomain", _tolerating("x.domicile.dev/level"), OWN_KEYS),
    refused("InferenceDeployment", "own node label", _tolerating(f"{NODE_LABEL}/level-3"), OWN_KEYS),
    refused("InferenceDeployment", "wildcard toleration", _tolerating(""), "at least 1 char"),
    refused("InferenceDeployment", "tier 10", {"sovereignty": {"tier": 10}}, "less than or equal to 9"),
    refused("InferenceDeployment", "tier as text", {"sovereignty": {"tier": "3"}}, *WRONG_TYPE),
    refused("InferenceDeployment", "replicas as text", {"replicas": "2"}, *WRONG_TYPE),
    refused("InferenceDeployment", "replicas true", {"replicas": True}, *WRONG_TYPE),
    refused("InferenceDeployment", "suspend as text", {"suspend": "true"}, *WRONG_TYPE),
    refused("InferenceDeployment", "unknown field", {"replica": 2}, 'unknown field "spec.replica"', "no such field"),
    refused(
        "InferenceDeployment",
        "variable twice",
        {"runtime": {"env": [{"name": "A"}, {"name": "A", "value": "1"}]}},
        *DUPLICATE,
    ),
    refused(
        "InferenceDeployment",
        "long label key",
        {"scheduling": {"nodeSelector": {"k" * 254: "v"}}},
        "at most 253 characters",
    ),
    refused("InferenceDeployment", "no such runtime", {"runtime": {"name": "X"}}, "Unsupported value", "'vLLM'"),
]
CLUSTER = [
    taken("SovereignCluster", "smallest", {}),
    taken("SovereignCluster", "the hub itself", {"connection": {"hub": {}}}),
    taken("SovereignCluster", "a Secret", {"connection": {"kubeconfigSecret": SECRET}}),
    refused("SovereignCluster", "no way to reach it", {"connection": {}}, ONE_WAY),
    refused("SovereignCluster", "two ways", {"connection": {"hub": {}, "kubeconfigSecret": SECRET}}, ONE_WAY),
    taken(
        "SovereignCluster",
        "nodes by each way",
        _pools({"providerIDPrefix": "x://"}, {"labels": {f"{NODE_LABEL}/pool": "b"}}),
    ),
    taken("SovereignCluster", "nodes by bare prefix", _pools({"labels": {"node-restriction.kubernetes.io/x": "b"}})),
    refused("SovereignCluster", "nodes by none", _pools({}), ONE_NODES),
    refused("SovereignCluster", "nodes by two", _pools({"providerIDPrefix": "x://", "names": ["n"]}), ONE_NODES),
    refused(
        "SovereignCluster",
        "nodes by a label that kubelets write",
        _pools({"labels": {"topology.kubernetes.io/region": "dk"}}),
        "use keys under *.node-restriction.kubernetes.io",
        "does not match",
    ),
    refused(
        "SovereignCluster",
        "a prefix that only looks restricted",
        _pools({"labels": {"xnode-restriction.kubernetes.io/x": "b"}}),
        "use keys under *.node-restriction.kubernetes.io",
        "does not match",
    ),
    refused("SovereignCluster", "pool twice", _pools({"names": ["n"]}, {"names": ["m"]}, names=("a", "a")), *DUPLICATE),
    refused(
        "SovereignCluster",
        "too many pools",
        _pools(*[{"names": ["n"]}] * 129, names=tuple(f"p{n}" for n in range(129))),
        "at most 128 items",
    ),
    refused("SovereignCluster", "no provider", {"provider": ...}, "Required value", "is required"),
    refused(
        "SovereignCluster",
        "country by name",
        {"facts": {"location": {"country": "Denmark"}}},
        "may not be more than 2",
        "at most 2 characters",
    ),
    refused(
        "SovereignCluster",
        "class of evidence",
        {"evidence": [{"covers": ["*"], "class": "sworn", "issuer": "a", "issued": "2026-01-01"}]},
        "Unsupported value",
        "selfDeclared",
    ),
    refused(
        "SovereignCluster",
        "date in words",
        {"facts": {"certificates": [{"scheme": "EUCS", "validUntil": "soon"}]}},
        "should match",
        "not match",
    ),
]
ENTITY = [
    taken("LegalEntity", "smallest", {}),
    taken("LegalEntity", "holder as entity", _owner(entity="parent", votesPercent=50.5)),
    taken("LegalEntity", "holder in place", _owner(kind="dispersed", votesPercent=12)),
    refused("LegalEntity", "holder both ways", _owner(entity="parent", country="US"), ONE_HOLDER),
    refused("LegalEntity", "holder no way", _owner(votesPercent=10), ONE_HOLDER),
    refused("LegalEntity", "more than all votes", _owner(entity="p", votesPercent=101), "less than or equal to 100"),
    taken("LegalEntity", "controlled by nobody", {"control": {"conclusion": "none"}}),
    taken(
        "LegalEntity",
        "controlled",
        {"control": {"conclusion": "sole", "controllers": [{"name": "P", "country": "DK"}]}},
    ),
    refused("LegalEntity", "sole control by nobody", {"control": {"conclusion": "sole"}}, NEEDS_CONTROLLERS),
    refused("LegalEntity", "joint, empty", {"control": {"conclusion": "joint", "controllers": []}}, NEEDS_CONTROLLERS),
    refused("LegalEntity", "identifier", {"lei": "5299"}, "should match", "not match"),
]
FRAMEWORK = [
    taken("SovereigntyFramework", "smallest", {}),
    taken(
        "SovereigntyFramework",
        "any predicate",
        {"rules": [RULE | {"require": {"allOf": [{"within": "Union", "facts": ["location"]}, {"n": None}]}}]},
    ),
    taken("SovereigntyFramework", "territory", {"territories": {"Union": {"countries": ["DK"]}}}),
    refused(
        "SovereigntyFramework",
        "territory with a space",
        {"territories": {"The Union": {}}},
        "keys have at most 63 characters and match",
        "does not match",
    ),
    refused("SovereigntyFramework", "rule twice", {"rules": [RULE, RULE]}, *DUPLICATE),
    refused("SovereigntyFramework", "tier twice", {"tiers": [{"level": 1}, {"level": 1}]}, *DUPLICATE),
    refused("SovereigntyFramework", "no tiers", {"tiers": []}, "at least 1 item"),
    refused(
        "SovereigntyFramework",
        "predicate as text",
        {"rules": [RULE | {"require": "x"}]},
        "must be of type",
        "an object",
    ),
]
# Server-side apply refuses these, a plain create drops the field: offline the stricter answer holds.
NULLS = [
    refused("InferenceDeployment", "null tier", {"sovereignty": {"tier": None}}, "must be of type", "null is no value"),
    refused("SovereignCluster", "null facts", {"facts": None}, "must be of type", "null is no value"),
]
CASES = [*WORKLOAD, *CLUSTER, *ENTITY, *FRAMEWORK]


class Change(NamedTuple):
    """A step from one accepted spec to another; ``refused`` is a fragment of the refusal of both judges."""

    name: str
    kind: str
    old: Json
    new: Json
    refused: str = ""


def _tier(tier: int | None, **more: Any) -> Json:
    return {"sovereignty": more | ({} if tier is None else {"tier": tier})}


LOWERED = "sovereignty.tier is never lowered or removed in place"
REFRAMED = "sovereignty.framework is never changed in place"
OTHER_CLUSTER = "identity.kubeSystemUID is fixed once set"
UID = {"identity": {"kubeSystemUID": "1"}}
CHANGES = [
    Change("tier raised", "InferenceDeployment", _tier(2), _tier(3)),
    Change("tier added", "InferenceDeployment", {}, _tier(1)),
    Change("tier kept", "InferenceDeployment", _tier(2), _tier(2) | {"replicas": 3}),
    Change("tier lowered", "InferenceDeployment", _tier(3), _tier(2), LOWERED),
    Change("tier removed", "InferenceDeployment", _tier(3), _tier(None, basis="criteria"), LOWERED),
    Change("wishes removed", "InferenceDeployment", _tier(3), {}, LOWERED),
    Change("framework spelled out", "InferenceDeployment", {}, _tier(None, framework="cada")),
    Change("framework left out", "InferenceDeployment", _tier(None, framework="cada"), {}),
    Change("framework changed", "InferenceDeployment", _tier(1), _tier(1, framework="seal"), REFRAMED),
    Change("framework changed from the default", "InferenceDeployment", {}, _tier(None, framework="seal"), REFRAMED),
    Change("framework removed", "InferenceDeployment", _tier(None, framework="seal"), {}, REFRAMED),
    Change("identity learnt", "SovereignCluster", {}, UID),
    Change("identity kept", "SovereignCluster", UID, UID),
    Change(
        "identity changed",
        "SovereignCluster",
        UID,
        {"identity": {"kubeSystemUID": "2"}},
        OTHER_CLUSTER,
    ),
    Change("identity removed", "SovereignCluster", UID, {}, OTHER_CLUSTER),
    Change("record kept", "PlacementRecord", {}, {}),
    Change("record changed", "PlacementRecord", {}, {"eligible": 2}, "a record is never changed"),
]
