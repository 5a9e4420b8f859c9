"""One small HTTP server for the kubelet and Prometheus: /healthz, /readyz, /metrics.

Called by `runtime.app`, which says what alive and ready mean. It must not know either, nor any collector.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]
Check = Callable[[], Sequence[str]]
"""Names what is wrong, one line each; nothing means all is well. Called on the event loop, so it only looks."""


@dataclass(frozen=True, slots=True)
class HealthServer:
    """A running server. `port` is the one it listens on, also when it was asked for any (0)."""

    port: int
    runner: web.AppRunner

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        await self.runner.cleanup()


async def serve(*, host: str, port: int, live: Check, ready: Check, registry: CollectorRegistry) -> HealthServer:
    """Start serving. OSError if the address is taken. A failing check answers 503 with the problems, one a line."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", _probe("live", live))
    app.router.add_get("/readyz", _probe("ready", ready))
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return HealthServer(port=runner.addresses[0][1], runner=runner)


def _probe(name: str, check: Check) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        try:
            problems = [str(problem) for problem in check()]
        except Exception as error:  # a check that cannot tell has not told that all is well
            log.exception("check failed", extra={"check": name})
            problems = [f"{name}: check failed: {type(error).__name__}"]
        return web.Response(text="\n".join(problems or ["ok"]) + "\n", status=503 if problems else 200)

    return answer
