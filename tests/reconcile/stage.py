"""What every scenario stands on: a hub and two members with facts, and the operator as the process that users start.

Scenarios act as a user does (objects on the hub, nodes on members) and look at what a user can see. Every wait has a
deadline and polls the API server; what it last saw is in the failure.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import urllib3

from devcluster import Plane
from domicile.kube.connect import hub_settings, tls_context
from tests.reconcile.facts import API_VERSION, Json, cluster_spec, entity_spec, merged, node, pool

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds a scenario waits for anything before it fails
SYSTEM = "domicile-system"
PREFIX = "domicile.node-restriction.kubernetes.io"
PLURALS = {
    "InferenceDeployment": "inferencedeployments",
    "SovereignCluster": "sovereignclusters",
    "LegalEntity": "legalentities",
    "SovereigntyFramework": "sovereigntyframeworks",
}


class Refused(Exception):
    """An answer of an API server that is not 2xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Requests to one plane, without the half second of a kubectl process."""

    def __init__(self, plane: Plane) -> None:
        settings, _ = hub_settings(kubeconfig=str(plane.kubeconfig))
        self._server = settings.server
        self._pool = urllib3.PoolManager(ssl_context=tls_context(settings), retries=False, timeout=20.0)

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Json:
        payload = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self._server + path, body=payload, headers={"Content-Type": content_type})
        if answer.status >= 300:
            raise Refused(answer.status, answer.data.decode(errors="replace")[:2000])
        document: Json = answer.json()
        return document

    def get(self, path: str) -> Json | None:
        """The object at ``path``, None where there is none."""
        try:
            return self.request("GET", path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def items(self, path: str) -> list[Json]:
        found: list[Json] = self.request("GET", path)["items"]
        return found

    def create(self, path: str, document: Json) -> Json:
        return self.request("POST", path, document)

    def apply(self, path: str, document: Json) -> Json:
        query = "?fieldManager=tests&force=true"
        return self.request("PATCH", path + query, document, "application/apply-patch+yaml")

    def patch(self, path: str, patch: Json) -> Json:
        return self.request("PATCH", path, patch, "application/merge-patch+json")

    def delete(self, path: str) -> None:
        try:
            self.request("DELETE", path)
        except Refused as refused:
            if refused.status != 404:
                raise

    def metrics(self) -> str:
        answer = self._pool.request("GET", self._server + "/metrics")
        return answer.data.decode()


def eventually(look: Callable[[], T | None], what: str, *, seconds: float = PATIENCE) -> T:
    """The first true answer of ``look``; a failure after ``seconds`` says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def condition(document: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """A condition of an object's status; an empty one where it is not said."""
    conditions = ((document or {}).get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == name), {"status": "", "reason": "", "message": ""})


