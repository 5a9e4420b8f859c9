"""Run a program, watch what it prints, and never leave it behind."""

import os
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devcluster.errors import DevclusterError


def run_watched(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None],
    on_tick: Callable[[], None],
    failure: str,
) -> list[str]:
    """Run `command`, hand on each line of its stderr, call `on_tick` about twice a second, return its stdout
    lines. If it fails, the error is `failure` with the last lines; Ctrl-C ends all its children too."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    tail: deque[str] = deque(maxlen=20)

    def keep(line: str) -> None:
        tail.append(line)
        on_line(line)

    try:
        stdout = _pump(process, on_line=keep, on_tick=on_tick)
        if process.wait() != 0:
            raise DevclusterError("\n".join([failure, *(f"  {line}" for line in tail)]))
        return stdout
    finally:
        _end_group(process)


def _pump(
    process: subprocess.Popen[bytes], *, on_line: Callable[[str], None], on_tick: Callable[[], None]
) -> list[str]:
    assert process.stdout is not None
    assert process.stderr is not None
    buffers = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    lines: list[str] = []
    take = {process.stdout.fileno(): lines.append, process.stderr.fileno(): on_line}
    with selectors.DefaultSelector() as selector:
        for descriptor in take:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=0.5):
                chunk = os.read(key.fd, 65536)
                *whole, buffers[key.fd] = (buffers[key.fd] + chunk).split(b"\n")
                if not chunk:
                    selector.unregister(key.fd)
                    whole = [buffers[key.fd]] if buffers[key.fd] else []
                for line in whole:
                    take[key.fd](line.decode(errors="replace"))
            on_tick()
    return lines


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # Not reaped yet, so the number of its process group cannot have been given to anyone else.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
