"""What verification found, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that should not be.

    `line` counts from 1, `seq` is the one that belongs in this place; both are None where no one record is meant.
    """

    file: str
    what: str
    line: int | None = None
    seq: int | None = None

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line is not None else ""
        seq = f", seq {self.seq}" if self.seq is not None else ""
        return f"{self.file}{line}{seq}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `verify.verify`."""

    origin: str | None  # of the checkpoints
    records: int  # lines read as records or in the place of one; a torn last line is none
    bytes: int
    segments: int
    root: str  # RFC 6962 tree hash over those lines, hexadecimal
    first_time: str | None
    last_time: str | None
    types: Mapping[str, int]
    checkpoints: int  # with a good signature and the root that the records give, those held elsewhere included
    checkpoints_failed: int  # with a good signature, but not of these records
    proven: int  # records that the largest good checkpoint covers
    keys: tuple[str, ...]  # name and key id of those that signed
    problem_count: int
    problems: tuple[Problem, ...]  # the first ones, in the order they were found
    notices: tuple[str, ...] = field(default=())  # odd, but explained by a crash, a clock or a newer version

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts anything. Records from `proven` on rest on the hash chain alone."""
        return self.problem_count == 0

    @property
    def unproven(self) -> int:
        """Records after the last good checkpoint."""
        return max(0, self.records - self.proven)

    @property
    def first(self) -> Problem | None:
        """The first bad record if there is one to name, otherwise the first problem."""
        about_records = [problem for problem in self.problems if problem.line is not None]
        at = min(about_records, key=lambda problem: (problem.file, problem.line or 0), default=None)
        return at or next(iter(self.problems), None)
