"""Objects, versions and history of the fake API server (`tests.fakeapi`), without HTTP and without time.

What is kept of Kubernetes: uid, generation, resourceVersion and the conflict on it, no event for a write that changes
nothing, the status subresource apart from the rest, finalizers and deletionTimestamp, lists in pages that tell from
which version to watch. Server-side apply merges maps deeply and replaces lists; it neither conflicts nor prunes.

A resource is named `group/version/plural` (`v1/nodes`, `apps/v1/deployments`). Objects handed out must not be changed.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

Json = dict[str, Any]
Name = tuple[str, str]  # namespace ("" for cluster scope), name

CREATED = "2026-01-01T00:00:00Z"


class Refused(Exception):
    """An HTTP error with a Status body."""

    def __init__(self, status: int, reason: str, *, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason} {message}")
        self.status, self.retry_after = status, retry_after
        self.body: Json = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
        self.body |= {"reason": reason, "message": message or reason}


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a resource's history. `new` is the last state if the object was deleted."""

    version: int
    old: Json | None
    new: Json
    deleted: bool


@dataclass(slots=True)
class Collection:
    """All objects of one resource, and what happened to them."""

    objects: dict[Name, Json] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    forgotten: int = 0  # changes dropped from the front of history
    ordered: list[Name] | None = None  # the names in order, while none came or went
    oldest: int = 0  # a watch from a version before this one is answered 410


class Store:
    """What the fake knows. `on_change(resource)` is called after each change."""

    def __init__(self, *, on_change: Callable[[str], None] = lambda resource: None) -> None:
        self.version = 0
        self.collections: dict[str, Collection] = defaultdict(Collection)
        self._on_change = on_change
        self._created = 0

    def put(self, resource: str, body: Mapping[str, Any]) -> Json:
        """Create or replace an object as it is, status included."""
        metadata = body["metadata"]
        return self._save(resource, (metadata.get("namespace", ""), metadata["name"]), deepcopy(dict(body)))

    def remove(self, resource: str, name: str, *, namespace: str = "") -> Json:
        """Delete an object at once, finalizers or not."""
        old = self.collections[resource].objects.pop((namespace, name))
        self.collections[resource].ordered = None
        self.version += 1
        last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
        self._record(resource, Change(self.version, old, last, deleted=True))
        return last

    def objects(self, resource: str) -> list[Json]:
        """The stored objects, ordered by namespace and name."""
        return [self.collections[resource].objects[name] for name in self.names(resource)]

    def names(self, resource: str) -> list[Name]:
        """Namespace and name of each, in order."""
        collection = self.collections[resource]
        if collection.ordered is None:
            collection.ordered = sorted(collection.objects)
        return collection.ordered

    def compact(self, resource: str) -> None:
        """Forget history, as etcd does every five minutes."""
        collection = self.collections[resource]
        collection.forgotten += len(collection.history)
        collection.history.clear()
        collection.oldest = self.version

    def get(self, resource: str, name: Name) -> Json:
        """The object, or 404."""
        found = self.collections[resource].objects.get(name)
        if found is None:
            raise Refused(404, "NotFound", message=f"{resource} {name[1]!r} not found")
        return found

    def page(self, resource: str, *, limit: int, token: str, keep: Callable[[Json], bool]) -> Json:
        """A List document. Later pages carry the version of the first, so that a watch from it misses nothing."""
        version, after = json.loads(base64.b64decode(token)) if token else (self.version, ["", ""])
        if version < self.collections[resource].oldest:
            raise Refused(410, "Expired", message="the provided continue parameter is too old")
        objects, names = self.collections[resource].objects, self.names(resource)
        rest = (name for name in islice(names, bisect_right(names, tuple(after)), None) if keep(objects[name]))
        taken = list(islice(rest, limit or None))
        metadata = {"resourceVersion": str(version)}
        if next(rest, None) is not None:
            metadata["continue"] = base64.b64encode(json.dumps([version, taken[-1]]).encode()).decode()
        items = [objects[name] for name in taken]
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}

    def create(self, resource: str, namespace: str, body: Json) -> Json:
        """POST."""
        metadata = body.get("metadata") or {}
        name = metadata.get("name") or f"{metadata.get('generateName', 'x-')}{self._created:05d}"
        if (namespace, name) in self.collections[resource].objects:
            raise Refused(409, "AlreadyExists", message=f"{resource} {name!r} already exists")
        return self._save(resource, (namespace, name), {k: v for k, v in body.items() if k != "status"})

    def update(self, resource: str, name: Name, body: Json, *, subresource: str = "") -> Json:
        """PUT, and the end of every PATCH: only `status` through the status subresource, all but it otherwise."""
        old = self.get(resource, name)
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted not in (None, "", old["metadata"]["resourceVersion"]):
            raise Refused(
                409, "Conflict", message="the object has been modified; please apply your changes to the latest"
            )
        if subresource == "status":
            return self._save(resource, name, _with_status(old, body))
        return self._save(resource, name, _with_status(body, old))

    def patch(self, resource: str, name: Name, body: Any, *, media: str, subresource: str, manager: str) -> Json:
        """PATCH by media type; an apply creates what is missing."""
        old = self.collections[resource].objects.get(name)
        if media == "application/json-patch+json":
            new = json_patch(self.get(resource, name), body)
        elif media == "application/merge-patch+json":
            new = merged(self.get(resource, name), body, drop_nulls=True)
        elif media == "application/apply-patch+yaml":
            if old is None and subresource:
                raise Refused(404, "NotFound", message=f"{resource} {name[1]!r} not found")
            new = merged(old or {}, body, drop_nulls=False)
            new["metadata"]["managedFields"] = _managers(old or {}, manager=manager, subresource=subresource)
            if old is None:
                return self.create(resource, name[0], new)
        else:
            raise Refused(415, "UnsupportedMediaType", message=media)
        return self.update(resource, name, new, subresource=subresource)

    def delete(self, resource: str, name: Name, *, uid: str | None = None) -> Json:
        """DELETE: only marks an object that has finalizers."""
        old = self.get(resource, name)
        if uid not in (None, old["metadata"]["uid"]):
            raise Refused(409, "Conflict", message="the UID in the precondition does not match")
        if not old["metadata"].get("finalizers"):
            return self.remove(resource, name[1], namespace=name[0])
        marked = {"deletionTimestamp": CREATED, "deletionGracePeriodSeconds": 0} | old["metadata"]
        return self._save(resource, name, {**old, "metadata": marked})

    def _save(self, resource: str, name: Name, body: Json) -> Json:
        """Stamp and store, unless nothing differs from what is stored."""
        objects = self.collections[resource].objects
        old = objects.get(name)
        metadata = body["metadata"] = {**(body.get("metadata") or {}), "name": name[1]}
        if name[0]:
            metadata["namespace"] = name[0]
        metadata |= self._stamps(old, body)
        if old == body:
            return old
        if old is None:
            self.collections[resource].ordered = None
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        objects[name] = body
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            return self.remove(resource, name[1], namespace=name[0])
        self._record(resource, Change(self.version, old, body, deleted=False))
        return body

    def _stamps(self, old: Json | None, body: Json) -> Json:
        if old is None:
            self._created += 1
            uid = f"00000000-0000-4000-8000-{self._created:012d}"
            return {"uid": uid, "creationTimestamp": CREATED, "generation": 1}
        was = old["metadata"]
        kept = ("uid", "creationTimestamp", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds")
        return {key: was[key] for key in kept if key in was} | {
            "generation": was["generation"] + (_desired(old) != _desired(body))
        }

    def _record(self, resource: str, change: Change) -> None:
        self.collections[resource].history.append(change)
        self._on_change(resource)


def merged(old: Any, new: Any, *, drop_nulls: bool) -> Any:
    """`new` over `old`: maps deeply, everything else wholly."""
    if not isinstance(new, dict):
        return deepcopy(new)
    base = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None and drop_nulls:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), value, drop_nulls=drop_nulls)
    return base


