"""crds/ on a real API server: it takes the definitions, gives the same answers as the models, enforces tiers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from devcluster import DevclusterError, Plane
from domicile.model.labels import FINALIZER
from domicile.model.objects import KINDS, read_spec
from tests.crds.cases import CASES, CHANGES, NULLS, PINNED, Case, Change, Json, manifest, merged, spec_of

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "crds"
FLOORED = "crds-floor-3"
TIER = "domicile.dev/sovereignty-tier"
FLOOR = "domicile.dev/minimum-tier"


@pytest.fixture(scope="module")
def api(crds_installed: Plane) -> Iterator[Plane]:
    """The hub with the namespaces of this suite; nothing of it stays for the others."""
    for name, labels in ((NAMESPACE, {}), (FLOORED, {FLOOR: "3"})):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        crds_installed.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    yield crds_installed
    for name in (NAMESPACE, FLOORED):
        let_go(crds_installed, name)
    crds_installed.kubectl("delete", "namespace", NAMESPACE, FLOORED, "--wait=false")
    for raw in ROUND_TRIPS:
        crds_installed.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=json.dumps(raw))


def let_go(api: Plane, namespace: str) -> None:
    """Take the finalizers off all workloads of a namespace: no operator runs here that would."""
    for name in api.kubectl("get", "infd", "-n", namespace, "-o", "name").split():
        patch = json.dumps({"metadata": {"finalizers": None}})
        api.kubectl("patch", name, "-n", namespace, "--type=merge", "-p", patch)


def send(api: Plane, verb: str, raw: Json, *options: str) -> str:
    """What the API server says to ``raw``: empty when it takes it, else its refusal."""
    try:
        api.kubectl(verb, "-f", "-", "--validate=strict", *options, stdin=json.dumps(raw))
    except DevclusterError as error:
        return str(error)
    return ""


def judge(answer: str, fragment: str) -> None:
    if fragment:
        assert fragment in answer, answer or "taken"
    else:
        assert answer == ""


def infd(name: str, namespace: str = NAMESPACE, annotation: str | None = None, tier: int | None = None) -> Json:
    """A small workload with its tier in either place, both or none."""
    spec = spec_of("InferenceDeployment", {} if tier is None else {"sovereignty": {"tier": tier}})
    annotations = {} if annotation is None else {TIER: annotation}
    return manifest("InferenceDeployment", spec, name, namespace=namespace, annotations=annotations)


@contextmanager
def existing(api: Plane, raw: Json) -> Iterator[None]:
    api.kubectl("create", "-f", "-", stdin=json.dumps(raw))
    try:
        yield
    finally:
        if raw["kind"] == "InferenceDeployment":
            let_go(api, raw["metadata"]["namespace"])
        wait = "--wait=false" if raw["kind"] == "Namespace" else "--wait=true"  # namespaces take seconds to go
        api.kubectl("delete", wait, "-f", "-", stdin=json.dumps(raw))


def read(api: Plane, raw: Json) -> Json:
    (result,) = json.loads(api.kubectl("get", "-f", "-", "-o", "json", stdin=json.dumps(raw)))["items"]
    return dict(result)


def eventually(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.2)


# ---- the definitions themselves ------------------------------------------------------------------------------------


def test_definitions_are_accepted_without_reservation(api: Plane) -> None:
    items = json.loads(api.kubectl("get", "crd", "-o", "json"))["items"]
    ours = {crd["spec"]["names"]["kind"]: crd["status"] for crd in items if crd["spec"]["group"] == "domicile.dev"}
    assert set(ours) == set(KINDS)
    for status in ours.values():
        conditions = {c["type"]: c["status"] for c in status["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}  # no NonStructuralSchema, not terminating


def test_policies_type_check(api: Plane) -> None:
    for name in ("domicile-tier", "domicile-minimum-tier"):
        condition = "jsonpath={.status.typeChecking}"  # empty once checked without a warning
        api.kubectl("wait", "validatingadmissionpolicy", name, f"--for={condition}", "--timeout=20s")
        seen = api.kubectl("get", "validatingadmissionpolicy", name, "-o", condition)
        assert json.loads(seen) == {}


def test_explain_gives_meaning_and_units(api: Plane) -> None:
    field = "infd.spec.resources.accelerator.minMemory"
    eventually(lambda: "Least memory of one accelerator, 80Gi" in api.kubectl("explain", field))
    assert "Annex II 2.1(d)" in api.kubectl("explain", "infd.spec.sovereignty.requireUnionCitizens")
    assert "Rights beyond shares" in api.kubectl("explain", "entity.spec.ownership.owners.specialRights")


def test_kinds_are_found_by_short_name_and_category(api: Plane) -> None:
    listed = api.kubectl("api-resources", "--api-group=domicile.dev", "--categories=domicile", "--no-headers")
    assert {line.split()[1] for line in listed.splitlines()} == {kind.short for kind in KINDS.values()}


# ---- the same answers as the models --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_server_judges(api: Plane, case: Case) -> None:
    raw = manifest(case.kind, spec_of(case.kind, case.change), namespace=NAMESPACE)
    judge(send(api, "create", raw, "--dry-run=server"), case.server)


@pytest.mark.parametrize("case", NULLS, ids=lambda case: case.name)
def test_server_judges_nulls(api: Plane, case: Case) -> None:
    raw = manifest(case.kind, spec_of(case.kind, case.change), namespace=NAMESPACE)
    judge(send(api, "apply", raw, "--dry-run=server", "--server-side"), case.server)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_server_judges_changes(api: Plane, change: Change) -> None:
    old, new = (
        manifest(change.kind, spec_of(change.kind, part), "change", namespace=NAMESPACE)
        for part in (change.old, change.new)
    )
    with existing(api, old):
        judge(send(api, "replace", new, "--dry-run=server"), change.refused)


def documents(path: str) -> list[Json]:
    """The objects of a file under names of this suite's own."""
    found = list(yaml.safe_load_all((ROOT / path).read_text(encoding="utf-8")))
    return [merged(raw, {"metadata": {"name": f"crds-{raw['metadata']['name']}"}}) for raw in found]


