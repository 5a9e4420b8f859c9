"""One record of the log: its types, its envelope, and the one line that it becomes. Pure.

A record is a JSON object. The log gives it `seq`, `time`, `type` and `prev`; every other member is the caller's. The
line is its RFC 8785 form; its hash is the RFC 6962 leaf hash of the line, which is both the leaf of the Merkle tree and
what the next record holds as `prev`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from domicile.evidence.canonical import SAFE, NotCanonical, canonical, parse
from domicile.evidence.errors import RecordRefused

MAX_PAYLOAD: Final = 1 << 20  # bytes of canonical JSON
MAX_LINE: Final = MAX_PAYLOAD + 512  # with the envelope, without the newline
RESERVED: Final = frozenset({"seq", "time", "type", "prev"})
GENESIS: Final = "0" * 64  # `prev` of the first record

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}")


class RecordType(StrEnum):
    """What happened. Readers take other values as they come: later versions add some."""

    EVALUATED = "Evaluated"
    PLACED = "Placed"
    REFUSED = "Refused"
    MOVED = "Moved"
    EVICTED = "Evicted"
    EVIDENCE_ACCEPTED = "EvidenceAccepted"
    EVIDENCE_REJECTED = "EvidenceRejected"
    EVIDENCE_EXPIRED = "EvidenceExpired"
    REVOKED = "Revoked"
    EXCEPTION_GRANTED = "ExceptionGranted"
    EXCEPTION_USED = "ExceptionUsed"
    EXCEPTION_EXPIRED = "ExceptionExpired"
    POLICY_CHANGED = "PolicyChanged"
    ENFORCEMENT_DRIFT = "EnforcementDrift"
    VIOLATION_OPENED = "ViolationOpened"
    VIOLATION_RESOLVED = "ViolationResolved"
    DRY_RUN = "DryRun"
    VIOLATION_ACTED = "ViolationActed"
    BREAKER_OPENED = "BreakerOpened"
    BREAKER_RELEASED = "BreakerReleased"
    FACTS_STATED = "FactsStated"
    STOPPED = "Stopped"
    RESUMED = "Resumed"


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be appended. Build it with `of`, which fixes its bytes: the payload may change afterwards."""

    type: RecordType
    members: tuple[tuple[bytes, bytes], ...]  # (UTF-16 sort key, canonical `"name":value`)

    @classmethod
    def of(cls, kind: RecordType, payload: Mapping[str, Any], *, limit: int = MAX_PAYLOAD) -> Record:
        """Take the members of `payload`. Raises `RecordRefused` if reserved, not JSON, or above `limit` bytes."""
        if taken := sorted(RESERVED.intersection(payload)):
            raise RecordRefused(f"{kind} record: {', '.join(taken)} are given by the log")
        members = []
        for name, value in payload.items():
            try:
                member = canonical(name) + b":" + canonical(value)
            except NotCanonical as error:
                raise RecordRefused(f"{kind} record, member {name!r}: {error}") from None
            members.append((name.encode("utf-16-be"), member))
        record = cls(kind, tuple(members))
        if record.size > min(limit, MAX_PAYLOAD):
            most = min(limit, MAX_PAYLOAD)
            raise RecordRefused(f"{kind} record: {record.size} bytes of payload; at most {most} are stored")
        return record

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return sum(len(member) + 1 for _, member in self.members)

    def line(self, seq: int, *, time: str, prev: str) -> bytes:
        """The canonical line, without newline. RFC 8785 section 3.2.3: members in the order of their UTF-16 names."""
        envelope = {"prev": f'"{prev}"', "seq": f"{seq}", "time": f'"{time}"', "type": f'"{self.type}"'}
        given = [(name.encode("utf-16-be"), f'"{name}":{value}'.encode()) for name, value in envelope.items()]
        return b"{" + b",".join(member for _, member in sorted([*self.members, *given])) + b"}"


class EntryInvalid(ValueError):
    """A line is not a record; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored record. `body` is the whole JSON object, envelope included."""

    seq: int
    time: str
    type: str
    prev: str
    body: dict[str, Any]

    @property
    def at(self) -> datetime:
        """`time`, aware, UTC."""
        return datetime.fromisoformat(self.time)

    @classmethod
    def parse(cls, line: bytes) -> Entry:
        """Read a line without its newline. Raises `EntryInvalid`. Whether it is canonical, `is_canonical` tells."""
        try:
            body = parse(line)
        except NotCanonical as error:
            raise EntryInvalid(str(error)) from None
        if not isinstance(body, dict):
            raise EntryInvalid("not a JSON object")
        seq, time, kind, prev = body.get("seq"), body.get("time"), body.get("type"), body.get("prev")
        if type(seq) is not int or not 0 <= seq <= SAFE:
            raise EntryInvalid("seq is missing or no whole number")
        if not isinstance(time, str) or not _valid_time(time):
            raise EntryInvalid("time is missing or not of the form 2026-01-31T12:00:00.000000Z")
        if not isinstance(kind, str) or not kind:
            raise EntryInvalid("type is missing or no text")
        if not isinstance(prev, str) or not _HASH.fullmatch(prev):
            raise EntryInvalid("prev is missing or not 64 hexadecimal digits")
        return cls(seq, time, kind, prev, body)

    def is_canonical(self, line: bytes) -> bool:
        """Whether `line`, which this was read from, is the one canonical form."""
        try:
            return canonical(self.body) == line
        except NotCanonical:
            return False


def timestamp(moment: datetime) -> str:
    """RFC 3339, UTC, always with six digits of fraction, so that the text sorts as time does."""
    if moment.tzinfo is None:
        raise ValueError("a time without time zone cannot be recorded")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _valid_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
