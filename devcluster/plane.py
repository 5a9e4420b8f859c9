"""A control plane as its user sees it."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from devcluster.binaries import kubectl_path
from devcluster.components import Layout
from devcluster.errors import ComponentError, DevclusterError
from devcluster.ready import api_ready
from devcluster.supervised import Supervised

API_SERVER = "kube-apiserver"
DEFAULT_TIMEOUT = 120.0
_TICK_SECONDS = 0.05


class Plane:
    """One control plane: its name and kubeconfig, and, if this process started it, its components."""

    def __init__(
        self,
        name: str,
        *,
        kubeconfig: Path,
        layout: Layout | None = None,
        supervised: Supervised | None = None,
    ) -> None:
        self.name = name
        self.kubeconfig = kubeconfig
        self._layout = layout
        self._supervised = supervised

    @property
    def log_dir(self) -> Path:
        """The folder with one log file per component; an existing cluster has none here."""
        return self._owned()[0].directory / "logs"

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl on this plane and return its output; a failure carries what kubectl said."""
        command = [str(kubectl_path()), *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        if done.returncode != 0:
            raise DevclusterError(f"kubectl {' '.join(arguments)} on {self.name}: {done.stderr.strip()}")
        return done.stdout

    def stop_component(self, component: str) -> None:
        """End one component; the others run on. Returns when it is gone."""
        self._ask("stop", component=component)

    def start_component(self, component: str, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Start a stopped component; etcd and the API server return when the plane answers again.

        After a long stop of the API server its controllers and the scheduler take up to a minute to come
        back, because they wait longer after each failed attempt; `pause` and `resume` do not have that.
        """
        self._ask("start", component=component)
        if component in ("etcd", API_SERVER):
            self._wait_for_api(timeout=timeout)

    def restart(self, component: str, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Stop and start one component."""
        self.stop_component(component)
        self.start_component(component, timeout=timeout)

    def pause(self, component: str = API_SERVER) -> None:
        """Freeze a component: connections to it hang, as behind a broken network."""
        self._ask("pause", component=component)

    def resume(self, component: str = API_SERVER) -> None:
        """Let a frozen component run on."""
        self._ask("resume", component=component)

    def _ask(self, request: str, *, component: str) -> None:
        self._owned()[1].ask(request, component=component)

    def _wait_for_api(self, *, timeout: float) -> None:
        layout, supervised = self._owned()
        wait_until(
            lambda: api_ready(layout.server, pki=layout.pki),
            supervised=supervised,
            layout=layout,
            component=API_SERVER,
            timeout=timeout,
        )

    def _owned(self) -> tuple[Layout, Supervised]:
        if self._layout is None or self._supervised is None:
            raise DevclusterError(f"{self.name} is an existing cluster: its components are not ours to touch")
        return self._layout, self._supervised


def wait_until(
    condition: Callable[[], bool],
    *,
    supervised: Supervised,
    layout: Layout,
    component: str,
    timeout: float,
    cancelled: threading.Event | None = None,
) -> None:
    """Wait for `condition`, watching that no component ends meanwhile; `component` is whom to blame."""
    deadline = time.monotonic() + timeout
    while True:
        supervised.ask("check")
        if condition():
            return
        if cancelled is not None and cancelled.is_set():
            raise DevclusterError(f"{layout.name}: start-up abandoned")
        if time.monotonic() > deadline:
            log = layout.directory / "logs" / f"{component}.log"
            message = f"{component} is not ready after {timeout:.0f} s; log: {log}{last_lines(log)}"
            raise ComponentError(message, component=component)
        time.sleep(_TICK_SECONDS)


def last_lines(log: Path, *, count: int = 20) -> str:
    """The end of a log, each line on a line of its own; empty if there is no log."""
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "".join(f"\n  | {line[:300]}" for line in lines)
