"""Where the operator writes what must be provable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domicile.evidence.log import Position
from domicile.evidence.record import Record


class Ledger(Protocol):
    """The decision log as reconciles see it."""

    @property
    def available(self) -> str:
        """Empty, or why nothing can be recorded now."""

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Make records durable. Raises `LogUnavailable`."""


class NoLedger:
    """Keeps nothing."""

    available = "no decision log: start the operator with --log-dir"

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Nothing is kept."""
        return []
