"""Verbs that hold predicates: all, any, each, if, not, another rule, a wish of the workload."""

from __future__ import annotations

from typing import Any

from domicile.tiers.paths import Shape, compile_path
from domicile.tiers.reading import Context, Reading, Scope, read
from domicile.tiers.vocabulary import (
    NOTHING,
    Predicate,
    PredicateError,
    Result,
    S,
    U,
    V,
    Vocabulary,
    all_results,
    best_result,
    rule_result,
)


def each(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``each: components, where: P, require: Q``: every item for which P may hold satisfies Q."""
    path, inner = compile_path(f"{spec['each']}[]", shape)
    require = vocabulary.compile(spec.get("require"), vocabulary, inner)
    where = vocabulary.compile(spec["where"], vocabulary, inner) if "where" in spec else None

    def ask_item(ctx: Context, reading: Reading, scope: Scope) -> Result:
        template = f"{scope.template}.{path.template}" if scope.template else path.template
        item = Scope(scope.subject, reading.value, reading.fact, template)
        if where is None:
            return require(ctx, item)
        applies, doubts = where(ctx, item)
        if applies is V:
            return NOTHING
        verdict, findings = require(ctx, item)
        if applies is U and verdict is not S:  # whether the rule applies is itself open
            return U, doubts + tuple(f._replace(verdict=U) if f.verdict is V else f for f in findings)
        return verdict, findings

    def ask(ctx: Context, scope: Scope) -> Result:
        results: list[Result] = []
        for reading in read(ctx, scope, path):
            if reading.value is None or reading.standing.verdict is not S:
                finding = reading.finding(reading.standing.verdict, "a list")
                results.append((finding.verdict, (finding,)))
            else:
                results.append(ask_item(ctx, reading, scope))
        return all_results(results)

    return ask


def _parts(spec: dict[str, Any], verb: str, vocabulary: Vocabulary, shape: Shape) -> list[Predicate]:
    if not isinstance(spec[verb], list) or not spec[verb]:
        raise PredicateError(f"{verb}: a list of predicates is needed")
    return [vocabulary.compile(part, vocabulary, shape) for part in spec[verb]]


def all_of(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``allOf: [...]``: the worst of all."""
    parts = _parts(spec, "allOf", vocabulary, shape)
    return lambda ctx, scope: all_results(part(ctx, scope) for part in parts)


def any_of(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``anyOf: [...]``: the best of all."""
    parts = _parts(spec, "anyOf", vocabulary, shape)
    return lambda ctx, scope: best_result([part(ctx, scope) for part in parts])


def conditional(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``if: P, then: Q, else: R``: where P is open, what Q and R agree on."""
    test = vocabulary.compile(spec["if"], vocabulary, shape)
    yes = vocabulary.compile(spec["then"], vocabulary, shape) if "then" in spec else None
    no = vocabulary.compile(spec["else"], vocabulary, shape) if "else" in spec else None

    def ask(ctx: Context, scope: Scope) -> Result:
        verdict, findings = test(ctx, scope)
        if verdict is S:
            return yes(ctx, scope) if yes else NOTHING
        otherwise = no(ctx, scope) if no else NOTHING
        if verdict is V:
            return otherwise
        followed = yes(ctx, scope) if yes else NOTHING
        if followed[0] is otherwise[0]:
            return followed
        return U, findings + tuple(f._replace(verdict=U) for f in (*followed[1], *otherwise[1]) if f.verdict is not S)

    return ask


def negation(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``not: P``: Satisfied and Violated change places; Unknown stays."""
    inner = vocabulary.compile(spec["not"], vocabulary, shape)
    swap = {S: V, V: S, U: U}

    def ask(ctx: Context, scope: Scope) -> Result:
        verdict, findings = inner(ctx, scope)
        swapped = tuple(f._replace(verdict=swap[f.verdict], wanted=f"not {f.wanted}") for f in findings)
        return swap[verdict], swapped

    return ask


def reference(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``rule: L1.b, waivers: ignored``: another rule, asked at this rule's tier and evidence floor."""
    name = spec["rule"]
    if not isinstance(name, str) or name not in vocabulary.rules:
        raise PredicateError(f"rule: {name!r} is not defined before this rule")
    if spec.get("waivers", "ignored") != "ignored":
        raise PredicateError("waivers: write ignored or leave it out; a reference never takes a waiver over")
    predicate, by_class = vocabulary.rules[name]
    return lambda ctx, scope: rule_result(ctx, name, predicate, by_class=by_class)


def option(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``option: requireUnionCitizens``: whether the workload asks for it."""
    name = spec["option"]
    if name != "requireUnionCitizens":
        raise PredicateError(f"option: {name!r} is unknown; known: requireUnionCitizens")
    return lambda ctx, scope: (S if ctx.options.require_union_citizens else V, ())
