"""Writing to the hub: server-side apply of the whole status, nothing where nothing changed; and our finalizer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from domicile.model.labels import FIELD_MANAGER, FINALIZER, RECORD
from domicile.model.objects import KINDS, Kind
from domicile.model.schema import API_VERSION
from domicile.report.metrics import HUB_WRITES

RELEASES: Final = 3  # tries; finalizers of others may come and go meanwhile


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
        return await _apply_finalizer(hub, kind, key, uid)
    except (NotFound, Conflict):
        found = await _metadata(hub, kind, key)
        return await _apply_finalizer(hub, kind, key, uid) if found.get("uid") == uid else None


async def release(hub: KubeClient, kind: Kind, key: str, *, uid: str) -> None:
    """Take our finalizer off, whoever put it there; what others put there stays, and so does a successor. A patch and
    not an apply, because an apply takes back only what we applied ourselves. Raises the `ApiError` family."""
    place = 0  # mostly ours is the only one; if not, the test fails and the object is looked at
    for _ in range(RELEASES):
        try:
            return await _remove_finalizer(hub, kind, key, uid, place)
        except (NotFound, Conflict, Invalid) as error:
            refused: ApiError = error
            found = await _metadata(hub, kind, key)
            finalizers = found.get("finalizers") or []
            if found.get("uid") != uid or FINALIZER not in finalizers:
                return
            place = finalizers.index(FINALIZER)
    raise refused


async def _metadata(hub: KubeClient, kind: Kind, key: str) -> Mapping[str, Any]:
    """Metadata of the object that has the name now; empty where there is none."""
    try:
        metadata: Mapping[str, Any] = (await hub.get(_path(kind, key)))["metadata"]
    except NotFound:
        return {}
    return metadata


async def _apply_finalizer(hub: KubeClient, kind: Kind, key: str, uid: str) -> Mapping[str, Any]:
    document = _skeleton(kind, key)
    document["metadata"] |= {"uid": uid, "finalizers": [FINALIZER]}
    HUB_WRITES.labels("finalizer").inc()
    return await hub.apply(_path(kind, key), document, field_manager=FIELD_MANAGER, force=True)


async def _remove_finalizer(hub: KubeClient, kind: Kind, key: str, uid: str, place: int) -> None:
    where = f"/metadata/finalizers/{place}"
    tests = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": where, "value": FINALIZER},
    ]
    HUB_WRITES.labels("finalizer").inc()
    await hub.json_patch(_path(kind, key), [*tests, {"op": "remove", "path": where}])


def _skeleton(kind: Kind, key: str) -> dict[str, Any]:
    namespace, _, name = key.rpartition("/")
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": metadata}


def _path(kind: Kind, key: str) -> str:
    namespace, _, name = key.rpartition("/")
    return resource_path(API_VERSION, kind.plural, namespace or None, name)


async def create_record(hub: KubeClient, document: Mapping[str, Any]) -> None:
    """Create a PlacementRecord; one that exists is the same one. Raises the `ApiError` family."""
    metadata = document["metadata"]
    HUB_WRITES.labels("record").inc()
    with suppress(AlreadyExists):
        path = resource_path(API_VERSION, KINDS["PlacementRecord"].plural, metadata["namespace"])
        await hub.create(path, document)


async def delete_records(hub: KubeClient, namespace: str, name: str) -> None:
    """Delete the objects of one decision. Raises the `ApiError` family."""
    path = resource_path(API_VERSION, KINDS["PlacementRecord"].plural, namespace)
    async for page in hub.list_pages(path, label_selector=f"{RECORD}={name}"):
        for item in page.items:
            HUB_WRITES.labels("record").inc()
            with suppress(NotFound):
                await hub.delete(f"{path}/{item['metadata']['name']}")
