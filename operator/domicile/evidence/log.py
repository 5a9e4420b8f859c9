"""The decision log: the one writer of a directory of records.

Synchronous and thread-safe; `commit.GroupCommit` puts it under an event loop. It must not know what records mean, who
reads them, or where checkpoints go.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout
from domicile.evidence.checkpoint import Checkpoint, SignerKey, VerifierKey
from domicile.evidence.durable import replace_file, sync_directory
from domicile.evidence.errors import LogError, LogLocked, LogUnavailable
from domicile.evidence.merkle import leaf_hash
from domicile.evidence.record import Record, timestamp
from domicile.evidence.recovery import encode_frontier, make_read_only, recover
from domicile.evidence.sinks import store
from domicile.evidence.tail import Tail

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
"""Gives the time now, aware."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record is: enough to find it and to recognise it."""

    seq: int
    hash: str  # RFC 6962 leaf hash of its line, hexadecimal
    time: str


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is finished and when a checkpoint is due. A batch is never split, so segments can be larger."""

    segment_bytes: int = 64 << 20
    segment_age: timedelta = timedelta(days=7)
    checkpoint_records: int = 1000
    checkpoint_age: timedelta = timedelta(minutes=5)  # of the oldest record that no checkpoint covers


class DecisionLog:
    """An open log. Its identity is the origin, which is the name of the signing key."""

    def __init__(
        self,
        directory: Path,
        *,
        signer: SignerKey,
        clock: Clock,
        limits: Limits | None = None,
        older_keys: Sequence[VerifierKey] = (),
    ) -> None:
        """Open or create the log; `recovery` then says what was found. `older_keys` signed it before `signer` did.

        Raises `LogLocked`, `LogDamaged` (another writer; contents that contradict themselves), `LogUnavailable`.
        """
        self.directory = directory
        self._signer, self._clock, self._limits = signer, clock, limits or Limits()
        self._mutex = threading.Lock()
        self._tail: Tail | None = None
        self._closed = False
        with _storage(f"cannot open {directory}"):
            self._lock = _lock(directory)
        try:
            with _storage(f"cannot open {directory}"):
                self._state, self.recovery = recover(directory, keys=[signer.verifier, *older_keys])
                self._begin()
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> DecisionLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Durable records; also the seq of the next one."""
        return self._state.frontier.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint that was written; the one of size 0 exists from the beginning."""
        if self._state.signed is None:
            raise LogError("the log has no checkpoint")
        return self._state.signed

    def append(self, records: Sequence[Record]) -> list[Position]:
        """Make `records` durable together, with one fsync, and say where they are.

        Raises `LogUnavailable`, after which none of them is in the log and a later call may work, or `LogDamaged`.
        """
        with self._mutex:
            self._check_open()
            if not records:
                return []
            now = self._clock()
            with _storage(f"{len(records)} records not stored"):
                tail = self._tail_for(now)
                lines, positions = self._chained(records, time=timestamp(now))
                tail.append(b"".join(lines))
            self._advance(positions, at=now, written=tail.size)
            return positions

    def seconds_to_checkpoint(self) -> float | None:
        """Until a checkpoint is due, 0 if it is; None while every record is covered by one."""
        with self._mutex:
            unsigned, since = self.size - self.checkpoint.size, self._state.unsigned_since
            if not unsigned or since is None:
                return None
            if unsigned >= self._limits.checkpoint_records:
                return 0.0
            return max(0.0, (since + self._limits.checkpoint_age - self._clock()).total_seconds())

    def write_checkpoint(self) -> str:
        """Sign and store a checkpoint of everything durable, and return its text. Raises `LogUnavailable`."""
        with self._mutex:
            self._check_open()
            return self._sign()

    def checkpoint_text(self) -> str:
        """The newest checkpoint as stored, to publish it again after a restart. Raises `LogUnavailable`."""
        with _storage("cannot read the checkpoint"):
            path = layout.checkpoint_path(self.directory / layout.CHECKPOINTS, size=self.checkpoint.size)
            return path.read_text(encoding="utf-8")

    def close(self) -> None:
        """Write a last checkpoint if storage allows, and let others open the log. A second call does nothing."""
        with self._mutex:
            if self._closed:
                return
            try:
                self._sign()
            except LogError as error:
                log.warning("closed without a last checkpoint: %s", error)
            finally:
                self._closed = True
                if self._tail is not None:
                    self._tail.close()
                os.close(self._lock)

    def _begin(self) -> None:
        """Create what a new log needs, and open the last segment."""
        for folder in (layout.SEGMENTS, layout.CHECKPOINTS):
            (self.directory / folder).mkdir(exist_ok=True)
        sync_directory(self.directory)
        if self._state.signed is None:
            self._sign()
        if self._state.segment is None:
            self._tail = Tail.create(layout.segment_path(self.directory, first=0))
            self._state.segment = 0
        else:
            path = layout.segment_path(self.directory, first=self._state.segment)
            self._tail = Tail(path, size=self._state.segment_bytes)

    def _tail_for(self, now: datetime) -> Tail:
        """The segment to write to: the last one, or a new one if that is large or old enough."""
        state, limits, tail = self._state, self._limits, self._tail
        if tail is None:
            raise LogError("the log has no segment")
        since = state.segment_since
        if since is None or (tail.size < limits.segment_bytes and now - since < limits.segment_age):
            return tail
        self._tail = Tail.create(layout.segment_path(self.directory, first=self.size))
        state.segment, state.segment_bytes, state.segment_since = self.size, 0, None
        tail.close()
        make_read_only(tail.path)
        return self._tail

    def _chained(self, records: Sequence[Record], *, time: str) -> tuple[list[bytes], list[Position]]:
        """The lines with their newlines, each holding the hash of the one before it."""
        lines, positions, prev = [], [], self._state.last
        for seq, record in enumerate(records, start=self.size):
            line = record.line(seq, time=time, prev=prev)
            prev = leaf_hash(line).hex()
            lines.append(line + b"\n")
            positions.append(Position(seq, prev, time))
        return lines, positions

    def _advance(self, positions: Sequence[Position], *, at: datetime, written: int) -> None:
        """Take over what has become durable. Cannot fail."""
        state = self._state
        if state.signed is not None and state.signed.size == self.size:
            state.unsigned_since = at
        state.frontier = state.frontier.extended(bytes.fromhex(position.hash) for position in positions)
        state.last = positions[-1].hash
        state.segment_bytes, state.segment_since = written, state.segment_since or at

    def _sign(self) -> str:
        state = self._state
        if state.signed is not None and state.signed.size == self.size:
            return self.checkpoint_text()
        checkpoint = Checkpoint(self._signer.name, self.size, state.frontier.root)
        text = notes.sign(checkpoint, keys=[self._signer])
        with _storage("checkpoint not stored"):
            store(self.directory / layout.CHECKPOINTS, text=text)
        state.signed = checkpoint
        try:  # after the checkpoint: a frontier without one is of no use, the other way round opening is slower
            replace_file(self.directory / layout.FRONTIER, data=encode_frontier(state.frontier))
        except OSError as error:
            log.warning("the next opening will read the whole log: %s", error)
        return text

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("the log is closed")


def _lock(directory: Path) -> int:
    """The descriptor that holds the lock until it is closed or the process ends. Raises `LogLocked`, `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / layout.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LogLocked(f"{directory}: another writer has this log open") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _storage(what: str) -> Iterator[None]:
    """Turn the failures of storage into `LogUnavailable`."""
    try:
        yield
    except OSError as error:
        raise LogUnavailable(f"{what}: {error}") from error
