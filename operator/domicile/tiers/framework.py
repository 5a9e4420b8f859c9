"""Loading a rule pack: every path, territory, code and reference is checked, then compiled once to closures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domicile.model.framework import (
    EvidenceFloor,
    RuleKind,
    RuleSpec,
    SovereigntyFrameworkSpec,
    SubcontractorClass,
    TerritorySpec,
    Tier,
)
from domicile.model.places import Territory, normalise, place_problem
from domicile.tiers.paths import CANDIDATE, PathError
from domicile.tiers.predicates import asks_by_class, compile_predicate, for_parties
from domicile.tiers.vocabulary import Predicate, PredicateError, Vocabulary


class FrameworkError(ValueError):
    """A pack that cannot be used: every problem found, each naming field and remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A compiled rule. Rules of one ``group`` share evidence floor and subcontractor class."""

    spec: RuleSpec
    predicate: Predicate
    by_class: bool  # depends on the tier's class of subcontractors
    tier: Tier
    group: int

    @property
    def floor(self) -> EvidenceFloor:
        """The evidence floor of the rule, else of its tier."""
        return self.spec.evidence or self.tier.evidence


@dataclass(frozen=True, slots=True, eq=False)
class Framework:
    """A compiled rule pack; immutable."""

    name: str
    spec: SovereigntyFrameworkSpec
    digest: str
    territories: Mapping[str, Territory]
    rules: tuple[Rule, ...]
    levels: tuple[int, ...]

    @property
    def id(self) -> str:
        """Id and version: ``cada/COM-2026-502``."""
        return f"{self.spec.id or self.name}/{self.spec.version}"

    def tier(self, level: int) -> Tier | None:
        """The tier of that level, if the framework has one."""
        return next((t for t in self.spec.tiers if t.level == level), None)


def digest_of(document: Any) -> str:
    """sha256 of the canonical JSON of a document (sorted keys, no spaces, UTF-8)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def load_framework(name: str, spec: SovereigntyFrameworkSpec) -> Framework:
    """Compile a pack. Raises FrameworkError with all problems found."""
    problems: list[str] = []
    territories = _territories(spec.territories, problems)
    _check_outline(spec, problems)
    tiers = {t.level: t for t in spec.tiers}
    compiled: dict[str, tuple[Predicate, bool]] = {}
    vocabulary = Vocabulary(
        territories, tuple(spec.certificate_levels), tuple(spec.schemes), compiled, compile_predicate
    )
    rules: list[Rule] = []
    groups: dict[tuple[EvidenceFloor, SubcontractorClass], int] = {}
    for number, rule in enumerate(spec.rules):
        try:
            predicate = _compile_rule(rule, vocabulary)
        except (PredicateError, PathError) as error:
            problems.append(f"spec.rules[{number}] ({rule.id}): {error}")
            continue
        by_class = asks_by_class([rule.require, {"of": rule.of}], compiled)
        compiled[rule.id] = predicate, by_class
        if rule.level in tiers:
            tier = tiers[rule.level]
            group = groups.setdefault((rule.evidence or tier.evidence, tier.subcontractors), len(groups))
            rules.append(Rule(rule, predicate, by_class, tier, group))
    if problems:
        raise FrameworkError(problems)
    levels = tuple(sorted(tiers))
    return Framework(name, spec, digest_of(spec.plain()), territories, tuple(rules), levels)


def _compile_rule(rule: RuleSpec, vocabulary: Vocabulary) -> Predicate:
    require = dict(rule.require)
    if rule.of and "of" not in require:
        require["of"] = rule.of
    elif rule.of:
        return for_parties(rule.of, compile_predicate(require, vocabulary, CANDIDATE))
    return compile_predicate(require, vocabulary, CANDIDATE)


def _check_outline(spec: SovereigntyFrameworkSpec, problems: list[str]) -> None:
    levels = [t.level for t in spec.tiers]
    if levels != sorted(set(levels)):
        problems.append(f"spec.tiers: levels {levels} must rise without repeats")
    seen: set[str] = set()
    objectives = {o.id for o in spec.objectives}
    for number, rule in enumerate(spec.rules):
        where = f"spec.rules[{number}] ({rule.id})"
        if rule.id in seen:
            problems.append(f"{where}: id is used twice; give every rule its own")
        seen.add(rule.id)
        if rule.level not in levels:
            problems.append(f"{where}: level {rule.level} is no tier; tiers: {levels}")
        if rule.objective is not None and rule.objective not in objectives:
            problems.append(f"{where}: objective {rule.objective!r} is not defined in spec.objectives")
        if not rule.mandatory and (rule.objective is None or rule.verdict is not RuleKind.CRITERIA):
            problems.append(f"{where}: a rule that is not mandatory needs an objective to count for")
    for unasked in sorted(objectives - {r.objective for r in spec.rules if r.objective is not None}):
        problems.append(f"spec.objectives ({unasked}): no rule counts for it; add one or remove the objective")
    for scheme in spec.schemes:
        if scheme.level is not None and scheme.level not in spec.certificate_levels:
            problems.append(f"spec.schemes ({scheme.name}): level {scheme.level!r} is not in spec.certificateLevels")


def _territories(specs: Mapping[str, TerritorySpec], problems: list[str]) -> dict[str, Territory]:
    built: dict[str, Territory] = {}
    for name in specs:
        _territory(name, specs, built, problems, ())
    return built


def _territory(
    name: str,
    specs: Mapping[str, TerritorySpec],
    built: dict[str, Territory],
    problems: list[str],
    path: tuple[str, ...],
) -> Territory:
    if name in built:
        return built[name]
    where = f"spec.territories.{path[-1] if path else name}.sameAs"
    if name not in specs or name in path:
        why = "refers to itself" if name in path else f"territory {name!r} is not defined"
        problems.append(f"{where}: {why}")
        return Territory(name)
    spec = specs[name]
    base = _territory(spec.same_as, specs, built, problems, (*path, name)) if spec.same_as else Territory(name)
    sets = {}
    for field in ("countries", "including", "excluding", "undetermined"):
        codes = getattr(spec, field) or []
        for number, code in enumerate(codes):
            if field == "countries" and "-" in code:
                problems.append(f"spec.territories.{name}.countries[{number}]: {code} belongs into including")
            elif place_problem(code):
                problems.append(f"spec.territories.{name}.{field}[{number}]: {place_problem(code)}")
        sets[field] = frozenset(normalise(c) for c in codes)
    including = (base.including - sets["excluding"]) | sets["including"]
    built[name] = Territory(
        name,
        base.countries | sets["countries"],
        including,
        (base.excluding - sets["including"]) | sets["excluding"],
        base.undetermined | sets["undetermined"],
    )
    return built[name]
