"""Nodes and pods of a member, projected to what membership and room need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from domicile.model.cluster import NodePool
from domicile.model.labels import NODE_PREFIX, WORKLOAD
from domicile.placement.capacity import NodeRoom, PoolRoom, read_quantity

RESTRICTED = "node-restriction.kubernetes.io"
VIRTUAL = frozenset({"virtual-kubelet", "virtual-node"})

Amounts = tuple[tuple[str, float], ...]


class NodeFacts(NamedTuple):
    """One node: identity, labels no kubelet can write, and what it can hold. ``usable`` = Ready and schedulable."""

    name: str
    provider_id: str
    labels: tuple[tuple[str, str], ...]
    usable: bool
    virtual: bool
    allocatable: Amounts


class PodFacts(NamedTuple):
    """One pod that holds or asks for room: its node ('' = not bound), requests, and whose it is."""

    node: str
    requests: Amounts
    workload: str  # namespace/name of the InferenceDeployment, or empty
    ready: bool


def project_node(raw: Mapping[str, Any]) -> NodeFacts:
    """A Node as its API server gives it."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = metadata.get("labels") or {}
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return NodeFacts(
        name=metadata["name"],
        provider_id=spec.get("providerID", ""),
        labels=tuple(sorted((k, v) for k, v in labels.items() if k.partition("/")[0].endswith(RESTRICTED))),
        usable=ready and not spec.get("unschedulable", False),
        virtual=labels.get("type") in VIRTUAL,
        allocatable=_amounts(status.get("allocatable") or {}),
    )


def project_pod(raw: Mapping[str, Any]) -> PodFacts | None:
    """A Pod as its API server gives it; None once it has ended and holds nothing."""
    spec, status = raw["spec"], raw.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    metadata = raw["metadata"]
    name = (metadata.get("labels") or {}).get(WORKLOAD)
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return PodFacts(
        node=spec.get("nodeName", ""),
        requests=_pod_requests(spec),
        workload=f"{metadata['namespace']}/{name}" if name else "",
        ready=ready,
    )


def _pod_requests(spec: Mapping[str, Any]) -> Amounts:
    """Containers and sidecars together, or the largest init container where that is more, and the overhead of the
    sandbox (as the scheduler counts)."""
    init = spec.get("initContainers") or ()
    sidecars = [c for c in init if c.get("restartPolicy") == "Always"]
    total = _total([*(spec.get("containers") or ()), *sidecars])
    for container in init:
        for name, amount in _total([container]).items():
            total[name] = max(total.get(name, 0.0), amount)
    for name, text in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, 0.0) + read_quantity(text)
    return tuple(sorted(total.items()))


def _total(containers: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in containers:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, text in asked.items():
            total[name] = total.get(name, 0.0) + read_quantity(text)
    return total


def _amounts(quantities: Mapping[str, str]) -> Amounts:
    return tuple(sorted((name, read_quantity(text)) for name, text in quantities.items()))


def belongs(node: NodeFacts, pool: NodePool) -> bool:
    """Whether the pool's membership names this node. Virtual nodes stand for elsewhere and belong nowhere."""
    wanted = pool.nodes
    if node.virtual:
        return False
    if wanted.provider_id_prefix is not None:
        return node.provider_id.startswith(wanted.provider_id_prefix)
    if wanted.names is not None:
        return node.name in wanted.names
    if wanted.labels:
        return set(wanted.labels.items()) <= set(node.labels)
    return False


def our_labels(node: NodeFacts) -> dict[str, str]:
    """The labels under Domicile's prefix that the node carries now."""
    return {key: value for key, value in node.labels if key.partition("/")[0] == NODE_PREFIX}


def room_of(pool: NodePool, nodes: Iterable[NodeFacts], used: Mapping[str, Mapping[str, float]]) -> PoolRoom:
    """What is free on the usable nodes of a pool. ``used`` maps a node to the sums of its pods' requests, with
    their number under ``pods``."""
    accelerator = pool.accelerator
    resource = accelerator.resource_name if accelerator else ""
    free = []
    for node in nodes:
        if not node.usable:
            continue
        have, taken = dict(node.allocatable), used.get(node.name, {})
        free.append(
            NodeRoom(
                accelerators=have.get(resource, 0.0) - taken.get(resource, 0.0) if resource else 0.0,
                cpu=have.get("cpu", 0.0) - taken.get("cpu", 0.0),
                memory=have.get("memory", 0.0) - taken.get("memory", 0.0),
                pods=have.get("pods", 110.0) - taken.get("pods", 0.0),
            )
        )
    return PoolRoom(
        nodes=tuple(free),
        product=accelerator.product if accelerator else "",
        accelerator_memory=read_quantity(accelerator.memory) if accelerator else 0.0,
    )
