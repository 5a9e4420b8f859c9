"""The decision log of real replicas on a real hub: the leader alone writes, its successor goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devcluster import Plane
from domicile.evidence.checkpoint import VerifierKey
from domicile.evidence.layout import entries
from domicile.evidence.verify import verify
from tests.crds.cases import manifest, spec_of

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "handover"
PATIENCE = 40.0


@pytest.fixture
def api(crds_installed: Plane) -> Iterator[Plane]:
    """The hub with the namespace of this scenario, where the replicas keep their Lease too."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    crds_installed.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    yield crds_installed
    for name in crds_installed.kubectl("get", "infd", "-n", NAMESPACE, "-o", "name").split():
        patch = json.dumps({"metadata": {"finalizers": None}})
        crds_installed.kubectl("patch", name, "-n", NAMESPACE, "--type=merge", "-p", patch)
        crds_installed.kubectl("delete", name, "-n", NAMESPACE, "--ignore-not-found")
    crds_installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    crds_installed.kubectl("delete", "dlog", "domicile", "--ignore-not-found")


@contextmanager
def replica(hub: Plane, log_dir: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An operator process; killed if it is still there in the end."""
    options = ["--kubeconfig", str(hub.kubeconfig), "--namespace-of-lease", NAMESPACE, "--http-port", "0"]
    command = [sys.executable, "-m", "domicile.cli.main", "run", *options, "--log-dir", str(log_dir)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def eventually(look: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.1)


def refused(log_dir: Path) -> list[str]:
    """The workloads of which the log says that they were not accepted."""
    return [e.body["subject"]["name"] for e in entries(log_dir) if e.type == "Refused"]


def test_a_successor_goes_on_with_the_log(api: Plane, tmp_path: Path) -> None:
    log_dir = tmp_path / "log"

    def ask(name: str) -> None:
        raw = manifest("InferenceDeployment", spec_of("InferenceDeployment", {}), name, namespace=NAMESPACE)
        api.kubectl("create", "-f", "-", stdin=json.dumps(raw))

    ask("first")
    with ExitStack() as replicas:
        leader = replicas.enter_context(replica(api, log_dir, tmp_path / "leader"))
        eventually(lambda: "first" in refused(log_dir), "the first refusal in the log")
        standby = replicas.enter_context(replica(api, log_dir, tmp_path / "standby"))
        time.sleep(3.0)
        assert standby.poll() is None, "a standby that wanted the lock would have ended"
        assert b"decision log opened" not in (tmp_path / "standby").read_bytes()

        leader.send_signal(signal.SIGTERM)
        assert leader.wait(PATIENCE) == 0, (tmp_path / "leader").read_text()[-3000:]
        eventually(lambda: b"decision log opened" in (tmp_path / "standby").read_bytes(), "the standby leads")
        ask("second")
        eventually(lambda: "second" in refused(log_dir), "the second refusal in the log")
        standby.send_signal(signal.SIGTERM)
        assert standby.wait(PATIENCE) == 0, (tmp_path / "standby").read_text()[-3000:]

    key = VerifierKey.parse((tmp_path / "log.key.pub").read_text())
    report = verify(log_dir, keys=[key])
    assert report.ok and report.proven == report.records
    status = json.loads(api.kubectl("get", "dlog", "domicile", "-o", "json"))["status"]
    assert (status["size"], status["root"]) == (report.records, report.root)
    assert verify(log_dir, keys=[key], elsewhere={"hub": status["checkpoint"]}).ok
