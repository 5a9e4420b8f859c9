"""The client's verbs and what becomes of errors, against the fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from domicile.kube.client import KubeClient, resource_path
from domicile.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Silent,
    TooManyRequests,
    Unavailable,
)
from domicile.kube.wire import lines
from tests.fakeapi import FakeApi

NODES, NODES_PATH = "v1/nodes", "/api/v1/nodes"
MAPS, MAPS_PATH = "v1/configmaps", "/api/v1/namespaces/a/configmaps"


def node(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}


@asynccontextmanager
async def answering(response: web.Response) -> AsyncIterator[str]:
    """The URL of a server that gives that one answer, once."""

    async def handle(_: web.Request) -> web.Response:
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as api:
        yield api


@pytest.fixture
async def client(api: FakeApi) -> AsyncIterator[KubeClient]:
    async with KubeClient(api.url) as client:
        yield client


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (("v1", "nodes"), "/api/v1/nodes"),
        (("v1", "nodes", None, "n"), "/api/v1/nodes/n"),
        (("apps/v1", "deployments", "ns", "d"), "/apis/apps/v1/namespaces/ns/deployments/d"),
        (("rbac.authorization.k8s.io/v1", "roles", "ns", "system:r"), None),
    ],
)
def test_paths(args: tuple[str, ...], path: str | None) -> None:
    assert resource_path(*args) == (path or "/apis/rbac.authorization.k8s.io/v1/namespaces/ns/roles/system:r")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a%2Fb", "a?b", "a b"])
def test_a_name_cannot_lead_to_another_path(name: str) -> None:
    with pytest.raises(ValueError, match="path segment"):
        resource_path("v1", "secrets", "ns", name)


async def test_verbs(api: FakeApi, client: KubeClient) -> None:
    body = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
    created = await client.create(MAPS_PATH, body)
    path = f"{MAPS_PATH}/m"
    with pytest.raises(AlreadyExists):
        await client.create(MAPS_PATH, body)
    assert (await client.merge_patch(path, {"data": {"a": None, "b": "2"}}))["data"] == {"b": "2"}
    patch = [{"op": "add", "path": "/metadata/finalizers", "value": ["x/y"]}]
    assert (await client.json_patch(path, patch))["metadata"]["finalizers"] == ["x/y"]
    with pytest.raises(Invalid):
        await client.json_patch(path, [{"op": "test", "path": "/data/b", "value": "9"}])
    with pytest.raises(Conflict):
        await client.replace(path, created)  # its resourceVersion is no longer current
    with pytest.raises(Conflict):
        await client.delete(path, preconditions_uid="other")
    assert (await client.delete(path))["metadata"]["deletionTimestamp"]
    await client.json_patch(path, [{"op": "remove", "path": "/metadata/finalizers"}])
    with pytest.raises(NotFound):
        await client.get(path)


async def test_apply_creates_merges_and_names_its_manager(api: FakeApi, client: KubeClient) -> None:
    path = f"{NODES_PATH}/n"
    await client.apply(path, node("n", a={"x": 1}), field_manager="us", force=True)
    applied = await client.apply(path, node("n", a={"y": 2}), field_manager="us", force=False)
    assert applied["spec"] == {"a": {"x": 1, "y": 2}}
    assert applied["metadata"]["managedFields"][0]["manager"] == "us"
    status = {"metadata": {}, "status": {"ok": True}}
    await client.apply(path, status, field_manager="us", force=True, subresource="status")
    assert api.store.objects(NODES)[0]["status"] == {"ok": True}
    with pytest.raises(Invalid):  # the fake has no dry run
        await client.apply(path, node("n"), field_manager="us", force=True, dry_run=True)
    sent = [(r.query["force"], r.query.get("dryRun")) for r in api.requests]
    assert sent == [("true", None), ("false", None), ("true", None), ("true", "All")]
    assert api.requests[0].headers["Content-Type"] == "application/apply-patch+yaml"


@pytest.mark.parametrize(
    ("status", "kind", "transient"),
    [
        (400, Invalid, False),
        (403, Forbidden, False),
        (404, NotFound, False),
        (409, Conflict, True),
        (410, Expired, True),
        (422, Invalid, False),
        (429, TooManyRequests, True),
        (500, Unavailable, True),
        (503, Unavailable, True),
        (302, ApiError, False),
    ],
)
async def test_errors(api: FakeApi, client: KubeClient, status: int, kind: type[ApiError], transient: bool) -> None:
    api.fail("get", NODES, status, retry_after=7)
    with pytest.raises(kind) as raised:
        await client.get(f"{NODES_PATH}/n")
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.retry_after, error.transient) == (status, 7.0, transient)
    assert "GET /api/v1/nodes/n" in str(error)


async def test_no_answer_is_unavailable(api: FakeApi) -> None:
    api.slow("get", NODES, 5)
    async with KubeClient(api.url, timeout=0.05) as impatient:
        with pytest.raises(Unavailable, match="Timeout"):
            await impatient.get(f"{NODES_PATH}/n")
    async with KubeClient("http://127.0.0.1:1") as nowhere:
        with pytest.raises(Unavailable, match="Unreachable"):
            await nowhere.get("/version")


async def test_list_comes_in_pages_of_one_version(api: FakeApi, client: KubeClient) -> None:
    for number in range(5):
        api.store.put(NODES, node(f"n{number}"))
    pages = [page async for page in client.list_pages(NODES_PATH, limit=2)]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert [(page.first, page.last) for page in pages] == [(True, False), (False, False), (False, True)]
    assert {page.resource_version for page in pages} == {"5"}


async def test_list_starts_over_when_its_token_expires(api: FakeApi, client: KubeClient) -> None:
    for number in range(4):
        api.store.put(NODES, node(f"n{number}"))
    api.fail("list", NODES, 410, skip=1)
    pages = [page async for page in client.list_pages(NODES_PATH, limit=3)]
    assert [(page.first, len(page.items)) for page in pages] == [(True, 3), (True, 3), (False, 1)]


async def test_list_starts_over_only_so_often(api: FakeApi, client: KubeClient) -> None:
    for number in range(4):
        api.store.put(NODES, node(f"n{number}"))
    api.fail("list", NODES, 410)
    with pytest.raises(Expired):  # on the first page there is nothing to start over
        await anext(client.list_pages(NODES_PATH))
    for number in range(9):
        api.fail("list", NODES, 410, skip=number + 1)  # every second page
    with pytest.raises(Expired):
        _ = [page async for page in client.list_pages(NODES_PATH, limit=3)]
    assert api.count("list") == 1 + 4 * 2


async def test_selectors_reach_the_server(api: FakeApi, client: KubeClient) -> None:
    api.store.put(NODES, {**node("n1"), "metadata": {"name": "n1", "labels": {"a": "b"}}})
    api.store.put(NODES, node("n2"))
    pages = [page async for page in client.list_pages(NODES_PATH, label_selector="a=b")]
    assert [item["metadata"]["name"] for item in pages[0].items] == ["n1"]


async def test_watch_tells_changes_and_bookmarks(api: FakeApi, client: KubeClient) -> None:
    api.store.put(NODES, node("before"))
    async with aclosing(client.watch(NODES_PATH, resource_version="1")) as events:
        api.store.put(NODES, node("n", big="x" * 300_000))  # more than one chunk, and than aiohttp's line limit
        kind, item = await anext(events)
        assert (kind, item["metadata"]["name"], len(item["spec"]["big"])) == ("ADDED", "n", 300_000)
        api.store.remove(NODES, "n")
        assert (await anext(events))[0] == "DELETED"
        api.bookmark(NODES)
        kind, item = await anext(events)
        assert (kind, item["metadata"]["resourceVersion"]) == ("BOOKMARK", "3")
        api.cut(NODES)
        with pytest.raises(Unavailable):
            await anext(events)


@pytest.mark.parametrize("in_stream", [True, False])
async def test_watch_from_forgotten_history_is_expired(api: FakeApi, client: KubeClient, in_stream: bool) -> None:
    api.store.put(NODES, node("n"))
    api.store.put(NODES, node("m"))
    if in_stream:
        api.store.compact(NODES)
    else:
        api.fail("watch", NODES, 410)
    with pytest.raises(Expired):
        await anext(client.watch(NODES_PATH, resource_version="1"))


@pytest.mark.parametrize(
    "chunks", [[b'{"a":1}\n{"b":2}\n'], [b'{"a"', b":1}\n", b'{"b":2', b"}\n\n"], [b'{"a":1}\n{"b"', b":", b'2}\n{"c"']]
)
async def test_lines_are_put_together_from_chunks(chunks: list[bytes]) -> None:
    class Stream:
        async def iter_any(self) -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

    assert [line async for line in lines(Stream(), where="")] == [b'{"a":1}', b'{"b":2}']  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", ["<html>login</html>", "[]", '{"items":{}}', '{"metadata":{},"items":[1]}'])
async def test_what_is_no_kubernetes_list_is_unavailable(answer: str) -> None:
    async with answering(web.Response(text=answer)) as url, KubeClient(url) as client:
        with pytest.raises(Unavailable, match="Malformed"):
            await anext(client.list_pages(NODES_PATH))


async def test_redirects_are_not_followed() -> None:
    """They would carry the token to wherever the server says."""
    async with FakeApi() as elsewhere:
        moved = web.Response(status=307, headers={"Location": elsewhere.url + NODES_PATH})
        async with answering(moved) as url, KubeClient(url) as client:
            with pytest.raises(ApiError, match="307"):
                await client.get(NODES_PATH)
        assert not elsewhere.requests


async def test_a_watch_without_a_sign_of_life_ends(api: FakeApi, client: KubeClient) -> None:
    with pytest.raises(Silent):
        await anext(client.watch(NODES_PATH, resource_version="0", inactivity=0.05))


async def test_writes_in_flight_are_bounded(api: FakeApi) -> None:
    api.slow("patch", NODES, 0.05, times=100)
    async with KubeClient(api.url, parallel_writes=2) as narrow:
        started = asyncio.get_running_loop().time()
        await asyncio.gather(
            *(narrow.apply(f"{NODES_PATH}/n{n}", node(f"n{n}"), field_manager="us", force=True) for n in range(6))
        )
        assert asyncio.get_running_loop().time() - started > 0.14  # three rounds of 50 ms
