"""Writing files so that they survive a crash: all bytes, fsync of the file, fsync of the directory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_all(descriptor: int, *, data: bytes) -> None:
    """Write every byte; a short write is continued. Raises `OSError`, after which an unknown part is written."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_directory(directory: Path) -> None:
    """Make names created, renamed or removed in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, *, data: bytes) -> None:
    """Put `data` under `path`: readers see the old file or the new one, whole. Leaves nothing behind on `OSError`."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_all(descriptor, data=data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)
