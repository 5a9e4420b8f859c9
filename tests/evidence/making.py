"""Logs to test with: a clock moved by hand, a fixed key, small records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from domicile.evidence.checkpoint import SignerKey
from domicile.evidence.log import DecisionLog, Limits
from domicile.evidence.record import Record, RecordType

ORIGIN = "domicile.example/hub"
KEY = SignerKey(ORIGIN, bytes(range(32)))
OTHER_KEY = SignerKey(ORIGIN, bytes(range(1, 33)))
START = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)


class Clock:
    """Gives a time that only the test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def record(number: int, *, kind: RecordType = RecordType.PLACED, **more: Any) -> Record:
    return Record.of(kind, {"subject": {"namespace": "team", "name": f"model-{number}"}, "number": number, **more})


def records(count: int, *, first: int = 0, **more: Any) -> list[Record]:
    return [record(number, **more) for number in range(first, first + count)]


def opened(
    directory: Path,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    signer: SignerKey = KEY,
    older: Sequence[SignerKey] = (),
) -> DecisionLog:
    keys = [key.verifier for key in older]
    return DecisionLog(directory, signer=signer, clock=clock or Clock(), limits=limits, older_keys=keys)


def small_segments(records_each: int) -> Limits:
    """Limits that finish a segment after so many records of `record`, appended one by one."""
    return Limits(segment_bytes=(records_each - 1) * len(line(0)) + len(line(0)) // 2)


def line(number: int) -> bytes:
    return record(number).line(number, time="2026-11-03T10:00:00.000000Z", prev="0" * 64) + b"\n"


def segment_files(directory: Path) -> list[Path]:
    return sorted((directory / "segments").iterdir())


def stored_lines(directory: Path) -> list[bytes]:
    return [line for path in segment_files(directory) for line in path.read_bytes().splitlines(keepends=True)]
