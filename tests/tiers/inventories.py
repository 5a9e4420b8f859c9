"""The cases of all scenario files as inventories that properties can vary: objects, candidate, instant, options."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from domicile.documents.yaml import read_documents
from domicile.model.cluster import SovereignClusterSpec
from domicile.model.entity import LegalEntitySpec
from domicile.model.facts import Entities, Subject, candidates_of, entity_subject
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.model.objects import read_spec
from domicile.model.schema import API_VERSION, read_instant
from domicile.scenarios.format import Case, ScenarioFile, merge_patch
from domicile.tiers.evaluate import Evaluation, evaluate
from domicile.tiers.framework import Framework, load_framework
from domicile.tiers.packs import pack_text
from domicile.tiers.reading import Options

SCENARIOS = Path(__file__).parents[1] / "scenarios"
Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Inventory:
    """One case of a scenario file, patched. ``objects`` maps ``Kind/name`` to the raw object."""

    name: str
    objects: Mapping[str, Any]
    framework: str  # its text
    cluster: str
    pool: str
    at: datetime
    options: Options

    @property
    def entities(self) -> Entities:
        found = (key.partition("/")[2] for key in self.objects if key.startswith("LegalEntity/"))
        return Entities.of({name: entity(name, json.dumps(self.objects[f"LegalEntity/{name}"])) for name in found})

    def evaluate(self, at: datetime | None = None) -> Evaluation:
        """Raises ObjectError where an object is no longer valid."""
        spec = read_spec(self.objects[f"SovereignCluster/{self.cluster}"])
        assert isinstance(spec, SovereignClusterSpec)
        candidate = next(c for c in candidates_of(self.cluster, spec) if c.pool == self.pool)
        framework = compiled(self.framework)
        return evaluate(framework, candidate, entities=self.entities, at=at or self.at, options=self.options)

    def with_objects(self, change: Callable[[str, Any], Any]) -> Inventory:
        """The same with every entity and cluster changed."""
        return replace(self, objects={k: change(k, v) for k, v in self.objects.items()})


@cache
def entity(name: str, text: str) -> Subject:
    spec = read_spec(json.loads(text))
    assert isinstance(spec, LegalEntitySpec)
    return entity_subject(name, spec)


@cache
def compiled(text: str) -> Framework:
    spec = read_spec(json.loads(text))
    assert isinstance(spec, SovereigntyFrameworkSpec)
    return load_framework("cada", spec)


@cache
def inventories() -> tuple[Inventory, ...]:
    """Every case of every scenario file."""
    files = (p for p in sorted(SCENARIOS.rglob("*.yaml")) if "\ncases:" in p.read_text(encoding="utf-8"))
    return tuple(inventory for file in files for inventory in _cases(file))


def _cases(file: Path) -> Iterator[Inventory]:
    scenario = ScenarioFile.model_validate(read_documents(file.read_text(encoding="utf-8"))[0].value)
    base = {"SovereigntyFramework/cada": read_documents(pack_text("cada"))[0].value}
    for name in scenario.baseline:
        for document in read_documents((file.parent / name).read_text(encoding="utf-8")):
            base[f"{document.value['kind']}/{document.value['metadata']['name']}"] = document.value
    for case in scenario.cases:
        yield _inventory(file, scenario, case, base)


def _inventory(file: Path, scenario: ScenarioFile, case: Case, base: Mapping[str, Any]) -> Inventory:
    objects = dict(base)
    for key, patch in case.patch.items():
        kind, _, name = key.partition("/")
        new = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}}
        objects[key] = merge_patch(objects.get(key, new), patch)
    subject = case.subject or scenario.subject
    options = Options(
        recognition=case.options.basis.value == "recognition",
        require_union_citizens=case.options.require_union_citizens,
        max_evidence_age=case.options.max_evidence_age,
        waivers=frozenset(case.options.waivers),
    )
    at = read_instant(case.at or scenario.at)
    framework = json.dumps(objects.pop("SovereigntyFramework/cada"))
    return Inventory(f"{file.stem}: {case.name}", objects, framework, subject.cluster, subject.node_pool, at, options)


def paths_of(value: Any, prefix: Key = ()) -> Iterator[Key]:
    """Every path to a field of a mapping, depth first."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*prefix, key)
            yield from paths_of(inner, (*prefix, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths_of(inner, (*prefix, number))


def without(value: Any, paths: frozenset[Key], prefix: Key = ()) -> Any:
    """``value`` without the fields at ``paths``."""
    if isinstance(value, dict):
        return {k: without(v, paths, (*prefix, k)) for k, v in value.items() if (*prefix, k) not in paths}
    if isinstance(value, list):
        return [without(v, paths, (*prefix, n)) for n, v in enumerate(value)]
    return value
