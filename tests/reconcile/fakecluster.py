"""Clusters without processes, networks or time: API servers in memory, and the controllers of a member in small steps.

For properties over long histories. What only real parts prove (field ownership, schemas, the real scheduler) is tested
on real control planes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from domicile.inventory.member import Member
from domicile.kube.errors import from_status
from domicile.kube.wire import Page
from tests.fakestore import Json, Refused, Store
from tests.reconcile.facts import node

NODES, PODS, DEPLOYMENTS = "v1/nodes", "v1/pods", "apps/v1/deployments"
APPLY, MERGE, PATCH = "application/apply-patch+yaml", "application/merge-patch+json", "application/json-patch+json"


def parse(path: str) -> tuple[str, str, str, str]:
    """(resource, namespace, name, subresource) of a request path."""
    parts = path.strip("/").split("/")
    group = [parts[1]] if parts[0] == "api" else parts[1:3]
    rest = parts[len(group) + 1 :]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "", "")[:3]
    return "/".join([*group, plural]), namespace, name, subresource


class Client:
    """What `KubeClient` offers, on a store. ``writes`` counts what changed something."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def get(self, path: str, *, params: Mapping[str, str] | None = None) -> Json:
        resource, namespace, name = parse(path)[:3]
        return self._try(lambda: self.store.get(resource, (namespace, name)))

    async def apply(self, path: str, manifest: Json, *, subresource: str | None = None, **_: Any) -> Json:
        """Server-side apply where nobody else owns a field of ours: what is no longer said goes."""
        resource, namespace, name = parse(path)[:3]
        document = dict(manifest)
        if subresource == "status":
            known = self._try(lambda: self.store.get(resource, (namespace, name)))
            body = {**known, "status": document["status"]}
            return self._try(lambda: self.store.update(resource, (namespace, name), body, subresource="status"))
        return self._try(
            lambda: self.store.patch(
                resource, (namespace, name), document, media=APPLY, subresource="", manager="domicile"
            )
        )

    async def merge_patch(self, path: str, patch: Json, **_: Any) -> Json:
        return self._patch(path, patch, MERGE)

    async def json_patch(self, path: str, operations: Any, **_: Any) -> Json:
        return self._patch(path, operations, PATCH)

    async def create(self, path: str, body: Json, **_: Any) -> Json:
        resource, namespace, name, subresource = parse(path)
        if subresource == "eviction":
            return self._try(lambda: self.store.delete(resource, (namespace, name)))
        return self._try(lambda: self.store.create(resource, namespace, body))

    async def delete(self, path: str, **_: Any) -> Json:
        resource, namespace, name = parse(path)[:3]
        return self._try(lambda: self.store.delete(resource, (namespace, name)))

    async def list_pages(self, path: str, **_: Any) -> AsyncGenerator[Page, None]:
        resource = parse(path)[0]
        yield Page(self.store.objects(resource), str(self.store.version), first=True, last=True)

    def _patch(self, path: str, body: Any, media: str) -> Json:
        resource, namespace, name = parse(path)[:3]
        return self._try(
            lambda: self.store.patch(resource, (namespace, name), body, media=media, subresource="", manager="domicile")
        )

    def _try(self, act: Any) -> Json:
        try:
            found: Json = act()
        except Refused as refused:
            raise from_status(refused.body, status=refused.status) from refused
        return found


class FakeMember:
    """A member cluster: its store, and one step at a time of what its controllers and its scheduler would do."""

    def __init__(self, name: str, **callbacks: Any) -> None:
        self.name, self.store = name, Store()
        self.store.put("v1/namespaces", {"metadata": {"name": "kube-system"}})
        client: Any = Client(self.store)
        self.member = Member(name, client, identify=lambda cluster, uid: "", **callbacks)
        self.member.problem = ""

    def add_node(self, name: str, *, pool: str, gpus: int = 8) -> None:
        body = node(name, pool=pool, gpus=gpus)
        body["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        self.store.put(NODES, body)

    async def shown(self) -> None:
        """The operator sees everything that is so now."""
        for _, reflector in self.member.reflectors():
            await reflector._list()

    def pods(self, workload: str) -> list[Json]:
        namespace, _, name = workload.partition("/")
        mine = [p for p in self.store.objects(PODS) if p["metadata"]["labels"].get("domicile.dev/infd") == name]
        return [p for p in mine if p["metadata"]["namespace"] == namespace]

    def step(self) -> bool:
        """One small step of the Deployment controller and the scheduler together; False where nothing is to do."""
        return any([self._step(deployment) for deployment in self.store.objects(DEPLOYMENTS)] + [self._collect()])

    def _collect(self) -> bool:
        """Pods whose Deployment is gone go."""
        kept = {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in self.store.objects(DEPLOYMENTS)}
        for pod in self.store.objects(PODS):
            owner = (pod["metadata"]["namespace"], pod["metadata"]["labels"]["domicile.dev/infd"])
            if owner not in kept:
                self.store.remove(PODS, pod["metadata"]["name"], namespace=owner[0])
                return True
        return False

    def _step(self, deployment: Json) -> bool:
        metadata, spec = deployment["metadata"], deployment["spec"]
        workload, wanted = f"{metadata['namespace']}/{metadata['name']}", spec["replicas"]
        template = spec["template"]
        pods = self.pods(workload)
        new = [p for p in pods if p["spec"]["nodeSelector"] == template["spec"]["nodeSelector"]]
        old = [p for p in pods if p not in new]
        surge = wanted if spec["strategy"]["rollingUpdate"]["maxSurge"] == "100%" else 0
        if len(new) > wanted:
            return self._remove(new[-1])
        if old and (len(new) >= wanted or surge == 0):
            return self._remove(old[0])
        if len(new) < wanted and len(pods) < wanted + surge:
            return self._start(workload, template)
        return self._tell(deployment, ready=len(new) + len(old), updated=len(new))

    def _start(self, workload: str, template: Json) -> bool:
        selector = template["spec"]["nodeSelector"]
        fitting = [n for n in self.store.objects(NODES) if selector.items() <= n["metadata"]["labels"].items()]
        if not fitting:
            return False
        namespace, _, name = workload.partition("/")
        metadata = {"name": f"{name}-{self.store.version}", "namespace": namespace}
        metadata["labels"] = template["metadata"]["labels"]
        spec = {"nodeName": fitting[0]["metadata"]["name"], "nodeSelector": selector}
        spec["containers"] = template["spec"]["containers"]
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self.store.put(PODS, {"metadata": metadata, "spec": spec, "status": status})
        return True

    def _remove(self, pod: Json) -> bool:
        self.store.remove(PODS, pod["metadata"]["name"], namespace=pod["metadata"]["namespace"])
        return True

    def _tell(self, deployment: Json, *, ready: int, updated: int) -> bool:
        metadata = deployment["metadata"]
        status = {"readyReplicas": ready, "updatedReplicas": updated, "observedGeneration": metadata["generation"]}
        if deployment.get("status") == status:
            return False
        name = (metadata["namespace"], metadata["name"])
        self.store.update(DEPLOYMENTS, name, {**deployment, "status": status}, subresource="status")
        return True
