"""The vocabulary of rules: a small set of predicates, compiled once from a rule pack into plain closures.

Every predicate is an object with one verb, optional parameters, and the modifiers ``of`` (look at these parties
instead), ``evidence`` (another evidence floor) and ``fails: Unknown`` (a failure is an open question, not a
violation). ``docs/rule-packs.md`` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from domicile.model.entity import SpecialRight
from domicile.model.framework import EvidenceFloor, Route, Scheme
from domicile.model.places import Territory, normalise
from domicile.model.schema import read_instant
from domicile.model.verdicts import EvidenceClass, Finding, Verdict, best, worst
from domicile.tiers.certificates import in_date, route_verdict
from domicile.tiers.control import ControlTest, control_of
from domicile.tiers.holdings import NONE as NO_SHARE
from domicile.tiers.holdings import Shares, shares_from_outside
from domicile.tiers.location import locate
from domicile.tiers.parties import BY_CLASS, PARTIES, Party, parties_of
from domicile.tiers.paths import CANDIDATE, ENTITY, Path, Shape, compile_path
from domicile.tiers.reading import Context, Reading, Scope, due, read, root, show, standing

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

    def territory(self, name: Any) -> Territory:
        """The territory of that name. Raises PredicateError listing the known ones."""
        if not isinstance(name, str) or name not in self.territories:
            raise PredicateError(f"territory {name!r} is not defined; known: {', '.join(sorted(self.territories))}")
        return self.territories[name]


def compile_predicate(spec: Any, vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """The closure for one predicate. Raises PredicateError or PathError with the remedy."""
    if not isinstance(spec, dict):
        raise PredicateError(f"a predicate is an object with one verb, not {spec!r}")
    spec = dict(spec)
    parties, fails, floor = spec.pop("of", None), spec.pop("fails", "Violated"), spec.pop("evidence", None)
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
    predicate = compiler(spec, vocabulary, ENTITY if parties else shape)
    if parties:
        predicate = for_parties(parties, predicate)
    if floor is not None:
        predicate = _with_floor(floor, predicate)
    return _open_question(predicate) if fails == "Unknown" else predicate


def for_parties(names: Any, predicate: Predicate) -> Predicate:
    """Ask ``predicate`` of every entity in the named parties; an unclear list of parties is Unknown."""
    for name in names if isinstance(names, list) else [names]:
        if name not in PARTIES:
            raise PredicateError(f"of: {name!r} is no party; known: {', '.join(PARTIES)}")
    wanted: list[str] = names if isinstance(names, list) else [names]

    def ask(ctx: Context, scope: Scope) -> Result:
        return _all(_ask_party(ctx, party, predicate) for name in wanted for party in parties_of(ctx, name))

    return ask


def _ask_party(ctx: Context, party: Party, predicate: Predicate) -> Result:
    if isinstance(party, Finding):
        return party.verdict, (party,)
    return predicate(ctx, root(party))


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


def _all(results: Iterable[Result]) -> Result:
    verdict = S
    findings: list[Finding] = []
    for one, found in results:
        findings += found
        if one is V or (one is U and verdict is S):
            verdict = one
    return verdict, tuple(findings)


def _best(results: list[Result]) -> Result:
    """The best alternative; where all fail, the findings of the ones that are as good as the best."""
    verdict = best(v for v, _ in results)
    if verdict is S:
        return next(r for r in results if r[0] is S)
    return verdict, tuple(
        f._replace(verdict=verdict) if f.verdict is V and verdict is U else f for _, fs in results for f in fs
    )


# -- verbs over facts --------------------------------------------------------------------------------------------


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


def _boolean(wanted: bool) -> Callable[[dict[str, Any], Vocabulary, Shape], Predicate]:
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


def _threshold(verb: str) -> Callable[[dict[str, Any], Vocabulary, Shape], Predicate]:
    def compile_it(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
        limit = _number(verb, spec[verb])

        def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
            number = len(value) if isinstance(value, list) else value
            if not isinstance(number, int | float) or isinstance(number, bool):
                return U, f"{show(value)}, no number"
            enough = number >= limit if verb == "atLeast" else number <= limit
            return (S if enough else V), f"{number:g}" if not isinstance(value, list) else f"{number} stated"

        wanted = f"{'at least' if verb == 'atLeast' else 'at most'} {limit:g}"
        return _judge_all(_facts(spec, "facts", shape), wanted, judge, listed=True)

    return compile_it


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


def each(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``each: components, where: P, require: Q``: every item for which P may hold satisfies Q."""
    path, inner = compile_path(f"{spec['each']}[]", shape)
    require = compile_predicate(spec.get("require"), vocabulary, inner)
    where = compile_predicate(spec["where"], vocabulary, inner) if "where" in spec else None

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
        return _all(results)

    return ask


# -- verbs over parties ------------------------------------------------------------------------------------------


