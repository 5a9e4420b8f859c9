"""Keeps a projected copy of one resource of one API server: list, watch, and list again when the watch cannot go on.

Called by `runtime.app` for the hub's kinds and by the member pool for nodes. Replace semantics: what a new list does
not hold is deleted, so nothing that vanished in a gap stays behind. Raw JSON is projected at the door and dropped; it
must not know what the values mean, only whether they differ.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypedDict, TypeVar

from domicile.kube.errors import ApiError, Expired, Silent
from domicile.kube.wire import Json, Page

log = logging.getLogger(__name__)

T = TypeVar("T")

BACKOFF_BASE: Final = 0.5  # seconds
BACKOFF_CAP: Final = 30.0  # seconds
UNNAMED: Final = "(unnamed)"  # the key of what has no readable key


class _Selectors(TypedDict):
    label_selector: str | None
    field_selector: str | None


class Source(Protocol):
    """What a reflector needs of a `KubeClient`."""

    def list_pages(
        self, path: str, *, limit: int = ..., label_selector: str | None = ..., field_selector: str | None = ...
    ) -> AsyncGenerator[Page, None]: ...

    def watch(
        self,
        path: str,
        *,
        resource_version: str,
        label_selector: str | None = ...,
        field_selector: str | None = ...,
        server_timeout: int = ...,
        inactivity: float = ...,
        on_open: Callable[[], None] | None = ...,
    ) -> AsyncGenerator[tuple[str, Json], None]: ...


def object_key(raw: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` for what has no namespace."""
    metadata = raw["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


class Reflector(Generic[T]):
    """One resource's projected objects. `run()` it as a task; read `store` at any time from the same loop."""

    def __init__(
        self,
        client: Source,
        path: str,
        *,
        project: Callable[[Json], T | None],
        key: Callable[[Json], str] = object_key,
        on_change: Callable[[str, T | None, T | None], None],
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = 500,
        max_objects: int = 200_000,
        server_timeout: int = 300,
        inactivity: float = 70.0,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        """`project` gives a frozen value, or None to ignore the object; where it raises, the object counts as absent.
        `on_change(key, old, new)` comes only when the value differs, also during the first list, before `synced`.
        `server_timeout` and `inactivity` are seconds; beyond `max_objects` the resource counts as unreadable."""
        self._client = client
        self._path = path
        self._project = project
        self._key = key
        self._on_change = on_change
        self._selectors: _Selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._page_size = page_size
        self._max_objects = max_objects
        self._server_timeout, self._inactivity = server_timeout, inactivity
        self._clock = clock
        self._random = random
        self._store: dict[str, T] = {}
        self._problems: dict[str, str] = {}
        self._version: str | None = None  # where to watch from; None means list first
        self._heard_at: float | None = None
        self._failures = 0
        self._synced = asyncio.Event()
        self.last_error: Exception | None = None
        self.store: Mapping[str, T] = MappingProxyType(self._store)
        self.problems: Mapping[str, str] = MappingProxyType(self._problems)

    @property
    def synced(self) -> bool:
        """Whether a whole list has been seen once. It stays true; how current the store is, `age` tells."""
        return self._synced.is_set()

    def age(self, now: float) -> float:
        """Seconds from the last sign of life (event, bookmark, whole list) to `now` on the reflector's clock."""
        return float("inf") if self._heard_at is None else max(0.0, now - self._heard_at)

    async def wait_synced(self, seconds: float) -> None:
        """Return when synced; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            await self._synced.wait()

    async def run(self) -> None:
        """Follow the resource until cancelled. Nothing a server does ends it: it waits, ever longer, and retries."""
        while True:
            self._failures += 1  # until a watch speaks
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
            except ApiError as error:
                self._note(error)
            except Exception as error:  # a server may send anything; one odd answer must not stop other reflectors
                log.exception("reflector failed", extra={"path": self._path})
                self.last_error, self._version = error, None
            # Also after a regular end: the watches of a restarted API server should not all come back at once.
            await asyncio.sleep(self._random() * min(BACKOFF_CAP, BACKOFF_BASE * 2 ** min(self._failures, 10)))

    def _note(self, error: ApiError) -> None:
        """Remember why, and whether to list anew. After 410 the history is gone. After silence it is not trusted: a
        server restored from a backup counts versions from below ours, and says nothing until it is past them."""
        if isinstance(error, Expired | Silent):
            self._version = None
        if isinstance(error, Expired):
            return
        if str(error) != str(self.last_error):  # a member that is away for a day is said once, not every half minute
            log.warning("reflector: %s", error, extra={"path": self._path})
        self.last_error = error

    async def _list(self) -> str:
        """Replace the store by a whole list; the version to watch from."""
        seen: set[str] = set()
        version = ""
        pages = self._client.list_pages(self._path, limit=self._page_size, **self._selectors)
        async with aclosing(pages):
            async for page in pages:
                if page.first:
                    seen.clear()  # a list that was restarted: what vanished in between must not survive
                seen.update(self._observe(raw) for raw in page.items)
                version = page.resource_version
        for key in (self._store.keys() | self._problems.keys()) - seen:
            self._forget(key)
        self._heard_at, self.last_error = self._clock(), None
        self._synced.set()
        return version

    async def _watch(self, version: str) -> None:
        """Apply changes until the server ends the watch. Events are in order, so what is not newer was seen before."""
        events = self._client.watch(
            self._path,
            resource_version=version,
            server_timeout=self._server_timeout,
            inactivity=self._inactivity,
            on_open=self._accepted,
            **self._selectors,
        )
        async with aclosing(events):
            async for kind, raw in events:
                self._heard_at, self._failures, self.last_error = self._clock(), 0, None
                newer = _version_of(raw)
                if newer is None or not _is_newer(newer, than=version):
                    continue
                if kind == "DELETED":
                    self._forget(self._key_of(raw))
                elif kind in {"ADDED", "MODIFIED"}:
                    self._observe(raw)
                self._version = version = newer

    def _accepted(self) -> None:
        """The server watches again. Nothing need happen for a minute; what stood in the way is over now."""
        self.last_error = None

    def _observe(self, raw: Json) -> str:
        key = self._key_of(raw)
        try:
            value = self._project(raw)
        except Exception as error:  # absent is the safe reading of an object we cannot read
            self._complain(key, error)
            value = None
        else:
            self._problems.pop(key, None)
        self._put(key, value)
        return key

    def _key_of(self, raw: Json) -> str:
        try:
            return self._key(raw)
        except Exception as error:
            self._complain(UNNAMED, error)
            return UNNAMED

    def _forget(self, key: str) -> None:
        self._problems.pop(key, None)
        self._put(key, None)

    def _complain(self, key: str, error: Exception) -> None:
        problem = f"{type(error).__name__}: {error}"
        if self._problems.get(key) != problem:
            self._problems[key] = problem
            log.warning("object not readable: %s", problem, extra={"path": self._path, "key": key})

    def _put(self, key: str, value: T | None) -> None:
        old = self._store.get(key)
        if value == old:
            return
        if value is None:
            del self._store[key]
        elif old is None and len(self._store) >= self._max_objects:
            raise ApiError(0, reason="TooManyObjects", message=f"more than {self._max_objects} in {self._path}")
        else:
            self._store[key] = value
        try:
            self._on_change(key, old, value)
        except Exception:  # the listener's bug; the store is right, and the sweep finds what was missed
            log.exception("change listener failed", extra={"path": self._path, "key": key})


def _version_of(raw: Json) -> str | None:
    metadata = raw.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) and version else None


def _is_newer(version: str, *, than: str) -> bool:
    """Versions of one resource are comparable as numbers (KEP-5504); of servers where they are not, equality is all."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
