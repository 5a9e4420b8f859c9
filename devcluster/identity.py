"""Which process is meant: a pid alone may belong to a stranger by the time it is used."""

import json
import os
import select
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process that cannot be mistaken: its pid, its start time in clock ticks, and the boot it lives in."""

    pid: int
    started: int
    boot: str


def identify(pid: int) -> Identity | None:
    """The identity of a process that runs now; None if it is gone or only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The command in parentheses may itself hold spaces and parentheses, so count from the last one.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Identity(pid=pid, started=int(fields[19]), boot=boot)


def alive(identity: Identity | None) -> bool:
    """Whether this very process still runs."""
    return identity is not None and identify(identity.pid) == identity


def save(identity: Identity, *, path: Path) -> None:
    """Write the identity beside what the process owns."""
    path.write_text(json.dumps(asdict(identity)))


def load(path: Path) -> Identity | None:
    """Read an identity back; None if there is none or it was cut short."""
    try:
        return Identity(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def end(identity: Identity, *, grace: float) -> None:
    """Ask this process to end, insist after `grace` seconds; does nothing if it is already gone."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor pins the process, so what is checked here is what is signalled below.
        if not alive(identity):
            return
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not _gone(descriptor, within=grace):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            _gone(descriptor, within=grace)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)


def _gone(descriptor: int, *, within: float) -> bool:
    deadline = time.monotonic() + within
    ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
    return bool(ready)
