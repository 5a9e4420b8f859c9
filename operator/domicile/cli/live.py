"""The hub as ``explain`` and ``what-if`` see it: read once with the user's own kubeconfig, nothing written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from domicile.cli.deciding import Asked
from domicile.cli.errors import BadInput
from domicile.cli.ground import Ground
from domicile.cli.inventories import Item, build, problems_of
from domicile.cli.subjects import CLUSTER, WORKLOAD, Scene
from domicile.kube.client import KubeClient, resource_path
from domicile.kube.connect import ACCOUNT_FOLDER, KubeconfigError, hub_client, in_cluster
from domicile.kube.errors import ApiError, Forbidden, NotFound, Unauthorized
from domicile.model.objects import KINDS, STATED, ObjectError, read_spec
from domicile.model.schema import API_VERSION, read_instant
from domicile.report.answers import Note

Json = Mapping[str, Any]
FACT_KINDS = ("LegalEntity", "SovereignCluster", "SovereigntyFramework")
NO_ROOM = "Free capacity was not asked of the clusters; the conditions say what the operator found."


class Read(NamedTuple):
    """What was read of a hub: raw objects, labels of namespaces by name, and what could not be read."""

    raws: list[Json]
    labels: Mapping[str, Mapping[str, str]]
    notes: list[str]


def read_hub(*, namespace: str | None, kubeconfig: str | None, context: str | None, at: datetime) -> Scene:
    """All facts, rule packs and the workloads of one namespace. Raises BadInput where the hub cannot be read."""
    chosen = namespace or default_namespace(kubeconfig, context=context)
    return _scene(_ask(chosen, kubeconfig, context, files="-f"), namespace=chosen, at=at)


def read_ground(*, namespace: str | None, kubeconfig: str | None, context: str | None) -> Ground:
    """All facts, rule packs and the workloads of one namespace, or of all. Raises BadInput like ``read_hub``."""
    read = _ask(namespace, kubeconfig, context, files="-i")
    items, problems = _items(read.raws)
    return Ground(
        facts=tuple(item for item in items if item.kind != WORKLOAD),
        workloads=tuple(_asked(item, read.labels) for item in items if item.kind == WORKLOAD),
        problems=tuple(problems),
        warnings=(),
        notes=tuple(read.notes),
        live=True,
    )


def _ask(namespace: str | None, kubeconfig: str | None, context: str | None, *, files: str) -> Read:
    """``files`` is the option that names files instead of a hub."""
    if kubeconfig is not None and not Path(kubeconfig).expanduser().is_file():
        raise BadInput(f"--kubeconfig: {kubeconfig}: no such file; name one, or ask files with {files}")
    client = _open(kubeconfig, context=context, files=files)
    try:
        return asyncio.run(_read(client, namespace))
    except ApiError as error:
        raise BadInput(_remedied(error, files=files, everywhere=namespace is None)) from error


def _open(kubeconfig: str | None, *, context: str | None, files: str) -> KubeClient:
    try:
        return hub_client(kubeconfig=kubeconfig, context=context)
    except KubeconfigError as error:
        raise BadInput(f"{error} (or ask files with {files})") from error
    except (yaml.YAMLError, OSError, LookupError, TypeError, AttributeError) as error:
        where = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise BadInput(f"the kubeconfig {where} cannot be read; correct it, or ask files with {files}") from error


async def _read(client: KubeClient, namespace: str | None) -> Read:
    async with client:
        facts, workloads, labels = await asyncio.gather(
            asyncio.gather(*(_list(client, kind, None) for kind in FACT_KINDS)),
            _list(client, WORKLOAD, namespace),
            _labels(client, namespace) if namespace else _all_labels(client),
        )
    notes = [NO_ROOM]
    if labels is None:
        unread = f"namespace {namespace} cannot be read" if namespace else "namespaces cannot be listed"
        notes.append(f"No minimum tier was checked: {unread}.")
    return Read([raw for found in (*facts, workloads) for raw in found], labels or {}, notes)


async def _list(client: KubeClient, kind: str, namespace: str | None) -> list[Json]:
    found: list[Json] = []
    async for page in client.list_pages(resource_path(API_VERSION, KINDS[kind].plural, namespace)):
        known: list[Json] = [{**item, "kind": kind, "apiVersion": API_VERSION} for item in page.items]
        found = known if page.first else found + known
    return found


async def _labels(client: KubeClient, namespace: str) -> Mapping[str, Mapping[str, str]] | None:
    """Labels of the namespace; None where the user may not read it."""
    try:
        raw = await client.get(resource_path("v1", "namespaces", name=namespace))
    except (Forbidden, NotFound):
        return None
    return {namespace: raw.get("metadata", {}).get("labels") or {}}


async def _all_labels(client: KubeClient) -> Mapping[str, Mapping[str, str]] | None:
    """Labels of every namespace; None where the user may not list them."""
    found: dict[str, Mapping[str, str]] = {}
    try:
        async for page in client.list_pages(resource_path("v1", "namespaces")):
            found = {} if page.first else found
            found |= {i["metadata"]["name"]: i["metadata"].get("labels") or {} for i in page.items}
    except Forbidden:
        return None
    return found


def _remedied(error: ApiError, *, files: str, everywhere: bool) -> str:
    """What the API server's refusal means to the person who asked."""
    if isinstance(error, NotFound):
        return "the cluster does not know our kinds; install them: domicile crds | kubectl apply --server-side -f -"
    if isinstance(error, Unauthorized):
        return f"the cluster does not accept the credential of the kubeconfig: {error.message}"
    if isinstance(error, Forbidden):
        where = " in all namespaces (-n names one)" if everywhere else ""
        return f"{error.message}; listing {', '.join(KINDS[k].plural for k in STATED)}{where} is needed"
    return f"the cluster cannot be asked: {error.message or error} (or ask files with {files})"


