"""What every delivered pod gets and no user may change: the telemetry-off environment and the refused arguments.

One bundle for all runtimes: names a runtime does not know do no harm, and a runtime that changes keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network

from domicile.model.labels import GROUP, NODE_PREFIX
from domicile.model.places import Territory
from domicile.model.verdicts import Verdict
from domicile.model.workload import InferenceDeploymentSpec

OWNED_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_USE_MODELSCOPE": "False",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "False",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "LMCACHE_TRACK_USAGE": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:1/",
    "TRTLLM_NO_USAGE_STATS": "1",
    "TELEMETRY_DISABLED": "1",
    "OTEL_SDK_DISABLED": "true",
}
REFUSED_ENVIRONMENT = frozenset(
    {
        "HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN", "LMCACHE_REMOTE_URL", "LMCACHE_CONFIG_FILE",
        "VLLM_USAGE_STATS_SERVER", "VLLM_LORA_RESOLVER_HF_REPO_LIST", "OTEL_EXPORTER_OTLP_ENDPOINT",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy",
    }
)  # fmt: skip
REFUSED_ARGUMENTS = {
    "--trust-remote-code": "runs code that is not in the image",
    "--tool-server": "calls servers during a response",
    "--enable-log-requests": "logs prompts",
    "--log-requests": "logs prompts",
    "--otlp-traces-endpoint": "sends traces out",
    "--kv-transfer-config": "moves prompts to other hosts",
    "--allowed-local-media-path": "lets requests read files",
    "--model": "Domicile mounts the model at /models",
    "--model-path": "Domicile mounts the model at /models",
    "--tokenizer": "can name a model hub",
    "--speculative-config": "can fetch a draft model from a hub",
    "--lora-modules": "can name a model hub",
    "--load-format": "can stream weights from remote stores",
    "--download-dir": "downloads at run time",
    "--hf-token": "gives access to a model hub",
    "--usage-stats": "turns usage statistics on",
}

FLAGS_OF_THEIR_OWN = frozenset(
    {"--lora", "--model-impl", "--tokenizer-mode", "--tokenizer-pool-size", "--tokenizer-worker-num"}
)
"""Flags that only look like a refused one's abbreviation or variant, and open nothing."""
FLAG_ENDS = re.compile(r"[=.+\s]")
"""``--x=v``, ``--x v``, and ``--x.key=v`` and ``--x+=v``, with which vLLM takes a JSON value in parts."""


def refusals(spec: InferenceDeploymentSpec, *, territory: Territory | None) -> list[str]:
    """What in ``spec`` would open a way out of the jurisdiction: field, reason and remedy, one line each."""
    return [
        *_arguments(spec.runtime.args),
        *_environment(spec),
        *_selectors(spec),
        *_egress(spec, territory),
    ]


def _arguments(args: Iterable[str]) -> Iterable[str]:
    for number, argument in enumerate(args):
        flag = FLAG_ENDS.split(argument.strip(), maxsplit=1)[0].replace("_", "-")
        refused = _refused_flag(flag)
        if refused is not None:
            short = "" if flag.startswith(refused) else f" ({refused})"
            yield f"spec.runtime.args[{number}]: {flag}{short} is refused, it {REFUSED_ARGUMENTS[refused]}; remove it"


def _refused_flag(flag: str) -> str | None:
    """The refused flag that this is, extends or abbreviates: the runtimes' parser takes every prefix."""
    if flag in FLAGS_OF_THEIR_OWN or len(flag) < 3:
        return None
    if flag in REFUSED_ARGUMENTS:
        return flag
    return next((r for r in REFUSED_ARGUMENTS if flag.startswith(r + "-") or r.startswith(flag)), None)


def _environment(spec: InferenceDeploymentSpec) -> Iterable[str]:
    for number, variable in enumerate(spec.runtime.env):
        if variable.name in OWNED_ENVIRONMENT:
            yield f"spec.runtime.env[{number}]: {variable.name} is set by Domicile; remove it"
        elif variable.name in REFUSED_ENVIRONMENT:
            yield f"spec.runtime.env[{number}]: {variable.name} opens a way out; remove it"


def _selectors(spec: InferenceDeploymentSpec) -> Iterable[str]:
    for label in spec.scheduling.node_selector:
        if label.partition("/")[0] == NODE_PREFIX:
            yield f"spec.scheduling.nodeSelector: {label} is set by Domicile; remove it"
    for number, toleration in enumerate(spec.scheduling.tolerations):
        prefix = toleration.key.partition("/")[0]
        if prefix in (GROUP, NODE_PREFIX) or prefix.endswith("." + GROUP):
            yield f"spec.scheduling.tolerations[{number}]: {toleration.key} is Domicile's own; remove it"


def _egress(spec: InferenceDeploymentSpec, territory: Territory | None) -> Iterable[str]:
    for number, rule in enumerate(spec.egress):
        where = f"spec.egress[{number}]"
        try:
            network = ip_network(rule.cidr, strict=False)
        except ValueError:
            yield f"{where}.cidr: {rule.cidr!r} is no network; write 192.0.2.0/24"
            continue
        if network.prefixlen < (8 if network.version == 4 else 16):
            yield f"{where}.cidr: {rule.cidr} is too wide to lie in one country; name the networks needed"
        if territory is not None and territory.where(rule.country) is not Verdict.SATISFIED:
            yield f"{where}.country: {rule.country} is not inside {territory.name}; remove the destination"
