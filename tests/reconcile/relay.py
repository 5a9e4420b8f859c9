"""A relay between the operator and its API servers: a scenario ends the operator, or parts it from one, between two
requests of its choice. It speaks HTTPS on both sides, since only then it can tell a write from a read."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from devcluster import Plane
from devcluster.certs import Authority, create_authority, issue
from domicile.kube.connect import hub_settings, tls_context

T = TypeVar("T")

HOST = "127.0.0.1"
READS = ("GET", "HEAD", "OPTIONS")
PASSED_ON = ("Accept", "Content-Type", "Retry-After")  # headers, either way
EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired"}}
LARGEST = 64 * 1024 * 1024  # bytes of a request


class Write(NamedTuple):
    """A request that changes something."""

    plane: str
    method: str
    path: str


@dataclass
class Fault:
    """What is to happen at the ``number``-th write that ``concerns`` it: ``act``, and the operator gets no answer. The
    write itself is lost, or (``done``) it was carried out. ``deadly`` acts end whoever sent it: nothing follows."""

    number: int
    concerns: Callable[[Write], bool]
    act: Callable[[], None]
    done: bool = False
    deadly: bool = False
    seen: list[Write] = field(default_factory=list)
    struck: threading.Event = field(default_factory=threading.Event)

    @property
    def under_way(self) -> bool:
        """Whether the write came and is not over yet."""
        return len(self.seen) >= self.number and not self.struck.is_set()

    def due(self, write: Write) -> bool:
        if not self.concerns(write):
            return False
        self.seen.append(write)
        return len(self.seen) == self.number

    def strike(self) -> None:
        self.act()
        self.struck.set()


@dataclass
class Line:
    """The way to one plane."""

    plane: str
    upstream: str
    session: aiohttp.ClientSession
    port: int = 0
    parted: bool = False
    expired: set[str] | None = None  # paths of watches that were told since
    open: set[asyncio.Transport] = field(default_factory=set)

    async def forward(self, request: web.Request, body: bytes) -> aiohttp.ClientResponse:
        headers = {name: value for name, value in request.headers.items() if name in PASSED_ON}
        url = URL(self.upstream + request.raw_path, encoded=True)
        return await self.session.request(request.method, url, data=body or None, headers=headers)

    def expires(self, request: web.Request) -> bool:
        if self.expired is None or "watch" not in request.query or request.path in self.expired:
            return False
        self.expired.add(request.path)
        return True

    def hang_up(self) -> None:
        for transport in list(self.open):
            transport.abort()


class Relay:
    """Lines to planes, served by one thread. ``kubeconfig`` leads through it; ``close`` it in the end."""

    def __init__(self, planes: Iterable[Plane]) -> None:
        self._fault: Fault | None = None
        self._authority = create_authority("relay")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._runners: list[web.AppRunner] = []
        self._lines = {plane.name: self._run(self._open(plane)) for plane in planes}

    def kubeconfig(self, plane: Plane) -> str:
        """As a Secret may hold it: everything by value."""
        cluster = {
            "server": f"https://{HOST}:{self._lines[plane.name].port}",
            "certificate-authority-data": base64.b64encode(self._authority.pem).decode(),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "relay",
            "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
            "clusters": [{"name": "relay", "cluster": cluster}],
            "users": [{"name": "relay", "user": {"token": "relay"}}],
        }
        return json.dumps(document)

    def arm(self, fault: Fault) -> None:
        """From now on this is to happen."""
        self._fault = fault

    def disarm(self) -> bool:
        """Whether it happened; from now on it will not."""
        return self._run(self._disarm())

    async def _disarm(self) -> bool:
        fault, self._fault = self._fault, None
        if fault is not None and fault.under_way:
            await asyncio.to_thread(fault.struck.wait, 10.0)
        return fault is not None and fault.struck.is_set()

    @contextmanager
    def parted(self, plane: Plane) -> Iterator[None]:
        """All connections to a plane are broken, and none comes about. It keeps no history meanwhile: afterwards every
        watch is told once that it has to begin anew."""
        self.part(plane)
        try:
            yield
        finally:
            self._lines[plane.name].expired = set()
            self.join(plane)

    def part(self, plane: Plane) -> None:
        """As `parted`, until `join`. Any thread may ask."""
        line = self._lines[plane.name]
        line.parted = True
        self._loop.call_soon_threadsafe(line.hang_up)

    def join(self, plane: Plane) -> None:
        """The plane can be reached again."""
        self._lines[plane.name].parted = False

    def close(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self, plane: Plane) -> Line:
        settings, _ = hub_settings(kubeconfig=str(plane.kubeconfig))
        connector = aiohttp.TCPConnector(ssl=tls_context(settings), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout, skip_auto_headers=["Accept-Encoding"])
        line = Line(plane.name, settings.server, session)
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", self._handler(line))
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0, ssl_context=server_context(self._authority)).start()
        line.port = runner.addresses[0][1]
        self._runners.append(runner)
        return line

    async def _close(self) -> None:
        for line in self._lines.values():
            line.hang_up()
            await line.session.close()
        for runner in self._runners:
            await runner.cleanup()

    def _handler(self, line: Line) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            transport = request.transport
            assert transport is None or isinstance(transport, asyncio.Transport)
            if transport is None or line.parted:
                return hung_up(transport)
            line.open.add(transport)
            try:
                return web.json_response(EXPIRED) if line.expires(request) else await self._relayed(line, request)
            except aiohttp.ClientError:
                return hung_up(transport)
            finally:
                line.open.discard(transport)

        return handle

    async def _relayed(self, line: Line, request: web.Request) -> web.StreamResponse:
        transport, body = request.transport, await request.read()
        fault = self._fault
        due = False
        if fault is not None and request.method not in READS:
            if fault.deadly and fault.struck.is_set():
                return hung_up(transport)  # sent before the end, and too late
            due = fault.due(Write(line.plane, request.method, request.path))
        if due and fault is not None and not fault.done:
            fault.strike()
            return hung_up(transport)
        async with await line.forward(request, body) as answer:
            if due and fault is not None:
                await answer.read()
                fault.strike()
                return hung_up(transport)
            headers = {name: value for name, value in answer.headers.items() if name in PASSED_ON}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def hung_up(transport: asyncio.Transport | None) -> web.Response:
    """No answer: the connection is gone before it could be sent."""
    if transport is not None:
        transport.abort()
    return web.Response()


def server_context(authority: Authority) -> ssl.SSLContext:
    """TLS as a server of that authority."""
    pair = issue(authority, common_name="relay", hosts=[HOST])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.pem"
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    return context
