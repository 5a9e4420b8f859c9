"""An in-process stand-in for an API server, for what a real one cannot be asked to do: fail on demand, cut watches,
forget history, answer slowly, and count what was written.

    async with FakeApi() as api:
        api.store.put("v1/nodes", {...})
        api.fail("list", "v1/nodes", 500)
        client = KubeClient(api.url)

What only a real server proves (schemas, CEL, field ownership, RBAC) is not here. `tests.fakestore` holds the semantics.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.fakestore import Change, Json, Refused, Store

WRITES = ("create", "update", "patch", "delete")
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
KOPF_WAITS_FOR = {
    "v1/namespaces": ("Namespace", False),
    "v1/events": ("Event", True),
    "apiextensions.k8s.io/v1/customresourcedefinitions": ("CustomResourceDefinition", False),
}
REASONS = {409: "Conflict", 410: "Expired", 403: "Forbidden", 404: "NotFound", 422: "Invalid"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. `verb` is get, list, watch, create, update, patch or delete."""

    verb: str
    resource: str
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` requests of that verb and resource, after `skip` more of them."""

    verb: str
    resource: str
    times: int
    skip: int = 0
    delay: float = 0.0
    error: Refused | None = None


class Pulse:
    """Wakes every watch of a resource. `cuts` and `bookmarks` count what was asked of them so far."""

    def __init__(self) -> None:
        self.cuts = self.bookmarks = 0
        self._next: asyncio.Future[None] | None = None

    def beat(self) -> None:
        """Wake who waits now."""
        if self._next is not None and not self._next.done():
            self._next.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return at the next beat, or after `seconds`."""
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._next], timeout=max(0.0, seconds))


class FakeApi:
    """Serves at `url` while entered. Change state over HTTP or through `store`; look at `requests` afterwards.

    `kinds` names the kinds of resources, for clients that discover them (kopf): {"v1/nodes": ("Node", False)}, where
    the flag tells namespaced. `bookmark_every` is in seconds; without it bookmarks come only when asked for.
    """

    def __init__(
        self, *, kinds: Mapping[str, tuple[str, bool]] | None = None, bookmark_every: float = float("inf")
    ) -> None:
        self.store = Store(on_change=lambda resource: self._pulses[resource].beat())
        self.requests: list[Request] = []
        self.url = ""
        self._kinds = {**KOPF_WAITS_FOR, **(kinds or {})}
        self._bookmark_every = bookmark_every
        self._faults: list[Fault] = []
        self._pulses: dict[str, Pulse] = defaultdict(Pulse)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FakeApi:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for resource in list(self._pulses):
            self.cut(resource)  # else their handlers would outlive the server
        assert self._runner is not None
        await self._runner.cleanup()

    def fail(
        self, verb: str, resource: str, status: int, *, times: int = 1, skip: int = 0, retry_after: float | None = None
    ) -> None:
        """Refuse matching requests with that HTTP status."""
        error = Refused(status, REASONS.get(status, "Injected"), message="injected", retry_after=retry_after)
        self._faults.append(Fault(verb, resource, times=times, skip=skip, error=error))

    def slow(self, verb: str, resource: str, seconds: float, *, times: int = 1) -> None:
        """Answer matching requests that much later."""
        self._faults.append(Fault(verb, resource, times=times, delay=seconds))

    def cut(self, resource: str) -> None:
        """Break the connections of the resource's watches in the middle of a line."""
        self._pulses[resource].cuts += 1
        self._pulses[resource].beat()

    def bookmark(self, resource: str) -> None:
        """Send a bookmark to the resource's watches."""
        self._pulses[resource].bookmarks += 1
        self._pulses[resource].beat()

    def count(self, *verbs: str, resource: str | None = None) -> int:
        """How many requests had one of the verbs (all writes if none is given)."""
        return sum(r.verb in (verbs or WRITES) and resource in (None, r.resource) for r in self.requests)

    # -- HTTP ----------------------------------------------------------------------------------------------------

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        try:
            if (found := self._discovery(http.path.strip("/"))) is not None:
                return web.json_response(found)
            request = parse(http)
            self.requests.append(request)
            await self._disturb(request)
            if request.verb == "watch":
                return await self._watch(request, http=http)
            body = json.loads(await http.read() or b"{}")
            answer = self._answer(request, body=body, media=http.content_type)
            return web.json_response(answer, status=201 if request.verb == "create" else 200)
        except Refused as refused:
            after = refused.retry_after
            headers = {} if after is None else {"Retry-After": f"{after:g}"}
            return web.json_response(refused.body, status=refused.status, headers=headers)

    async def _disturb(self, request: Request) -> None:
        """The first fault that fits: wait, then refuse if it says so."""
        for fault in self._faults:
            if (fault.verb, fault.resource) != (request.verb, request.resource):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
            await asyncio.sleep(fault.delay)
            if fault.error is not None:
                raise fault.error
            return

    def _answer(self, request: Request, *, body: Any, media: str) -> Json:
        store, resource, query = self.store, request.resource, request.query
        if "dryRun" in query:
            raise Refused(400, "BadRequest", message="the fake has no dry run")
        name = (request.namespace, request.name)
        match request.verb:
            case "list":
                limit, token = int(query.get("limit", 0)), query.get("continue", "")
                return store.page(resource, limit=limit, token=token, keep=selector(request))
            case "get":
                return store.get(resource, name)
            case "create":
                return store.create(resource, request.namespace, body)
            case "update":
                return store.update(resource, name, body, subresource=request.subresource)
            case "delete":
                return store.delete(resource, name, uid=(body.get("preconditions") or {}).get("uid"))
        manager = query.get("fieldManager", "")
        return store.patch(resource, name, body, media=media, subresource=request.subresource, manager=manager)

    async def _watch(self, request: Request, *, http: web.Request) -> web.StreamResponse:
        collection, pulse = self.store.collections[request.resource], self._pulses[request.resource]
        since = int(request.query.get("resourceVersion") or self.store.version)
        keep, clock = selector(request), asyncio.get_running_loop().time
        end = clock() + float(request.query.get("timeoutSeconds", 300))
        next_bookmark = clock() + self._bookmark_every
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(http)
        if since < collection.oldest:  # in the stream, as a real server does it
            await response.write(line("ERROR", Refused(410, "Expired", message=f"too old: {since}").body))
            return response
        position, cuts, bookmarks = collection.forgotten, pulse.cuts, pulse.bookmarks
        with suppress(ConnectionError):  # the client left
            while pulse.cuts == cuts and clock() < end:
                news = collection.history[max(0, position - collection.forgotten) :]
                position = collection.forgotten + len(collection.history)
                if lines := b"".join(event(c, keep=keep) for c in news if c.version > since):
                    await response.write(lines)
                    continue
                if pulse.bookmarks != bookmarks or clock() >= next_bookmark:
                    bookmarks, next_bookmark = pulse.bookmarks, clock() + self._bookmark_every
                    mark = {"metadata": {"resourceVersion": str(self.store.version)}}
                    await response.write(line("BOOKMARK", mark))
                await pulse.wait(min(end, next_bookmark) - clock())
            if pulse.cuts != cuts:
                await response.write(b'{"type":"MODIFIED","object":{"metad')
                if http.transport is not None:
                    http.transport.abort()
        return response

    def _discovery(self, path: str) -> Json | None:
        """The documents from which clients learn what there is."""
        groups = sorted({resource.rpartition("/")[0] for resource in self._kinds if resource.count("/") == 2})
        if path in {"version", "api"}:
            return {"versions": ["v1"], "gitVersion": "v1.36.0-fake"}
        if path == "apis":
            versions = [{"groupVersion": group, "version": group.split("/")[1]} for group in groups]
            named = [
                {"name": v["groupVersion"].split("/")[0], "versions": [v], "preferredVersion": v} for v in versions
            ]
            return {"kind": "APIGroupList", "groups": named}
        root, _, group_version = path.partition("/")
        if (root, group_version) != ("api", "v1") and (root != "apis" or group_version not in groups):
            return None
        resources = []
        for resource, (kind, namespaced) in self._kinds.items():
            group, _, plural = resource.rpartition("/")
            if group == group_version:
                one = {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced}
                one["verbs"] = [*VERBS.values(), "list", "watch"]
                resources += [one, {**one, "name": f"{plural}/status"}]
        return {"kind": "APIResourceList", "groupVersion": group_version, "resources": resources}


def parse(http: web.Request) -> Request:
    """What a method and a path ask for, or 404."""
    root, *parts = http.path.strip("/").split("/")
    depth = {"api": 1, "apis": 2}.get(root, 99)
    group_version, rest = "/".join(parts[:depth]), parts[depth:]
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise Refused(404, "NotFound", message=http.path)
    plural, name, subresource = (*rest, "", "")[:3]
    verb = VERBS.get(http.method, http.method)
    if verb == "get" and not name:
        verb = "watch" if http.query.get("watch") in {"1", "true"} else "list"
    return Request(
        verb, f"{group_version}/{plural}", namespace, name, subresource, dict(http.query), dict(http.headers)
    )


def selector(request: Request) -> Callable[[Json], bool]:
    """Whether an object is in the namespace and has the labels asked for (`a=b,c=d,e` only)."""
    wanted = [term.partition("=") for term in request.query.get("labelSelector", "").split(",") if term]
    name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")

    def keep(item: Json) -> bool:
        metadata = item["metadata"]
        labels = metadata.get("labels") or {}
        return (
            request.namespace in ("", metadata.get("namespace", ""))
            and name in ("", metadata["name"])
            and all(key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)
        )

    return keep


def event(change: Change, *, keep: Callable[[Json], bool]) -> bytes:
    """A change as a watch with that selector tells it: leaving the selection is a deletion, entering it a creation."""
    before = change.old is not None and keep(change.old)
    after = not change.deleted and keep(change.new)
    if not before and not after:
        return b""
    kind = "DELETED" if not after else "MODIFIED" if before else "ADDED"
    return line(kind, change.new)


def line(kind: str, item: Json) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"