def json_patch(old: Json, operations: list[Json]) -> Json:
    """RFC 6902 with test, add, replace and remove. A failed test is 422, as from an API server."""
    new = deepcopy(old)
    for operation in operations:
        *parents, last = (p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:])
        at: Any = new
        try:
            for parent in parents:
                at = at[int(parent)] if isinstance(at, list) else at[parent]
            _operate(at, operation, int(last) if isinstance(at, list) and last != "-" else last)
        except (KeyError, IndexError, ValueError) as error:
            raise Refused(422, "Invalid", message=f"json patch: {operation}") from error
    return new


def _operate(at: Any, operation: Json, key: Any) -> None:
    match operation["op"]:
        case "test":
            if at[key] != operation["value"]:
                raise ValueError("test failed")
        case "add" if isinstance(at, list):
            at.insert(len(at) if key == "-" else key, operation["value"])
        case "remove":
            del at[key]
        case _:
            at[key] = operation["value"]


def _with_status(body: Json, source: Json) -> Json:
    """`body` with the status of `source`."""
    rest = {key: value for key, value in body.items() if key != "status"}
    return rest | ({"status": source["status"]} if "status" in source else {})


def _desired(body: Json) -> Json:
    """What counts for `metadata.generation`."""
    return {key: value for key, value in body.items() if key not in {"metadata", "status"}}


def _managers(old: Json, *, manager: str, subresource: str) -> list[Json]:
    entry = {"manager": manager, "operation": "Apply"} | ({"subresource": subresource} if subresource else {})
    known: list[Json] = list((old.get("metadata") or {}).get("managedFields") or [])
    return known if entry in known else [*known, entry]
