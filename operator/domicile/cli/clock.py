"""The only clock of the command line: the instant an answer is for."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from domicile.cli.errors import BadInput


def instant(text: str | None, *, option: str = "--at") -> datetime:
    """The instant asked for, or now, in whole seconds of UTC. Raises BadInput for what is no instant."""
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    from domicile.model.schema import MOMENT, read_instant

    try:
        if not re.fullmatch(MOMENT.strip("^$"), text):
            raise ValueError
        return read_instant(text)
    except ValueError:
        raise BadInput(f"{option}: {text!r} is no instant; write 2026-11-01 or 2026-11-01T09:30:00Z") from None


def written(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
