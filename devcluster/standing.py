"""Planes that live on until `down`: what the commands `up`, `down`, `env` and `list` do."""

import difflib
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from devcluster import identity, paths
from devcluster.binaries import ensure, find, tell_provided
from devcluster.errors import UsageError
from devcluster.existing import existing_clusters, take_existing
from devcluster.locks import locked
from devcluster.progress import Progress, note, paint
from devcluster.startup import starting

# Longer than the supervisor gives its components.
_GRACE_SECONDS = 10.0
_EXTERNAL = "_existing"


def check_names(names: Sequence[str]) -> list[str]:
    """The names without repetitions; UsageError for one that cannot name a cluster."""
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", name):
            raise UsageError(
                f"{name!r} cannot be a name: use up to 40 lower-case letters, digits and dashes, such as member-1"
            )
    return list(dict.fromkeys(names))


def up(names: Sequence[str], *, timeout: float) -> None:
    """Make sure that each plane runs: leave running ones alone, start the others from scratch."""
    names = check_names(names)
    external = existing_clusters(names)
    for name in external:
        take_existing(name, folder=_external_folder())
    wanted = [name for name in names if name not in external]
    binaries = ensure() if any(not running(name) for name in wanted) else {}
    tell_provided(binaries)
    paths.make_home()
    with locked(paths.home() / "lock", waiting="another devcluster starts or stops planes; waiting"):
        fresh = [name for name in wanted if not running(name)]
        for name in wanted:
            if name not in fresh:
                print(f"{name}: already running, {_server(name)}")
        if fresh:
            _start(fresh, timeout=timeout)
    print(f'use it:   eval "$(devcluster env {names[0]})"')


def _start(names: Sequence[str], *, timeout: float) -> None:
    progress = Progress(f"starting {', '.join(names)}")

    def announce(name: str) -> None:
        progress.clear()
        ready = paint("ready", colour="green", stream=sys.stdout)
        print(f"{name}: {ready} after {progress.elapsed:.1f} s, {_server(name)}", flush=True)

    directories = {name: paths.plane_directory(name) for name in names}
    for directory in directories.values():
        _end_supervisor(directory)
    with starting(directories, binaries=ensure(), timeout=timeout) as start:
        try:
            start.run(on_tick=progress.update, on_ready=announce)
        finally:
            progress.clear()
        start.detach()


def down(names: Sequence[str]) -> None:
    """Stop these planes, or all of them, and remove their state."""
    names = check_names(names)
    known = planes()
    unknown = [name for name in names if name not in known]
    for name in existing_clusters(unknown, build=False):
        unknown.remove(name)
        note(f"{name} is an existing cluster from KUBECONFIG: left as it is")
    if unknown:
        raise UsageError(_no_such(unknown[0], known=known))
    if not known:
        print("no planes to stop")
        return
    with locked(paths.home() / "lock", waiting="another devcluster starts or stops planes; waiting"):
        for name in [name for name in known if name in names] if names else known:
            _stop(name)


def _stop(name: str) -> None:
    directory = paths.plane_directory(name)
    was_running = running(name)
    _end_supervisor(directory)
    shutil.rmtree(directory, ignore_errors=True)
    print(f"{name}: stopped" if was_running else f"{name}: was not running, its state is removed", flush=True)


def _end_supervisor(directory: Path) -> None:
    mark = identity.load(directory / "supervisor.json")
    if mark is not None:
        identity.end(mark, grace=_GRACE_SECONDS)


def environment(name: str) -> str:
    """Shell lines that point kubectl at a plane."""
    check_names([name])
    if running(name):
        kubeconfig = paths.plane_directory(name) / "kubeconfig"
    elif existing_clusters([name]):
        kubeconfig = take_existing(name, folder=_external_folder())
    else:
        raise UsageError(_no_such(name, known=[plane for plane in planes() if running(plane)], running_only=True))
    lines = [f"export KUBECONFIG={shlex.quote(str(kubeconfig))}"]
    kubectl = find("kubectl")
    if kubectl is not None:
        lines.append(f'export PATH={shlex.quote(str(kubectl.parent))}:"$PATH"')
    return "\n".join(lines)


def describe() -> list[tuple[str, str, str]]:
    """Each plane with its state and the place to look at: its address, or the log that says why it ended."""
    rows = []
    for name in planes():
        if running(name):
            rows.append((name, "running", _server(name)))
        else:
            rows.append((name, "dead", str(paths.plane_directory(name) / "logs" / "supervisor.log")))
    return rows


def planes() -> list[str]:
    """The names of all planes that have state on disk, running or not."""
    return sorted(file.parent.name for file in paths.home().glob("*/plane.json"))


def running(name: str) -> bool:
    """Whether the plane is up, and not about to end."""
    directory = paths.plane_directory(name)
    ending = (directory / "ending").exists()
    return not ending and identity.alive(identity.load(directory / "supervisor.json"))


def _server(name: str) -> str:
    text = (paths.plane_directory(name) / "kubeconfig").read_text()
    found = re.search(r"server: (\S+)", text)
    return found[1] if found else ""


def _external_folder() -> Path:
    # No plane can have this name: it starts with an underscore.
    return paths.make_home() / _EXTERNAL


def _no_such(name: str, *, known: Sequence[str], running_only: bool = False) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    if known:
        label = "running" if running_only else "there are"
        return f"no plane is called {name} ({label}: {', '.join(known)}){hint}"
    return f"no plane is called {name}: none is running; start it with: devcluster up {name}"
