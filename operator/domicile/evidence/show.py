"""Selecting records for people, and one table row for each. Pure.

What it looks at in a payload is a convention, not a demand: `subject` with `kind`, `namespace` and `name`, and
`outcome`. A record without them is shown with blanks and matches no filter on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from domicile.evidence.record import Entry, timestamp

COLUMNS: Final = ("SEQ", "TIME", "TYPE", "SUBJECT", "OUTCOME")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to select; what is None or empty selects everything. `since` is included, `until` is not; both aware."""

    types: frozenset[str] = frozenset()
    namespace: str | None = None
    name: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcome: str | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether `entry` meets every condition."""
        subject = _subject(entry)
        return (
            (not self.types or entry.type in self.types)
            and (self.namespace is None or subject.get("namespace") == self.namespace)
            and (self.name is None or subject.get("name") == self.name)
            and (self.outcome is None or entry.body.get("outcome") == self.outcome)
            and (self.since is None or entry.time >= timestamp(self.since))
            and (self.until is None or entry.time < timestamp(self.until))
        )


class Row(NamedTuple):
    """The cells under `COLUMNS`."""

    seq: str
    time: str
    type: str
    subject: str
    outcome: str


def select(entries: Iterable[Entry], *, by: Filter) -> Iterator[Entry]:
    """The records that match, in their order, one at a time."""
    return filter(by.matches, entries)


def row(entry: Entry) -> Row:
    """The table row of a record. Seconds are enough for reading; the JSON has the rest."""
    subject = _subject(entry)
    named = "/".join(str(subject[part]) for part in ("kind", "namespace", "name") if subject.get(part))
    outcome = entry.body.get("outcome")
    return Row(str(entry.seq), entry.time[:19] + "Z", entry.type, named, "" if outcome is None else str(outcome))


def _subject(entry: Entry) -> dict[str, Any]:
    subject = entry.body.get("subject")
    return subject if isinstance(subject, dict) else {}
