"""How log records become lines: one JSON object each (or plain text for people), with secrets masked.

Called once by `runtime.app` or the command line. Everything goes through the root logger's one handler, kopf's records
too. It must not know what is logged. Masking is a net below care, not instead of it: kopf logs whole bodies at DEBUG.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

MASK: Final = "[redacted]"

_SECRET_NAMES: Final = (
    "token|access[_-]token|id[_-]token|refresh[_-]token|password|authorization|"
    "client-key-data|client_key_pem|private[_-]key"
)
_NAMED: Final = rf"(?i)\b({_SECRET_NAMES})(\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!\[redacted)[^\s\"'\\,;{{}}]+"
_PATTERNS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(_NAMED), rf"\1\2{MASK}"),
    (re.compile(r"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?(-----END \1PRIVATE KEY-----|$)", re.S), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),  # a JWT, wherever it stands
)
_SECRET_KEY: Final = re.compile(rf"(?i)(?:{_SECRET_NAMES})\Z")

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_KOPF_INTERNAL: Final = frozenset({"k8s_skip", "settings"})  # what kopf's own handlers steer by


def redact(text: str) -> str:
    """`text` with bearer tokens, private keys and the values of secret fields masked."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redacted(value: Any) -> Any:
    """The same for any structure; what sits under a secret's name is masked whatever it is."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and item and _SECRET_KEY.match(key) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else redact(str(value))


class RedactingFilter(logging.Filter):
    """Masks a record's message, traceback and extra fields in place, before any formatter sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: records are masked, never dropped."""
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in _KOPF_INTERNAL:
                record.__dict__[name] = MASK if _SECRET_KEY.match(name) else redacted(value)
        return True


class JsonFormatter(logging.Formatter):
    """One object a line: ts (RFC 3339, UTC, milliseconds), level, logger, message, the extra fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {_field(name, taken=line): value for name, value in extra(record).items()}
        if record.exc_info or record.exc_text:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, and the extra fields as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line before the traceback."""
        fields = " ".join(f"{_field(name)}={value}" for name, value in extra(record).items())
        return super().formatMessage(record) + (f" ({fields})" if fields else "")


def extra(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`, without logging's and kopf's own attributes."""
    hidden = _STANDARD | _KOPF_INTERNAL
    return {name: value for name, value in record.__dict__.items() if name not in hidden}


def _field(name: str, *, taken: Container[str] = ()) -> str:
    """kopf's reference to the object at hand is called `object`; a name that is taken gets an underscore."""
    name = "object" if name == "k8s_ref" else name
    return f"{name}_" if name in taken else name


def configure(level: str | int = "INFO", *, json: bool = True, stream: TextIO | None = None) -> None:
    """Make the root logger's only handler ours, and send kopf's and aiohttp's loggers there. Repeatable."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(RedactingFilter())
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"kopf", "aiohttp", "asyncio", "kubernetes"}:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
