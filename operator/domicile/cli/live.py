"""The hub as ``explain`` sees it: read once with the user's own kubeconfig, nothing written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from domicile.cli.deciding import Asked
from domicile.cli.errors import BadInput
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


def read_hub(*, namespace: str | None, kubeconfig: str | None, context: str | None, at: datetime) -> Scene:
    """All facts, rule packs and the workloads of one namespace. Raises BadInput where the hub cannot be read."""
    if kubeconfig is not None and not Path(kubeconfig).expanduser().is_file():
        raise BadInput(f"--kubeconfig: {kubeconfig}: no such file; name one, or ask files with -f")
    chosen = namespace or default_namespace(kubeconfig, context=context)
    client = _open(kubeconfig, context=context)
    try:
        raws, labels, notes = asyncio.run(_read(client, chosen))
    except ApiError as error:
        raise BadInput(_remedied(error)) from error
    return _scene(raws, namespace=chosen, labels=labels, notes=notes, at=at)


def _open(kubeconfig: str | None, *, context: str | None) -> KubeClient:
    try:
        return hub_client(kubeconfig=kubeconfig, context=context)
    except KubeconfigError as error:
        raise BadInput(f"{error} (or ask files with -f)") from error
    except (yaml.YAMLError, OSError, LookupError, TypeError, AttributeError) as error:
        where = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise BadInput(f"the kubeconfig {where} cannot be read; correct it, or ask files with -f") from error


async def _read(client: KubeClient, namespace: str) -> tuple[list[Json], Mapping[str, str], list[str]]:
    async with client:
        facts, workloads, labels = await asyncio.gather(
            asyncio.gather(*(_list(client, kind, None) for kind in FACT_KINDS)),
            _list(client, WORKLOAD, namespace),
            _labels(client, namespace),
        )
    notes = [NO_ROOM]
    if labels is None:
        notes.append(f"No minimum tier was checked: namespace {namespace} cannot be read.")
    return [raw for found in (*facts, workloads) for raw in found], labels or {}, notes


async def _list(client: KubeClient, kind: str, namespace: str | None) -> list[Json]:
    found: list[Json] = []
    async for page in client.list_pages(resource_path(API_VERSION, KINDS[kind].plural, namespace)):
        known: list[Json] = [{**item, "kind": kind, "apiVersion": API_VERSION} for item in page.items]
        found = known if page.first else found + known
    return found


async def _labels(client: KubeClient, namespace: str) -> Mapping[str, str] | None:
    """Labels of the namespace; None where the user may not read it."""
    try:
        raw = await client.get(resource_path("v1", "namespaces", name=namespace))
    except (Forbidden, NotFound):
        return None
    return raw.get("metadata", {}).get("labels") or {}


def _remedied(error: ApiError) -> str:
    """What the API server's refusal means to the person who asked."""
    if isinstance(error, NotFound):
        return "the cluster does not know our kinds; install them: domicile crds | kubectl apply --server-side -f -"
    if isinstance(error, Unauthorized):
        return f"the cluster does not accept the credential of the kubeconfig: {error.message}"
    if isinstance(error, Forbidden):
        return f"{error.message}; explain needs to list {', '.join(KINDS[k].plural for k in STATED)}"
    return f"the cluster cannot be asked: {error.message or error} (or ask files with -f)"


def _scene(raws: Iterable[Json], *, namespace: str, labels: Mapping[str, str], notes: list[str], at: datetime) -> Scene:
    items: list[Item] = []
    problems: list[Note] = []
    malformed: set[str] = set()
    statuses: dict[str, Json] = {}
    for raw in raws:
        kind, name = str(raw["kind"]), str(raw.get("metadata", {}).get("name"))
        statuses[f"{kind}/{name}"] = raw.get("status") or {}
        try:
            items.append(Item(kind, name, raw, read_spec(raw)))
        except ObjectError as error:
            malformed.add(f"{kind}/{name}")
            problems += [Note("", f"{kind}/{name}", str(problem)) for problem in error.problems]
    facts = [item for item in items if item.kind != WORKLOAD]
    inventory = build(facts, at=at)
    workloads = [item for item in items if item.kind == WORKLOAD]
    return Scene(
        inventory=inventory,
        workloads=tuple(_asked(i, namespace, labels, statuses[f"{WORKLOAD}/{i.name}"]) for i in workloads),
        problems=(*problems, *problems_of(inventory, facts)),
        warnings=(),
        notes=tuple(notes),
        malformed=frozenset(malformed),
        statuses={key: status for key, status in statuses.items() if key.startswith((f"{WORKLOAD}/", f"{CLUSTER}/"))},
        namespace=namespace,
    )


def _asked(item: Item, namespace: str, labels: Mapping[str, str], status: Json) -> Asked:
    placed = [(p["cluster"], p["nodePool"]) for p in status.get("placements") or ()]
    opened = (status.get("violation") or {}).get("opened")
    return Asked(
        item,
        namespace,
        labels,
        in_force=status.get("tier"),
        previous=placed[0] if placed else None,
        violated_since=read_instant(opened) if opened else None,
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
