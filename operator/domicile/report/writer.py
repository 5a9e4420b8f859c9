"""Writing status to the hub: server-side apply of the whole status, and nothing where nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import Conflict, NotFound
from domicile.model.labels import FIELD_MANAGER, FINALIZER
from domicile.model.objects import Kind
from domicile.model.schema import API_VERSION
from domicile.report.metrics import HUB_WRITES


async def write_status(
    hub: KubeClient, kind: Kind, key: str, status: Mapping[str, Any], *, before: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Apply ``status`` where it differs from ``before``; gives the object as it is then, None where nothing was
    written because nothing differs or the object is gone."""
    if status == before:
        return None
    document = _skeleton(kind, key) | {"status": status}
    HUB_WRITES.labels("status").inc()
    try:
        return await hub.apply(
            _path(kind, key), document, field_manager=FIELD_MANAGER, force=True, subresource="status"
        )
    except NotFound:
        return None


async def hold(hub: KubeClient, kind: Kind, key: str, *, uid: str) -> Mapping[str, Any] | None:
    """Put our finalizer on the object, before anything is delivered for it; None where it is gone. The uid keeps a
    successor untouched."""
    try:
        return await _apply_finalizers(hub, kind, key, uid, [FINALIZER])
    except (NotFound, Conflict):
        return None if await _uid(hub, kind, key) != uid else await _apply_finalizers(hub, kind, key, uid, [FINALIZER])


async def release(hub: KubeClient, kind: Kind, key: str, *, uid: str) -> None:
    """Take our finalizer off; what others put there stays (finalizers are a set)."""
    try:
        await _apply_finalizers(hub, kind, key, uid, [])
    except (NotFound, Conflict):
        if await _uid(hub, kind, key) == uid:
            raise


async def _uid(hub: KubeClient, kind: Kind, key: str) -> str:
    """The uid of the object that has the name now; empty where there is none."""
    try:
        return str((await hub.get(_path(kind, key)))["metadata"]["uid"])
    except NotFound:
        return ""


async def _apply_finalizers(hub: KubeClient, kind: Kind, key: str, uid: str, names: list[str]) -> Mapping[str, Any]:
    document = _skeleton(kind, key)
    document["metadata"] |= {"uid": uid, "finalizers": names}
    HUB_WRITES.labels("finalizer").inc()
    return await hub.apply(_path(kind, key), document, field_manager=FIELD_MANAGER, force=True)


def _skeleton(kind: Kind, key: str) -> dict[str, Any]:
    namespace, _, name = key.rpartition("/")
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": metadata}


def _path(kind: Kind, key: str) -> str:
    namespace, _, name = key.rpartition("/")
    return resource_path(API_VERSION, kind.plural, namespace or None, name)
