"""The launcher against real components: what it starts works, and what it started it also ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import devcluster

ROOT = Path(devcluster.__file__).resolve().parent.parent

WORKLOAD = """
apiVersion: v1
kind: Node
metadata: {name: node-1}
status:
  allocatable: {cpu: "8", memory: 32Gi, pods: "110"}
  capacity: {cpu: "8", memory: 32Gi, pods: "110"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: none}]}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """State of its own, so that the planes of whoever runs the tests are out of reach."""
    monkeypatch.setenv("DEVCLUSTER_HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "home"
    command("down")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devcluster", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def processes(home: Path) -> dict[int, str]:
    """The processes whose command line names this home: components and supervisors."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(home) in line:
            found[int(folder.name)] = line
    return found


def eventually(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.2)


def test_pods_run_and_a_member_can_be_cut_off(home: Path) -> None:
    with devcluster.planes("hub") as planes:
        hub = planes["hub"]
        hub.kubectl("apply", "-f", "-", stdin=WORKLOAD)
        phase = "jsonpath={.items[*].status.phase} {.items[*].spec.nodeName}"
        eventually(lambda: hub.kubectl("get", "pods", "-o", phase) == "Running node-1")
        assert " Ready " in hub.kubectl("get", "nodes", "--no-headers")
        assert {log.stem for log in hub.log_dir.iterdir()} == {
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kwok",
            "supervisor",
        }
        assert hub.kubeconfig.stat().st_mode & 0o777 == 0o600

        hub.pause()
        with pytest.raises(devcluster.DevclusterError):
            hub.kubectl("get", "nodes", "--request-timeout=1s")
        hub.resume()
        hub.restart("kube-apiserver")
        assert "node-1" in hub.kubectl("get", "nodes")
    assert processes(home) == {}
    assert list(home.glob("owned-*")) == []


def test_a_component_that_ends_is_named(home: Path) -> None:
    with devcluster.planes("hub") as planes:
        hub = planes["hub"]
        (scheduler,) = [pid for pid, line in processes(home).items() if "kube-scheduler --" in line]
        os.kill(scheduler, signal.SIGKILL)
        eventually(lambda: len(processes(home)) == 1)  # the supervisor, which tells why
        with pytest.raises(devcluster.ComponentError, match="kube-scheduler ended by itself by SIGKILL"):
            hub.pause()


def test_nothing_survives_a_killed_owner(home: Path) -> None:
    script = (
        "import devcluster, time\nwith devcluster.planes('hub'):\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        assert len(processes(home)) == 6
        owner.kill()
    eventually(lambda: processes(home) == {}, within=10)


def test_up_env_a_killed_supervisor_and_down(home: Path) -> None:
    started = command("up", "hub")
    assert started.returncode == 0, started.stderr
    before = processes(home)
    assert len(before) == 6

    again = command("up", "hub")
    assert "hub: already running" in again.stdout
    assert processes(home) == before

    settings = command("env", "hub").stdout
    shell = ["sh", "-c", f"{settings}\nkubectl config current-context && kubectl get sa default"]
    assert subprocess.run(shell, capture_output=True, text=True).stdout.startswith("hub\n")
    # A kubeconfig of our own in KUBECONFIG is not mistaken for somebody's cluster.
    kubeconfig = str(home / "hub" / "kubeconfig")
    assert "already running" in command("up", "hub", KUBECONFIG=kubeconfig).stdout

    unknown = command("env", "hug")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "running: hub" in unknown.stderr

    supervisor = json.loads((home / "hub" / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: processes(home) == {}, within=5)
    assert "dead" in command("list").stdout
    assert "hub: ready" in command("up", "hub").stdout

    assert "hub: stopped" in command("down").stdout
    assert processes(home) == {}
    assert not (home / "hub").exists()


def test_a_component_that_cannot_start_shows_its_log(home: Path, tmp_path: Path) -> None:
    bogus = tmp_path / "assets" / "etcd"
    bogus.parent.mkdir()
    bogus.write_text("#!/bin/sh\necho this etcd is broken\nexit 3\n")
    bogus.chmod(0o755)
    failed = command("up", "hub", "member-1", KUBEBUILDER_ASSETS=str(bogus.parent))
    assert failed.returncode == 1
    assert "etcd ended by itself with exit code 3" in failed.stderr
    assert "this etcd is broken" in failed.stderr
    assert processes(home) == {}


def test_a_cluster_of_that_name_in_kubeconfig_is_used_as_it_is(home: Path, tmp_path: Path) -> None:
    other = {"DEVCLUSTER_HOME": str(tmp_path / "other")}
    try:
        assert command("up", "hub", **other).returncode == 0
        kubeconfig = {"KUBECONFIG": str(tmp_path / "other" / "hub" / "kubeconfig")}
        taken = command("up", "hub", **kubeconfig)
        assert "existing cluster" in taken.stderr
        assert processes(home) == {}
        assert "left as it is" in command("down", "hub", **kubeconfig).stderr
        assert "KUBECONFIG=" in command("env", "hub", **kubeconfig).stdout
        assert len(processes(tmp_path / "other")) == 6
    finally:
        command("down", **other)
