"""One record, one line: what is refused before it is stored, and what is no record when read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.evidence.canonical import canonical
from domicile.evidence.errors import RecordRefused
from domicile.evidence.record import GENESIS, MAX_LINE, MAX_PAYLOAD, Entry, EntryInvalid, Record, RecordType, timestamp

TIME = "2026-11-03T10:00:00.000000Z"
GOOD = {"seq": 3, "time": TIME, "type": "Placed", "prev": GENESIS, "outcome": "Placed"}


def test_the_types_are_those_of_the_format() -> None:
    names = (
        "Evaluated Placed Refused Moved Evicted EvidenceAccepted EvidenceRejected EvidenceExpired Revoked "
        "ExceptionGranted ExceptionUsed ExceptionExpired PolicyChanged EnforcementDrift ViolationOpened "
        "ViolationResolved DryRun ViolationActed BreakerOpened BreakerReleased FactsStated Stopped Resumed"
    )
    assert [str(kind) for kind in RecordType] == names.split()


NAMES = st.text().filter(lambda name: name not in GOOD)


@given(st.dictionaries(NAMES, st.integers(0, 9) | st.text() | st.floats(0, 1)))
@settings(max_examples=80, deadline=None)
def test_a_line_is_the_canonical_form_of_the_whole_record(payload: dict[str, Any]) -> None:
    line = Record.of(RecordType.MOVED, payload).line(7, time=TIME, prev=GENESIS)
    assert line == canonical({**payload, "seq": 7, "time": TIME, "type": "Moved", "prev": GENESIS})
    entry = Entry.parse(line)
    assert (entry.seq, entry.time, entry.type, entry.prev) == (7, TIME, "Moved", GENESIS)
    assert entry.is_canonical(line)


def test_later_changes_of_the_payload_do_not_matter() -> None:
    payload = {"outcome": ["Placed"]}
    record = Record.of(RecordType.PLACED, payload)
    before = record.line(0, time=TIME, prev=GENESIS)
    payload["outcome"].append("changed")
    assert record.line(0, time=TIME, prev=GENESIS) == before


@pytest.mark.parametrize("name", ["seq", "time", "type", "prev"])
def test_members_that_the_log_gives_are_refused(name: str) -> None:
    with pytest.raises(RecordRefused, match=f"{name} are given by the log"):
        Record.of(RecordType.PLACED, {name: 1})


def test_what_is_no_json_is_refused_by_name() -> None:
    with pytest.raises(RecordRefused, match="Placed record, member 'share'"):
        Record.of(RecordType.PLACED, {"share": float("nan")})
    with pytest.raises(RecordRefused, match="member 'at'"):
        Record.of(RecordType.PLACED, {"at": datetime(2026, 1, 1, tzinfo=UTC)})


def test_size_is_bounded() -> None:
    overhead = len('"x":"",')
    largest = Record.of(RecordType.PLACED, {"x": "y" * (MAX_PAYLOAD - overhead)})
    assert largest.size == MAX_PAYLOAD
    assert len(largest.line(2**53 - 1, time=TIME, prev=GENESIS)) <= MAX_LINE
    with pytest.raises(RecordRefused, match=f"{MAX_PAYLOAD + 1} bytes of payload; at most {MAX_PAYLOAD}"):
        Record.of(RecordType.PLACED, {"x": "y" * (MAX_PAYLOAD - overhead + 1)})
    with pytest.raises(RecordRefused, match="at most 100"):
        Record.of(RecordType.PLACED, {"x": "y" * 100}, limit=100)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seq": None}, "seq"),
        ({"seq": "3"}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": -1}, "seq"),
        ({"seq": 1.5}, "seq"),
        ({"time": "2026-11-03T10:00:00Z"}, "time"),
        ({"time": "2026-13-03T10:00:00.000000Z"}, "time"),
        ({"time": 5}, "time"),
        ({"type": ""}, "type"),
        ({"type": 7}, "type"),
        ({"prev": "0" * 63}, "prev"),
        ({"prev": "F" * 64}, "prev"),
        ({"prev": None}, "prev"),
    ],
)
def test_what_is_wrong_with_an_envelope_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(EntryInvalid, match=f"^{says} is missing or"):
        Entry.parse(json.dumps(GOOD | change).encode())
    for name in change:
        with pytest.raises(EntryInvalid, match=f"^{says} is missing"):
            Entry.parse(json.dumps({key: value for key, value in GOOD.items() if key != name}).encode())


@pytest.mark.parametrize("line", [b"", b"[]", b"null", b"{", b"\x00" * 20])
def test_what_is_no_object_is_no_record(line: bytes) -> None:
    with pytest.raises(EntryInvalid):
        Entry.parse(line)


def test_times_are_utc_with_six_digits() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(noon) == "2026-01-02T10:00:00.000000Z"
    assert Entry.parse(json.dumps(GOOD).encode()).at == datetime(2026, 11, 3, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2026, 1, 2))
