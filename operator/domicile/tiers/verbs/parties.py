"""Verbs over entities: control, the law of controlling countries, holdings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domicile.model.entity import SpecialRight
from domicile.model.places import Territory, normalise
from domicile.model.verdicts import Finding, Verdict, worst
from domicile.tiers.control import ControlTest, control_of
from domicile.tiers.holdings import NONE as NO_SHARE
from domicile.tiers.holdings import Shares, shares_from_outside
from domicile.tiers.paths import ENTITY, Shape, compile_path
from domicile.tiers.reading import Context, Scope, read, show
from domicile.tiers.verbs.facts import number
from domicile.tiers.vocabulary import (
    NOTHING,
    Predicate,
    PredicateError,
    Result,
    S,
    U,
    V,
    Vocabulary,
)


def _control_test(spec: dict[str, Any], vocabulary: Vocabulary) -> ControlTest:
    persons = spec.get("naturalPersons", "Unknown")
    if persons not in tuple(Verdict):
        raise PredicateError(f"naturalPersons: {persons!r}; write Satisfied, Unknown or Violated")
    return ControlTest(
        outside=vocabulary.territory(spec.get("outside")),
        natural_persons=Verdict(persons),
        disclosure=number("disclosure", spec.get("disclosure", 5)),
        coverage=number("coverage", spec.get("coverage", 95)),
    )


CONTROL_PARAMETERS = {"outside", "naturalPersons", "disclosure", "coverage"}


def _entity_only(verb: str, shape: Shape) -> None:
    if shape is not ENTITY:
        raise PredicateError(f"{verb} looks at entities; add of: [provider] or another party")


def control(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``control: absent, outside: Union``, or ``control: confined, outside: Union, to: Associated``."""
    _entity_only("control", shape)
    test = _control_test(spec, vocabulary)
    if spec["control"] not in ("absent", "confined"):
        raise PredicateError(f"control: {spec['control']!r}; write absent or confined")
    if spec["control"] == "confined":
        return _confined(test, vocabulary.territory(spec.get("to")))
    wanted = f"no control from outside {test.outside.name}"

    def ask(ctx: Context, scope: Scope) -> Result:
        held = control_of(ctx, scope.subject, test)
        finding = Finding(held.verdict, scope.subject.label, held.fact, held.found, wanted, held.evidence)
        return held.verdict, (finding,)

    return ask


def _confined(test: ControlTest, territory: Territory) -> Predicate:
    wanted = f"control from {territory.name} countries only"

    def ask(ctx: Context, scope: Scope) -> Result:
        held = control_of(ctx, scope.subject, test)
        verdict = held.verdict
        if verdict is V:
            verdict = worst((*map(territory.where, held.countries), S if held.complete and held.countries else U))
        return verdict, (Finding(verdict, scope.subject.label, held.fact, held.found, wanted, held.evidence),)

    return ask


def foreign_law(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``foreignLaw: vulnerabilityReporting, outside: Union, sources: 1``: for every country that controls the entity
    from outside, independent sources show that its law does not demand this."""
    _entity_only("foreignLaw", shape)
    test = _control_test(spec, vocabulary)
    duty, sources = str(spec["foreignLaw"]), int(number("sources", spec.get("sources", 1)))
    compile_path(f"foreignLaws[].{duty}", ENTITY)
    wanted = f"no {duty} duty, on {sources} independent source or more"

    def ask(ctx: Context, scope: Scope) -> Result:
        held = control_of(ctx, scope.subject, test)
        if held.verdict is S:
            return NOTHING
        if not (held.countries and held.complete):
            finding = Finding(U, scope.subject.label, held.fact, held.found, "known controllers", held.evidence)
            return U, (finding,)
        findings = [_law(ctx, scope, country, duty, sources, wanted) for country in held.countries]
        return worst(f.verdict for f in findings), tuple(findings)

    return ask


def _law(ctx: Context, scope: Scope, country: str, duty: str, sources: int, wanted: str) -> Finding:
    path = compile_path("foreignLaws", ENTITY)[0]
    reading = next(read(ctx, scope, path))
    state = normalise(country).partition("-")[0]
    laws = [law for law in reading.value or () if normalise(law["country"]).partition("-")[0] == state]
    if not laws or any(duty not in law for law in laws):
        return reading.finding(U, wanted, f"law of {state} not stated")
    if reading.standing.verdict is not S:
        return reading.finding(reading.standing.verdict, wanted, f"law of {state}")
    demanded = any(law[duty] for law in laws)
    named = min(len(law.get("independentSources", ())) for law in laws)
    contradictory = demanded and not all(law[duty] for law in laws)
    verdict = U if contradictory else V if demanded else S if named >= sources else U
    return reading.finding(verdict, wanted, f"law of {state}: {show(demanded)}, {named} independent sources")


def holdings(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``holdings: {eachAtMost: 24, togetherAtMost: 39, withoutRights: [veto]}, outside: Union``: holders from outside,
    direct or indirect, stay below both thresholds of capital and of votes and hold none of the rights."""
    _entity_only("holdings", shape)
    test = _control_test({"outside": spec.get("outside")}, vocabulary)
    limits = spec["holdings"]
    unknown = set(limits) - {"eachAtMost", "togetherAtMost", "withoutRights"} if isinstance(limits, dict) else {"?"}
    if unknown:
        raise PredicateError("holdings: an object with eachAtMost, togetherAtMost and withoutRights is needed")
    for key in {"eachAtMost", "togetherAtMost"} & set(limits):
        number(f"holdings.{key}", limits[key])
    rights = limits.get("withoutRights", [])
    if not isinstance(rights, list) or set(map(str, rights)) - {r.value for r in SpecialRight}:
        raise PredicateError(f"holdings.withoutRights: a list of {', '.join(SpecialRight)} is needed, not {rights!r}")
    path = compile_path("ownership", ENTITY)[0]
    wanted = f"holders outside {test.outside.name} " + ", ".join(f"{k} {show(v)}" for k, v in limits.items())

    def ask(ctx: Context, scope: Scope) -> Result:
        reading = next(read(ctx, scope, path))
        if reading.value is None or reading.standing.verdict is not S:
            finding = reading.finding(reading.standing.verdict, wanted)
        else:
            verdict, found = _within_limits(shares_from_outside(ctx, scope.subject, test), limits)
            finding = reading.finding(verdict, wanted, found)
        return finding.verdict, (finding,)

    return ask


def _within_limits(shares: Shares, limits: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Violated where what is known to be held from outside is too much; Unknown where what is unclear might be."""
    each, together = limits.get("eachAtMost", 100), limits.get("togetherAtMost", 100)
    barred = shares.rights & set(limits.get("withoutRights", ()))
    total = sum(shares.outside.values(), NO_SHARE)
    notes = [f"{name} {share.most:g} percent" for name, share in sorted(shares.outside.items())]
    notes += [f"right {right}" for right in sorted(barred)]
    notes += [f"{shares.unclear.most:g} percent unclear"] if shares.unclear.most else []
    found = "; ".join(notes) or "none outside"
    largest = max((s.most for s in shares.outside.values()), default=0)
    if barred or largest > each or total.most > together:
        return V, found
    possible = shares.unclear.most > each or (total + shares.unclear).most > together
    if shares.outside and shares.unclear.most:  # what is unclear may belong to the largest holder
        possible = possible or any((s + shares.unclear).most > each for s in shares.outside.values())
    return (U if possible or (shares.rights_open and "withoutRights" in limits) else S), found
