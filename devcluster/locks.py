"""One at a time: a lock file that the kernel releases however the holder ends."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster.progress import Progress


@contextmanager
def locked(path: Path, *, waiting: str) -> Iterator[None]:
    """Hold the lock at `path`; while another process has it, show `waiting`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        _acquire(handle.fileno(), waiting=waiting)
        yield


def _acquire(descriptor: int, *, waiting: str) -> None:
    progress = Progress(waiting)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.update()
            time.sleep(0.2)
        else:
            progress.clear()
            return