SKETCHED = manifest(
    "InferenceDeployment",
    {
        "model": {"name": "mistral-small", "source": f"oci://registry.example.eu/models/mistral-small@{PINNED}"},
        "runtime": {
            "name": "vLLM",
            "image": f"registry.example.eu/vllm@{PINNED}",
            "args": ["--max-model-len=32768"],
        },
        "replicas": 2,
        "resources": {
            "accelerator": {"products": ["H100", "H200"], "count": 1, "minMemory": "80Gi"},
            "cpu": "8",
            "memory": "64Gi",
        },
        "probes": {"startup": {"path": "/ready"}},
        "sovereignty": {"countries": ["DK", "FR"], "maxEvidenceAge": "4320h"},
    },
    "assistant",
    namespace=NAMESPACE,
    annotations={TIER: "3"},
)
ROUND_TRIPS = [
    SKETCHED,
    *documents("tests/scenarios/baseline.yaml"),
    *documents("operator/domicile/frameworks/cada.yaml"),
]


@pytest.mark.parametrize("raw", ROUND_TRIPS, ids=lambda raw: f"{raw['kind']}/{raw['metadata']['name']}")
def test_what_is_stored_means_what_was_written(api: Plane, raw: Json) -> None:
    assert send(api, "apply", raw, "--server-side") == ""
    assert read_spec(read(api, raw)) == read_spec(raw)  # nothing pruned, and both sides fill in the same defaults


# ---- what people see -----------------------------------------------------------------------------------------------


