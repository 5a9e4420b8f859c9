"""Planes that end with the process that started them: for tests, the demo and benchmarks."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster import identity, paths
from devcluster.binaries import ensure, tell_provided
from devcluster.existing import existing_clusters, take_existing
from devcluster.plane import DEFAULT_TIMEOUT, Plane
from devcluster.progress import Progress
from devcluster.standing import check_names
from devcluster.startup import starting

_OWNER = "owner.json"
# How long the logs of a failed or killed run stay to be read.
_KEEP_SECONDS = 3600.0


@contextmanager
def planes(*names: str, timeout: float = DEFAULT_TIMEOUT) -> Iterator[dict[str, Plane]]:
    """Control planes by name, ready to use, gone at the end of the block.

    They also end when this process ends in any other way, SIGKILL included. A name that is a context of
    KUBECONFIG stands for that existing cluster, which is used as it is. Their folder is private to this
    block; when the block fails, its logs are kept for an hour. Raises DevclusterError.
    """
    chosen = check_names(names)
    _remove_abandoned()
    with _private_folder() as folder:
        external = existing_clusters(chosen)
        taken = {name: Plane(name, kubeconfig=take_existing(name, folder=folder)) for name in external}
        fresh = {name: folder / name for name in chosen if name not in taken}
        binaries = ensure() if fresh else {}
        tell_provided(binaries)
        with starting(fresh, binaries=binaries, timeout=timeout) as start:
            progress = Progress(f"starting {', '.join(fresh)}")
            try:
                started = start.run(on_tick=progress.update, on_ready=lambda _: None) if fresh else {}
            finally:
                progress.clear()
            yield {name: (taken | started)[name] for name in chosen}


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for one block; removed at its end, except for the logs if the block failed."""
    folder = Path(tempfile.mkdtemp(dir=paths.make_home(), prefix=f"owned-{os.getpid()}-"))
    me = identity.identify(os.getpid())
    if me is not None:
        identity.save(me, path=folder / _OWNER)
    try:
        yield folder
    except Exception:
        _keep_only_logs(folder)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _keep_only_logs(folder: Path) -> None:
    for plane in [entry for entry in folder.iterdir() if entry.is_dir()]:
        for entry in plane.iterdir():
            if entry.is_dir() and entry.name != "logs":
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.is_file():
                entry.unlink()


def _remove_abandoned() -> None:
    """Remove the folders of owners that ended without cleaning up, once their logs are old."""
    for folder in paths.home().glob("owned-*"):
        owner = identity.load(folder / _OWNER)
        if not identity.alive(owner) and time.time() - folder.stat().st_mtime > _KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
