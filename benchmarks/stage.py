"""What the benchmarks of the whole operator run on: a hub, members with KWOK nodes, facts, and the operator."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import devcluster
from benchmarks import meters
from benchmarks.figures import tell
from benchmarks.meters import Writes
from benchmarks.scenery import SYSTEM, Scenery
from devcluster import Plane
from domicile.model.labels import POOL_LABEL

ROOT = Path(__file__).resolve().parent.parent
HUB, NAMESPACE = "hub", "bench"
PROFILE = "DOMICILE_BENCH_PROFILE"
"""A file: the operator runs under cProfile and writes its statistics there at its end."""

OPERATOR = f"""
import cProfile, os, sys
from domicile.runtime.app import run
from domicile.runtime.settings import Settings
settings = Settings(kubeconfig=sys.argv[1], leader_elect=False, http_port=int(sys.argv[2]), log_level="WARNING")
profile = cProfile.Profile() if os.environ.get("{PROFILE}") else None
code = profile.runcall(run, settings) if profile else run(settings)
if profile:
    profile.dump_stats(os.environ["{PROFILE}"])
sys.exit(code)
"""


class Cost(NamedTuple):
    """Writes on the hub, writes on all members, CPU seconds by process."""

    hub: Writes
    members: Writes
    cpu: dict[str, float]

    def since(self, before: Cost) -> Cost:
        """What was added after ``before``."""
        cpu = {name: round(s - before.cpu.get(name, 0.0), 2) for name, s in sorted(self.cpu.items())}
        return Cost(self.hub - before.hub, self.members - before.members, cpu)


@dataclass(frozen=True)
class Stage:
    """The planes by role, and the operator's process."""

    hub: Plane
    members: dict[str, Plane]
    operator: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises RuntimeError if the operator ended by itself."""
        code = self.operator.poll()
        if code is not None:
            raise RuntimeError(f"the operator ended with code {code}")

    def cost(self) -> Cost:
        """Everything since the start."""
        members: Writes = Counter()
        for plane in self.members.values():
            members.update(meters.writes(plane))
        processes = {"operator": self.operator.pid, "client": os.getpid()}
        return Cost(meters.writes(self.hub), members, meters.cpu({"hub": self.hub, **self.members}, processes))


@contextmanager
def stage(scenery: Scenery, *, log: Path) -> Iterator[Stage]:
    """Everything ready: members reached, their nodes labelled. Gone at the end of the block."""
    with devcluster.planes(HUB, *scenery.nodes) as planes:
        hub = planes[HUB]
        members = {name: planes[name] for name in scenery.nodes}
        tell("control planes are up")
        _furnish(hub, members, scenery)
        port = _free_port()
        with log.open("wb") as output:
            command = [sys.executable, "-c", OPERATOR, str(hub.kubeconfig), str(port)]
            path = os.pathsep.join([str(ROOT / "operator"), str(ROOT), os.environ.get("PYTHONPATH", "")])
            process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": path})
        try:
            _wait_ready(process, port, members, scenery)
            tell("the operator is ready")
            yield Stage(hub, members, process, log)
        finally:
            process.terminate()
            process.wait(30)


def workload(name: str, *, replicas: int, **spec: Any) -> dict[str, Any]:
    """A small InferenceDeployment at tier 3; ``spec`` is added to its spec."""
    digest = "sha256:" + "51aa0b9c8d7e6f5a" * 4
    return {
        "apiVersion": "domicile.dev/v1alpha1",
        "kind": "InferenceDeployment",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {"domicile.dev/sovereignty-tier": "3"},
        },
        "spec": {
            "model": {"name": "small", "source": f"oci://registry.example.eu/models/small@{digest}"},
            "runtime": {"name": "vLLM", "image": f"registry.example.eu/vllm@{digest}"},
            "replicas": replicas,
            "resources": {"accelerator": {"products": ["H100"], "count": 1}, "cpu": "500m", "memory": "1Gi"},
            **spec,
        },
    }


def _furnish(hub: Plane, members: dict[str, Plane], scenery: Scenery) -> None:
    hub.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in (SYSTEM, NAMESPACE):
        hub.kubectl("create", "namespace", namespace)
    hub.kubectl("apply", "--server-side", "-f", "-", stdin=scenery.pack)
    for name, plane in members.items():
        secret = ("create", "secret", "generic", name, f"--from-file=kubeconfig={plane.kubeconfig}")
        hub.kubectl("-n", SYSTEM, *secret)
        plane.kubectl("create", "-f", "-", stdin=json.dumps(_list(scenery.nodes[name])))
    hub.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_list(scenery.facts)))


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _wait_ready(process: subprocess.Popen[bytes], port: int, members: dict[str, Plane], scenery: Scenery) -> None:
    deadline = time.monotonic() + 120
    while not (_answers(port) and all(_labelled(members[name]) == len(n) for name, n in scenery.nodes.items())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the operator is not ready; its exit code: {process.poll()}")
        time.sleep(0.5)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _labelled(plane: Plane) -> int:
    """How many nodes carry the tier's label, which pods will demand."""
    return len(plane.kubectl("get", "nodes", "-l", POOL_LABEL, "-o", "name").split())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
