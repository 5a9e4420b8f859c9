"""The one exception a command raises for what its user can put right."""

from __future__ import annotations

from collections.abc import Sequence


class BadInput(Exception):
    """Ends a command with exit code 2; every line says what is wrong and what to do."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines: Sequence[str] = lines
