"""Checking a log that somebody else wrote: chain, order, segments, tree, checkpoints, signatures.

Only the keys are trusted, and the checkpoints that the caller holds from elsewhere. One pass, a line at a time; held in
memory are one line, the tree's frontier and, per checkpoint, a size and a root. It never stops at the first problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout
from domicile.evidence.checkpoint import CheckpointInvalid, VerifierKey
from domicile.evidence.layout import Numbered, RawLine
from domicile.evidence.merkle import Frontier, leaf_hash
from domicile.evidence.record import GENESIS, MAX_LINE, Entry, EntryInvalid, RecordType
from domicile.evidence.report import Problem, Report

KEPT_PROBLEMS: Final = 100
_KNOWN_TYPES: Final = frozenset(RecordType)


def verify(
    directory: Path, *, keys: Sequence[VerifierKey], elsewhere: Mapping[str, str | bytes] | None = None
) -> Report:
    """Check the log in `directory`.

    `keys` are all keys that ever signed it. `elsewhere` are checkpoints from outside, by a name for messages: only they
    reveal that the whole directory was replaced by an older or another one. A writer may be at work meanwhile. Raises
    `ValueError` without keys, `OSError` if the directory cannot be read.
    """
    if not keys:
        raise ValueError("without a key nothing can be verified")
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is no directory")
    findings = _Findings()
    signed = _Signed(keys, findings=findings)
    signed.take_stored(directory)
    signed.take({name: text for name, text in (elsewhere or {}).items()})
    walk = _Walk(signed, findings=findings)
    walk.run(layout.segments(directory))
    signed.finish(walk.count)
    findings.notices.extend(f"{path.name}: not a file of the log" for path in layout.strangers(directory))
    return Report(
        origin=signed.origin,
        records=walk.count,
        bytes=walk.bytes,
        segments=walk.segments,
        root=walk.frontier.root.hex(),
        first_time=walk.first_time,
        last_time=walk.last_time,
        types=dict(sorted(walk.types.items())),
        checkpoints=signed.matched,
        checkpoints_failed=signed.failed,
        proven=signed.proven,
        keys=tuple(sorted(signed.used)),
        problem_count=findings.count,
        problems=tuple(findings.problems),
        notices=tuple(findings.notices),
    )


@dataclass(slots=True)
class _Findings:
    """Problems, of which the first are kept and all are counted."""

    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: Problem) -> None:
        self.count += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(problem)


class _Signed:
    """Checkpoints with good signatures, and how they compare with the tree as it grows."""

    def __init__(self, keys: Sequence[VerifierKey], *, findings: _Findings) -> None:
        self._keys, self._findings = keys, findings
        self._roots: dict[int, list[tuple[bytes, str]]] = {}  # size -> (root, where it is held)
        self.origin: str | None = None
        self.used: set[str] = set()
        self.matched = self.failed = self.proven = 0

    def take_stored(self, directory: Path) -> None:
        """The log's own checkpoints. Each must have the size that its name says."""
        files = layout.checkpoints(directory / layout.CHECKPOINTS)
        if not files:
            what = "no checkpoint: nothing says who wrote these records, nor how many there were"
            self._findings.add(Problem(layout.CHECKPOINTS, what))
        for item in files:
            self._take(item.path.name, text=item.path.read_bytes(), size=item.number)

    def take(self, held: Mapping[str, str | bytes]) -> None:
        """Checkpoints held elsewhere."""
        for name, text in held.items():
            self._take(name, text=text)

    def compare(self, frontier: Frontier) -> None:
        """The tree has reached this size: every checkpoint of the size must hold its root."""
        for root, where in self._roots.pop(frontier.size, ()):
            if root == frontier.root:
                self.matched += 1
                self.proven = max(self.proven, frontier.size)
                continue
            self.failed += 1
            first = self.proven
            what = f"signed over other records: one of seq {first} to {frontier.size - 1} is not what it was"
            self._findings.add(Problem(where, f"{what} (checkpoint root {root.hex()}, stored {frontier.root.hex()})"))

    def finish(self, records: int) -> None:
        """What was signed over more records than there are."""
        for size in sorted(self._roots):
            for _, where in self._roots[size]:
                self.failed += 1
                what = f"signed over {size} records, but {records} are stored: cut off, or rolled back to an older copy"
                self._findings.add(Problem(where, what))

    def _take(self, where: str, *, text: str | bytes, size: int | None = None) -> None:
        try:
            signed = notes.parse(text)
            key = signed.verified_by(self._keys)
        except CheckpointInvalid as error:
            self._findings.add(Problem(where, str(error)))
            return
        checkpoint = signed.checkpoint
        self.used.add(key.label)
        self.origin = self.origin or checkpoint.origin
        if checkpoint.origin != self.origin:
            self._findings.add(Problem(where, f"is of the log {checkpoint.origin}, not of {self.origin}"))
        elif size is not None and checkpoint.size != size:
            self._findings.add(Problem(where, f"is over {checkpoint.size} records, not over the {size} of its name"))
        else:
            self._roots.setdefault(checkpoint.size, []).append((checkpoint.root, where))


