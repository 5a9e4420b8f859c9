"""What the person in front of the demo sees: one line per step, then what the demo shows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from devcluster.progress import Progress, paint


class Screen:
    """Standard output. On a terminal the step at work is a line that counts; elsewhere only finished steps are."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """One step: the line appears with its seconds when the block ends well."""
        progress = Progress(title, stream=sys.stdout)
        progress.update()
        try:
            yield progress
        finally:
            progress.clear()
        print(f"{progress.elapsed:5.1f} s  {title}", flush=True)

    def heading(self, text: str) -> None:
        """What the lines below it are, in bold where that is possible."""
        print(f"\n{paint(text, colour='bold', stream=sys.stdout)}", flush=True)

    def show(self, text: str) -> None:
        """Lines as they are."""
        print(text.rstrip("\n"), flush=True)

    def done(self, text: str) -> None:
        """The last line, with the seconds of everything."""
        seconds = time.monotonic() - self._began
        print(f"\n{paint(text, colour='green', stream=sys.stdout)} ({seconds:.0f} s in all)", flush=True)
