"""What the kubelet and Prometheus are told."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from domicile.runtime.health import serve


async def fetch(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_probes_name_the_problems_and_metrics_come_from_the_registry() -> None:
    registry = CollectorRegistry()
    Counter("decisions", "Decisions made", registry=registry).inc(3)
    problems: list[str] = []
    server = await serve(host="127.0.0.1", port=0, live=lambda: [], ready=lambda: problems, registry=registry)
    try:
        assert await fetch(server.port, "/readyz") == (200, "ok\n")
        problems += ["nodes of berlin: not listed yet", "hub: 403"]
        assert await fetch(server.port, "/readyz") == (503, "nodes of berlin: not listed yet\nhub: 403\n")
        assert await fetch(server.port, "/healthz") == (200, "ok\n")
        status, text = await fetch(server.port, "/metrics")
        assert (status, "decisions_total 3.0" in text) == (200, True)
        with pytest.raises(OSError, match="address already in use"):
            await serve(host="127.0.0.1", port=server.port, live=list, ready=list, registry=registry)
    finally:
        await server.close()
    with pytest.raises(aiohttp.ClientConnectorError):
        await fetch(server.port, "/healthz")


async def test_a_check_that_fails_is_a_problem() -> None:
    def broken() -> list[str]:
        raise KeyError("x")

    server = await serve(host="127.0.0.1", port=0, live=broken, ready=list, registry=CollectorRegistry())
    assert await fetch(server.port, "/healthz") == (503, "live: check failed: KeyError\n")
    await server.close()
