"""What the demo runs on: four control planes with nodes of several providers, and the operator as a process."""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import devcluster
from devcluster import Plane, identity, paths, standing
from devcluster.plane import last_lines

HUB = "hub"
MEMBERS = ("nordlys-1", "rhein-1", "sodra-1")
PROGRAM = Path(sys.executable).with_name("domicile")
SYSTEM_NAMESPACE = "domicile-system"
START_SECONDS = 120.0
STOP_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Pool(NamedTuple):
    """Nodes of one kind on one plane; the prefix is the one that examples/facts/clusters.yaml states."""

    plane: str
    name: str
    prefix: str
    nodes: int
    accelerators: int


POOLS = (
    Pool("nordlys-1", "h100", "nordlys://dk-1/h100/", nodes=2, accelerators=8),
    Pool("nordlys-1", "h100-hall2", "nordlys://dk-2/h100/", nodes=2, accelerators=8),
    Pool("rhein-1", "a100", "rhein://eu-1/a100/", nodes=2, accelerators=4),
    Pool("rhein-1", "h200", "rhein://eu-1/h200/", nodes=1, accelerators=8),
    Pool("sodra-1", "h100", "sodra://se-1/h100/", nodes=1, accelerators=8),
    Pool(HUB, "zrh", "alpen://zrh-1/", nodes=2, accelerators=8),
)


class DemoError(Exception):
    """The demo does not show what it promises; the message says what is wrong and where to look."""


@dataclass(frozen=True)
class Stage:
    """The planes by name."""

    planes: dict[str, Plane]

    @property
    def hub(self) -> Plane:
        """The cluster that Domicile watches."""
        return self.planes[HUB]

    def read(self, plane: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of one `kubectl get`."""
        items: list[dict[str, Any]] = json.loads(self.planes[plane].kubectl("get", *arguments, "-o", "json"))["items"]
        return items


@contextmanager
def stage(*, keep: bool) -> Iterator[Stage]:
    """The planes, for the length of the block; with `keep` they stay if the block ends well."""
    if not keep:
        with devcluster.planes(HUB, *MEMBERS, timeout=START_SECONDS) as planes:
            yield Stage(planes)
        return
    try:
        with redirect_stdout(io.StringIO()):
            standing.up([HUB, *MEMBERS], timeout=START_SECONDS)
        files = {name: paths.plane_directory(name) / "kubeconfig" for name in (HUB, *MEMBERS)}
        yield Stage({name: Plane(name, kubeconfig=file) for name, file in files.items()})
    except BaseException:
        stop()
        raise


def create_nodes(plane: Plane) -> None:
    """The nodes of a plane's pools, as a cloud's controller would register them. KWOK makes them Ready."""
    nodes = [_node(pool, number) for pool in POOLS if pool.plane == plane.name for number in range(pool.nodes)]
    plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))


def _node(pool: Pool, number: int) -> dict[str, Any]:
    room = {"cpu": "96", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": str(pool.accelerators)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"{pool.name}-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"providerID": f"{pool.prefix}{number}"},
        "status": {"capacity": room, "allocatable": room},
    }


# -- the operator ------------------------------------------------------------------------------------------------


class Operator:
    """`domicile run` as a process of its own. ``decisions`` is the directory of its decision log, if it keeps one."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, decisions: Path | None) -> None:
        self._process, self.log, self.decisions = process, log, decisions

    def check(self) -> None:
        """Raises DemoError if it ended by itself."""
        if self._process.poll() is not None:
            raise DemoError(f"the operator ended with code {self._process.returncode}")

    def log_tail(self) -> str:
        """The end of its log, and where the whole is."""
        return f"{self.log}:{last_lines(self.log)}"

    def stop(self) -> None:
        """End it as Kubernetes would, with SIGTERM first."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def operator(hub: Plane, *, keep: bool) -> Iterator[Operator]:
    """The operator on this hub, for the length of the block; with `keep` it stays if the block ends well."""
    log = paths.make_home() / "demo-operator.log"
    command = [str(PROGRAM), "run", "--kubeconfig", str(hub.kubeconfig), "--http-port", str(free_port())]
    decisions = _decision_log()
    if decisions is not None:
        command += ["--log-dir", str(decisions)]
    libc = ctypes.CDLL(None)

    def end_with_the_demo() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in the terminal is the demo's to handle
            preexec_fn=None if keep else end_with_the_demo,
        )
    running = Operator(process, log, decisions)
    try:
        yield running
        mark = identity.identify(process.pid)
        if keep and mark is not None:
            identity.save(mark, path=_mark())
    except BaseException:
        running.stop()
        raise
    if not keep:
        running.stop()


def _decision_log() -> Path | None:
    """An empty directory for the decision log, where this version of Domicile writes one."""
    usage = subprocess.run([str(PROGRAM), "run", "--help"], capture_output=True, text=True, check=True).stdout
    if "--log-dir" not in usage:
        return None
    directory = paths.make_home() / "demo-decisions"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return directory


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- what KEEP=1 leaves ------------------------------------------------------------------------------------------


def _mark() -> Path:
    return paths.home() / "demo-operator.json"


def standing_planes() -> list[str]:
    """Those of the demo's planes that run now, started by KEEP=1 or by hand."""
    return [name for name in (HUB, *MEMBERS) if standing.running(name)]


def stop() -> None:
    """Stop the operator and the planes that KEEP=1 left running."""
    mark = identity.load(_mark())
    if mark is not None:
        identity.end(mark, grace=STOP_SECONDS)
        _mark().unlink()
    left = [name for name in standing.planes() if name in (HUB, *MEMBERS)]
    if left:
        standing.down(left)


# -- the surroundings --------------------------------------------------------------------------------------------


def prepare_process() -> None:
    """However the demo is told to end, it cleans up once; and it touches no cluster but its own."""
    for number in ENDING:
        signal.signal(number, _interrupt)
    os.environ.pop("KUBECONFIG", None)


def ignore_interrupts() -> None:
    """From here on things end; a second Ctrl-C must not leave half of them."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> NoReturn:
    ignore_interrupts()
    raise KeyboardInterrupt
