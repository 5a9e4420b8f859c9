"""metav1.Conditions: one order, transition times that move only with the status. Pure; the instant is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

MAX_MESSAGE = 2000
ORDER = (
    "Ready",
    "Reconciling",
    "Stalled",
    "Accepted",
    "Compliant",
    "Placed",
    "Delivered",
    "Available",
    "EvidenceValid",
    "Enforced",
    "ExceptionActive",
    "Reachable",
    "MovesPaused",
)


class Said(NamedTuple):
    """One condition as it should stand: ``status`` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str = ""


def instant(moment: datetime) -> str:
    """RFC 3339, whole seconds, as the API server writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(
    said: Iterable[Said], *, before: Iterable[Mapping[str, Any]], generation: int, at: datetime
) -> list[dict[str, Any]]:
    """The conditions list; what is not said is absent. An unchanged status keeps its transition time."""
    known = {c.get("type"): c for c in before}
    result = []
    for one in sorted(said, key=lambda s: ORDER.index(s.type)):
        old = known.get(one.type, {})
        moved = old.get("status") != one.status or "lastTransitionTime" not in old
        result.append(
            {
                "type": one.type,
                "status": one.status,
                "observedGeneration": generation,
                "lastTransitionTime": instant(at) if moved else old["lastTransitionTime"],
                "reason": one.reason,
                "message": one.message[:MAX_MESSAGE],
            }
        )
    return result


def true_condition(document: Mapping[str, Any], name: str) -> bool:
    """Whether a status document says ``name`` is True."""
    return any(c.get("type") == name and c.get("status") == "True" for c in document.get("conditions") or ())