def _items(raws: Iterable[Json]) -> tuple[list[Item], list[Note]]:
    """Objects with their typed specs, and what is wrong with those that cannot be read."""
    items: list[Item] = []
    problems: list[Note] = []
    for raw in raws:
        kind, name = str(raw["kind"]), str(raw.get("metadata", {}).get("name"))
        try:
            items.append(Item(kind, name, raw, read_spec(raw)))
        except ObjectError as error:
            problems += [Note("", f"{kind}/{name}", str(problem)) for problem in error.problems]
    return items, problems


def _scene(read: Read, *, namespace: str, at: datetime) -> Scene:
    items, problems = _items(read.raws)
    facts = [item for item in items if item.kind != WORKLOAD]
    inventory = build(facts, at=at)
    named = {f"{raw['kind']}/{raw['metadata']['name']}": raw for raw in read.raws}
    shown = {key: raw for key, raw in named.items() if key.startswith((f"{WORKLOAD}/", f"{CLUSTER}/"))}
    return Scene(
        inventory=inventory,
        workloads=tuple(_asked(item, read.labels) for item in items if item.kind == WORKLOAD),
        problems=(*problems, *problems_of(inventory, facts)),
        warnings=(),
        notes=tuple(read.notes),
        malformed=frozenset(problem.subject for problem in problems),
        statuses={key: raw.get("status") or {} for key, raw in shown.items()},
        namespace=namespace,
    )


def _asked(item: Item, labels: Mapping[str, Mapping[str, str]]) -> Asked:
    namespace = str(item.raw["metadata"]["namespace"])
    status: Json = item.raw.get("status") or {}
    placed = [(p["cluster"], p["nodePool"]) for p in status.get("placements") or ()]
    opened = (status.get("violation") or {}).get("opened")
    return Asked(
        item,
        namespace,
        labels.get(namespace, {}),
        in_force=status.get("tier"),
        previous=placed[0] if placed else None,
        violated_since=read_instant(opened) if opened else None,
        stopped="stopped" in status,
    )


def default_namespace(kubeconfig: str | None, *, context: str | None) -> str:
    """The namespace kubectl would use: the context's, in a pod its own, else ``default``."""
    if kubeconfig is None and context is None and in_cluster(os.environ):
        return _text(ACCOUNT_FOLDER / "namespace").strip() or "default"
    named = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    current, namespaces = context, dict[str, str]()
    for part in filter(None, named.split(os.pathsep)):
        try:
            document = yaml.safe_load(_text(Path(part).expanduser())) or {}
            current = current or document.get("current-context")
            for entry in document.get("contexts") or ():
                namespaces.setdefault(entry["name"], entry["context"].get("namespace") or "default")
        except (yaml.YAMLError, LookupError, TypeError, AttributeError):
            continue  # opening the client says what is wrong
    return namespaces.get(current or "", "default")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
