"""All facts of the hub, and the verdicts they lead to: one instance per process, fed by reflectors or by files.

Holds specs by name, compiles frameworks, keeps a verdict table per framework and options, and tells which candidates
a change concerns. No I/O; the instant comes from the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.facts import Candidate, Entities, Subject, candidates_of, entity_subject
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.places import place_problem
from domicile.model.schema import Model
from domicile.placement.verdicts import SLICE, Key, Verdicts
from domicile.tiers.evaluate import NO_OPTIONS
from domicile.tiers.framework import Framework, FrameworkError, digest_of, load_framework
from domicile.tiers.reading import Options


@dataclass(frozen=True, slots=True)
class Change:
    """What an update did: candidates whose verdict changed, by (framework name, options)."""

    candidates: frozenset[Key] = frozenset()
    frameworks: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.candidates or self.frameworks)


class Inventory:
    """Facts, frameworks and verdicts."""

    def __init__(self) -> None:
        self.clusters: dict[str, SovereignClusterSpec] = {}
        self.frameworks: dict[str, Framework] = {}
        self.framework_problems: dict[str, tuple[str, ...]] = {}
        self._specs: dict[str, SovereigntyFrameworkSpec] = {}
        self._subjects: dict[str, Subject] = {}
        self.entities = Entities.of({})
        self._candidates: dict[str, tuple[Candidate, ...]] = {}
        self._tables: dict[tuple[str, Options], Verdicts] = {}
        self._filling: dict[tuple[str, Options], Iterator[int]] = {}  # what is left to do of tables that are half full
        self._digests: dict[str, str] = {}
        self._digest: str | None = None
        self._void: dict[str, str] = {}
        self.generation = 0

    # -- what changed ------------------------------------------------------------------------------------------

    def set_cluster(self, name: str, spec: SovereignClusterSpec | None, *, at: datetime) -> Change:
        """A SovereignCluster was added, changed or (None) removed."""
        before = {(c.cluster, c.pool) for c in self._candidates.pop(name, ())}
        self._remember(f"SovereignCluster/{name}", spec)
        if spec is None:
            self.clusters.pop(name, None)
            self._void.pop(name, None)
            self._digests.pop(f"void/{name}", None)
        else:
            self.clusters[name] = spec
            void, candidates = self._void.get(name, ""), candidates_of(name, spec)
            self._candidates[name] = tuple(replace(c, void=void) for c in candidates) if void else candidates
        present = self._candidates.get(name, ())
        gone = before - {(c.cluster, c.pool) for c in present}
        return self._changed(
            key
            for table in self._tables.values()
            for key in table.update(present=present, gone=gone, entities=self.entities, at=at)
        )

    def void(self, name: str, why: str, *, at: datetime) -> Change:
        """The facts of a cluster count for nothing, since another answers in its name; or (empty) they count again."""
        if self._void.get(name, "") == why:
            return Change()
        self._void[name] = why
        self._digests.pop(f"void/{name}", None)
        if why:
            self._digests[f"void/{name}"] = digest_of({"void": why})
        return self.set_cluster(name, self.clusters.get(name), at=at)

    def voided(self, name: str) -> str:
        """Why the facts of a cluster count for nothing; empty where they count."""
        return self._void.get(name, "")

    def refresh(self, name: str, *, at: datetime) -> Change:
        """Evaluate a cluster anew from its spec. Finds nothing unless an update was missed."""
        return self.set_cluster(name, self.clusters[name], at=at) if name in self.clusters else Change()

    def set_entity(self, name: str, spec: LegalEntitySpec | None, *, at: datetime) -> Change:
        """A LegalEntity was added, changed or (None) removed."""
        return self.set_entities({name: spec}, at=at)

    def set_entities(self, specs: Mapping[str, LegalEntitySpec | None], *, at: datetime) -> Change:
        """Several entities at once; the ownership graph is checked once."""
        for name, spec in specs.items():
            self._remember(f"LegalEntity/{name}", spec)
            if spec is None:
                self._subjects.pop(name, None)
            else:
                self._subjects[name] = entity_subject(name, spec)
        before = self.entities.problems
        self.entities = Entities.of(dict(self._subjects))
        after = self.entities.problems
        names = set(specs) | {n for n in {*before, *after} if before.get(n) != after.get(n)}
        return self._changed(
            key
            for table in self._tables.values()
            for key in table.entities_changed(names, entities=self.entities, at=at)
        )

    def set_framework(self, name: str, spec: SovereigntyFrameworkSpec | None) -> Change:
        """A SovereigntyFramework was added, changed or (None) removed. A pack that does not load is not used, and
        two packs of one id and version are both refused: which one is meant cannot be told."""
        if spec is None:
            self._specs.pop(name, None)
        else:
            self._specs[name] = spec
        self._remember(f"SovereigntyFramework/{name}", spec)
        before = dict(self.frameworks)
        ids: dict[str, list[str]] = {}
        for other, known in self._specs.items():
            ids.setdefault(f"{known.id or other}/{known.version}", []).append(other)
        self.framework_problems.clear()
        for other, known in self._specs.items():
            self._load(other, known, ids[f"{known.id or other}/{known.version}"], reload=other == name)
        for other in set(self.frameworks) - set(self._specs):
            del self.frameworks[other]
        changed = {n for n in {*before, *self.frameworks} if before.get(n) is not self.frameworks.get(n)}
        for key in [key for key in self._tables if key[0] in changed]:
            del self._tables[key]
            self._filling.pop(key, None)
        return Change(frameworks=frozenset(changed))

    def advance(self, *, at: datetime) -> Change:
        """Time passed: evaluate again what a review date, an expiry or an effective date concerns."""
        return self._changed(
            key for table in self._tables.values() for key in table.advance(entities=self.entities, at=at)
        )

    @property
    def next_due(self) -> datetime | None:
        """When time alone may next change a verdict."""
        return min((due for t in self._tables.values() if (due := t.next_due) is not None), default=None)

    def due_by_cluster(self) -> dict[str, datetime]:
        """When time alone may next change a verdict about each cluster, by the tables of no special options."""
        found: dict[str, datetime] = {}
        for (_, options), table in self._tables.items():
            if options == NO_OPTIONS:
                for row in table.rows:
                    if row is not None and row.until is not None:
                        cluster = row.candidate.cluster
                        found[cluster] = min(row.until, found.get(cluster, row.until))
        return found

    # -- what holds --------------------------------------------------------------------------------------------

    def verdicts(self, framework: str, options: Options, *, at: datetime) -> Verdicts:
        """The verdict table of a loaded framework under these options; what is not filled yet is filled at once.
        Raises KeyError for an unknown framework."""
        if not self.filled(framework, options):
            for _ in self.fill(framework, options, at=lambda: at):
                pass
        return self._tables[framework, options]

    def filled(self, framework: str, options: Options) -> bool:
        """Whether the verdicts of all candidates are there."""
        return (framework, options) in self._tables and (framework, options) not in self._filling

    def fill(self, framework: str, options: Options, *, at: Callable[[], datetime], size: int = SLICE) -> Iterator[int]:
        """Fill a table in slices of some 30 ms, for a caller that has other things to do between them; yields how many
        candidates are in. Several callers may fill the same one, each goes on where the others are. What changes
        meanwhile is told to a table that is half full as to any other. Raises KeyError for an unknown framework."""
        key = (framework, options)
        if key not in self._tables:
            table = self._tables[key] = Verdicts(self.frameworks[framework], options)
            clusters = (self._candidates.get(name, ()) for name in list(self._candidates))
            self._filling[key] = table.build(clusters, entities=lambda: self.entities, at=at, size=size)
        while (rest := self._filling.get(key)) is not None:
            try:
                done = next(rest, None)
            except Exception:
                del self._tables[key], self._filling[key]  # half a table must not pass for a whole one
                raise
            if done is None:
                del self._filling[key]
            else:
                yield done

    def judged_by(self, entity: str) -> list[str]:
        """Clusters with a candidate whose verdict an entity had a part in."""
        return sorted({key[0] for table in self._tables.values() for key in table.judged_by(entity)})

    def candidate(self, key: Key) -> Candidate | None:
        """The candidate of that name."""
        return next((c for c in self._candidates.get(key[0], ()) if c.pool == key[1]), None)

    @property
    def digest(self) -> str:
        """sha256 over the digests of all facts, in the order of their names."""
        if self._digest is None:
            text = "\n".join(f"{key} {digest}" for key, digest in sorted(self._digests.items()))
            self._digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        return self._digest

    def fact_problems(self, kind: str, name: str) -> list[str]:
        """What is wrong with the facts of an object although it can be read: codes, references, ownership."""
        if kind == "LegalEntity":
            problem = self.entities.problems.get(name)
            subject = self._subjects.get(name)
            dangling = [f"spec.ownership.owners: {problem}"] if problem else []
            return dangling + (_code_problems(subject.doc, "spec") if subject else [])
        spec = self.clusters.get(name)
        if spec is None:
            return []
        document = spec.plain()
        missing = sorted(n for n in _references(document) if n not in self.entities.by_name)
        return _code_problems(document, "spec") + [
            f"LegalEntity/{n} does not exist; create it or correct the reference" for n in missing
        ]

    def _remember(self, key: str, spec: Model | None) -> None:
        if spec is None:
            self._digests.pop(key, None)
        else:
            self._digests[key] = digest_of(spec.plain())
        self._digest = None
        self.generation += 1

    def _load(self, name: str, spec: SovereigntyFrameworkSpec, twins: list[str], *, reload: bool) -> None:
        if len(twins) > 1:
            others = ", ".join(t for t in sorted(twins) if t != name)
            problem = f"spec.id: {spec.id or name} {spec.version} is also defined by {others}; keep one"
            self.framework_problems[name] = (problem,)
            self.frameworks.pop(name, None)
            return
        if name in self.frameworks and not reload:
            return
        try:
            self.frameworks[name] = load_framework(name, spec)
        except FrameworkError as error:
            self.framework_problems[name] = tuple(error.problems)
            self.frameworks.pop(name, None)

    def _changed(self, keys: Iterable[Key]) -> Change:
        return Change(candidates=frozenset(keys))


PARTY_FIELDS = frozenset({"provider", "operator", "owner", "supplier", "entity", "acquirer"})
PLACE_FIELDS = frozenset(
    {
        "country", "subdivision", "registeredOffice", "centralAdministration", "mainEstablishment", "acquirerCountry",
        "supplierCountry", "countries", "allowedCountries", "generatedDataExport", "initiatedFrom", "performedFrom",
        "adminPaths",
    }
)  # fmt: skip


def _references(document: object) -> set[str]:
    """Names of the LegalEntities a cluster refers to."""
    found: set[str] = set()
    if isinstance(document, dict):
        for key, value in document.items():
            if key in PARTY_FIELDS and isinstance(value, str):
                found.add(value)
            else:
                found |= _references(value)
    elif isinstance(document, list):
        for item in document:
            found |= _references(item)
    return found


def _code_problems(document: object, path: str) -> list[str]:
    """Place codes that ISO 3166 does not know, with their fields."""
    if isinstance(document, dict):
        return [
            problem
            for key, value in document.items()
            for problem in (
                _codes(value, f"{path}.{key}") if key in PLACE_FIELDS else _code_problems(value, f"{path}.{key}")
            )
        ]
    if isinstance(document, list | tuple):
        return [p for n, item in enumerate(document) for p in _code_problems(item, f"{path}[{n}]")]
    return []


def _codes(value: object, path: str) -> list[str]:
    codes = [(path, value)]
    if isinstance(value, list):
        codes = [(f"{path}[{n}]", item) for n, item in enumerate(value)]
    return [f"{where}: {problem}" for where, code in codes if (problem := place_problem(str(code)))]
