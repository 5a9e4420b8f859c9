"""The vocabulary of rules: a small set of predicates, compiled once from a rule pack into plain closures.

Every predicate is an object with one verb, optional parameters, and the modifiers ``of`` (look at these parties
instead), ``evidence`` (another evidence floor) and ``fails: Unknown`` (a failure is an open question, not a
violation). ``docs/rule-packs.md`` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from domicile.model.framework import EvidenceFloor, Route, Scheme
from domicile.model.places import Territory, normalise, place_problem
from domicile.model.schema import read_instant
from domicile.model.verdicts import Finding, Verdict, best, worst
from domicile.tiers.control import ControlTest, control_of
from domicile.tiers.parties import PARTIES, Party, parties_of
from domicile.tiers.paths import CANDIDATE, ENTITY, Path, Shape, compile_path
from domicile.tiers.reading import Context, Reading, Scope, due, read, root, show

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
    rules: Mapping[str, Predicate]  # rules compiled so far, for references

    def territory(self, name: Any) -> Territory:
        """The territory of that name. Raises PredicateError listing the known ones."""
        if name not in self.territories:
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
    return lambda ctx, scope: predicate(replace(ctx, floor=floor, standings={}), scope)


def _open_question(predicate: Predicate) -> Predicate:
    def ask(ctx: Context, scope: Scope) -> Result:
        verdict, findings = predicate(ctx, scope)
        if verdict is not V:
            return verdict, findings
        return U, tuple(f._replace(verdict=U) if f.verdict is V else f for f in findings)

    return ask


def _all(results: Iterable[Result]) -> Result:
    verdict, findings = S, []
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
        return _place(territory, value)

    return _judge_all(_facts(spec, "facts", shape), territory.name, judge)


def _place(territory: Territory, value: Any) -> tuple[Verdict, str]:
    if not isinstance(value, Mapping):
        return territory.where(str(value)), place_problem(str(value)) or str(value)
    country, subdivision = value.get("country"), value.get("subdivision")
    if country is None:
        return U, "country not stated"
    if value.get("source") == "label":
        return U, f"{country} on a node label's word only"
    if subdivision is None:
        return territory.where(country), place_problem(country) or country
    if normalise(subdivision).partition("-")[0] != normalise(country):
        return U, f"contradictory: country {country}, subdivision {subdivision}"
    return territory.where(subdivision), place_problem(subdivision) or f"{country} ({subdivision})"


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
        limit = spec[verb]
        if not isinstance(limit, int | float) or isinstance(limit, bool):
            raise PredicateError(f"{verb}: a number is needed, not {limit!r}")

        def judge(ctx: Context, value: Any) -> tuple[Verdict, str]:
            number = len(value) if isinstance(value, list) else value
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
        moment = read_instant(value)
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
    path, inner = compile_path(spec["each"] + "[]", shape)
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
        disclosure=float(spec.get("disclosure", 5)),
        coverage=float(spec.get("coverage", 95)),
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
            verdict = worst(territory.where(country) for country in held.countries) if held.countries else U
        return verdict, (Finding(verdict, scope.subject.label, held.fact, held.found, wanted, held.evidence),)

    return ask


def foreign_law(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``foreignLaw: vulnerabilityReporting, outside: Union, sources: 1``: for every country that controls the entity
    from outside, independent sources show that its law does not demand this."""
    _entity_only("foreignLaw", shape)
    test = _control_test(spec, vocabulary)
    duty, sources = str(spec["foreignLaw"]), int(spec.get("sources", 1))
    compile_path(f"foreignLaws[].{duty}", ENTITY)
    wanted = f"no {duty} duty, on {sources} independent source or more"

    def ask(ctx: Context, scope: Scope) -> Result:
        held = control_of(ctx, scope.subject, test)
        if held.verdict is S:
            return NOTHING
        if not held.countries:
            finding = Finding(U, scope.subject.label, held.fact, held.found, "known controllers", held.evidence)
            return U, (finding,)
        findings = [_law(ctx, scope, country, duty, sources, wanted) for country in held.countries]
        return worst(f.verdict for f in findings), tuple(findings)

    return ask


def _law(ctx: Context, scope: Scope, country: str, duty: str, sources: int, wanted: str) -> Finding:
    path = compile_path("foreignLaws", ENTITY)[0]
    reading = next(read(ctx, scope, path))
    law = next((law for law in reading.value or () if law["country"] == country), None)
    if law is None or duty not in law:
        return reading.finding(U, wanted, f"law of {country} not stated")
    if reading.standing.verdict is not S:
        return reading.finding(reading.standing.verdict, wanted, f"law of {country}")
    named = len(law.get("independentSources", ()))
    verdict = V if law[duty] else S if named >= sources else U
    return reading.finding(verdict, wanted, f"law of {country}: {show(law[duty])}, {named} independent sources")


