"""One placement -> the objects a member gets: ServiceAccount, Deployment, Service, NetworkPolicy, in their namespace.

The pod can only run on nodes that Domicile labelled for the tier and the pool, whoever schedules it and whether or not
the operator is up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from domicile.model.labels import DIGEST, MANAGED_BY, POOL_LABEL, TIER, WORKLOAD, level_label
from domicile.model.workload import InferenceDeploymentSpec, Probe, RuntimeName
from domicile.render.hardening import OWNED_ENVIRONMENT
from domicile.tiers.framework import digest_of

Manifest = dict[str, Any]
MODEL_PATH = "/models"


class Target(NamedTuple):
    """What rendering needs to know beside the spec."""

    namespace: str
    name: str
    framework: str
    level: int
    pool: str
    accelerator_resource: str
    surge: bool = False  # on the way from another pool: new pods come first, the old ones go once they are ready


def render(spec: InferenceDeploymentSpec, target: Target) -> list[Manifest]:
    """The manifests, in the order of delivery, each with the digest of the whole set."""
    manifests = [
        _service_account(target),
        _network_policy(spec, target),
        _service(spec, target),
        _deployment(spec, target),
    ]
    digest = rendered_digest(manifests)
    for manifest in manifests:
        manifest["metadata"]["annotations"] = {DIGEST: digest}
    return manifests


def rendered_digest(manifests: list[Manifest]) -> str:
    """sha256 over the manifests without their digest annotation."""
    return digest_of([{**m, "metadata": {**m["metadata"], "annotations": None}} for m in manifests])


def namespace_manifest(name: str) -> Manifest:
    """The namespace a member needs. Nothing of an existing one is taken over, and it is never deleted."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def selector(target: Target) -> dict[str, str]:
    """Labels that pick the pods of the workload and no others."""
    return {WORKLOAD: target.name}


def _metadata(target: Target) -> dict[str, Any]:
    return {"name": target.name, "namespace": target.namespace, "labels": _labels(target)}


def _labels(target: Target) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "inference",
        "app.kubernetes.io/instance": target.name[:63],
        "app.kubernetes.io/part-of": "domicile",
        MANAGED_BY: "domicile",
        WORKLOAD: target.name,
        TIER: str(target.level),
    }


def _service_account(target: Target) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": _metadata(target),
        "automountServiceAccountToken": False,
    }


def _service(spec: InferenceDeploymentSpec, target: Target) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(target),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(target),
            "ports": [{"name": "http", "port": 80, "targetPort": spec.runtime.port, "protocol": "TCP"}],
        },
    }


def _network_policy(spec: InferenceDeploymentSpec, target: Target) -> Manifest:
    """Egress is denied but for cluster DNS and the destinations the spec names; ingress stays open."""
    dns = {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }
    allowed = [
        {
            "to": [{"ipBlock": {"cidr": rule.cidr}}],
            "ports": [{"protocol": "TCP", "port": port} for port in rule.ports],
        }
        for rule in spec.egress
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(target),
        "spec": {
            "podSelector": {"matchLabels": selector(target)},
            "policyTypes": ["Egress"],
            "egress": [dns, *allowed],
        },
    }


def _deployment(spec: InferenceDeploymentSpec, target: Target) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(target),
        "spec": {
            "replicas": 0 if spec.suspend else spec.replicas,
            "selector": {"matchLabels": selector(target)},
            "progressDeadlineSeconds": 1800,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rollout(target)},
            "template": {"metadata": {"labels": _labels(target)}, "spec": _pod(spec, target)},
        },
    }


def _rollout(target: Target) -> dict[str, Any]:
    """Accelerator pools are usually full: a pod is replaced in its place, without asking for one more, unless it
    moves."""
    return {"maxSurge": "100%", "maxUnavailable": 0} if target.surge else {"maxSurge": 0, "maxUnavailable": 1}


