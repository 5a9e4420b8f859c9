"""``domicile explain`` against a real API server, and what it says where there is none to ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import Plane
from domicile.cli.live import default_namespace
from domicile.tiers.packs import pack_text
from tests.cli.running import AT, FLEET, run

NAMESPACE = "cli-live"
NAMES = {"nordlys": "cli-nordlys", "alpen": "cli-alpen", "hall-two": "cli-hall-two"}


def renamed(text: str) -> str:
    """The fleet under names of this suite, in its namespace and by its own rule pack."""
    for old, new in NAMES.items():
        text = text.replace(old, new)
    text = text.replace("name: health", f"name: {NAMESPACE}").replace("namespace: health", f"namespace: {NAMESPACE}")
    text = text.replace("  replicas: 2", "  sovereignty: {framework: cli-cada}\n  replicas: 2")
    return text.replace("    tier: 2", "    tier: 2\n    framework: cli-cada")


@pytest.fixture(scope="module")
def fleet_on_hub(crds_installed: Plane) -> Iterator[Plane]:
    """The fleet applied to the hub; nothing of it stays for other suites."""
    pack = pack_text("cada").replace("  name: cada", "  name: cli-cada").replace("  id: cada", "  id: cli-cada")
    files = [*sorted((FLEET / "facts").glob("*.yaml")), FLEET / "apps" / "workloads.yaml"]
    text = "\n---\n".join([pack, *(renamed(file.read_text()) for file in files)])
    crds_installed.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    yield crds_installed
    for name in crds_installed.kubectl("get", "infd", "-n", NAMESPACE, "-o", "name").split():
        patch = json.dumps({"metadata": {"finalizers": None}})  # no operator runs here that would let them go
        crds_installed.kubectl("patch", name, "-n", NAMESPACE, "--type=merge", "-p", patch)
    crds_installed.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=text)


def test_a_workload_on_the_hub(fleet_on_hub: Plane) -> None:
    kubeconfig = str(fleet_on_hub.kubeconfig)
    result = run("explain", "infd/assistant", "-n", NAMESPACE, "--kubeconfig", kubeconfig, "--at", AT)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{NAMESPACE}/assistant · tier 3 of cli-cada/COM-2026-502")
    assert "cli-nordlys-1/h100  Satisfied  36 rules" in result.stdout
    assert "Free capacity was not asked" in result.stdout


def test_conditions_and_place_come_from_the_status(fleet_on_hub: Plane) -> None:
    condition = {
        "type": "Placed",
        "status": "True",
        "reason": "Placed",
        "message": "by the test",
        "lastTransitionTime": "2026-11-01T10:04:00Z",
        "observedGeneration": 1,
    }
    placement = {"cluster": "cli-nordlys-1", "nodePool": "h100-hall2", "country": "DK", "desired": 2, "ready": 2}
    status = {"status": {"tier": 2, "conditions": [condition], "placements": [placement]}}
    patch = ("patch", "infd/triage", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    fleet_on_hub.kubectl(*patch)
    ask = ("explain", "triage", "-n", NAMESPACE, "--kubeconfig", str(fleet_on_hub.kubeconfig), "--at", AT)
    result = run(*ask, columns=200)
    assert result.exit_code == 1
    assert "· on cli-nordlys-1/h100-hall2 since 2026-11-01T10:04:00Z" in result.stdout
    assert "by the test" in result.stdout
    answer = json.loads(run(*ask, "-o", "json").stdout)
    assert answer["runningOn"] == [{"cluster": "cli-nordlys-1", "nodePool": "h100-hall2"}]
    assert answer["conditions"][0]["reason"] == "Placed"


def test_a_cluster_on_the_hub(fleet_on_hub: Plane) -> None:
    options = ("--framework", "cli-cada", "--kubeconfig", str(fleet_on_hub.kubeconfig), "--at", AT)
    result = run("explain", "sovc/cli-nordlys-1", *options)
    assert (result.exit_code, "h100  proves level 4" in result.stdout) == (0, True)
    missing = run("explain", "sovc/cli-nordlis-1", *options)
    assert (missing.exit_code, "did you mean cli-nordlys-1" in missing.stderr) == (2, True)
    elsewhere = run("explain", "assistant", "-n", "default", *options)
    assert (elsewhere.exit_code, "there is no InferenceDeployment/assistant" in elsewhere.stderr) == (2, True)


def test_what_a_change_would_do_to_the_hub(fleet_on_hub: Plane, tmp_path: Path) -> None:
    """Asked of one namespace and of all; nothing is written."""
    placement = {"cluster": "cli-nordlys-1", "nodePool": "h100", "country": "DK", "desired": 2, "ready": 2}
    status = {"status": {"tier": 3, "placements": [placement]}}
    patch = ("patch", "infd/assistant", "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p")
    fleet_on_hub.kubectl(*patch, json.dumps(status))
    before = fleet_on_hub.kubectl("get", "entity", "cli-nordlys", "-o", "jsonpath={.metadata.resourceVersion}")
    (tmp_path / "patch.yaml").write_text(
        "kind: LegalEntity\nmetadata: {name: cli-nordlys}\nspec: {seats: {registeredOffice: CH}}\n"
    )
    ask = ("what-if", "--patch", tmp_path / "patch.yaml", "--kubeconfig", str(fleet_on_hub.kubeconfig), "--at", AT)
    for where in ((), ("-n", NAMESPACE)):
        result = run(*ask, *where)
        assert result.exit_code == 1, result.stderr
        assert f"{NAMESPACE}/assistant  tier 3  is left on cli-nordlys-1/h100" in result.stdout
        assert "at 2026-11-02T00:00:00Z: stops on cli-nordlys-1/h100" in result.stdout
        assert "Free capacity was not asked" in result.stdout
    assert json.loads(run(*ask, "-n", "default", "-o", "json").stdout)["unchanged"] == 0
    after = fleet_on_hub.kubectl("get", "entity", "cli-nordlys", "-o", "jsonpath={.metadata.resourceVersion}")
    assert after == before


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: c, user: u, namespace: team}}
- {name: there, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: "https://127.0.0.1:1"}}
users:
- {name: u, user: {token: abc}}
"""


@pytest.mark.parametrize(("context", "namespace"), [(None, "team"), ("there", "default"), ("nowhere", "default")])
def test_the_namespace_is_the_one_kubectl_would_use(tmp_path: Path, context: str | None, namespace: str) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    assert default_namespace(str(tmp_path / "config"), context=context) == namespace


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (KUBECONFIG, "the cluster cannot be asked"),
        ("", "current-context"),
        ("a: [", "cannot be read"),
        ("- 1", "cannot be read"),
        (None, "no such file"),
    ],
)
def test_no_cluster_to_ask_is_bad_input(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "config").write_text(content)
    result = run("explain", "assistant", "--kubeconfig", tmp_path / "config")
    assert result.exit_code == 2
    assert says in result.stderr
    assert "-f" in result.stderr
    ahead = run("what-if", "--delete", "sovc/x", "--kubeconfig", tmp_path / "config")
    assert (ahead.exit_code, says in ahead.stderr, "-i" in ahead.stderr) == (2, True, True)