def holdings(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``holdings: {eachAtMost: 24, togetherAtMost: 39, withoutRights: [veto]}, outside: Union``: direct holders
    from outside stay below both thresholds of capital and of votes and hold none of the rights."""
    _entity_only("holdings", shape)
    test = _control_test({"outside": spec.get("outside")}, vocabulary)
    limits = spec["holdings"]
    unknown = set(limits) - {"eachAtMost", "togetherAtMost", "withoutRights"} if isinstance(limits, dict) else {"?"}
    if unknown:
        raise PredicateError("holdings: an object with eachAtMost, togetherAtMost and withoutRights is needed")
    path = compile_path("ownership", ENTITY)[0]
    wanted = f"holders outside {test.outside.name} " + ", ".join(f"{k} {show(v)}" for k, v in limits.items())

    def ask(ctx: Context, scope: Scope) -> Result:
        reading = next(read(ctx, scope, path))
        if reading.value is None or reading.standing.verdict is not S:
            finding = reading.finding(reading.standing.verdict, wanted)
        else:
            verdict, found = _holdings(ctx, reading.value, limits, test)
            finding = reading.finding(verdict, wanted, found)
        return finding.verdict, (finding,)

    return ask


def _holdings(ctx: Context, ownership: Any, limits: Any, test: ControlTest) -> tuple[Verdict, str]:
    shares: list[float] = []
    verdict, notes = S, []
    for owner in ownership.get("owners") or ():
        inside = _holder_inside(ctx, owner, test)
        if inside is S:
            continue
        share = max(owner.get("capitalPercent", 0.0), owner.get("votesPercent", 0.0))
        stated = "capitalPercent" in owner and "votesPercent" in owner and "specialRights" in owner
        barred = set(owner.get("specialRights", ())) & set(limits.get("withoutRights", ()))
        over = share > limits.get("eachAtMost", 100) or bool(barred)
        one = V if over and inside is V else U if inside is U or not stated or over else S
        verdict = worst((verdict, one))
        shares.append(share)
        notes.append(f"{owner.get('entity') or owner.get('name', 'a holder')} {share:g} percent")
    if sum(shares) > limits.get("togetherAtMost", 100):
        verdict = V if verdict is not U else U
    if "coveragePercent" not in ownership or ownership["coveragePercent"] < test.coverage:
        verdict = worst((verdict, U))
    return verdict, "; ".join(notes) or "none outside"


def _holder_inside(ctx: Context, owner: Mapping[str, Any], test: ControlTest) -> Verdict:
    """Whether a holder counts as inside: seated there, and not itself controlled from outside."""
    if "entity" not in owner:
        return test.outside.where(owner["country"]) if "country" in owner else U
    subject = ctx.entity(owner["entity"])
    if subject is None:
        return U
    seats = subject.doc.get("seats") or {}
    place = subject.doc.get("country") or seats.get("registeredOffice")
    seated = test.outside.where(place) if place else U
    return worst((seated, control_of(ctx, subject, test).verdict)) if seated is S else seated


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
    path = compile_path("certificates", CANDIDATE)[0]

    def ask(ctx: Context, scope: Scope) -> Result:
        held = scope.value.get("certificates")
        label = scope.subject.label_of("certificates")
        if held is None:
            return U, (Finding(U, label, path.text, "not stated", wanted),)
        for route in Route:
            schemes = [s for s in vocabulary.schemes if s.route is route]
            best_held = _held(ctx, held, schemes, levels)
            if best_held is not None and levels.index(best_held[1]) >= levels.index(level):
                return S, (Finding(S, label, path.text, f"{best_held[0]} {best_held[1]}", wanted, "certified"),)
            open_schemes = [s.name for s in schemes if s.available and _serves(ctx, s)]
            if open_schemes and route is not Route.STANDARDS:
                found = f"{best_held[0]} {best_held[1]}" if best_held else f"no valid {' or '.join(open_schemes)}"
                return V, (Finding(V, label, path.text, found, wanted),)
        return standards(ctx, scope)

    standards = _boolean(True)({"isTrue": ["security.highestUnionStandards"]}, vocabulary, CANDIDATE)
    return ask


def _held(ctx: Context, held: list[Any], schemes: list[Scheme], levels: tuple[str, ...]) -> tuple[str, str] | None:
    """The strongest valid certificate under one of ``schemes``: (scheme, level)."""
    by_name = {s.name: s for s in schemes}
    found: list[tuple[str, str]] = []
    for one in held:
        scheme = by_name.get(one["scheme"])
        level = one.get("level") or (scheme.level if scheme else None)
        if scheme is None or level not in levels or "validUntil" not in one:
            continue
        if not ctx.passed(read_instant(one["validUntil"], end_of_day=True)):
            found.append((one["scheme"], level))
    return max(found, key=lambda f: levels.index(f[1]), default=None)


def _serves(ctx: Context, scheme: Scheme) -> bool:
    """Whether a scheme is open to this service: European ones to all, national ones where the provider is seated."""
    if not scheme.countries:
        return True
    providers = [p for name in ctx.candidate.providers if (p := ctx.entity(name)) is not None]
    seats = {(p.doc.get("seats") or {}).get("registeredOffice") for p in providers}
    return bool(seats & set(scheme.countries))


def valid_certificate(spec: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Predicate:
    """``validCertificate: any`` or a list of schemes: at least one certificate is in date."""
    names = spec["validCertificate"]

    def ask(ctx: Context, scope: Scope) -> Result:
        label, wanted = scope.subject.label_of("certificates"), "a valid certificate"
        held = scope.value.get("certificates")
        if held is None:
            return U, (Finding(U, label, "certificates", "not stated", wanted),)
        dated = [c for c in held if (names == "any" or c["scheme"] in names) and "validUntil" in c]
        valid = [c for c in dated if not ctx.passed(read_instant(c["validUntil"], end_of_day=True))]
        verdict = S if valid else U if held else V
        found = ", ".join(c["scheme"] for c in valid) or ("expired or undated" if held else "none")
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
    if name not in vocabulary.rules:
        raise PredicateError(f"rule: {name!r} is not defined before this rule")
    if spec.get("waivers", "ignored") != "ignored":
        raise PredicateError("waivers: write ignored or leave it out; a reference never takes a waiver over")
    predicate = vocabulary.rules[name]
    return lambda ctx, scope: predicate(ctx, root(ctx.candidate.facts))


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
