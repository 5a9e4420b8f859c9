"""Clusters that somebody else runs, taken from KUBECONFIG only when a context has exactly the name asked for.

Any other context is left alone, so that nobody's production cluster is used by accident.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from devcluster import paths
from devcluster.binaries import find, kubectl_path
from devcluster.errors import DevclusterError
from devcluster.prepare import write_private
from devcluster.progress import note


def existing_clusters(names: Sequence[str], *, build: bool = True) -> list[str]:
    """Those of `names` that are contexts of KUBECONFIG; without `build`, none if there is no kubectl yet."""
    if not _files() or not (build or find("kubectl")):
        return []
    listing = _kubectl("config", "get-contexts", "-o", "name")
    if listing.returncode != 0:
        note(f"KUBECONFIG is ignored, it cannot be read: {listing.stderr.strip()}")
        return []
    contexts = set(listing.stdout.split("\n"))
    return [name for name in names if name in contexts]


def take_existing(name: str, *, folder: Path) -> Path:
    """A kubeconfig in `folder` whose only and current context is `name`; says so, and that it answers."""
    view = _kubectl("config", "view", "--raw", "--flatten", "--minify", f"--context={name}")
    if view.returncode != 0:
        raise DevclusterError(f"context {name} of KUBECONFIG cannot be read: {view.stderr.strip()}")
    answer = _kubectl("get", "--raw=/readyz", f"--context={name}", "--request-timeout=10s")
    if answer.returncode != 0:
        raise DevclusterError(f"context {name} of KUBECONFIG does not answer: {answer.stderr.strip()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{name}.kubeconfig"
    write_private(path, view.stdout.encode())
    note(f"{name}: using the existing cluster of that name from KUBECONFIG as it is (never started or stopped)")
    return path


def _files() -> list[str]:
    """The files of KUBECONFIG without our own: after `eval "$(devcluster env hub)"` it names a plane that is
    ours to stop, and a test run must not mistake it for a cluster to test on."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    ours = paths.home()
    return [name for name in named if name and not Path(name).resolve().is_relative_to(ours.resolve())]


def _kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [kubectl_path(), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "KUBECONFIG": os.pathsep.join(_files())},
    )
