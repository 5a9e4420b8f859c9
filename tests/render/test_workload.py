"""What a member gets for a workload: bound to tier and pool, offline, closed, and with a digest of the whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domicile.model.labels import DIGEST
from domicile.model.objects import read_spec
from domicile.model.schema import API_VERSION
from domicile.model.workload import InferenceDeploymentSpec
from domicile.render.hardening import OWNED_ENVIRONMENT
from domicile.render.workload import Manifest, Target, namespace_manifest, render, rendered_digest

IMAGE = "registry.example.eu/vllm@sha256:" + "5" * 64
WEIGHTS = "registry.example.eu/weights@sha256:" + "9" * 64
TARGET = Target("health", "assistant", "cada", 3, "h100", "nvidia.com/gpu")
PREFIX = "domicile.node-restriction.kubernetes.io"


def spec_of(**fields: Any) -> InferenceDeploymentSpec:
    spec = {"model": {"name": "m", "source": f"oci://{WEIGHTS}"}, "runtime": {"name": "vLLM", "image": IMAGE}} | fields
    read = read_spec({"apiVersion": API_VERSION, "kind": "InferenceDeployment", "spec": spec})
    assert isinstance(read, InferenceDeploymentSpec)
    return read


def rendered(target: Target = TARGET, **fields: Any) -> dict[str, Manifest]:
    return {m["kind"]: m for m in render(spec_of(**fields), target)}


def pod(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = rendered(target, **fields)["Deployment"]["spec"]["template"]["spec"]
    return found


def container(target: Target = TARGET, **fields: Any) -> dict[str, Any]:
    (found,) = pod(target, **fields)["containers"]
    assert isinstance(found, dict)
    return found


def test_objects() -> None:
    manifests = render(spec_of(), TARGET)
    assert [m["kind"] for m in manifests] == ["ServiceAccount", "NetworkPolicy", "Service", "Deployment"]
    for manifest in manifests:
        metadata = manifest["metadata"]
        assert (metadata["namespace"], metadata["name"]) == ("health", "assistant")
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "domicile"
        assert metadata["labels"]["domicile.dev/infd"] == "assistant"
        assert metadata["labels"]["domicile.dev/tier"] == "3"
    assert namespace_manifest("health")["metadata"] == {"name": "health"}


def test_everything_picks_the_same_pods() -> None:
    found = rendered()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [{"domicile.dev/infd": "assistant"}] * 3
    assert selectors[0].items() <= labels.items()


LEVELS = (("cada", 1, "level-1"), ("cada", 4, "level-4"), ("seal", 3, "seal-level-3"))


@pytest.mark.parametrize(("framework", "level", "label"), LEVELS)
def test_bound_to_tier_and_pool(framework: str, level: int, label: str) -> None:
    target = TARGET._replace(framework=framework, level=level)
    assert pod(target)["nodeSelector"] == {f"{PREFIX}/{label}": "true", f"{PREFIX}/pool": "h100"}


def test_selectors_only_narrow() -> None:
    """A user's selector is added, and one that would name the tier or the pool loses."""
    wishes = {"zone": "a", f"{PREFIX}/level-3": "false", f"{PREFIX}/pool": "other"}
    found = pod(scheduling={"nodeSelector": wishes})["nodeSelector"]
    assert found == {"zone": "a", f"{PREFIX}/level-3": "true", f"{PREFIX}/pool": "h100"}


@given(st.lists(st.sampled_from([*OWNED_ENVIRONMENT, "MINE"]), unique=True))
def test_owned_environment_wins(names: list[str]) -> None:
    """Kubernetes takes the last of two variables of one name."""
    env = container(runtime={"image": IMAGE, "env": [{"name": name, "value": "user"} for name in names]})["env"]
    effective = {variable["name"]: variable["value"] for variable in env}
    assert OWNED_ENVIRONMENT.items() <= effective.items()
    assert effective.get("MINE", "user") == "user"


ARGUMENTS: tuple[tuple[str, list[str]], ...] = (
    ("vLLM", ["--model=/models", "--served-model-name=m", "--port=8000"]),
    ("SGLang", ["--model-path=/models", "--served-model-name=m", "--port=8000"]),
    ("LlamaCpp", ["--offline", "--alias=m", "--host=0.0.0.0", "--port=8000"]),
    ("TGI", ["--model-id=/models", "--usage-stats=off", "--port=8000"]),
    ("Custom", []),
)


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_arguments_name_a_local_path(name: str, arguments: list[str]) -> None:
    args = container(runtime={"name": name, "image": IMAGE, "args": ["--max-model-len=1"]})["args"]
    assert args == [*arguments, "--max-model-len=1"]


DIGEST_OF_WEIGHTS = "sha256:" + "7" * 64
SOURCES: tuple[tuple[str, str | None, dict[str, Any] | None], ...] = (
    (f"oci://{WEIGHTS}", None, {"image": {"reference": WEIGHTS, "pullPolicy": "IfNotPresent"}}),
    (
        "oci://registry.example.eu/w:1",
        DIGEST_OF_WEIGHTS,
        {"image": {"reference": f"registry.example.eu/w:1@{DIGEST_OF_WEIGHTS}", "pullPolicy": "IfNotPresent"}},
    ),
    ("pvc://weights/sub/path", None, {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}),
    ("file:///opt/weights", None, None),
)