@dataclass(slots=True)
class _Place:
    """A record that was read: where, what hash it has, and whether something was said about it already."""

    file: str
    line: int
    seq: int
    hash: str
    blamed: bool = False


class _Walk:
    """One pass over the segments."""

    def __init__(self, signed: _Signed, *, findings: _Findings) -> None:
        self._signed, self._findings = signed, findings
        self._before: _Place | None = None  # the record before
        self._doubt: _Place | None = None  # the one before that, if the record before does not hold its hash
        self._clock_steps = 0
        self._next = 0  # the seq that comes next if nothing is missing
        self.frontier = Frontier()
        self.count = self.bytes = self.segments = 0
        self.first_time: str | None = None
        self.last_time: str | None = None
        self.types: Counter[str] = Counter()

    def run(self, segments: Sequence[Numbered]) -> None:
        self._signed.compare(self.frontier)
        for index, segment in enumerate(segments):
            self._segment(segment, last=index + 1 == len(segments))
        self._settle(None)
        if self._clock_steps:
            self._findings.notices.append(f"the clock went back before {self._clock_steps} records")
        if unknown := sorted(set(self.types) - _KNOWN_TYPES):
            self._findings.notices.append(f"types that this version does not know: {', '.join(unknown)}")

    def _segment(self, segment: Numbered, *, last: bool) -> None:
        self.segments += 1
        name = segment.path.name
        if segment.number != self._next:
            missing = segment.number - self._next
            what = f"{missing} records before this segment are missing" if missing > 0 else "named for an earlier seq"
            self._findings.add(Problem(name, what, line=1, seq=self._next))
            self._settle(None)
            self._next, self._before = segment.number, None
        for line in layout.raw_lines(segment.path):
            if line.torn and last:
                self._findings.notices.append(f"{name}: {len(line.data)} bytes of a torn last line")
                return
            self._line(line, file=name)

    def _line(self, line: RawLine, *, file: str) -> None:
        self.count += 1
        self.bytes += len(line.data) + 1
        hashed = leaf_hash(line.data)
        place = _Place(file, line.number, self._next, hashed.hex())
        entry = self._entry(line, place=place)
        if entry is not None:
            self._order(entry, place=place)
            self._chain(entry, place=place)
            self._count(entry)
        else:
            self._settle(None)
        self._before, self._next = place, place.seq + 1
        self.frontier = self.frontier.extended((hashed,))
        self._signed.compare(self.frontier)

    def _entry(self, line: RawLine, *, place: _Place) -> Entry | None:
        if not line.whole:
            too_long = f"longer than {MAX_LINE} bytes"
            self._blame(place, what="cut off in the middle" if line.torn else too_long)
            return None
        try:
            entry = Entry.parse(line.data)
        except EntryInvalid as error:
            self._blame(place, what=str(error))
            return None
        if not entry.is_canonical(line.data):
            self._blame(place, what="not in canonical form (RFC 8785)")
        return entry

    def _order(self, entry: Entry, *, place: _Place) -> None:
        if entry.seq == place.seq:
            return
        if entry.seq > place.seq:
            self._blame(
                place, what=f"the record has seq {entry.seq}: {entry.seq - place.seq} are missing or out of order"
            )
        else:
            self._blame(place, what=f"the record has seq {entry.seq}, which came before: repeated or out of order")
        place.seq = entry.seq

    def _chain(self, entry: Entry, *, place: _Place) -> None:
        """Compare `prev`. Which of two records was altered shows only when the one after them is read."""
        expected = self._before.hash if self._before is not None else GENESIS if place.seq == 0 else None
        linked = expected is None or entry.prev == expected
        self._settle(linked)
        if not linked and not place.blamed and not (self._before and self._before.blamed):
            if self._before is None:
                self._blame(place, what="the first record's prev is not all zeros")
            else:
                self._doubt = self._before

    def _settle(self, confirmed: bool | None) -> None:
        """Decide a doubt: `confirmed` says whether the record after the doubtful pair vouches for the second."""
        doubt, self._doubt = self._doubt, None
        if doubt is None or self._before is None:
            return
        if confirmed is False:
            self._blame(
                self._before, what="prev is not the hash of the record before it, nor is its own hash in the next"
            )
        else:
            self._blame(doubt, what=f"altered: its bytes hash to {doubt.hash}, the record after it holds another hash")

    def _count(self, entry: Entry) -> None:
        self.types[entry.type] += 1
        self.first_time = self.first_time or entry.time
        if self.last_time is not None and entry.time < self.last_time:
            self._clock_steps += 1
        self.last_time = entry.time

    def _blame(self, place: _Place, *, what: str) -> None:
        place.blamed = True
        self._findings.add(Problem(place.file, what, line=place.line, seq=place.seq))
