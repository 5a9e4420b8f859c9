"""What lies where in the directory of a log, and how its lines are read, a bounded piece at a time.

* segments/<first seq, 20 digits>.jsonl: the records
* checkpoints/<size, 20 digits>.txt: the signed checkpoints
* frontier.json: a cache that makes opening fast; proves nothing
* lock: held by the one writer
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from domicile.evidence.errors import LogDamaged
from domicile.evidence.record import MAX_LINE, Entry, EntryInvalid

SEGMENTS: Final = "segments"
CHECKPOINTS: Final = "checkpoints"
FRONTIER: Final = "frontier.json"
LOCK: Final = "lock"

_SEGMENT: Final = re.compile(r"([0-9]{20})\.jsonl")
_CHECKPOINT: Final = re.compile(r"([0-9]{20})\.txt")


@dataclass(frozen=True, slots=True, order=True)
class Numbered:
    """A file that is named by a number: a segment by its first seq, a checkpoint by its size."""

    number: int
    path: Path


class RawLine(NamedTuple):
    """One line of a segment, without its newline. `whole` is false if it has none or is longer than any record."""

    number: int  # from 1
    data: bytes
    whole: bool

    @property
    def torn(self) -> bool:
        """Whether the file ends in the middle of this line, as a crash leaves it."""
        return not self.whole and len(self.data) <= MAX_LINE


def segment_path(directory: Path, *, first: int) -> Path:
    """The file that begins with record `first`."""
    return directory / SEGMENTS / f"{first:020d}.jsonl"


def checkpoint_path(directory: Path, *, size: int) -> Path:
    """The checkpoint of `size` records in `directory`, which is a `checkpoints` folder or the folder of a sink."""
    return directory / f"{size:020d}.txt"


def segments(directory: Path) -> list[Numbered]:
    """The segments of the log in `directory`, by first seq. Files with other names are passed over."""
    return _numbered(directory / SEGMENTS, pattern=_SEGMENT)


def checkpoints(directory: Path) -> list[Numbered]:
    """The checkpoint files in `directory`, by size. Files with other names are passed over."""
    return _numbered(directory, pattern=_CHECKPOINT)


def strangers(directory: Path) -> list[Path]:
    """Files among segments and checkpoints whose names say nothing, other than those being written."""
    found = [
        *_other(directory / SEGMENTS, pattern=_SEGMENT),
        *_other(directory / CHECKPOINTS, pattern=_CHECKPOINT),
    ]
    return sorted(path for path in found if not (path.name.startswith(".") and path.name.endswith(".new")))


def raw_lines(path: Path) -> Iterator[RawLine]:
    """The lines of a segment. At most `MAX_LINE` bytes are held; the rest of a longer line is passed over."""
    with path.open("rb", buffering=1 << 18) as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if line.endswith(b"\n"):
                yield RawLine(number, line[:-1], True)
                continue
            yield RawLine(number, line, False)
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE + 1)


def entries(directory: Path, *, first: int = 0) -> Iterator[Entry]:
    """Records from seq `first` on, not verified; a torn last line is passed over. Raises `LogDamaged`."""
    files = segments(directory)
    for index, segment in enumerate(files):
        last = index + 1 == len(files)
        if not last and files[index + 1].number <= first:
            continue
        for line in raw_lines(segment.path):
            if line.torn and last:
                return
            try:
                entry = Entry.parse(line.data)
            except EntryInvalid as error:
                raise LogDamaged(f"{segment.path.name} line {line.number}: {error}") from None
            if entry.seq >= first:
                yield entry


def _numbered(directory: Path, *, pattern: re.Pattern[str]) -> list[Numbered]:
    if not directory.is_dir():
        return []
    matches = ((pattern.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted(Numbered(int(match[1]), path) for match, path in matches if match)


def _other(directory: Path, *, pattern: re.Pattern[str]) -> list[Path]:
    if not directory.is_dir():
        return []
    return [path for path in directory.iterdir() if not pattern.fullmatch(path.name)]
