"""The segment that is being written: the one place where bytes reach the log.

What it promises: after `append` returned, the bytes are on disk; after it raised, the file ends where it ended before,
at once or, if the storage refuses even that, before the next byte is written.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from domicile.evidence.durable import sync_directory, write_all
from domicile.evidence.errors import LogDamaged


class Tail:
    """An open segment of `size` durable bytes. Not thread-safe. Holds no descriptor after a failure."""

    def __init__(self, path: Path, *, size: int) -> None:
        """Opens an existing segment. Raises `OSError`, and `LogDamaged` if it is shorter than `size` bytes."""
        self.path = path
        self.size = size
        self._descriptor: int | None = None
        self._open()

    @classmethod
    def create(cls, path: Path) -> Tail:
        """A new, empty segment, durable as such. One that an earlier attempt left empty is taken. Raises `OSError`."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
        sync_directory(path.parent)
        if (size := path.stat().st_size) > 0:
            raise LogDamaged(f"{path.name}: a segment of that name exists with {size} bytes")
        return cls(path, size=0)

    def append(self, data: bytes) -> None:
        """Write and fsync `data`, or raise `OSError` and leave the segment as it was."""
        descriptor = self._open()
        if os.fstat(descriptor).st_nlink == 0:
            raise LogDamaged(f"{self.path.name}: removed while it was being written")
        try:
            write_all(descriptor, data=data)
            os.fsync(descriptor)
        except BaseException:
            # After a failed fsync the kernel may call lost pages clean, so the descriptor is not used again.
            self.close()
            with contextlib.suppress(OSError):
                self._open()
            raise
        self.size += len(data)

    def close(self) -> None:
        """Release the descriptor; `append` opens the file again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        """The descriptor, at the end of a file that holds exactly the durable bytes."""
        if self._descriptor is not None:
            return self._descriptor
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            raise LogDamaged(f"{self.path.name}: removed while it was being written") from None
        try:
            self._cut(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return descriptor

    def _cut(self, descriptor: int) -> None:
        found = os.fstat(descriptor).st_size
        if found < self.size:
            raise LogDamaged(f"{self.path.name}: {found} bytes, of which {self.size} had been made durable")
        if found > self.size:
            os.ftruncate(descriptor, self.size)
            os.fsync(descriptor)
