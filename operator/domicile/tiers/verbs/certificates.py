"""Verbs over cybersecurity certificates (Annex II (e))."""

from __future__ import annotations

from typing import Any

from domicile.model.framework import Route
from domicile.model.verdicts import EvidenceClass, Finding
from domicile.tiers.certificates import in_date, route_verdict
from domicile.tiers.paths import CANDIDATE, Shape
from domicile.tiers.reading import Context, Scope, show, standing
from domicile.tiers.verbs.facts import boolean
from domicile.tiers.vocabulary import (
    Predicate,
    PredicateError,
    Result,
    S,
    U,
    V,
    Vocabulary,
)


def certificate(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``certificate: substantial``: the routes of the law in their order. A route that is open to the service and not
    taken is a violation; only a route that does not exist yet leads on to the next."""
    level, levels = str(spec["certificate"]), vocabulary.certificate_levels
    if level not in levels:
        raise PredicateError(f"certificate: {level!r} is no level; known, weakest first: {', '.join(levels)}")
    if shape is not CANDIDATE:
        raise PredicateError("certificate looks at the candidate; leave 'of' out")
    wanted = f"a certificate at least {level}, or the next route where no scheme exists"
    by_route = [(r, [s for s in vocabulary.schemes if s.route is r]) for r in Route]
    standards = boolean(True)({"isTrue": ["security.highestUnionStandards"]}, vocabulary, CANDIDATE)

    def ask(ctx: Context, scope: Scope) -> Result:
        held, problem = _certificates(ctx, scope, wanted)
        if problem:
            return problem.verdict, (problem,)
        for route, schemes in by_route:
            verdict, found = route_verdict(ctx, held, schemes, levels, level)
            if verdict is S or (verdict is not None and route is not Route.STANDARDS):
                evidence = "certified" if verdict is S else ""
                label = scope.subject.label_of("certificates")
                return verdict, (Finding(verdict, label, "certificates", found, wanted, evidence),)
        return standards(ctx, scope)

    return ask


def _certificates(ctx: Context, scope: Scope, wanted: str) -> tuple[list[Any], Finding | None]:
    """The certificates stated. A certificate is its own evidence, unless evidence over it was revoked."""
    held = scope.value.get("certificates")
    label = scope.subject.label_of("certificates")
    if held is None:
        return [], Finding(U, label, "certificates", "not stated", wanted)
    worth = standing(ctx, scope.subject, "certificates", at_least=EvidenceClass.NONE)
    if worth.verdict is V:
        return [], Finding(V, label, "certificates", show(held), wanted, worth.note, revoked=True)
    return held, None


def valid_certificate(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``validCertificate: any`` or a list of schemes: at least one certificate is in date."""
    names = spec["validCertificate"]

    if names != "any" and not (isinstance(names, list) and names):
        raise PredicateError(f"validCertificate: write any, or a list of schemes, not {names!r}")
    wanted = "a valid certificate" + ("" if names == "any" else f" under {' or '.join(names)}")

    def ask(ctx: Context, scope: Scope) -> Result:
        held, problem = _certificates(ctx, scope, wanted)
        if problem:
            return problem.verdict, (problem,)
        named = [c for c in held if names == "any" or c["scheme"] in names]
        valid = [c["scheme"] for c in named if in_date(ctx, c)]
        verdict = S if valid else U if named else V
        found = ", ".join(valid) or ("expired or undated" if named else "none")
        label = scope.subject.label_of("certificates")
        return verdict, (Finding(verdict, label, "certificates", found, wanted, "certified" if valid else ""),)

    return ask
