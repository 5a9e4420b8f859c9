"""Between bytes and meaning: an API server's answers to JSON, pages and events, with bounds; paths and parameters back.

Called by `kube.client` only. It must not open connections. A member's API server is not trusted: whatever is not
Kubernetes JSON becomes an `ApiError`, never an AttributeError in someone else's loop.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from domicile.kube.errors import ApiError, Unavailable, from_response, from_status

Json = dict[str, Any]

MAX_BODY: Final = 128 * 1024 * 1024  # bytes of one answer, or of one watch event, after decompression
MAX_ERROR: Final = 64 * 1024  # bytes kept of an error's body


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `first` starts a pass over the collection: whatever earlier pages said must be dropped."""

    items: list[Json]
    resource_version: str
    first: bool
    last: bool


def resource_path(group_version: str, plural: str, namespace: str | None = None, name: str | None = None) -> str:
    """`v1` or `apps/v1` and a plural to a URL path. ValueError for parts that would lead to another path."""
    root = ("apis" if "/" in group_version else "api", *group_version.split("/"))
    scope = () if namespace is None else ("namespaces", namespace)
    parts = (*root, *scope, plural, *(() if name is None else (name,)))
    for part in parts:
        if part in {"", ".", ".."} or any(c in "/%?#\\" or c.isspace() for c in part):
            raise ValueError(f"not a path segment: {part!r}")
    return "/" + "/".join(parts)


def sub(path: str, subresource: str | None) -> str:
    """The path of a subresource of the object at `path`."""
    return path if subresource is None else f"{path}/{subresource}"


def dry(dry_run: bool) -> dict[str, str]:
    """Parameters that make a write run through admission and validation without being stored."""
    return {"dryRun": "All"} if dry_run else {}


def selectors(label_selector: str | None, field_selector: str | None) -> dict[str, str]:
    """Parameters for the selectors that are given."""
    given = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in given.items() if value}


def page(document: Json, *, token: str, where: str) -> tuple[Page, str]:
    """The page a List document holds and the continue token of the next ("" after the last)."""
    metadata, items = document.get("metadata"), document.get("items")
    items = [] if items is None else items  # an empty list may be encoded as null
    if not isinstance(metadata, dict) or not isinstance(items, list):
        raise malformed("not a list", where=where)
    if not all(isinstance(item, dict) for item in items):
        raise malformed("list items are not objects", where=where)
    version, following = str(metadata.get("resourceVersion") or ""), str(metadata.get("continue") or "")
    return Page(items, resource_version=version, first=not token, last=not following), following


def event(line: bytes, *, where: str) -> tuple[str, Json]:
    """(type, object) of one watch line. An ERROR event is raised: `Expired` for 410, else what its code says."""
    document = decode(line, where=where)
    kind, item = document.get("type"), document.get("object")
    if not isinstance(kind, str) or not isinstance(item, dict):
        raise malformed("not a watch event", where=where)
    if kind == "ERROR":
        code = item.get("code")
        raise from_status(item, status=code if isinstance(code, int) else 500, where=where)
    return kind, item


def decode(body: bytes, *, where: str) -> Json:
    """A JSON object; anything else is `Unavailable`, since a proxy and not the API server must have answered."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise malformed("not JSON", where=where) from error
    if not isinstance(document, dict):
        raise malformed("not a JSON object", where=where)
    return document


def malformed(what: str, *, where: str) -> Unavailable:
    """An answer that an API server does not give."""
    return Unavailable(0, reason="Malformed", message=f"{what} ({where})")


def unreachable(error: BaseException, *, where: str) -> Unavailable:
    """A connection that could not be made, or broke. The message keeps the transport's own words."""
    return Unavailable(0, reason="Unreachable", message=f"{error or type(error).__name__} ({where})")


async def refusal(response: aiohttp.ClientResponse, *, where: str) -> ApiError:
    """The error that a response outside 2xx stands for."""
    body = await response.content.read(MAX_ERROR)
    return from_response(response.status, body=body, retry_after=response.headers.get("Retry-After"), where=where)


async def body(response: aiohttp.ClientResponse, *, where: str) -> bytes:
    """The whole body, at most `MAX_BODY`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            raise malformed(f"answer above {MAX_BODY} bytes", where=where)
        chunks.append(chunk)
    return b"".join(chunks)


async def lines(content: aiohttp.StreamReader, *, where: str) -> AsyncIterator[bytes]:
    """Complete lines as they arrive. Not `readline`, whose limit of 128 KiB is below the size of one object."""
    rest: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        head, *more = chunk.split(b"\n")
        rest.append(head)
        size += len(head)
        if size > MAX_BODY:
            raise malformed(f"event above {MAX_BODY} bytes", where=where)
        for tail in more:
            if line := b"".join(rest).strip():
                yield line
            rest, size = [tail], len(tail)
    # a last line without newline was cut off in transit: the next watch repeats it whole
