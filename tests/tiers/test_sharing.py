"""Answers about entities that candidates share are the answers each would get alone, at every instant."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from domicile.model.facts import Entities, candidates_of, entity_subject
from domicile.model.framework import SovereigntyFrameworkSpec
from domicile.tiers.evaluate import NO_OPTIONS, Evaluation, evaluate
from domicile.tiers.framework import load_framework
from domicile.tiers.sharing import Shared
from tests.placement import fleet
from tests.placement.fleet import AT

OF_PROVIDERS = {
    "version": "1",
    "territories": {"Union": {"countries": ["DK", "FR"]}},
    "tiers": [
        {"level": 1, "evidence": {"atLeast": "selfDeclared"}},
        {"level": 2, "evidence": {"atLeast": "audited", "reviewedWithin": "3mo"}},
    ],
    "rules": [
        {"id": "1.a", "clause": "a", "title": "established", "level": 1, "of": ["provider"],
         "require": {"within": "Union", "facts": ["seats.registeredOffice"]}},
        {"id": "1.b", "clause": "b", "title": "not controlled", "level": 1, "of": ["provider"],
         "require": {"control": "absent", "outside": "Union"}},
        {"id": "2.a", "clause": "a", "title": "established", "level": 2, "require": {"rule": "1.a"}},
        {"id": "2.b", "clause": "b", "title": "here, where the provider is", "level": 2, "of": ["provider"],
         "require": {"allOf": [{"rule": "2.c0"}, {"isTrue": ["establishment.genuine"]}]}},
    ],
}  # fmt: skip
HERE = {"id": "2.c0", "clause": "c", "title": "here", "level": 2, "require": {"within": "Union", "facts": ["location"]}}
DAYS = (0, 9, 10, 11, 19, 20, 21, 30, 5, 0)  # back again, too: a replay asks about the past


@pytest.mark.parametrize("changes", [(), ("is sold",), ("lapses",), ("self-declared",), ("owned by other",)])
def test_shared_answers_are_the_answers_alone(changes: tuple[str, ...]) -> None:
    raw = json.loads(json.dumps(OF_PROVIDERS))
    raw["rules"].insert(3, HERE)
    pack = load_framework("pack", SovereigntyFrameworkSpec.model_validate(raw))
    specs = {"nordlys": fleet.entity(*changes), "other": fleet.entity("is sold")}
    entities = Entities.of({name: entity_subject(name, spec) for name, spec in specs.items()})
    pools = tuple((f"p{n}", by, more) for n, (by, more) in enumerate(POOLS))
    candidates = candidates_of("c", fleet.cluster("nordlys", (), pools))
    shared = Shared()
    shared.move_to(entities)
    seen: set[str] = set()
    for day in DAYS:
        for candidate in candidates:
            at = AT + timedelta(days=day)
            alone = evaluate(pack, candidate, entities=entities, at=at)
            assert evaluate(pack, candidate, entities=entities, at=at, options=NO_OPTIONS, shared=shared) == alone
            seen.add(told(alone))
    assert len(seen) > 1


POOLS = (("nordlys", ()), ("nordlys", ("in Switzerland",)), ("other", ()), ("nobody", ()))


def told(evaluation: Evaluation) -> str:
    return f"{evaluation.levels} {evaluation.until}"
