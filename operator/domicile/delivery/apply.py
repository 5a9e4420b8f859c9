"""Delivering to one member and withdrawing from it. I/O; knows manifests, not why they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from domicile.inventory.member import Member
from domicile.kube.client import resource_path
from domicile.kube.errors import ApiError, NotFound, Unavailable
from domicile.model.labels import FIELD_MANAGER
from domicile.render.workload import Manifest, namespace_manifest

PLURALS: Final = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "Service": "services",
    "NetworkPolicy": "networkpolicies",
    "Deployment": "deployments",
}
DELIVERED: Final = (
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("v1", "ServiceAccount"),
)


REQUEST_SECONDS: Final = 15.0  # a member that hangs must not hold the workers that others wait for


class DeliveryError(Exception):
    """An object a member did not take; ``final`` where a retry cannot help."""

    def __init__(self, what: str, error: ApiError) -> None:
        super().__init__(f"{what}: {error}")
        self.final = not error.transient
        self.retry_after = error.retry_after


async def deliver(member: Member, manifests: Iterable[Manifest]) -> None:
    """Apply everything, the Deployment last, so that no pod starts before its egress is closed.

    Raises DeliveryError naming the object.
    """
    manifests = list(manifests)
    namespace = manifests[0]["metadata"]["namespace"]
    if namespace not in member.namespaces:
        await _ensure_namespace(member, namespace)
    guards = [m for m in manifests if m["kind"] != "Deployment"]
    await asyncio.gather(*(_apply(member, m) for m in guards))
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            await _apply(member, manifest)


async def withdraw(member: Member, *, namespace: str, name: str) -> bool:
    """Delete what was delivered; True once nothing is left. The Deployment goes first and the rest after its last pod,
    whose egress stays closed that long. Missing objects are fine. Raises DeliveryError."""
    key = f"{namespace}/{name}"
    member.delivered.forget(key)
    if key in member.deployments:
        await _delete(member, *DELIVERED[0], namespace, name)
        return False
    if member.bound(key):
        return False
    await asyncio.gather(*(_delete(member, version, kind, namespace, name) for version, kind in DELIVERED))
    return True


@asynccontextmanager
async def _deadline() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except TimeoutError as error:
        raise Unavailable(0, reason="Timeout", message=f"no answer within {REQUEST_SECONDS:g} s") from error


async def _ensure_namespace(member: Member, name: str) -> None:
    await _apply(member, namespace_manifest(name))
    member.namespaces.add(name)


async def _apply(member: Member, manifest: Manifest) -> None:
    metadata: dict[str, Any] = manifest["metadata"]
    kind = manifest["kind"]
    path = resource_path(manifest["apiVersion"], PLURALS[kind], metadata.get("namespace"), metadata["name"])
    try:
        async with _deadline():
            answer = await member.client.apply(path, manifest, field_manager=FIELD_MANAGER, force=True)
    except ApiError as error:
        if isinstance(error, NotFound):
            member.namespaces.discard(metadata.get("namespace", ""))  # it was deleted behind our back
        raise DeliveryError(f"{kind} {metadata['name']} on {member.name}", error) from error
    if kind != "Namespace":
        member.delivered.applied(f"{metadata['namespace']}/{metadata['name']}", kind, answer)


async def stop(member: Member, *, namespace: str, name: str) -> bool:
    """Scale a delivered Deployment to zero; True once no pod of it has a node. Raises DeliveryError."""
    key = f"{namespace}/{name}"
    shown = member.deployments.get(key)
    if shown is not None and shown.desired:
        member.delivered.forget(key)
        path = resource_path("apps/v1", "deployments", namespace, name)
        try:
            async with _deadline():
                await member.client.merge_patch(path, {"spec": {"replicas": 0}})
        except NotFound:
            pass
        except ApiError as error:
            raise DeliveryError(f"Deployment {name} on {member.name}", error) from error
        return False
    return not member.bound(key)


async def evict(member: Member, pod: str) -> None:
    """Evict a pod, ``namespace/name``, so that budgets of others hold (policy/v1 Eviction). Raises DeliveryError."""
    namespace, _, name = pod.partition("/")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    try:
        async with _deadline():
            await member.client.create(resource_path("v1", "pods", namespace, name) + "/eviction", body)
    except NotFound:
        return
    except ApiError as error:
        raise DeliveryError(f"pod {name} on {member.name}", error) from error


async def _delete(member: Member, version: str, kind: str, namespace: str, name: str) -> None:
    try:
        async with _deadline():
            await member.client.delete(resource_path(version, PLURALS[kind], namespace, name))
    except NotFound:
        return
    except ApiError as error:
        raise DeliveryError(f"{kind} {name} on {member.name}", error) from error
