"""Opening a log: what is stored, checked from the last checkpoint on.

The one thing that is repaired is a torn last line, which `tail.Tail` cuts off when it opens the segment at the size
found here. A record that was written whole is never removed, acknowledged or not. Anything else is damage, and stays
as it is: a log that heals itself proves nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout
from domicile.evidence.checkpoint import Checkpoint, CheckpointInvalid, VerifierKey
from domicile.evidence.errors import LogDamaged
from domicile.evidence.layout import Numbered
from domicile.evidence.merkle import Frontier, leaf_hash
from domicile.evidence.record import GENESIS, Entry, EntryInvalid

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening found and did."""

    size: int  # records
    rechecked: int  # records whose chain and place were checked
    rebuilt: bool  # whether the whole log was read, since the cached frontier was missing or wrong
    torn_file: str | None = None
    torn_bytes: int = 0  # at the end of `torn_file`, cut off


@dataclass(slots=True)
class State:
    """Where the log stands. Changed by `log.DecisionLog` only once bytes are durable."""

    frontier: Frontier = field(default_factory=Frontier)
    last: str = GENESIS  # hash of the last record
    segment: int | None = None  # first seq of the last segment; None if there is no segment
    segment_bytes: int = 0
    segment_since: datetime | None = None  # time of its first record
    signed: Checkpoint | None = None  # the newest checkpoint; None in a directory that never was a log
    unsigned_since: datetime | None = None  # time of the first record after it, if there is one


def recover(directory: Path, *, keys: Sequence[VerifierKey]) -> tuple[State, Recovery]:
    """Read and check what `directory` holds; `keys` are all that signed this log. Raises `LogDamaged`, `OSError`."""
    return _Reading(directory, keys=keys).run()


def encode_frontier(frontier: Frontier) -> bytes:
    """The cache file: believed only together with a signed checkpoint of the same size and root."""
    return json.dumps({"size": frontier.size, "roots": [root.hex() for root in frontier.roots]}).encode()


class _Reading:
    def __init__(self, directory: Path, *, keys: Sequence[VerifierKey]) -> None:
        self.directory, self.keys = directory, keys
        self.segments = layout.segments(directory)
        self.checkpoints = {item.number: item for item in layout.checkpoints(directory / layout.CHECKPOINTS)}
        self.state = State()
        self.torn = 0

    def run(self) -> tuple[State, Recovery]:
        if not self.checkpoints:
            return self._unborn()
        newest = max(self.checkpoints)
        self.state.signed = self._checkpoint(newest)
        base = self._cached()
        self._check_names()
        size = self._replay(base)
        if size < newest:
            raise LogDamaged(f"{size} records are stored, but a checkpoint was signed over {newest}")
        self._finish_segments()
        torn_file = self.segments[-1].path.name if self.torn else None
        found = Recovery(size, size - base.size, base.size == 0 and newest > 0, torn_file, self.torn)
        return self.state, found

    def _unborn(self) -> tuple[State, Recovery]:
        """A new directory, or one whose creation was cut short."""
        if any(segment.path.stat().st_size for segment in self.segments):
            raise LogDamaged("there are records, but no checkpoint: not even the one that every log begins with")
        if self.segments:
            self.state.segment = 0
        return self.state, Recovery(0, 0, False)

    def _checkpoint(self, size: int) -> Checkpoint:
        item = self.checkpoints[size]
        try:
            signed = notes.parse(item.path.read_bytes())
            signed.verified_by(self.keys)
        except CheckpointInvalid as error:
            raise LogDamaged(f"checkpoint {item.path.name}: {error}") from None
        if signed.checkpoint.size != size:
            raise LogDamaged(f"checkpoint {item.path.name}: is over {signed.checkpoint.size} records")
        return signed.checkpoint

    def _cached(self) -> Frontier:
        """The cached frontier if a signed checkpoint vouches for it, otherwise an empty tree."""
        try:
            cached = json.loads((self.directory / layout.FRONTIER).read_bytes())
            frontier = Frontier(int(cached["size"]), tuple(bytes.fromhex(root) for root in cached["roots"]))
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return Frontier()
        if frontier.size in self.checkpoints and self._checkpoint(frontier.size).root == frontier.root:
            return frontier
        return Frontier()

    def _check_names(self) -> None:
        if self.segments and self.segments[0].number != 0:
            raise LogDamaged(f"the first segment is {self.segments[0].path.name}: records before it are missing")

    def _replay(self, base: Frontier) -> int:
        """Check every record after `base`, and return how many are stored in all."""
        self.state.frontier = base
        seq = 0
        for index, segment in enumerate(self.segments):
            last = index + 1 == len(self.segments)
            if not last and self.segments[index + 1].number < base.size:
                seq = self.segments[index + 1].number
                continue
            if segment.number != seq:
                raise LogDamaged(f"segment {segment.path.name} should begin with seq {seq}")
            seq = self._replay_segment(segment, base=base, last=last)
        return seq

    def _replay_segment(self, segment: Numbered, *, base: Frontier, last: bool) -> int:
        """The seq after the segment's last record."""
        state, seq, read = self.state, segment.number, 0
        since: datetime | None = None
        for line in layout.raw_lines(segment.path):
            where = f"{segment.path.name} line {line.number}, seq {seq}"
            if not line.whole:
                if not (line.torn and last):
                    raise LogDamaged(f"{where}: cut off, or longer than any record")
                self.torn = segment.path.stat().st_size - read
                log.warning("a torn last line", extra={"file": segment.path.name, "bytes": self.torn})
                break
            read += len(line.data) + 1
            if since is None or seq >= base.size:
                entry = self._entry(line.data, where=where)
                since = since or entry.at
                if seq >= base.size:
                    self._check(entry, seq=seq, where=where)
            if seq >= base.size - 1:
                hashed = leaf_hash(line.data)
                state.last = hashed.hex()
                if seq >= base.size:
                    state.frontier = state.frontier.extended([hashed])
                self._compare(seq + 1)
            seq += 1
        state.segment, state.segment_bytes, state.segment_since = segment.number, read, since
        return seq

    def _entry(self, line: bytes, *, where: str) -> Entry:
        try:
            return Entry.parse(line)
        except EntryInvalid as error:
            raise LogDamaged(f"{where}: {error}") from None

    def _check(self, entry: Entry, *, seq: int, where: str) -> None:
        if entry.seq != seq:
            raise LogDamaged(f"{where}: the record says seq {entry.seq}")
        if entry.prev != self.state.last:
            raise LogDamaged(f"{where}: prev is not the hash of the record before it")
        if self.state.signed is not None and seq == self.state.signed.size:
            self.state.unsigned_since = entry.at

    def _compare(self, size: int) -> None:
        if size in self.checkpoints and self._checkpoint(size).root != self.state.frontier.root:
            raise LogDamaged(f"the {size} records stored are not those that checkpoint {size} was signed over")

    def _finish_segments(self) -> None:
        """A crash may have come between beginning a segment and closing the one before it."""
        for segment in self.segments[:-1]:
            make_read_only(segment.path)


def make_read_only(path: Path) -> None:
    """Nothing writes a finished segment again. Storage without permissions is no reason to stop."""
    try:
        if path.stat().st_mode & 0o222:
            path.chmod(0o444)
    except OSError as error:
        log.warning("a finished segment stays writable: %s", error, extra={"file": path.name})