def _control_test(spec: dict[str, Any], vocabulary: Vocabulary) -> ControlTest:
    persons = spec.get("naturalPersons", "Unknown")
    if persons not in tuple(Verdict):
        raise PredicateError(f"naturalPersons: {persons!r}; write Satisfied, Unknown or Violated")
    return ControlTest(
        outside=vocabulary.territory(spec.get("outside")),
        natural_persons=Verdict(persons),
        disclosure=_number("disclosure", spec.get("disclosure", 5)),
        coverage=_number("coverage", spec.get("coverage", 95)),
    )


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise PredicateError(f"{name}: a number is needed, not {value!r}")
    return float(value)


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
    duty, sources = str(spec["foreignLaw"]), int(_number("sources", spec.get("sources", 1)))
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
        _number(f"holdings.{key}", limits[key])
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


# -- certificates ------------------------------------------------------------------------------------------------


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
    standards = _boolean(True)({"isTrue": ["security.highestUnionStandards"]}, vocabulary, CANDIDATE)

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
        return [], Finding(V, label, "certificates", show(held), wanted, worth.note)
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


# -- verbs over predicates ---------------------------------------------------------------------------------------


def _parts(spec: dict[str, Any], verb: str, vocabulary: Vocabulary, shape: Shape) -> list[Predicate]:
    if not isinstance(spec[verb], list) or not spec[verb]:
        raise PredicateError(f"{verb}: a list of predicates is needed")
    return [compile_predicate(part, vocabulary, shape) for part in spec[verb]]


def all_of(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``allOf: [...]``: the worst of all."""
    parts = _parts(spec, "allOf", vocabulary, shape)
    return lambda ctx, scope: _all(part(ctx, scope) for part in parts)


def any_of(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``anyOf: [...]``: the best of all."""
    parts = _parts(spec, "anyOf", vocabulary, shape)
    return lambda ctx, scope: _best([part(ctx, scope) for part in parts])


def conditional(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``if: P, then: Q, else: R``: where P is open, what Q and R agree on."""
    test = compile_predicate(spec["if"], vocabulary, shape)
    yes = compile_predicate(spec["then"], vocabulary, shape) if "then" in spec else None
    no = compile_predicate(spec["else"], vocabulary, shape) if "else" in spec else None

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
    inner = compile_predicate(spec["not"], vocabulary, shape)
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


def rule_result(ctx: Context, name: str, predicate: Predicate, *, by_class: bool) -> Result:
    """What a rule says at this floor, worked out once however many rules and tiers ask. ``by_class``: the answer
    depends on the tier's class of subcontractors."""
    key = ("rule", name, ctx.group if by_class else None)
    known: Result | None = ctx.memo.found.get(key)
    if known is None:
        known = ctx.memo.found[key] = predicate(ctx, root(ctx.candidate.facts))
    return known


def asks_by_class(require: Any, rules: Mapping[str, tuple[Predicate, bool]]) -> bool:
    """Whether a predicate looks at subcontractors, itself or through a rule it refers to."""
    if isinstance(require, list):
        return any(asks_by_class(part, rules) for part in require)
    if not isinstance(require, dict):
        return False
    of = require.get("of") or ()
    referred = rules.get(str(require.get("rule")), (None, False))[1]
    return BY_CLASS in of or referred or any(asks_by_class(part, rules) for part in require.values())


def option(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``option: requireUnionCitizens``: whether the workload asks for it."""
    name = spec["option"]
    if name != "requireUnionCitizens":
        raise PredicateError(f"option: {name!r} is unknown; known: requireUnionCitizens")
    return lambda ctx, scope: (S if ctx.options.require_union_citizens else V, ())


Compiler = Callable[[dict[str, Any], Vocabulary, Shape], Predicate]
VERBS: dict[str, tuple[Compiler, set[str]]] = {
    "within": (within, {"facts"}),
    "isTrue": (_boolean(True), set()),
    "isFalse": (_boolean(False), set()),
    "oneOf": (one_of, {"facts"}),
    "atLeast": (_threshold("atLeast"), {"facts"}),
    "atMost": (_threshold("atMost"), {"facts"}),
    "ageAtMost": (age_at_most, {"facts"}),
    "stated": (stated, set()),
    "each": (each, {"where", "require"}),
    "control": (control, CONTROL_PARAMETERS | {"to"}),
    "foreignLaw": (foreign_law, CONTROL_PARAMETERS | {"sources"}),
    "holdings": (holdings, {"outside"}),
    "certificate": (certificate, set()),
    "validCertificate": (valid_certificate, set()),
    "allOf": (all_of, set()),
    "anyOf": (any_of, set()),
    "not": (negation, set()),
    "if": (conditional, {"then", "else"}),
    "rule": (reference, {"waivers"}),
    "option": (option, set()),
}
