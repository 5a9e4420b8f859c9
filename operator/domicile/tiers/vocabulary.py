"""What every verb is made of: a predicate, its result, and how results combine. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from domicile.model.framework import Scheme
from domicile.model.places import Territory
from domicile.model.verdicts import Finding, Verdict, best
from domicile.tiers.paths import Shape
from domicile.tiers.reading import Context, Scope, root

Result = tuple[Verdict, tuple[Finding, ...]]
Predicate = Callable[[Context, Scope], Result]
S, U, V = Verdict.SATISFIED, Verdict.UNKNOWN, Verdict.VIOLATED
NOTHING: Result = (S, ())


class PredicateError(ValueError):
    """A predicate that cannot be compiled: what is wrong and what to write instead."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a rule pack defines for its predicates."""

    territories: Mapping[str, Territory]
    certificate_levels: tuple[str, ...]
    schemes: tuple[Scheme, ...]
    rules: Mapping[str, tuple[Predicate, bool]]  # compiled so far, for references: predicate and ``by_class``
    compile: Callable[[Any, Vocabulary, Shape], Predicate]  # for verbs that hold predicates

    def territory(self, name: Any) -> Territory:
        """The territory of that name. Raises PredicateError listing the known ones."""
        if not isinstance(name, str) or name not in self.territories:
            raise PredicateError(f"territory {name!r} is not defined; known: {', '.join(sorted(self.territories))}")
        return self.territories[name]


Compiler = Callable[[dict[str, Any], Vocabulary, Shape], Predicate]


def all_results(results: Iterable[Result]) -> Result:
    verdict = S
    findings: list[Finding] = []
    for one, found in results:
        findings += found
        if one is V or (one is U and verdict is S):
            verdict = one
    return verdict, tuple(findings)


def best_result(results: list[Result]) -> Result:
    """The best alternative; where all fail, the findings of the ones that are as good as the best."""
    verdict = best(v for v, _ in results)
    if verdict is S:
        return next(r for r in results if r[0] is S)
    return verdict, tuple(
        f._replace(verdict=verdict) if f.verdict is V and verdict is U else f for _, fs in results for f in fs
    )


def rule_result(ctx: Context, name: str, predicate: Predicate, *, by_class: bool) -> Result:
    """What a rule says at this floor, worked out once however many rules and tiers ask. ``by_class``: the answer
    depends on the tier's class of subcontractors."""
    key = ("rule", name, ctx.group if by_class else None)
    known: Result | None = ctx.memo.found.get(key)
    if known is None:
        known = ctx.memo.found[key] = predicate(ctx, root(ctx.candidate.facts))
    return known
