"""A writer that is killed: started by test_kill.py as a program of its own.

`every BASE` writes the same log again and again in children of this process, the n-th of which kills itself with
SIGKILL at its n-th call into the file system, in the middle if that call is a write. `forever BASE` appends from many
tasks until somebody kills it. Either prints what was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domicile.evidence.commit import GroupCommit
from domicile.evidence.log import Limits
from tests.evidence.making import opened, record, records, small_segments

CALLS = ("open", "write", "fsync", "close", "ftruncate", "mkdir", "chmod", "replace", "rename", "unlink")
BATCHES = (1, 2, 1, 4)


class Killer:
    """Counts calls into the file system and kills this process before call number `at`."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0
        self.write = os.write
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name), name=name))

    def _counted(self, call: Callable[..., Any], *, name: str) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                if name == "write":
                    self.write(args[0], args[1][: len(args[1]) * (self.at % 4) // 4])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **named)

        return counted


def story(directory: Path, *, killer: Killer, acknowledged: int) -> None:
    """Batches, a rotation, checkpoints; each acknowledged seq goes to the descriptor `acknowledged`."""
    first = 0
    with opened(directory, limits=small_segments(4)) as log:
        for count in BATCHES:
            for position in log.append(records(count, first=first)):
                killer.write(acknowledged, f"{position.seq}\n".encode())
            first += count
            if count == 2:
                log.write_checkpoint()


def child(directory: Path, *, at: int) -> int:
    """The exit status of a run that is killed at call `at`; its acknowledgements are in a file beside it."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    try:
        acknowledged = os.open(f"{directory}.acknowledged", os.O_WRONLY | os.O_CREAT)
        story(directory, killer=Killer(at), acknowledged=acknowledged)
    except BaseException:
        os._exit(1)
    os._exit(0)


def every(base: Path) -> None:
    """Kill at every call there is; print the number of kills."""
    kills = 0
    while (status := child(base / f"{kills + 1:04}", at=kills + 1)) == signal.SIGKILL:
        kills += 1
    if status:
        raise SystemExit(f"run {kills + 1} ended with status {status}")
    print(kills)


async def forever(directory: Path) -> None:
    """Append from eight tasks and print each acknowledged seq."""
    limits = Limits(segment_bytes=20_000, checkpoint_records=50)
    with opened(directory, limits=limits) as log:
        async with GroupCommit(log) as commit:

            async def work() -> None:
                while True:
                    position = (await commit.append([record(7, padding="x" * 300)]))[0]
                    os.write(1, f"{position.seq}\n".encode())

            await asyncio.gather(*(work() for _ in range(8)))


if __name__ == "__main__":
    mode, base = sys.argv[1], Path(sys.argv[2])
    if mode == "every":
        every(base)
    else:
        asyncio.run(forever(base))
