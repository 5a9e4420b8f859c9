"""Where checkpoints are published: places that whoever can rewrite the log should not be able to rewrite too."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Protocol

from domicile.evidence import checkpoint as notes
from domicile.evidence import layout
from domicile.evidence.checkpoint import CheckpointInvalid
from domicile.evidence.durable import replace_file
from domicile.evidence.errors import LogError


class SplitView(LogError):
    """Two checkpoints of one size do not agree: the log was forked, or rolled back and continued."""


class Sink(Protocol):
    """A place for checkpoints. `publish` may be called again with the same text, and raises whatever went wrong."""

    @property
    def name(self) -> str:
        """For messages and metrics."""

    async def publish(self, text: str) -> None:
        """Make the signed checkpoint `text` available outside the log's directory."""


class DirectorySink:
    """A directory, best on other storage: one file per checkpoint, none ever replaced by one that disagrees."""

    def __init__(self, directory: Path, *, name: str | None = None) -> None:
        """`directory` is for one log alone; it is created when the first checkpoint comes."""
        self.directory = directory
        self._name = name or str(directory)
        self._mutex = threading.Lock()  # a publication that was cancelled still ends in its thread

    @property
    def name(self) -> str:
        """The name given, or the path."""
        return self._name

    async def publish(self, text: str) -> None:
        """Raises `OSError`, and `SplitView` if the directory holds another checkpoint of that size or another log's."""
        await asyncio.to_thread(self._store, text)

    def _store(self, text: str) -> None:
        with self._mutex:
            store(self.directory, text=text)


def store(directory: Path, *, text: str) -> Path:
    """Write a checkpoint as `<size>.txt`, whole or not at all. Raises `OSError`, `SplitView`, `CheckpointInvalid`."""
    checkpoint = notes.parse(text).checkpoint
    directory.mkdir(parents=True, exist_ok=True)
    path = layout.checkpoint_path(directory, size=checkpoint.size)
    if path.exists():
        try:
            held = notes.parse(path.read_bytes()).checkpoint
        except CheckpointInvalid as error:
            raise SplitView(f"{path} holds no valid checkpoint: {error}") from None
        if held != checkpoint:
            one, other = (f"root {it.root.hex()} of {it.origin}" for it in (held, checkpoint))
            raise SplitView(f"{path} holds {one}, not {other}")
        return path
    replace_file(path, data=text.encode())
    return path


def held_in(directory: Path) -> dict[str, bytes]:
    """Every checkpoint in `directory`, by path, as `verify.verify` takes those held elsewhere."""
    return {str(item.path): item.path.read_bytes() for item in layout.checkpoints(directory)}