def _pod(spec: InferenceDeploymentSpec, target: Target) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "serviceAccountName": target.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service called vllm would inject VLLM_PORT=tcp://... and stop vLLM
        "terminationGracePeriodSeconds": 60,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "nodeSelector": {
            **spec.scheduling.node_selector,
            level_label(target.framework, target.level): "true",
            POOL_LABEL: target.pool,
        },
        "containers": [_container(spec, target)],
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    if (model := _model_volume(spec)) is not None:
        pod["volumes"].append(model)
        pod["containers"][0]["volumeMounts"].append({"name": "model", "mountPath": MODEL_PATH, "readOnly": True})
    scheduling = spec.scheduling
    if scheduling.tolerations:
        pod["tolerations"] = [t.plain() for t in scheduling.tolerations]
    if scheduling.priority_class_name:
        pod["priorityClassName"] = scheduling.priority_class_name
    if scheduling.runtime_class_name:
        pod["runtimeClassName"] = scheduling.runtime_class_name
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.image_pull_secrets]
    return pod


def _model_volume(spec: InferenceDeploymentSpec) -> dict[str, Any] | None:
    """Weights by the scheme of their source; those inside the image need no volume."""
    scheme, _, rest = spec.model.source.partition("://")
    if scheme == "oci":
        pinned = rest if "@sha256:" in rest or not spec.model.digest else f"{rest}@{spec.model.digest}"
        return {"name": "model", "image": {"reference": pinned, "pullPolicy": "IfNotPresent"}}
    if scheme == "pvc":
        return {"name": "model", "persistentVolumeClaim": {"claimName": rest.partition("/")[0], "readOnly": True}}
    return None


def _model_path(spec: InferenceDeploymentSpec) -> str:
    scheme, _, rest = spec.model.source.partition("://")
    return rest if scheme == "file" else MODEL_PATH


def _container(spec: InferenceDeploymentSpec, target: Target) -> dict[str, Any]:
    environment = [{"name": v.name, "value": v.value} for v in spec.runtime.env]
    environment += [{"name": name, "value": value} for name, value in OWNED_ENVIRONMENT.items()]
    return {
        "name": "runtime",
        "image": spec.runtime.image,
        "imagePullPolicy": "IfNotPresent",
        "args": _arguments(spec),
        "env": environment,
        "ports": [{"name": "http", "containerPort": spec.runtime.port, "protocol": "TCP"}],
        "resources": _resources(spec, target),
        "startupProbe": _probe(spec, spec.probes.startup),
        "readinessProbe": _probe(spec, spec.probes.readiness),
        "livenessProbe": _probe(spec, spec.probes.liveness),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }


def _arguments(spec: InferenceDeploymentSpec) -> list[str]:
    """Always a local path, never a hub id: stacks resolve configuration from the hub when they are given an id."""
    served, port, path = spec.model.name, str(spec.runtime.port), _model_path(spec)
    known = {
        RuntimeName.VLLM: [f"--model={path}", f"--served-model-name={served}", f"--port={port}"],
        RuntimeName.SGLANG: [f"--model-path={path}", f"--served-model-name={served}", f"--port={port}"],
        RuntimeName.LLAMA_CPP: ["--offline", f"--alias={served}", "--host=0.0.0.0", f"--port={port}"],
        RuntimeName.TGI: [f"--model-id={path}", "--usage-stats=off", f"--port={port}"],
        RuntimeName.CUSTOM: [],
    }
    return [*known[spec.runtime.name], *spec.runtime.args]


def _resources(spec: InferenceDeploymentSpec, target: Target) -> dict[str, Any]:
    wanted = {name: text for name, text in (("cpu", spec.resources.cpu), ("memory", spec.resources.memory)) if text}
    if spec.resources.accelerator is None:
        return {"requests": wanted} if wanted else {}
    count = str(spec.resources.accelerator.count)
    return {"requests": {**wanted, target.accelerator_resource: count}, "limits": {target.accelerator_resource: count}}


def _probe(spec: InferenceDeploymentSpec, probe: Probe) -> dict[str, Any]:
    return {
        "httpGet": {"path": probe.path, "port": spec.runtime.port, "scheme": "HTTP"},
        "periodSeconds": probe.period_seconds,
        "failureThreshold": probe.failure_threshold,
    }
