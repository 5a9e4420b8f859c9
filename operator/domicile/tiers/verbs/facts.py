"""Verbs over the values of facts: places, truths, numbers, dates, and whether something is stated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domicile.model.schema import read_instant
from domicile.model.verdicts import Finding, Verdict, worst
from domicile.tiers.location import locate
from domicile.tiers.paths import Path, Shape, compile_path
from domicile.tiers.reading import Context, Reading, Scope, due, read, show
from domicile.tiers.vocabulary import (
    Predicate,
    PredicateError,
    Result,
    S,
    U,
    V,
    Vocabulary,
)

Judge = Callable[[Context, Any], tuple[Verdict, str]]  # value -> verdict and how to show what was found


Alternatives = tuple[Path, ...]


def _facts(spec: dict[str, Any], key: str, shape: Shape) -> list[Alternatives]:
    """Fact paths; ``a | b`` reads b where a is not stated."""
    paths = spec.get(key)
    if not isinstance(paths, list) or not paths:
        raise PredicateError(f"{key}: a list of fact paths is needed, not {paths!r}")
    return [tuple(compile_path(p.strip(), shape)[0] for p in str(path).split("|")) for path in paths]


def _read_first(ctx: Context, scope: Scope, alternatives: Alternatives) -> list[Reading]:
    readings: list[Reading] = []
    for path in alternatives:
        readings = list(read(ctx, scope, path))
        if any(r.value is not None for r in readings):
            break
    return readings


def _judge_all(paths: list[Alternatives], wanted: str, judge: Judge, *, listed: bool = False) -> Predicate:
    """Every value under every path is judged; what evidence does not carry is settled before ``judge`` sees it."""

    def ask(ctx: Context, scope: Scope) -> Result:
        findings = [
            _judged(ctx, r, wanted, judge, listed=listed) for path in paths for r in _read_first(ctx, scope, path)
        ]
        return worst(f.verdict for f in findings), tuple(findings)

    return ask


def _judged(ctx: Context, reading: Reading, wanted: str, judge: Judge, *, listed: bool) -> Finding:
    if reading.value is None:
        return reading.finding(U, wanted)
    if reading.standing.verdict is not S:
        return reading.finding(reading.standing.verdict, wanted)
    if isinstance(reading.value, list) and not listed:
        judged = [judge(ctx, item) for item in reading.value]
        verdict = worst(v for v, _ in judged)
        shown = ", ".join(text for v, text in judged if v is verdict) or "none"
        return reading.finding(verdict, wanted, shown)
    verdict, shown = judge(ctx, reading.value)
    return reading.finding(verdict, wanted, shown)


def within(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``within: Union, facts: [...]``: every place lies inside the territory."""
    territory = vocabulary.territory(spec["within"])

    def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
        return locate(territory, value)

    return _judge_all(_facts(spec, "facts", shape), territory.name, judge)


def boolean(wanted: bool) -> Callable[[dict[str, Any], Vocabulary, Shape], Predicate]:
    verb = "isTrue" if wanted else "isFalse"

    def compile_it(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
        def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
            return (S if value is wanted else V), show(value)

        return _judge_all(_facts(spec, verb, shape), show(wanted), judge)

    return compile_it


def one_of(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``oneOf: [a, b], facts: [...]``: every value is one of these."""
    values = spec["oneOf"]
    if not isinstance(values, list) or not values:
        raise PredicateError(f"oneOf: a list of values is needed, not {values!r}")

    def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
        return (S if value in values else V), show(value)

    return _judge_all(_facts(spec, "facts", shape), " or ".join(show(v) for v in values), judge)


def threshold(verb: str) -> Callable[[dict[str, Any], Vocabulary, Shape], Predicate]:
    def compile_it(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
        limit = number(verb, spec[verb])

        def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
            number = len(value) if isinstance(value, list) else value
            if not isinstance(number, int | float) or isinstance(number, bool):
                return U, f"{show(value)}, no number"
            enough = number >= limit if verb == "atLeast" else number <= limit
            return (S if enough else V), f"{number:g}" if not isinstance(value, list) else f"{number} stated"

        wanted = f"{'at least' if verb == 'atLeast' else 'at most'} {limit:g}"
        return _judge_all(_facts(spec, "facts", shape), wanted, judge, listed=True)

    return compile_it


def number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise PredicateError(f"{name}: a number is needed, not {value!r}")
    return float(value)


def age_at_most(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``ageAtMost: 12mo, facts: [...]``: the dates are no older than this."""
    age = str(spec["ageAtMost"])
    try:
        due(read_instant("2026-01-01"), age)
    except ValueError as error:
        raise PredicateError(f"ageAtMost: {error}") from error

    def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
        try:
            moment = read_instant(value)
        except (TypeError, ValueError):
            return U, f"{show(value)}, no date"
        if not ctx.passed(moment):
            return U, f"{value}, in the future"
        return (V if ctx.passed(due(moment, age)) else S), str(value)

    return _judge_all(_facts(spec, "facts", shape), f"at most {age} old", judge)


def stated(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``stated: [...]``: the facts are there, whatever they say. As a demand, add ``fails: Unknown``."""
    paths = _facts(spec, "stated", shape)

    def ask(ctx: Context, scope: Scope) -> Result:
        readings = [r for path in paths for r in _read_first(ctx, scope, path)]
        findings = [
            r.finding(V if r.value is None else S if r.standing.verdict is S else U, "stated") for r in readings
        ]
        return worst(f.verdict for f in findings), tuple(findings)

    return ask
