"""What would open a way out is refused, in every spelling a runtime accepts; the rest is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.model.objects import read_spec
from domicile.model.places import Territory
from domicile.model.schema import API_VERSION
from domicile.model.workload import InferenceDeploymentSpec
from domicile.render.hardening import OWNED_ENVIRONMENT, REFUSED_ARGUMENTS, REFUSED_ENVIRONMENT, refusals

UNION = Territory("Union", frozenset({"DK", "FR"}))
DIGEST = "sha256:" + "0" * 64


def spec_of(runtime: dict[str, Any] | None = None, **fields: Any) -> InferenceDeploymentSpec:
    spec = {"model": {"name": "m", "source": "file:///m"}, "runtime": {"image": f"r@{DIGEST}"} | (runtime or {})}
    read = read_spec({"apiVersion": API_VERSION, "kind": "InferenceDeployment", "spec": spec | fields})
    assert isinstance(read, InferenceDeploymentSpec)
    return read


def refused(*args: str) -> list[str]:
    return refusals(spec_of({"args": list(args)}), territory=UNION)


@pytest.mark.parametrize("flag", sorted(REFUSED_ARGUMENTS))
@pytest.mark.parametrize(
    "spelling",
    ["{}", "{}=x", "{} x", " {}", "{}\tx", "{} =x", "{}\n", "{}.key=x", "{}.key.other x", "{}+=x"],
    ids=lambda s: repr(s.format("--f")),
)
def test_refused_flags(flag: str, spelling: str) -> None:
    for written in (flag, "--" + flag.removeprefix("--").replace("-", "_")):
        (problem,) = refused("--max-model-len=1", spelling.format(written))
        assert problem.startswith(f"spec.runtime.args[1]: {flag} is refused, it ")
        assert problem.endswith("; remove it")


@pytest.mark.parametrize("flag", sorted(REFUSED_ARGUMENTS))
def test_value_in_an_argument_of_its_own(flag: str) -> None:
    assert len(refused(flag, "x")) == 1


DECENT = (
    ("--max-model-len=32768",), ("--max-model-len", "32768"), ("--tensor-parallel-size=4",), ("-c", "4096"),
    ("--enable-prefix-caching",), ("--tokenizer-mode=mistral",), ("--lora", "/models/a.gguf"), ("--model-impl=vllm",),
    ("--",), ("-",), ("",), ("--max-logprobs=5",), ("--tool-call-parser=mistral",), ("--enable-auto-tool-choice",),
    ("--disable-log-requests",), ("--served-model-name=x",), ("--dtype", "bfloat16"), ("serve",),
    ("--chat-template=/templates/x.jinja",),
)  # fmt: skip


@pytest.mark.parametrize("args", DECENT, ids=" ".join)
def test_decent_arguments(args: tuple[str, ...]) -> None:
    assert refused(*args) == []


POSITIONAL: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("vLLM", "org/model", ("serve", "org/model")),
    ("vLLM", "org/model", ("org/model",)),
    ("vLLM", "org/model@main", ("serve", "--max-model-len=1", "org/model@main")),
    ("vLLM", "gpt2", ("serve", "gpt2", "--dtype", "bfloat16")),
    ("vLLM", "gpt2", ("vllm", "serve", "gpt2")),
    ("vLLM", "org/model", ("serve org/model",)),
    ("vLLM", "org/model", ("--enable-prefix-caching", "org/model")),
    ("vLLM", "org/model", ("--dtype", "bfloat16", "org/model")),
    ("vLLM", "org/model", ("--served-model-name", "a", "b", "--", "org/model")),
    ("vLLM", "s3://bucket/model", ("s3://bucket/model",)),
    ("Custom", "org/model:q4", ("run", "org/model:q4")),
    ("Custom", "hf://org/model", ("run", "hf://org/model")),
)
NAMES_NO_MODEL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("vLLM", ("serve", "/models", "--dtype", "bfloat16")),
    ("vLLM", ("--served-model-name", "org/model", "org/alias")),
    ("vLLM", ("--served-model-name=org/model", "--chat-template", "templates/x.jinja")),
    ("vLLM", ("--some-new-option", "a/b", "-c", "4096")),
    ("Custom", ("run", "config.yaml", "conf/more.yaml")),
)


@pytest.mark.parametrize(("runtime", "name", "args"), POSITIONAL)
def test_a_model_without_a_flag(runtime: str, name: str, args: tuple[str, ...]) -> None:
    (problem,) = refusals(spec_of({"name": runtime, "args": list(args)}), territory=UNION)
    number = next(n for n, argument in enumerate(args) if name in argument)
    assert problem == (
        f"spec.runtime.args[{number}]: {name} names a model, Domicile mounts the model at /models;"
        " remove it and name the model in spec.model"
    )


@pytest.mark.parametrize(("runtime", "args"), NAMES_NO_MODEL)
def test_what_names_no_model(runtime: str, args: tuple[str, ...]) -> None:
    assert refusals(spec_of({"name": runtime, "args": list(args)}), territory=UNION) == []


ABBREVIATED = ("--trust-remote", "--trust_rem", "--otlp-traces", "--allowed-local", "--lora-mod", "--kv-transfer")


@pytest.mark.parametrize("flag", ABBREVIATED)
def test_abbreviations(flag: str) -> None:
    """Python's argparse takes any prefix that is unambiguous; so do the runtimes built on it."""
    (problem,) = refused(flag + "=x")
    full = next(r for r in REFUSED_ARGUMENTS if r.startswith(flag.replace("_", "-")))
    assert f"({full}) is refused" in problem