@pytest.mark.parametrize(("source", "digest", "volume"), SOURCES)
def test_weights(source: str, digest: str | None, volume: dict[str, Any] | None) -> None:
    model = {"name": "m", "source": source} | ({"digest": digest} if digest else {})
    found = pod(model=model)
    volumes = {v.pop("name"): v for v in found["volumes"]}
    mounts = {m["name"]: m for m in found["containers"][0]["volumeMounts"]}
    assert volumes.get("model") == volume
    if volume is None:
        assert "model" not in mounts
        assert "--model=/opt/weights" in found["containers"][0]["args"]
    else:
        assert mounts["model"] == {"name": "model", "mountPath": "/models", "readOnly": True}


def test_resources() -> None:
    accelerator = {"products": ["MI300X"], "count": 4}
    found = container(
        TARGET._replace(accelerator_resource="amd.com/gpu"),
        resources={"accelerator": accelerator, "cpu": "8", "memory": "64Gi"},
    )["resources"]
    assert found == {
        "requests": {"cpu": "8", "memory": "64Gi", "amd.com/gpu": "4"},
        "limits": {"amd.com/gpu": "4"},
    }
    assert container()["resources"] == {}
    assert container(resources={"cpu": "1"})["resources"] == {"requests": {"cpu": "1"}}


def test_pod_is_closed() -> None:
    found = pod()
    assert found["automountServiceAccountToken"] is False and found["serviceAccountName"] == "assistant"
    assert found["enableServiceLinks"] is False
    assert found["securityContext"]["runAsNonRoot"] is True
    security = found["containers"][0]["securityContext"]
    assert security == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    for field in ("hostNetwork", "hostPID", "hostIPC", "nodeName", "initContainers"):
        assert field not in found


def test_egress_is_denied_but_for_dns_and_what_is_named() -> None:
    rules = rendered()["NetworkPolicy"]["spec"]
    assert rules["policyTypes"] == ["Egress"]
    (dns,) = rules["egress"]
    assert [(p["protocol"], p["port"]) for p in dns["ports"]] == [("UDP", 53), ("TCP", 53)]
    assert dns["to"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    mirror = {"name": "a", "purpose": "p", "cidr": "192.0.2.0/24", "ports": [443, 80], "country": "DK"}
    _, named = rendered(egress=[mirror])["NetworkPolicy"]["spec"]["egress"]
    assert named["to"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
    assert named["ports"] == [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 80}]


@pytest.mark.parametrize(
    ("fields", "replicas"), [({}, 1), ({"replicas": 7}, 7), ({"replicas": 0}, 0), ({"replicas": 7, "suspend": True}, 0)]
)
def test_replicas(fields: dict[str, Any], replicas: int) -> None:
    assert rendered(**fields)["Deployment"]["spec"]["replicas"] == replicas


def test_probes_ask_the_port() -> None:
    found = container(
        runtime={"image": IMAGE, "port": 9000},
        probes={"readiness": {"path": "/ready", "periodSeconds": 5, "failureThreshold": 2}},
    )
    assert found["readinessProbe"] == {
        "httpGet": {"path": "/ready", "port": 9000, "scheme": "HTTP"},
        "periodSeconds": 5,
        "failureThreshold": 2,
    }
    assert found["startupProbe"]["failureThreshold"] == 60, "weights need minutes to load"
    assert found["ports"][0]["containerPort"] == 9000
    service = rendered(runtime={"image": IMAGE, "port": 9000})["Service"]["spec"]
    assert service["ports"] == [{"name": "http", "port": 80, "targetPort": 9000, "protocol": "TCP"}]


def test_scheduling_wishes() -> None:
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    found = pod(
        scheduling={"tolerations": [toleration], "priorityClassName": "high", "runtimeClassName": "nvidia"},
        imagePullSecrets=["pull"],
    )
    assert found["tolerations"] == [toleration]
    assert (found["priorityClassName"], found["runtimeClassName"]) == ("high", "nvidia")
    assert found["imagePullSecrets"] == [{"name": "pull"}]
    assert "tolerations" not in pod()


def test_one_digest_of_the_whole() -> None:
    manifests = render(spec_of(), TARGET)
    digests = {m["metadata"]["annotations"][DIGEST] for m in manifests}
    assert digests == {rendered_digest(manifests)}
    assert digests == {m["metadata"]["annotations"][DIGEST] for m in render(spec_of(), TARGET)}, "same in, same out"


CHANGES: tuple[dict[str, Any], ...] = (
    {"replicas": 2},
    {"suspend": True},
    {"runtime": {"name": "vLLM", "image": IMAGE.replace("5" * 64, "6" * 64)}},
    {"egress": [{"name": "a", "purpose": "p", "cidr": "192.0.2.0/24", "ports": [443], "country": "DK"}]},
    {"resources": {"cpu": "1"}},
)
TARGETS = (TARGET._replace(level=2), TARGET._replace(pool="other"), TARGET._replace(accelerator_resource="amd.com/gpu"))


@pytest.mark.parametrize("fields", CHANGES, ids=lambda f: next(iter(f)))
def test_what_changes_the_digest(fields: dict[str, Any]) -> None:
    assert rendered_digest(render(spec_of(**fields), TARGET)) != rendered_digest(render(spec_of(), TARGET))


@pytest.mark.parametrize("target", TARGETS, ids=["level", "pool", "resource"])
def test_where_it_goes_changes_the_digest(target: Target) -> None:
    spec = spec_of(resources={"accelerator": {"products": ["H100"], "count": 1}})
    assert rendered_digest(render(spec, target)) != rendered_digest(render(spec, TARGET))
