"""Which records are shown, and how."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from domicile.evidence.record import GENESIS, Entry, Record, RecordType
from domicile.evidence.show import COLUMNS, Filter, row, select

KINDS = (RecordType.PLACED, RecordType.MOVED, RecordType.REFUSED, RecordType.PLACED)
PAYLOADS: tuple[dict[str, Any], ...] = (
    {"subject": {"kind": "InferenceDeployment", "namespace": "a", "name": "x"}, "outcome": "Placed"},
    {"subject": {"namespace": "b", "name": "x"}, "outcome": "Placed"},
    {"subject": {"namespace": "a", "name": "y"}, "outcome": "NoEligibleCandidate"},
    {"subject": "not an object"},
)


def entry(seq: int) -> Entry:
    time = f"2026-11-0{seq + 1}T10:00:00.500000Z"
    return Entry.parse(Record.of(KINDS[seq], PAYLOADS[seq]).line(seq, time=time, prev=GENESIS))


ENTRIES = [entry(seq) for seq in range(4)]


def at(day: int, *, microsecond: int = 500_000) -> datetime:
    return datetime(2026, 11, day, 10, microsecond=microsecond, tzinfo=UTC)


@pytest.mark.parametrize(
    ("by", "shown"),
    [
        (Filter(), [0, 1, 2, 3]),
        (Filter(types=frozenset({"Placed"})), [0, 3]),
        (Filter(types=frozenset({"Moved", "Refused"})), [1, 2]),
        (Filter(namespace="a"), [0, 2]),
        (Filter(name="x"), [0, 1]),
        (Filter(namespace="a", name="x"), [0]),
        (Filter(outcome="Placed"), [0, 1]),
        (Filter(outcome="Placed", namespace="b"), [1]),
        (Filter(since=at(2)), [1, 2, 3]),
        (Filter(since=at(2, microsecond=500_001)), [2, 3]),
        (Filter(until=at(3)), [0, 1]),
        (Filter(since=at(2), until=at(4)), [1, 2]),
        (Filter(since=at(2).astimezone(timezone(timedelta(hours=9)))), [1, 2, 3]),
        (Filter(name="not"), []),
    ],
)
def test_filters(by: Filter, shown: list[int]) -> None:
    assert [entry.seq for entry in select(iter(ENTRIES), by=by)] == shown


def test_rows() -> None:
    assert row(ENTRIES[0]) == ("0", "2026-11-01T10:00:00Z", "Placed", "InferenceDeployment/a/x", "Placed")
    assert row(ENTRIES[1]).subject == "b/x"
    assert row(ENTRIES[3]) == ("3", "2026-11-04T10:00:00Z", "Placed", "", "")
    assert len(COLUMNS) == len(row(ENTRIES[0]))
