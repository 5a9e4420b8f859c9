"""A thin client for one API server: raw JSON over one pooled session, Kubernetes verbs as methods.

Called by reflectors, delivery, the status writer and leader election, which get one from `kube.connect`. It must not
know any kind of ours, hold state about objects, or retry: whoever knows what a request is for decides that.

One aiohttp session and not the generated client, because a raw request costs a quarter of the CPU and typed models
refuse a whole list over one odd object.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import aiohttp

from domicile.kube import wire
from domicile.kube.errors import Expired, Silent, Unavailable
from domicile.kube.wire import Json, Page, resource_path

__all__ = ["Json", "KubeClient", "Page", "TokenSource", "resource_path"]

TokenSource = Callable[[], Awaitable[str | None]]
"""Gives the bearer token to send now, or raises an `ApiError`. Called for every request, so it caches."""

MAX_PAGES: Final = 2000
MAX_RESTARTS: Final = 3
CONNECT_TIMEOUT: Final = 5.0  # seconds

JSON = "application/json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML, and every server with SSA takes this media type
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class KubeClient:
    """Requests to one server. Use within one event loop; close it, or use it as an async context manager."""

    def __init__(
        self,
        server: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        token: TokenSource | None = None,
        server_hostname: str | None = None,
        proxy: str | None = None,
        parallel_writes: int = 32,
        timeout: float = 30.0,
    ) -> None:
        """`timeout` is seconds for one whole request; `parallel_writes` bounds writes in flight at this server."""
        self.server = server.rstrip("/")
        self._ssl = ssl_context
        self._token = token
        self._extra: dict[str, Any] = {"proxy": proxy, "server_hostname": server_hostname}
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
        self._writes = asyncio.Semaphore(parallel_writes)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop every connection; the client opens new ones if used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- reads ---------------------------------------------------------------------------------------------------

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Json:
        """Read one object (or any JSON document of the server). Raises the `ApiError` family."""
        return await self._json("GET", path, params=params)

    async def list_pages(
        self,
        path: str,
        *,
        limit: int = 500,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncGenerator[Page, None]:
        """Pages of a consistent list. A 410 in the middle restarts it (`Page.first`), at most three times."""
        selectors = wire.selectors(label_selector, field_selector)
        token, restarts = "", 0
        for _ in range(MAX_PAGES):
            params = {**selectors, "limit": str(limit)} | ({"continue": token} if token else {})
            try:
                document = await self._json("GET", path, params=params)
            except Expired:
                if not token or restarts == MAX_RESTARTS:
                    raise
                token, restarts = "", restarts + 1
                continue
            page, token = wire.page(document, token=token, where=f"GET {path}")
            yield page
            if page.last:
                return
        raise Unavailable(0, reason="ListTooLong", message=f"more than {MAX_PAGES} pages (GET {path})")

    async def watch(
        self,
        path: str,
        *,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
        server_timeout: int = 300,
        inactivity: float = 70.0,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """(type, object) of every change after `resource_version`, bookmarks included, until the server ends it.

        `server_timeout` and `inactivity` are seconds; `on_open` is called when the server has accepted the watch, which
        may be long before anything changes. Raises `Expired` on 410 in either form, `Silent` when not even
        a bookmark came (servers send one a minute), other `ApiError`s. Leaving early, close it (`contextlib.aclosing`).
        """
        params = {
            **wire.selectors(label_selector, field_selector),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(server_timeout),
        }
        bound = aiohttp.ClientTimeout(
            total=server_timeout + inactivity, sock_connect=CONNECT_TIMEOUT, sock_read=inactivity
        )
        where = f"WATCH {path}"
        try:
            async with await self._open("GET", path, params=params, bound=bound) as response:
                if response.status != 200:
                    raise await wire.refusal(response, where=where)
                if on_open is not None:
                    on_open()
                async for line in wire.lines(response.content, where=where):
                    yield wire.event(line, where=where)
        except aiohttp.ConnectionTimeoutError as error:
            raise wire.unreachable(error, where=where) from error
        except TimeoutError as error:
            raise Silent(0, reason="Silent", message=f"nothing heard for {inactivity:g} s ({where})") from error
        except (aiohttp.ClientError, OSError) as error:
            raise wire.unreachable(error, where=where) from error

    # -- writes --------------------------------------------------------------------------------------------------

    async def apply(
        self,
        path: str,
        manifest: Mapping[str, Any],
        *,
        field_manager: str,
        force: bool,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Json:
        """Server-side apply of `manifest` at `path`. `Conflict` when others own its fields and `force` is off."""
        params = {"fieldManager": field_manager, "force": "true" if force else "false"} | wire.dry(dry_run)
        return await self._write("PATCH", wire.sub(path, subresource), manifest, params=params, content_type=APPLY)

    async def merge_patch(
        self, path: str, patch: Mapping[str, Any], *, subresource: str | None = None, dry_run: bool = False
    ) -> Json:
        """RFC 7386 merge patch; None removes a field."""
        params = wire.dry(dry_run)
        return await self._write("PATCH", wire.sub(path, subresource), patch, params=params, content_type=MERGE)

    async def json_patch(
        self,
        path: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Json:
        """RFC 6902 patch. A failed `test` operation is `Invalid`, as API servers answer it with 422."""
        target = wire.sub(path, subresource)
        return await self._write("PATCH", target, operations, params=wire.dry(dry_run), content_type=JSON_PATCH)

    async def create(self, path: str, body: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Create in the collection at `path`. Raises `AlreadyExists`."""
        return await self._write("POST", path, body, params=wire.dry(dry_run))

    async def replace(self, path: str, body: Mapping[str, Any], *, subresource: str | None = None) -> Json:
        """PUT the whole object; `Conflict` if its `metadata.resourceVersion` is no longer the current one."""
        return await self._write("PUT", wire.sub(path, subresource), body)

    async def delete(self, path: str, *, propagation: str = "Background", preconditions_uid: str | None = None) -> Json:
        """Delete the object. `NotFound` if it is gone, `Conflict` if its uid is not `preconditions_uid`."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if preconditions_uid is not None:
            options["preconditions"] = {"uid": preconditions_uid}
        return await self._write("DELETE", path, options)

    # -- the wire ------------------------------------------------------------------------------------------------

    async def _write(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Json:
        payload = json.dumps(body, separators=(",", ":")).encode()
        async with self._writes:
            return await self._json(method, path, params=params, payload=payload, content_type=content_type)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        content_type: str = JSON,
    ) -> Json:
        where = f"{method} {path}"
        try:
            async with await self._open(
                method, path, params=params, payload=payload, content_type=content_type, bound=self._timeout
            ) as response:
                if response.status >= 300:
                    raise await wire.refusal(response, where=where)
                return wire.decode(await wire.body(response, where=where), where=where)
        except TimeoutError as error:
            raise Unavailable(0, reason="Timeout", message=where) from error
        except (aiohttp.ClientError, OSError) as error:
            raise wire.unreachable(error, where=where) from error

    async def _open(
        self,
        method: str,
        path: str,
        *,
        bound: aiohttp.ClientTimeout,
        params: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        content_type: str = JSON,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": JSON}
        if payload is not None:
            headers["Content-Type"] = content_type
        if self._token is not None and (token := await self._token()):
            headers["Authorization"] = f"Bearer {token}"
        return await self._opened().request(
            method,
            self.server + path,
            params=params,
            data=payload,
            headers=headers,
            timeout=bound,
            allow_redirects=False,  # no API server redirects, and a redirect would carry the token elsewhere
            **self._extra,
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:  # here and not in the constructor: a session belongs to a running loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._ssl if self._ssl is not None else True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "domicile"},
            )
        return self._session
