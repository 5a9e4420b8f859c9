"""What was delivered to one member, as the member shows it, and whether anybody changed it since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """An object as our last apply left it. Versions are generations for the Deployment, resource versions for its
    guards; those up to ``after`` were there before that apply began."""

    version: int
    fingerprint: str
    after: int


class Drift(NamedTuple):
    """A delivered object that somebody changed or deleted, who, where the member says so, and which version shows it
    (0 where it is gone)."""

    kind: str
    what: str
    editor: str
    version: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.what}" + (f" by {self.editor}" if self.editor else "")


class Sighting(NamedTuple):
    """A version that the member showed and that is not what our last apply left."""

    version: int
    fingerprint: str
    editor: str


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
    """The delivered objects of one member. ``on_change(workload)`` comes for every change of one.

    The answer to an apply and the watch race: an edit may be shown, or undone by our own apply, before or after the
    answer arrives. So every version shown is kept until it is known to be ours, or told as drift.
    """

    def __init__(self, client: KubeClient, *, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self.deployments = Reflector(
            client, DEPLOYMENTS, project=project_deployment, label_selector=OURS, on_change=self._deployment_shown
        )
        self.guards = {kind: self._guard_reflector(client, kind, path) for kind, path in GUARDS.items()}
        self._marks: dict[str, dict[str, Mark]] = {}  # workload -> kind -> as applied
        self._shown: set[tuple[str, str]] = set()  # applied, and shown by the member since
        self._sightings: dict[tuple[str, str], list[Sighting]] = {}

    def reflectors(self) -> Iterator[tuple[str, Reflector[Any]]]:
        """All of them, with what they read."""
        yield "deployments", self.deployments
        for kind, reflector in self.guards.items():
            yield GUARDS[kind].rpartition("/")[2], reflector

    def applied(self, workload: str, kind: str, answer: Mapping[str, Any]) -> None:
        """Remember an object as the member answered our apply with it."""
        mark = _mark(kind, answer, before=self._marks.get(workload, {}).get(kind))
        self._marks.setdefault(workload, {})[kind] = mark
        shown = self._version(workload, kind)
        (self._shown.add if shown >= mark.version else self._shown.discard)((workload, kind))
        seen = self._sightings.get((workload, kind))
        if seen:
            seen[:] = [one for one in seen if _differs(one, mark)]
            if seen:
                self._on_change(workload)  # an edit that our apply undid

    def told(self, workload: str, drifts: Iterable[Drift]) -> None:
        """What others did was put back and is written down; what they did since is another matter."""
        for drift in drifts:
            seen = self._sightings.get((workload, drift.kind), [])
            told = [n for n, one in enumerate(seen) if one.version == drift.version]
            del seen[: max(told, default=-1) + 1]

    def forget(self, workload: str) -> None:
        """What becomes of the workload's objects from now on is no drift: they are being withdrawn."""
        for kind in self._marks.pop(workload, {}):
            self._shown.discard((workload, kind))
            self._sightings.pop((workload, kind), None)

    def confirmed(self, workload: str) -> bool:
        """Whether this process applied the workload here, so that changes can be told."""
        return workload in self._marks

    def drift(self, workload: str) -> list[Drift]:
        """What others changed or deleted since our last apply, or while it was under way."""
        found = []
        for kind in self._marks.get(workload, ()):
            seen = self._sightings.get((workload, kind))
            if seen:
                found.append(Drift(kind, "changed", seen[-1].editor, seen[-1].version))
            elif (workload, kind) in self._shown and not self._version(workload, kind):
                found.append(Drift(kind, "deleted", ""))
        return found

    def _version(self, workload: str, kind: str) -> int:
        """The version of an object that the member shows; 0 where it shows none."""
        if kind == "Deployment":
            deployment = self.deployments.store.get(workload)
            return deployment.generation if deployment else 0
        guard = self.guards[kind].store.get(workload)
        return guard.version if guard else 0

    def _see(self, workload: str, kind: str, seen: Sighting) -> bool:
        """Whether a version that is shown is none of ours, as far as is known yet."""
        mark = self._marks.get(workload, {}).get(kind)
        if mark is None:
            return False
        if seen.version >= mark.version:
            self._shown.add((workload, kind))
        if seen.version <= mark.after or not _differs(seen, mark):
            return False
        sightings = self._sightings.setdefault((workload, kind), [])
        sightings.append(seen)
        del sightings[:-2]  # at most one is of an apply whose answer is not here yet
        return True

    def _guard_reflector(self, client: KubeClient, kind: str, path: str) -> Reflector[Guard]:
        def shown(workload: str, old: Guard | None, new: Guard | None) -> None:
            if new is None:
                news = self.confirmed(workload)
            else:
                news = self._see(workload, kind, Sighting(new.version, new.fingerprint, new.editor))
            if news:
                self._on_change(workload)

        return Reflector(client, path, project=project_guard, label_selector=OURS, on_change=shown)

    def _deployment_shown(self, workload: str, old: Observed | None, new: Observed | None) -> None:
        if new is not None and (old is None or old.generation != new.generation):
            self._see(workload, "Deployment", Sighting(new.generation, "", new.editor))
        self._on_change(workload)


def _mark(kind: str, answer: Mapping[str, Any], *, before: Mark | None) -> Mark:
    metadata = answer["metadata"]
    if kind == "Deployment":
        version, content = metadata.get("generation", 0), ""
    else:
        version, content = int(metadata.get("resourceVersion", "0")), fingerprint(answer)
    if before is None:
        return Mark(version, content, version)
    if version == before.version:
        return Mark(version, content, before.after)
    return Mark(version, content, before.version if version > before.version else 0)  # less: it was created anew


def _differs(seen: Sighting, mark: Mark) -> bool:
    """Whether a version shown has another content than our last apply left. That of a Deployment has a new generation
    exactly when its spec is another."""
    return seen.version != mark.version and (not mark.fingerprint or seen.fingerprint != mark.fingerprint)