VARIANTS = ("--log-requests-level=3", "--model-url=http://x", "--tokenizer-path=org/x", "--usage-stats-server")


@pytest.mark.parametrize("flag", VARIANTS)
def test_variants(flag: str) -> None:
    assert len(refused(flag)) == 1


@pytest.mark.parametrize("name", sorted(OWNED_ENVIRONMENT))
def test_owned_environment(name: str) -> None:
    (problem,) = refusals(spec_of({"env": [{"name": name, "value": "0"}]}), territory=UNION)
    assert problem == f"spec.runtime.env[0]: {name} is set by Domicile; remove it"


@pytest.mark.parametrize("name", sorted(REFUSED_ENVIRONMENT))
def test_refused_environment(name: str) -> None:
    env = [{"name": "GOOD", "value": "1"}, {"name": name, "value": "x"}]
    (problem,) = refusals(spec_of({"env": env}), territory=UNION)
    assert problem == f"spec.runtime.env[1]: {name} opens a way out; remove it"


def egress(cidr: str, country: str = "DK") -> list[str]:
    rule = {"name": "a", "purpose": "p", "cidr": cidr, "ports": [443], "country": country}
    return refusals(spec_of(egress=[rule]), territory=UNION)


EGRESS = (
    ("192.0.2.0/24", "DK", ""),
    ("2001:db8::/32", "FR", ""),
    ("10.0.0.0/8", "DK", ""),
    ("192.0.2.7/24", "DK", ""),  # host bits are no harm
    ("10.0.0.0/7", "DK", "spec.egress[0].cidr: 10.0.0.0/7 is too wide"),
    ("0.0.0.0/0", "DK", "spec.egress[0].cidr: 0.0.0.0/0 is too wide"),
    ("::/0", "DK", "spec.egress[0].cidr: ::/0 is too wide"),
    ("2000::/3", "DK", "spec.egress[0].cidr: 2000::/3 is too wide"),
    ("300.0.2.0/24", "DK", "spec.egress[0].cidr: '300.0.2.0/24' is no network"),
    ("192.0.2.0/33", "DK", "spec.egress[0].cidr: '192.0.2.0/33' is no network"),
    ("192.0.2.0/24", "US", "spec.egress[0].country: US is not inside Union"),
    ("192.0.2.0/24", "XX", "spec.egress[0].country: XX is not inside Union"),
)


@pytest.mark.parametrize(("cidr", "country", "problem"), EGRESS)
def test_egress(cidr: str, country: str, problem: str) -> None:
    found = egress(cidr, country)
    assert len(found) == bool(problem)
    assert all(problem in one for one in found)


def test_scheduling() -> None:
    selector = {"domicile.node-restriction.kubernetes.io/level-4": "true", "zone": "a"}
    (problem,) = refusals(spec_of(scheduling={"nodeSelector": selector}), territory=UNION)
    assert problem.startswith("spec.scheduling.nodeSelector: domicile.node-restriction.kubernetes.io/level-4 is set by")
    assert refusals(spec_of(scheduling={"nodeSelector": {"zone": "a"}}), territory=UNION) == []


def test_every_problem_is_named() -> None:
    spec = spec_of(
        {"args": ["--trust-remote-code", "--model=x"], "env": [{"name": "HF_TOKEN", "value": "x"}]},
        egress=[{"name": "a", "purpose": "p", "cidr": "0.0.0.0/0", "ports": [1], "country": "US"}],
    )
    assert [p.partition(":")[0] for p in refusals(spec, territory=UNION)] == [
        "spec.runtime.args[0]", "spec.runtime.args[1]", "spec.runtime.env[0]", "spec.egress[0].cidr",
        "spec.egress[0].country",
    ]  # fmt: skip
