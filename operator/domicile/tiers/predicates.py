"""The vocabulary of rules: a small set of predicates, compiled once from a rule pack into plain closures.

Every predicate is an object with one verb, optional parameters, and the modifiers ``of`` (look at these parties
instead), ``evidence`` (another evidence floor) and ``fails: Unknown`` (a failure is an open question, not a
violation). ``docs/rule-packs.md`` has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from domicile.model.framework import EvidenceFloor
from domicile.model.verdicts import Finding
from domicile.tiers.parties import BY_CLASS, PARTIES, Party, parties_of
from domicile.tiers.paths import ENTITY, Shape
from domicile.tiers.reading import Context, Scope, root
from domicile.tiers.sharing import Share
from domicile.tiers.verbs import certificates, combining, facts, parties
from domicile.tiers.vocabulary import Compiler, Predicate, PredicateError, Result, U, V, Vocabulary, all_results

VERBS: dict[str, tuple[Compiler, set[str]]] = {
    "within": (facts.within, {"facts"}),
    "isTrue": (facts.boolean(True), set()),
    "isFalse": (facts.boolean(False), set()),
    "oneOf": (facts.one_of, {"facts"}),
    "atLeast": (facts.threshold("atLeast"), {"facts"}),
    "atMost": (facts.threshold("atMost"), {"facts"}),
    "ageAtMost": (facts.age_at_most, {"facts"}),
    "stated": (facts.stated, set()),
    "each": (combining.each, {"where", "require"}),
    "control": (parties.control, parties.CONTROL_PARAMETERS | {"to"}),
    "foreignLaw": (parties.foreign_law, parties.CONTROL_PARAMETERS | {"sources"}),
    "holdings": (parties.holdings, {"outside"}),
    "certificate": (certificates.certificate, set()),
    "validCertificate": (certificates.valid_certificate, set()),
    "allOf": (combining.all_of, set()),
    "anyOf": (combining.any_of, set()),
    "not": (combining.negation, set()),
    "if": (combining.conditional, {"then", "else"}),
    "rule": (combining.reference, {"waivers"}),
    "option": (combining.option, set()),
}


def compile_predicate(spec: Any, vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """The closure for one predicate. Raises PredicateError or PathError with the remedy."""
    if not isinstance(spec, dict):
        raise PredicateError(f"a predicate is an object with one verb, not {spec!r}")
    spec = dict(spec)
    of, fails, floor = spec.pop("of", None), spec.pop("fails", "Violated"), spec.pop("evidence", None)
    if fails not in ("Violated", "Unknown"):
        raise PredicateError(f"fails: {fails!r}; write Unknown or leave it out")
    verbs = [verb for verb in VERBS if verb in spec]
    if len(verbs) != 1:
        known = ", ".join(VERBS)
        raise PredicateError(f"exactly one verb is needed, found {verbs or sorted(spec)}; known verbs: {known}")
    compiler, allowed = VERBS[verbs[0]]
    extra = set(spec) - allowed - {verbs[0]}
    if extra:
        raise PredicateError(f"{verbs[0]}: unknown parameter {sorted(extra)}; allowed: {sorted(allowed) or 'none'}")
    predicate = compiler(spec, vocabulary, ENTITY if of else shape)
    if of:
        predicate = for_parties(of, predicate, shareable=not _looks_back(spec))
    if floor is not None:
        predicate = _with_floor(floor, predicate)
    return _open_question(predicate) if fails == "Unknown" else predicate


def for_parties(names: Any, predicate: Predicate, *, shareable: bool = False) -> Predicate:
    """Ask ``predicate`` of every entity in the named parties; an unclear list of parties is Unknown. ``shareable``:
    the predicate looks at nothing of the candidate, so that what it says of an entity is good for all candidates."""
    for name in names if isinstance(names, list) else [names]:
        if name not in PARTIES:
            raise PredicateError(f"of: {name!r} is no party; known: {', '.join(PARTIES)}")
    wanted: list[str] = names if isinstance(names, list) else [names]

    def ask(ctx: Context, scope: Scope) -> Result:
        parties = (party for name in wanted for party in parties_of(ctx, name))
        return all_results(_ask_party(ctx, party, predicate, shareable) for party in parties)

    return ask


def _ask_party(ctx: Context, party: Party, predicate: Predicate, shareable: bool) -> Result:
    if isinstance(party, Finding):
        return party.verdict, (party,)
    if not shareable or ctx.shared is None:
        return predicate(ctx, root(party))
    share = ctx.shared.get(predicate, party, ctx.floor, at=ctx.at)
    if share is None:
        alone = ctx.alone()
        result = predicate(alone, root(party))
        touched = frozenset({party.label.partition("/")[2], *alone.touched})
        share = Share(result, ctx.at, min(alone.boundaries, default=None), touched)
        ctx.shared.put(predicate, party, ctx.floor, share)
    if share.until is not None:
        ctx.boundaries.append(share.until)
    ctx.touched.update(share.touched)
    return share.result


def _looks_back(spec: Any) -> bool:
    """Whether a predicate about entities may come back to the candidate: through a rule, or through parties again."""
    if isinstance(spec, dict):
        return bool({"rule", "of"} & spec.keys()) or any(map(_looks_back, spec.values()))
    return isinstance(spec, list) and any(map(_looks_back, spec))


def _with_floor(spec: Any, predicate: Predicate) -> Predicate:
    try:
        floor = EvidenceFloor.model_validate(spec)
    except ValidationError as error:
        raise PredicateError(f"evidence: {error.errors()[0]['msg']}; write {{atLeast: recognised}}") from error
    return lambda ctx, scope: predicate(ctx.at_floor(floor), scope)


def _open_question(predicate: Predicate) -> Predicate:
    def ask(ctx: Context, scope: Scope) -> Result:
        verdict, findings = predicate(ctx, scope)
        if verdict is not V:
            return verdict, findings
        return U, tuple(f._replace(verdict=U) if f.verdict is V else f for f in findings)

    return ask


def asks_by_class(require: Any, rules: Mapping[str, tuple[Predicate, bool]]) -> bool:
    """Whether a predicate looks at subcontractors, itself or through a rule it refers to."""
    if isinstance(require, list):
        return any(asks_by_class(part, rules) for part in require)
    if not isinstance(require, dict):
        return False
    of = require.get("of") or ()
    referred = rules.get(str(require.get("rule")), (None, False))[1]
    return BY_CLASS in of or referred or any(asks_by_class(part, rules) for part in require.values())
