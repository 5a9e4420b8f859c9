"""Certificates against the schemes of one route (Annex II (e)): European, national, standards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domicile.model.framework import Scheme
from domicile.model.places import normalise
from domicile.model.schema import read_instant
from domicile.model.verdicts import Verdict
from domicile.tiers.reading import Context


def in_date(ctx: Context, certificate: Mapping[str, Any]) -> bool:
    """Whether the last day of validity is stated and not over."""
    end = certificate.get("validUntil")
    return end is not None and not ctx.passed(read_instant(end, end_of_day=True))


def route_verdict(
    ctx: Context, held: list[Any], schemes: list[Scheme], levels: Sequence[str], wanted: str
) -> tuple[Verdict | None, str]:
    """Satisfied where a valid certificate of the route reaches the level. Else, where a scheme of the route is open
    to the service: Unknown if a certificate is expired, undated or of no stated level, Violated if not. None: the
    route does not exist for this service, so the next one counts."""
    needed = levels.index(wanted)
    valid: list[tuple[int, str]] = []
    unclear: list[str] = []
    open_names = []
    for scheme in schemes:
        own = [c for c in held if c["scheme"] == scheme.name]
        reach = [levels.index(g) for c in own if (g := c.get("level") or scheme.level) in levels and in_date(ctx, c)]
        valid += [(level, scheme.name) for level in reach]
        if _open(ctx, scheme, levels, needed, held=bool(own)):
            open_names.append(scheme.name)
            unclear += [scheme.name] if len(reach) < len(own) else []
    best, name = max(valid, default=(-1, ""))
    if best >= needed:
        return Verdict.SATISFIED, f"{name} {levels[best]}"
    if not open_names:
        return None, ""
    if unclear:
        return Verdict.UNKNOWN, f"{unclear[0]} expired, undated or of no known level"
    return Verdict.VIOLATED, f"{name} {levels[best]}" if name else f"no valid {' or '.join(open_names)}"


def _open(ctx: Context, scheme: Scheme, levels: Sequence[str], needed: int, *, held: bool) -> bool:
    """Whether the service could hold a certificate of that level under the scheme: the scheme reaches the level, and
    exists for such services, as the framework says or as a certificate under it proves."""
    if scheme.level is not None and levels.index(scheme.level) < needed:
        return False
    return (scheme.available or (held and scheme.level is None)) and _serves(ctx, scheme)


def _serves(ctx: Context, scheme: Scheme) -> bool:
    """European schemes serve all; national ones the providers seated in their countries."""
    if not scheme.countries:
        return True
    providers = [p for name in ctx.candidate.providers if (p := ctx.entity(name)) is not None]
    seats = [(p.doc.get("seats") or {}).get("registeredOffice") or "" for p in providers]
    served = {normalise(c) for c in scheme.countries}
    return any(normalise(seat).partition("-")[0] in served for seat in seats)
