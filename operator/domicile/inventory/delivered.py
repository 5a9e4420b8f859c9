"""What was delivered to one member, as the member shows it, and whether anybody changed it since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from domicile.inventory.reflector import Reflector
from domicile.kube.client import KubeClient
from domicile.model.labels import DIGEST, FIELD_MANAGER, MANAGED_BY, WORKLOAD

DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
GUARDS: Final = {
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
    "Service": "/api/v1/services",
    "ServiceAccount": "/api/v1/serviceaccounts",
}
OURS: Final = f"{MANAGED_BY}=domicile,{WORKLOAD}"


class Observed(NamedTuple):
    """A delivered Deployment as its member shows it."""

    digest: str
    generation: int
    observed_generation: int
    desired: int
    ready: int
    updated: int
    stuck: str  # message of a failed progress condition, or empty
    editor: str = ""  # who else last wrote its spec

    @property
    def settled(self) -> bool:
        """Whether the member's controller has seen the latest spec and all its pods are ready."""
        seen = self.observed_generation >= self.generation
        return seen and self.ready >= self.desired and self.updated >= self.desired


class Guard(NamedTuple):
    """A delivered object beside the Deployment: its version, and a fingerprint of what others must not change."""

    version: int
    fingerprint: str
    editor: str


class Mark(NamedTuple):
    """An object as our last apply left it; ``generation`` counts for the Deployment, the others for its guards."""

    version: int
    fingerprint: str
    generation: int
    after: int = 0  # version or generation of the apply before this one


class Drift(NamedTuple):
    """A delivered object that somebody changed or deleted, and who, where the member says so."""

    kind: str
    what: str
    editor: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f" by {self.editor}" if self.editor else "")


def project_deployment(raw: Mapping[str, Any]) -> Observed:
    """A delivered Deployment as its API server gives it."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    stuck = [
        c.get("message", "")
        for c in status.get("conditions") or ()
        if (c.get("type") == "Progressing" and c.get("status") == "False")
        or (c.get("type") == "ReplicaFailure" and c.get("status") == "True")
    ]
    return Observed(
        digest=(metadata.get("annotations") or {}).get(DIGEST, ""),
        generation=metadata.get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        desired=spec.get("replicas", 1),
        ready=status.get("readyReplicas", 0),
        updated=status.get("updatedReplicas", 0),
        stuck="; ".join(stuck),
        editor=editor_of(raw),
    )


def project_guard(raw: Mapping[str, Any]) -> Guard:
    """A delivered ServiceAccount, Service or NetworkPolicy."""
    return Guard(int(raw["metadata"].get("resourceVersion", "0")), fingerprint(raw), editor_of(raw))


def fingerprint(raw: Mapping[str, Any]) -> str:
    """sha256 over labels, annotations and everything beside metadata and status."""
    metadata = raw["metadata"]
    body = {k: v for k, v in raw.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    text = json.dumps([metadata.get("labels"), metadata.get("annotations"), body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def editor_of(raw: Mapping[str, Any]) -> str:
    """The field manager other than ours that wrote last, status aside."""
    others = [
        (entry.get("time", ""), entry.get("manager", ""))
        for entry in raw["metadata"].get("managedFields") or ()
        if not entry.get("subresource") and entry.get("manager") not in (FIELD_MANAGER, "kube-controller-manager")
    ]
    return str(max(others, default=("", ""))[1])


class Delivered:
    """The delivered objects of one member. ``on_change(workload)`` comes for every change of one."""

    def __init__(self, client: KubeClient, *, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self.deployments = Reflector(
            client, DEPLOYMENTS, project=project_deployment, label_selector=OURS, on_change=self._deployment_changed
        )
        self.guards = {kind: self._guard_reflector(client, kind, path) for kind, path in GUARDS.items()}
        self._marks: dict[str, dict[str, Mark]] = {}  # workload -> kind -> as applied
        self._seen: set[tuple[str, str]] = set()  # applied and shown by the member since
        self._overwritten: dict[tuple[str, str], Drift] = {}  # edits that our apply undid before they were shown

    def reflectors(self) -> Iterator[tuple[str, Reflector[Any]]]:
        """All of them, with what they read."""
        yield "deployments", self.deployments
        for kind, reflector in self.guards.items():
            yield GUARDS[kind].rpartition("/")[2], reflector

    def applied(self, workload: str, kind: str, answer: Mapping[str, Any]) -> None:
        """Remember an object as the member answered our apply with it."""
        metadata = answer["metadata"]
        version = int(metadata.get("resourceVersion", "0"))
        before = self._marks.setdefault(workload, {}).get(kind)
        after = (before.generation if kind == "Deployment" else before.version) if before else version
        mark = Mark(version, fingerprint(answer), metadata.get("generation", 0), after)
        self._marks[workload][kind] = mark
        self._overwritten.pop((workload, kind), None)
        known = self.guards[kind].store.get(workload) if kind in self.guards else None
        seen = known is not None and known.version >= version
        if kind == "Deployment":
            shown = self.deployments.store.get(workload)
            seen = shown is not None and shown.generation >= mark.generation
        (self._seen.add if seen else self._seen.discard)((workload, kind))

    def forget(self, workload: str) -> None:
        """What becomes of the workload's objects from now on is no drift: they are being withdrawn."""
        for kind in self._marks.pop(workload, {}):
            self._seen.discard((workload, kind))
            self._overwritten.pop((workload, kind), None)

    def confirmed(self, workload: str) -> bool:
        """Whether this process applied the workload here, so that changes can be told."""
        return workload in self._marks

    def drift(self, workload: str) -> list[Drift]:
        """What others changed or deleted since our last apply."""
        found = []
        for kind, mark in self._marks.get(workload, {}).items():
            shown: Observed | Guard | None
            if kind == "Deployment":
                shown = self.deployments.store.get(workload)
                changed = shown is not None and shown.generation > mark.generation
            else:
                shown = guard = self.guards[kind].store.get(workload)
                changed = guard is not None and guard.version > mark.version and guard.fingerprint != mark.fingerprint
            if changed:
                assert shown is not None
                found.append(Drift(kind, "changed", shown.editor))
            elif shown is None and (workload, kind) in self._seen:
                found.append(Drift(kind, "deleted", ""))
            elif (workload, kind) in self._overwritten:
                found.append(self._overwritten[workload, kind])
        return found

    def _guard_reflector(self, client: KubeClient, kind: str, path: str) -> Reflector[Guard]:
        def changed(workload: str, old: Guard | None, new: Guard | None) -> None:
            mark = self._marks.get(workload, {}).get(kind)
            if mark is None:
                return
            if new is not None and new.version >= mark.version:
                self._seen.add((workload, kind))
            if new is not None and mark.after < new.version < mark.version and new.fingerprint != mark.fingerprint:
                self._overwritten[workload, kind] = Drift(kind, "changed", new.editor)
                self._on_change(workload)
            if new is None or (new.version > mark.version and new.fingerprint != mark.fingerprint):
                self._on_change(workload)

        return Reflector(client, path, project=project_guard, label_selector=OURS, on_change=changed)

    def _deployment_changed(self, workload: str, old: Observed | None, new: Observed | None) -> None:
        mark = self._marks.get(workload, {}).get("Deployment")
        if mark is not None and new is not None and new.generation >= mark.generation:
            self._seen.add((workload, "Deployment"))
        if mark is not None and new is not None and mark.after < new.generation < mark.generation:
            self._overwritten[workload, "Deployment"] = Drift("Deployment", "changed", new.editor)
        self._on_change(workload)
