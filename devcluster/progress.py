"""One line that says what is going on, and how messages look."""

import os
import sys
import time
from typing import TextIO

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


def paint(text: str, *, colour: str, stream: TextIO) -> str:
    """Colour `text` where a person looks at it; plain text for pipes, files and NO_COLOR."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def note(message: str) -> None:
    """Tell the person something worth knowing; stderr, so that `eval "$(devcluster env ...)"` stays clean."""
    print(f"devcluster: {message}", file=sys.stderr, flush=True)


class Progress:
    """A line that is rewritten in place on a terminal and repeated every 15 seconds anywhere else."""

    def __init__(self, title: str, *, stream: TextIO | None = None, plain_every: float = 15.0) -> None:
        self.title = title
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._plain_every = plain_every
        self._began = self._last = time.monotonic()
        self._drawn = False

    @property
    def elapsed(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._began

    def update(self, detail: str = "") -> None:
        """Show the current state; cheap enough to call several times a second."""
        line = f"{self.title}: {self.elapsed:.0f} s" + (f", {detail}" if detail else "")
        if self._live:
            self._stream.write("\r\x1b[2K" + line[: _columns(self._stream) - 1])
            self._drawn = True
        elif time.monotonic() - self._last >= self._plain_every:
            self._last = time.monotonic()
            self._stream.write(line + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the live line away, so that what is printed next starts at the left edge."""
        if self._drawn:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._drawn = False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80
