"""What an API server can answer instead of the thing asked for, as one small family of exceptions.

Raised by `kube.client`, caught by reflectors, delivery, status writers and the queue's one place for errors.
It must not know what was being written or why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An API server refused, or could not be reached.

    `status` is the HTTP status (0 when there was no answer), `reason` the Kubernetes StatusReason, `retry_after` the
    seconds the server asked us to wait (None when it did not say), `details` the `details` of the Status object.
    """

    def __init__(
        self,
        status: int,
        *,
        reason: str = "",
        message: str = "",
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.details: Mapping[str, Any] = details or {}

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later without anyone changing what it says."""
        return isinstance(self, (Conflict, Expired, TooManyRequests, Unavailable))


class Unauthorized(ApiError):
    """401: the credential is missing, expired or unknown."""


class Forbidden(ApiError):
    """403: RBAC or admission refused."""


class NotFound(ApiError):
    """404: no such object, or no such resource on this server."""


class Conflict(ApiError):
    """409: another writer was first, or another field manager owns the field (see `details['causes']`)."""


class AlreadyExists(Conflict):
    """409 on create: the name is taken."""


class Expired(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """400 or 422: the request itself is wrong; repeating it is pointless."""


class TooManyRequests(ApiError):
    """429: throttled, or an eviction refused by a disruption budget; see `retry_after`."""


class Unavailable(ApiError):
    """5xx, a refused or broken connection, a timeout, or an answer that is not Kubernetes JSON."""


class Silent(Unavailable):
    """A watch that gave no sign of life for longer than bookmarks allow; what it would have said is unknown."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
}


def from_status(
    document: Mapping[str, Any], *, status: int, retry_after: float | None = None, where: str = ""
) -> ApiError:
    """The error for a `v1.Status` document (or any mapping); `where` is the request line, for the message."""
    reason = str(document.get("reason") or "")
    details = document.get("details")
    details = details if isinstance(details, dict) else {}
    kind = _BY_STATUS.get(status) or (Unavailable if status >= 500 else ApiError)
    if reason == "AlreadyExists":
        kind = AlreadyExists
    hinted = details.get("retryAfterSeconds")
    if retry_after is None and isinstance(hinted, int) and hinted > 0:
        retry_after = float(hinted)
    message = str(document.get("message") or "")[:2000]
    return kind(
        status,
        reason=reason,
        message=f"{message} ({where})" if where else message,
        retry_after=retry_after,
        details=details,
    )


def from_response(status: int, *, body: bytes, retry_after: str | None = None, where: str = "") -> ApiError:
    """The error for an HTTP answer. A body that is not a Status object (a proxy's page) is quoted, shortened."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"message": body[:200].decode("utf-8", "replace").strip()}
    return from_status(document, status=status, retry_after=seconds(retry_after), where=where)


def seconds(header: str | None) -> float | None:
    """A Retry-After header in seconds; the HTTP-date form, which no API server sends, is ignored."""
    try:
        value = float(header or "")
    except ValueError:
        return None
    return value if 0 <= value < 3600 else None
