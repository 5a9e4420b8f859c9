"""Watches of the benchmark's own: when each workload was first seen in each state, on this process's clock."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from benchmarks.figures import spread
from benchmarks.stage import NAMESPACE
from domicile.kube.client import KubeClient
from domicile.kube.errors import ApiError

WORKLOADS = f"/apis/domicile.dev/v1alpha1/namespaces/{NAMESPACE}/inferencedeployments"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
STATES = ("placed", "in_member", "ready")


class Sightings:
    """For each workload: when its creation was answered, and when each state was first seen."""

    def __init__(self) -> None:
        self.created: dict[str, float] = {}
        self.seen: dict[str, dict[str, float]] = {state: {} for state in STATES}
        self.gone: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._news = asyncio.Event()

    def begin(self) -> None:
        """Forget everything: a new scenario begins."""
        self._reasons.clear()
        for times in (self.created, self.gone, *self.seen.values()):
            times.clear()

    def on_hub(self, kind: str, raw: Mapping[str, Any]) -> None:
        """An InferenceDeployment changed."""
        name = raw["metadata"]["name"]
        self._news.set()
        if kind == "DELETED":
            self.gone.setdefault(name, time.perf_counter())
            return
        status = raw.get("status") or {}
        true = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
        self._reasons[name] = status.get("reason", "")
        if "Placed" in true:
            self.seen["placed"].setdefault(name, time.perf_counter())
        if "Ready" in true:
            self.seen["ready"].setdefault(name, time.perf_counter())

    def on_member(self, kind: str, raw: Mapping[str, Any]) -> None:
        """A Deployment in a member changed."""
        self._news.set()
        if kind != "DELETED":
            self.seen["in_member"].setdefault(raw["metadata"]["name"], time.perf_counter())

    async def until(self, condition: Callable[[], bool], *, check: Callable[[], None]) -> None:
        """Wait for what the watches tell; ``check`` is called every second and raises where it is in vain."""
        while not condition():
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._news.wait()
            check()

    def complete(self, count: int, *, states: Sequence[str]) -> bool:
        """Whether all workloads were seen in these states."""
        return all(len(self.seen[state]) >= count for state in states)

    def unready(self) -> dict[str, int]:
        """How many workloads never were ready, by the reason their status gives last."""
        return Counter(self._reasons.get(name, "") for name in self.created if name not in self.seen["ready"])

    def figures(self, began: float) -> dict[str, Any]:
        """Seconds from the answer to the creation to each state, and states reached per second since ``began``."""
        found: dict[str, Any] = {"created": {"per_second": _rate(self.created, began)}}
        for state, times in self.seen.items():
            waits = [max(0.0, at - self.created[name]) for name, at in times.items() if name in self.created]
            found[state] = {"seconds": spread(waits), "per_second": _rate(times, began)}
        return found


def _rate(times: Mapping[str, float], began: float) -> float:
    return round(len(times) / (max(times.values()) - began), 1) if times else 0.0


async def follow(client: KubeClient, path: str, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Watch a collection from now on until cancelled; what was there is told as ADDED."""
    while True:
        version = ""
        async for page in client.list_pages(path):
            version = page.resource_version
            for item in page.items:
                tell("ADDED", item)
        try:
            async with aclosing(client.watch(path, resource_version=version)) as events:
                async for kind, raw in events:
                    if kind != "BOOKMARK":
                        tell(kind, raw)
        except ApiError:
            await asyncio.sleep(0.2)
