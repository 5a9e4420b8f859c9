"""What can go wrong with a decision log, told apart by what the caller can do about it."""

from __future__ import annotations


class LogError(Exception):
    """Any failure of the decision log."""


class LogUnavailable(LogError):
    """The storage refused (full disk, I/O error). Nothing was recorded; the same call may work later."""


class LogDamaged(LogError):
    """What is stored contradicts itself or its checkpoints. Nothing repairs that but a person; see `verify.verify`."""


class LogLocked(LogError):
    """Another process, or another `DecisionLog` of this one, writes to the directory."""


class RecordRefused(LogError, ValueError):
    """This record can never be stored (too large, not JSON, a reserved member); others can."""
