"""What the reconcile benchmark runs on: a hub, members with KWOK nodes, lawful facts about them, and the operator."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

import devcluster
from benchmarks.estate import BASELINE
from benchmarks.figures import tell
from devcluster import Plane
from domicile.model.labels import POOL_LABEL
from domicile.tiers.packs import pack_text

ROOT = Path(__file__).resolve().parent.parent
HUB, NAMESPACE, SYSTEM = "hub", "bench", "domicile-system"
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


@dataclass(frozen=True)
class Stage:
    """The planes by role, and the operator's process."""

    hub: Plane
    members: dict[str, Plane]
    operator: subprocess.Popen[bytes]
    log: Path


@contextmanager
def stage(*, members: int, nodes: int, log: Path) -> Iterator[Stage]:
    """Everything ready: members reached, their nodes labelled. Gone at the end of the block."""
    names = [f"member-{n}" for n in range(1, members + 1)]
    with devcluster.planes(HUB, *names) as planes:
        hub = planes[HUB]
        tell("control planes are up")
        _furnish(hub, {name: planes[name] for name in names}, nodes=nodes)
        port = _free_port()
        with log.open("wb") as output:
            command = [sys.executable, "-c", OPERATOR, str(hub.kubeconfig), str(port)]
            path = os.pathsep.join([str(ROOT / "operator"), str(ROOT), os.environ.get("PYTHONPATH", "")])
            process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": path})
        try:
            _wait_ready(process, port, planes, names, nodes=nodes)
            tell("the operator is ready")
            yield Stage(hub, {name: planes[name] for name in names}, process, log)
        finally:
            process.terminate()
            process.wait(30)


def workload(name: str, *, replicas: int) -> dict[str, Any]:
    """A small InferenceDeployment at tier 3."""
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
        },
    }


def _furnish(hub: Plane, members: dict[str, Plane], *, nodes: int) -> None:
    hub.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in (SYSTEM, NAMESPACE):
        hub.kubectl("create", "namespace", namespace)
    hub.kubectl("apply", "--server-side", "-f", "-", stdin=pack_text("cada"))
    for name, plane in members.items():
        secret = ("create", "secret", "generic", name, f"--from-file=kubeconfig={plane.kubeconfig}")
        hub.kubectl("-n", SYSTEM, *secret)
        plane.kubectl("create", "-f", "-", stdin=json.dumps(_list([_node(name, n) for n in range(nodes)])))
    hub.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_list(_facts(list(members)))))


def _list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _node(cluster: str, number: int) -> dict[str, Any]:
    room = {"cpu": "96", "memory": "1Ti", "pods": "250", "nvidia.com/gpu": "128"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"{cluster}-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"providerID": f"{cluster}://h100/{number}"},
        "status": {"capacity": room, "allocatable": room},
    }


def _facts(members: list[str]) -> list[dict[str, Any]]:
    """The baseline's provider, and its cluster once for each member; all evidence is of yesterday."""
    entity, cluster = yaml.safe_load_all(_of_yesterday(BASELINE.read_text()))
    facts = [entity]
    for name in members:
        mine = copy.deepcopy(cluster)
        mine["metadata"]["name"] = name
        mine["spec"]["connection"] = {"kubeconfigSecret": {"namespace": SYSTEM, "name": name}}
        mine["spec"]["nodePools"][0]["nodes"] = {"providerIDPrefix": f"{name}://h100/"}
        facts.append(mine)
    return facts


def _of_yesterday(text: str) -> str:
    """The baseline with the days of its evidence moved to yesterday, so that it is fresh whenever this runs."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    for day in ("2026-03-01", "2026-08-01", "2026-09-01", "2026-10-01", "2026-11-01"):
        text = text.replace(day, yesterday)
    return text


def _wait_ready(
    process: subprocess.Popen[bytes], port: int, planes: dict[str, Plane], members: list[str], *, nodes: int
) -> None:
    deadline = time.monotonic() + 120
    while not (_answers(port) and all(_labelled(planes[name]) == nodes for name in members)):
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