def columns(api: Plane, raw: Json, status: Json) -> dict[str, str]:
    """The line that ``kubectl get`` prints once the status is written."""
    kind = KINDS[raw["kind"]]
    name, where = raw["metadata"]["name"], ("-n", NAMESPACE) if kind.namespaced else ()
    assert send(api, "apply", raw, "--server-side") == ""
    api.kubectl(
        "patch", kind.short, name, *where, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )
    header, line = api.kubectl("get", kind.short, name, *where).splitlines()
    starts = [header.index(column) for column in header.split()]
    cells = [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
    return dict(zip(header.split(), cells, strict=True))


def condition(type_: str, status: str, reason: str) -> Json:
    at = "2026-11-01T00:00:00Z"
    return {"type": type_, "status": status, "reason": reason, "lastTransitionTime": at, "observedGeneration": 1}


def test_columns_of_a_workload(api: Plane) -> None:
    conditions = [condition("Ready", "False", "InsufficientCapacity"), condition("Compliant", "True", "TierSatisfied")]
    status = {"tier": 1, "cluster": "rhein-1", "nodePool": "a100", "reason": "Full", "conditions": conditions}
    seen = columns(api, infd("columns"), status)
    assert seen.pop("AGE")
    assert seen == {
        "NAME": "columns",
        "TIER": "1",
        "READY": "False",
        "COMPLIANT": "True",
        "CLUSTER": "rhein-1",
        "POOL": "a100",
        "REASON": "Full",
    }


def test_columns_of_the_other_kinds(api: Plane) -> None:
    accepted = {"conditions": [condition("Accepted", "False", "UnknownPlace")]}
    by_kind = {raw["kind"]: raw for raw in ROUND_TRIPS}
    seen = columns(api, by_kind["LegalEntity"], accepted)
    assert (seen["KIND"], seen["COUNTRY"], seen["VALID"], seen["REASON"]) == ("company", "DK", "False", "UnknownPlace")
    seen = columns(api, by_kind["SovereigntyFramework"], accepted)
    assert (seen["VERSION"], seen["ACCEPTED"], seen["REASON"]) == ("COM-2026-502", "False", "UnknownPlace")
    status = {"control": "Union", "poolCount": 2, "levels": "h100=4 h100-hall2=2", "reachable": "True"}
    seen = columns(api, by_kind["SovereignCluster"], status)
    assert seen["LEVELS"] == "h100=4 h100-hall2=2"
    assert (seen["PROVIDER"], seen["CONTROL"], seen["POOLS"], seen["REACHABLE"]) == ("nordlys", "Union", "2", "True")


def test_scale(api: Plane) -> None:
    raw = infd("scaled", annotation="3")
    with existing(api, raw):
        api.kubectl("scale", "infd/scaled", "-n", NAMESPACE, "--replicas=3")
        assert read(api, raw)["spec"]["replicas"] == 3
        patch = json.dumps({"status": {"replicas": 2, "selector": "domicile.dev/infd=scaled"}})
        api.kubectl("patch", "infd", "scaled", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
        path = f"/apis/domicile.dev/v1alpha1/namespaces/{NAMESPACE}/inferencedeployments/scaled/scale"
        status = json.loads(api.kubectl("get", "--raw", path))["status"]
        assert status == {"replicas": 2, "selector": "domicile.dev/infd=scaled"}


# ---- the tier policies ---------------------------------------------------------------------------------------------

Written = tuple[str | None, int | None]  # annotation, spec.sovereignty.tier

CREATIONS: list[tuple[str, str, Written, str]] = [
    (NAMESPACE, "annotation", ("3", None), ""),
    (NAMESPACE, "field", (None, 3), ""),
    (NAMESPACE, "both, equal", ("3", 3), ""),
    (NAMESPACE, "neither: the operator answers", (None, None), ""),
    (NAMESPACE, "both, different", ("3", 2), "says 3, spec.sovereignty.tier says 2; keep one"),
    (NAMESPACE, "both, annotation lower", ("2", 3), "says 2, spec.sovereignty.tier says 3; keep one"),
    (NAMESPACE, "word", ("three", None), "says three, which is no tier; write a number"),
    (NAMESPACE, "two digits", ("10", None), "says 10, which is no tier"),
    (NAMESPACE, "sign", ("-1", None), "says -1, which is no tier"),
    (NAMESPACE, "fraction", ("2.5", None), "says 2.5, which is no tier"),
    (NAMESPACE, "line break", ("3\n", None), "is no tier"),
    (NAMESPACE, "empty", ("", None), "which is no tier"),
    (NAMESPACE, "empty beside a field", ("", 3), "which is no tier"),
    (FLOORED, "annotation at the floor", ("3", None), ""),
    (FLOORED, "field above the floor", (None, 4), ""),
    (FLOORED, "annotation below the floor", ("2", None), "tier 2 is below 3, the domicile.dev/minimum-tier"),
    (FLOORED, "field below the floor", (None, 0), "tier 0 is below 3, the domicile.dev/minimum-tier"),
    (FLOORED, "neither under a floor", (None, None), ""),
]


@pytest.mark.parametrize(("namespace", "name", "written", "fragment"), CREATIONS, ids=str)
def test_tier_on_creation(api: Plane, namespace: str, name: str, written: Written, fragment: str) -> None:
    judge(send(api, "create", infd("created", namespace, *written), "--dry-run=server"), fragment)


GONE = "it is 3 and would be gone; delete the object and create it again"
LOWER = "it is 3 and would be 2; delete the object and create it again"
UPDATES: list[tuple[str, Written, Written, str]] = [
    ("annotation kept", ("3", None), ("3", None), ""),
    ("annotation raised", ("3", None), ("4", None), ""),
    ("annotation lowered", ("3", None), ("2", None), LOWER),
    ("annotation removed", ("3", None), (None, None), GONE),
    ("annotation made void", ("3", None), ("none", None), "which is no tier"),
    ("annotation replaced by an equal field", ("3", None), (None, 3), ""),
    ("annotation replaced by a lower field", ("3", None), (None, 2), LOWER),
    ("annotation added to an equal field", (None, 3), ("3", 3), ""),
    ("annotation added below the field", (None, 3), ("2", 3), "says 2, spec.sovereignty.tier says 3"),
    ("annotation first written", (None, None), ("1", None), ""),
    ("field raised", (None, 3), (None, 4), ""),
    ("field lowered", (None, 3), (None, 2), "sovereignty.tier is never lowered"),
]


@pytest.mark.parametrize(("name", "old", "new", "fragment"), UPDATES, ids=str)
def test_tier_on_update(api: Plane, name: str, old: Written, new: Written, fragment: str) -> None:
    with existing(api, infd("updated", NAMESPACE, *old)):
        judge(send(api, "replace", infd("updated", NAMESPACE, *new), "--dry-run=server"), fragment)


def patch_namespace(api: Plane, name: str, floor: str | None) -> str:
    patch = json.dumps({"metadata": {"labels": {FLOOR: floor}}})
    try:
        api.kubectl("patch", "namespace", name, "--type=merge", "-p", patch)
    except DevclusterError as error:
        return str(error)
    return ""


def test_deletion_is_never_blocked(api: Plane) -> None:
    """A workload below a floor that rose later still goes, finalizer and all; its status can still be written."""
    name = "crds-rising"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    with existing(api, namespace):
        raw = merged(infd("leaving", name, "1"), {"metadata": {"finalizers": ["domicile.dev/placement"]}})
        api.kubectl("create", "-f", "-", stdin=json.dumps(raw))
        assert patch_namespace(api, name, "2") == ""
        touched = merged(raw, {"spec": {"replicas": 4}})
        eventually(lambda: "tier 1 is below 2" in send(api, "replace", touched, "--dry-run=server"))
        patch = json.dumps({"status": {"reason": "TierBelowFloor"}})
        api.kubectl("patch", "infd", "leaving", "-n", name, "--subresource=status", "--type=merge", "-p", patch)
        api.kubectl("delete", "infd", "leaving", "-n", name, "--wait=false")
        patch = json.dumps({"metadata": {"finalizers": None}})
        api.kubectl("patch", "infd", "leaving", "-n", name, "--type=merge", "-p", patch)
        assert api.kubectl("get", "infd", "-n", name, "-o", "name") == ""


def test_new_workloads_are_held(api: Plane) -> None:
    """From the start, beside the finalizers of others, and nobody who applies again takes that back."""
    eventually(lambda: finalizers(api, infd("probe"), "create", "--dry-run=server") == [FINALIZER])
    taken = merged(infd("taken"), {"metadata": {"finalizers": ["example.org/x"]}})
    assert finalizers(api, taken, "create", "--dry-run=server") == ["example.org/x", FINALIZER]
    own = merged(infd("own"), {"metadata": {"finalizers": [FINALIZER]}})
    assert finalizers(api, own, "create", "--dry-run=server") == [FINALIZER]
    with existing(api, infd("again")):
        for way in ((), ("--server-side", "--force-conflicts")):
            changed = merged(infd("again"), {"spec": {"replicas": 2 + len(way)}})
            assert finalizers(api, changed, "apply", *way) == [FINALIZER]


def finalizers(api: Plane, raw: Json, verb: str, *options: str) -> list[str]:
    """The finalizers after a write, as the API server answers."""
    answer = api.kubectl(verb, "-f", "-", "-o", "json", *options, stdin=json.dumps(raw))
    found: list[str] = json.loads(answer)["metadata"].get("finalizers", [])
    return found


def test_a_floor_only_rises(api: Plane) -> None:
    name = "crds-floors"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    with existing(api, namespace):
        judge(patch_namespace(api, name, "high"), "says high, which is no tier")
        judge(patch_namespace(api, name, "2"), "")
        judge(patch_namespace(api, name, "3"), "")
        judge(patch_namespace(api, name, "2"), "is 3 and may only rise")
        judge(patch_namespace(api, name, None), "is 3 and may only rise")
        judge(patch_namespace(api, name, ""), "is 3 and may only rise")
        api.kubectl("label", "namespace", name, "team=health")