def placements(infd: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(cluster, node pool) of every placement in the status."""
    return [(p["cluster"], p["nodePool"]) for p in (infd.get("status") or {}).get("placements") or ()]


def kind_path(kind: str, name: str = "", *, namespace: str = "") -> str:
    path = f"/apis/{API_VERSION}" + (f"/namespaces/{namespace}" if namespace else "") + f"/{PLURALS[kind]}"
    return f"{path}/{name}" if name else path


class Space:
    """One scenario's namespace on the hub, and its workloads."""

    def __init__(self, hub: Api, name: str) -> None:
        self.hub, self.name = hub, name

    def path(self, name: str = "") -> str:
        return kind_path("InferenceDeployment", name, namespace=self.name)

    def apply(self, *workloads: Json) -> None:
        for document in workloads:
            self.hub.apply(self.path(document["metadata"]["name"]), document)

    def patch(self, name: str, **patch: Any) -> Json:
        return self.hub.patch(self.path(name), patch)

    def read(self, name: str) -> Json:
        found = self.hub.get(self.path(name))
        assert found is not None, f"{self.name}/{name} is gone"
        return found

    def delete(self, name: str) -> None:
        self.hub.delete(self.path(name))

    def says(self, name: str, kind: str, status: str, reason: str, *, seconds: float = PATIENCE) -> Json:
        """The workload once a condition of its latest generation stands as told."""
        seen: Json = {}

        def look() -> Json | None:
            seen.update(self.read(name))
            found = condition(seen, kind)
            current = found.get("observedGeneration") == seen["metadata"]["generation"]
            return seen if current and (found["status"], found["reason"]) == (status, reason) else None

        try:
            return eventually(look, f"{kind}={status} {reason}", seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{self.name}/{name}: {error}\n{json.dumps(seen.get('status'), indent=1)}") from None

    def serving(self, name: str, *, seconds: float = PATIENCE) -> Json:
        return self.says(name, "Ready", "True", "Serving", seconds=seconds)

    def gone(self, name: str, *, seconds: float = PATIENCE) -> None:
        eventually(lambda: self.hub.get(self.path(name)) is None, f"{self.name}/{name} gone", seconds=seconds)


class Cluster:
    """One SovereignCluster and the member it stands for. Scenarios add pools of their own and take them away again."""

    def __init__(self, name: str, *, hub: Api, member: Api, provider: str) -> None:
        self.name, self.hub, self.member, self.provider = name, hub, member, provider
        self.secret = name  # of its kubeconfig
        self.pools: list[Json] = []
        self.patch: Json = {}

    def state(self) -> None:
        spec = cluster_spec(self.provider, self.pools, **self.patch)
        spec["connection"] = {"kubeconfigSecret": {"namespace": SYSTEM, "name": self.secret}}
        document = {"apiVersion": API_VERSION, "kind": "SovereignCluster", "metadata": {"name": self.name}}
        self.hub.apply(kind_path("SovereignCluster", self.name), document | {"spec": spec})

    def read(self) -> Json:
        found = self.hub.get(kind_path("SovereignCluster", self.name))
        assert found is not None
        return found

    def add_pool(self, name: str, *, product: str, nodes: int, gpus: int, **more: Any) -> None:
        """State a pool and create its nodes; ``more`` are fields of the pool."""
        self.pools.append(pool(name, product=product, **{"provider": self.provider, **more}))
        self.add_nodes(name, count=nodes, gpus=gpus)
        self.state()

    def change_pool(self, name: str, **patch: Any) -> None:
        self.pools = [merged(p, patch) if p["name"] == name else p for p in self.pools]
        self.state()

    def add_nodes(self, pool: str, *, count: int, gpus: int, first: int = 0, labels: Json | None = None) -> None:
        for number in range(first, first + count):
            self.member.create("/api/v1/nodes", node(f"{pool}-{number}", pool=pool, gpus=gpus, labels=labels))

    def clear(self) -> None:
        """As before any scenario: no pools, no nodes, no changed facts."""
        if self.pools or self.patch:
            self.pools, self.patch = [], {}
            self.state()
        for found in self.member.items("/api/v1/nodes"):
            self.member.delete(f"/api/v1/nodes/{found['metadata']['name']}")

    def deployment(self, space: Space, name: str) -> Json | None:
        return self.member.get(f"/apis/apps/v1/namespaces/{space.name}/deployments/{name}")

    def deployments(self, space: Space) -> list[Json]:
        return self.member.items(f"/apis/apps/v1/namespaces/{space.name}/deployments")

    def pods(self, space: Space) -> list[Json]:
        return self.member.items(f"/api/v1/namespaces/{space.name}/pods")

    def labels(self, node: str) -> dict[str, str]:
        """The labels of a node that are Domicile's, without their prefix."""
        found = self.member.get(f"/api/v1/nodes/{node}") or {"metadata": {}}
        labels = found["metadata"].get("labels") or {}
        return {k.partition("/")[2]: v for k, v in labels.items() if k.startswith(PREFIX + "/")}

    def status_of(self, pool: str) -> Json:
        pools = (self.read().get("status") or {}).get("nodePools") or []
        return next((p for p in pools if p["name"] == pool), {})


class Operator:
    """The operator as a process, started as users start it."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._kubeconfig, self._log = kubeconfig, log
        self.decisions = log.with_name("decisions")  # directory of its decision log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        port = free_port()
        options = ["--kubeconfig", str(self._kubeconfig), "--no-leader-elect", "--http-port", str(port)]
        options += ["--log-dir", str(self.decisions)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "domicile.cli.main", "run", *options], env=environment, stdout=log, stderr=log
            )
        self._port = port
        eventually(self._ready, f"operator ready; log: {self._log}")

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the operator ended:\n{self._log.read_text()[-3000:]}"
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{self._port}/readyz", retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM, *, within: float = 10.0) -> int:
        """Send a signal; the exit code, which must come ``within`` seconds."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the operator did not end within {within:g} s of {number.name}") from None

    def log(self) -> str:
        return self._log.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stage:
    """The planes with facts about them. ``one`` and ``two`` are the clusters of the two members."""

    def __init__(
        self, hub: Plane, members: tuple[Plane, Plane], operator: Operator, *, kubeconfigs: Sequence[str] = ()
    ) -> None:
        """``kubeconfigs`` are those the operator reaches the members by, where they are not the planes' own."""
        self.plane, self.members, self.operator = hub, members, operator
        self._kubeconfigs = kubeconfigs or [member.kubeconfig.read_text() for member in members]
        self.hub = Api(hub)
        self._stated: set[tuple[str, str]] = set()
        self.one = Cluster("union-1", hub=self.hub, member=Api(members[0]), provider="nordlys")
        self.two = Cluster("union-2", hub=self.hub, member=Api(members[1]), provider="nordlys")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Facts about both members, and the operator running."""
        self.set_up()
        self.operator.start()
        try:
            self.reached()
            yield
        finally:
            self.operator.end()
            self.tear_down()

    def set_up(self) -> None:
        self.namespace(SYSTEM)
        self.plane.kubectl("apply", "--server-side", "-f", str(ROOT / "operator/domicile/frameworks/cada.yaml"))
        self._stated |= {
            ("SovereigntyFramework", "cada"),
            ("SovereignCluster", "union-1"),
            ("SovereignCluster", "union-2"),
        }
        self.entity("nordlys")
        for cluster, kubeconfig in zip((self.one, self.two), self._kubeconfigs, strict=True):
            self.secret(cluster.name, kubeconfig)
            cluster.state()

    def tear_down(self) -> None:
        for cluster in (self.one, self.two):
            cluster.clear()
        for kind, name in self._stated:
            self.hub.delete(kind_path(kind, name))

    def reached(self) -> None:
        for cluster in (self.one, self.two):
            eventually(lambda c=cluster: condition(c.read(), "Reachable")["status"] == "True", cluster.name)  # type: ignore[misc]

    def namespace(self, name: str, **labels: str) -> None:
        metadata = {"name": name, "labels": labels}
        self.hub.apply(f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def secret(self, name: str, text: str | None, *, key: str = "kubeconfig") -> None:
        """A kubeconfig Secret, or (None) its absence."""
        path = f"/api/v1/namespaces/{SYSTEM}/secrets/{name}"
        if text is None:
            self.hub.delete(path)
            return
        data = {key: base64.b64encode(text.encode()).decode()}
        metadata = {"name": name, "namespace": SYSTEM}
        self.hub.apply(path, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    def entity(self, name: str, **patch: Any) -> None:
        self.state("LegalEntity", name, entity_spec(**patch))

    def state(self, kind: str, name: str, spec: Json) -> None:
        """An object that states facts, by server-side apply."""
        document = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self._stated.add((kind, name))
        self.hub.apply(kind_path(kind, name), document)

    def drop(self, kind: str, *names: str) -> None:
        for name in names:
            self.hub.delete(kind_path(kind, name))

    def accepted(self, kind: str, name: str, status: str) -> Mapping[str, Any]:
        """The Accepted condition of an object that states facts, once it has this status for the latest generation."""

        def look() -> Mapping[str, Any] | None:
            found = self.hub.get(kind_path(kind, name))
            said = condition(found, "Accepted")
            current = found is not None and said.get("observedGeneration") == found["metadata"]["generation"]
            return said if current and said["status"] == status else None

        return eventually(look, f"{kind}/{name} Accepted={status}")

    @contextmanager
    def cut_off(self, number: int) -> Iterator[None]:
        """A member (1 or 2) behind a network that swallows everything."""
        plane = self.members[number - 1]
        plane.pause()
        try:
            yield
        finally:
            plane.resume()
