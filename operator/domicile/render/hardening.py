"""What every delivered pod gets and no user may change: the telemetry-off environment and the refused arguments.

One bundle for all runtimes: names a runtime does not know do no harm, and a runtime that changes keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from ipaddress import ip_network

from domicile.model.labels import GROUP, NODE_PREFIX
from domicile.model.places import Territory
from domicile.model.verdicts import Verdict
from domicile.model.workload import InferenceDeploymentSpec, Runtime, RuntimeName

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

SWITCHING = ("--enable-", "--disable-", "--no-")
SWITCHES = frozenset({"--async-scheduling", "--enforce-eager", "--headless", "--offline", "--verbose", "-v"})
MANY_VALUES = frozenset(
    {"--api-key", "--cuda-graph-bs", "--cuda-graph-sizes", "--cudagraph-capture-sizes", "--middleware",
     "--served-model-name"}
)  # fmt: skip
COMMANDS = frozenset({"vllm", "serve"})
FILES = (".jinja", ".json", ".py", ".toml", ".txt", ".yaml", ".yml")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?:[@:][\w./-]+)?")
"""``org/model``, with a revision or without."""


def refusals(spec: InferenceDeploymentSpec, *, territory: Territory | None) -> list[str]:
    """What in ``spec`` would open a way out of the jurisdiction: field, reason and remedy, one line each."""
    return [
        *_arguments(spec.runtime.args),
        *_models(spec.runtime),
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


def _models(runtime: Runtime) -> Iterable[str]:
    """Models named without a flag: ``serve org/model``. What an option takes as its value is left alone, and where it
    cannot be told whether an option takes one, too."""
    taking = Taking.NOTHING
    for number, argument in enumerate(runtime.args):
        words = argument.split()
        if not words or words == ["-"]:
            continue
        if words[0].startswith("-") and taking is not Taking.WORDS:
            taking = _taking(words)
        elif taking in (Taking.NOTHING, Taking.WORDS):
            name = next((word for word in words if _names_model(word, runtime.name)), None)
            if name is not None:
                yield (
                    f"spec.runtime.args[{number}]: {name} names a model, Domicile mounts the model at /models;"
                    " remove it and name the model in spec.model"
                )
        elif taking is Taking.VALUE:
            taking = Taking.NOTHING


class Taking(Enum):
    """What the arguments after an option are."""

    NOTHING = auto()  # no longer its own
    VALUE = auto()  # the next one its value
    VALUES = auto()  # all its values, up to the next option
    WORDS = auto()  # positional, whatever they look like


def _taking(words: list[str]) -> Taking:
    flag = words[0].replace("_", "-")
    if flag == "--":
        return Taking.WORDS
    if flag in MANY_VALUES:
        return Taking.VALUES
    switch = flag in SWITCHES or flag.startswith(SWITCHING)
    complete = "=" in flag or len(words) > 1 or (switch and _refused_flag(flag) is None)
    return Taking.NOTHING if complete else Taking.VALUE


def _names_model(word: str, runtime: RuntimeName) -> bool:
    """Whether a positional word may be resolved at a hub. vLLM takes no other positional word than its command."""
    if word.startswith(("/", "./", "../")) or word.endswith(FILES):
        return False
    if HUB_ID.fullmatch(word) or "://" in word:
        return True
    return runtime is RuntimeName.VLLM and word not in COMMANDS


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
