"""Start several planes at once; either all of them come up or none is left."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from devcluster.components import Layout
from devcluster.errors import ComponentError, DevclusterError
from devcluster.plane import API_SERVER, Plane, wait_until
from devcluster.prepare import prepare
from devcluster.ready import accounts_ready, api_ready, etcd_ready
from devcluster.supervised import Supervised

_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"


class Start:
    """The start of some planes; closing it stops those that were not detached."""

    def __init__(self, directories: Mapping[str, Path], *, binaries: Mapping[str, Path], timeout: float) -> None:
        self._directories = directories
        self._binaries = binaries
        self._timeout = timeout
        self._cancelled = threading.Event()
        self._open: list[Supervised] = []
        self._planes: dict[str, Plane] = {}

    def run(self, *, on_tick: Callable[[], None], on_ready: Callable[[str], None]) -> dict[str, Plane]:
        """Start all planes in parallel; the first failure is raised."""
        with ThreadPoolExecutor(max_workers=max(1, len(self._directories))) as pool:
            pending = {pool.submit(self._one, name): name for name in self._directories}
            try:
                self._gather(pending, on_tick=on_tick, on_ready=on_ready)
            except BaseException:
                # Before the pool waits for its threads: they are to give up, not to finish.
                self._cancelled.set()
                raise
        return {name: self._planes[name] for name in self._directories}

    def detach(self) -> None:
        """Let all planes live on after this process."""
        for supervised in list(self._open):
            supervised.detach()
            self._open.remove(supervised)

    def close(self) -> None:
        """Stop what is not detached and wait until it is gone."""
        for supervised in self._open:
            supervised.hang_up()
        for supervised in self._open:
            supervised.close()
        self._open.clear()

    def _gather(
        self,
        pending: dict[Future[Plane], str],
        *,
        on_tick: Callable[[], None],
        on_ready: Callable[[str], None],
    ) -> None:
        while pending:
            done, _ = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
            for future in done:
                name = pending.pop(future)
                self._planes[name] = future.result()
                on_ready(name)
            on_tick()

    def _one(self, name: str) -> Plane:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._attempt(name)
            except ComponentError as error:
                if attempt == _ATTEMPTS or _PORT_TAKEN not in str(error):
                    raise ComponentError(f"{name}: {error}", component=error.component) from error
        raise AssertionError("unreachable")

    def _attempt(self, name: str) -> Plane:
        if self._cancelled.is_set():
            raise DevclusterError(f"{name}: start-up abandoned")
        layout = prepare(name, directory=self._directories[name], binaries=self._binaries)
        supervised = Supervised(layout.directory)
        self._open.append(supervised)
        try:
            self._bring_up(layout, supervised=supervised)
        except ComponentError:
            self._open.remove(supervised)
            supervised.close()
            raise
        return Plane(name, kubeconfig=layout.directory / "kubeconfig", layout=layout, supervised=supervised)

    def _bring_up(self, layout: Layout, *, supervised: Supervised) -> None:
        """The API server keeps trying until etcd answers, so both start together; the others would give up
        on an API server that is not there."""
        pki = layout.pki

        def wait_for(component: str, probe: Callable[[], bool]) -> None:
            wait_until(
                probe,
                supervised=supervised,
                layout=layout,
                component=component,
                timeout=self._timeout,
                cancelled=self._cancelled,
            )

        for component in ("etcd", API_SERVER):
            supervised.ask("start", component=component)
        wait_for("etcd", lambda: etcd_ready(layout.storage))
        wait_for(API_SERVER, lambda: api_ready(layout.server, pki=pki))
        for component in ("kube-controller-manager", "kube-scheduler", "kwok"):
            supervised.ask("start", component=component)
        wait_for("kube-controller-manager", lambda: accounts_ready(layout.server, pki=pki))


@contextmanager
def starting(directories: Mapping[str, Path], *, binaries: Mapping[str, Path], timeout: float) -> Iterator[Start]:
    """A start that cleans up after itself, whatever happens in the block."""
    start = Start(directories, binaries=binaries, timeout=timeout)
    try:
        yield start
    finally:
        start.close()
