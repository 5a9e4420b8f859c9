"""Every case of every scenario file, and the fifty numbered cases of the reading of the law among them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from domicile.scenarios.run import CaseResult, run_file

TESTS = Path(__file__).parents[1]
FILES = sorted(
    path
    for folder in (TESTS / "scenarios", TESTS / "tiers" / "packs")
    for path in folder.rglob("*.yaml")
    if re.search(r"^cases:", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@cache
def results(path: Path) -> list[CaseResult]:
    return run_file(path)


def cases() -> list[object]:
    return [
        pytest.param(path, number, id=f"{path.relative_to(TESTS).with_suffix('')}: {result.name}")
        for path in FILES
        for number, result in enumerate(results(path))
    ]


@pytest.mark.parametrize(("path", "number"), cases())
def test_case_comes_out_as_expected(path: Path, number: int) -> None:
    result = results(path)[number]
    reasons = [f"{rule.rule}: {f.sentence()}" for rule in result.failed for f in rule.reasons]
    assert result.passed, "\n".join((result.place, *result.mismatches, *reasons))


def test_all_fifty_rows_are_there() -> None:
    names = [result.name for path in FILES for result in results(path)]
    numbers = {int(name[:2]) for name in names if re.match(r"\d\d ", name)}
    assert numbers == set(range(1, 51))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_names_are_unique_within_a_file(path: Path) -> None:
    names = [result.name for result in results(path)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_levels_are_cumulative_in_every_case(path: Path) -> None:
    order = {"Satisfied": 0, "Unknown": 1, "Violated": 2}
    for result in results(path):
        ranks = [order[verdict] for _, verdict in sorted(result.levels.items())]
        assert ranks == sorted(ranks), result.name
